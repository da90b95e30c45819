// Connection to the server: says what is wanted, hands on what comes, and connects anew by itself.

const QUIET_AFTER = 2500; // ms without a frame, of which one comes each second: what is shown is old
const LOST_AFTER = 6000; // ms without a frame: the connection is given up
const OPEN_WITHIN = 5000;
const DELAYS = [250, 500, 1000, 2000]; // before the attempts; the last one for all that follow

export class Push {
  // `onFrame(frame, isFirst)` has each frame, the first of a connection with all products; `onQuiet(since)`
  // is called for as long as what came before is not to be trusted.
  constructor(onFrame, onQuiet) {
    this.onFrame = onFrame;
    this.onQuiet = onQuiet;
    this.wish = null;
    this.said = "";
    this.socket = null;
    this.attempts = 0;
    this.heard = 0;
    this.hasAll = false;
    this.timer = 0;
    this.quietSince = Date.now();
    setInterval(() => this.watch(), 250);
    addEventListener("online", () => this.hurry());
    this.connect();
  }

  // Ask for what a message says; it is sent again on each new connection.
  ask(wish) {
    this.wish = JSON.stringify(wish);
    this.send();
  }

  // Connect at once, where an attempt is waited for.
  hurry() {
    if (!this.socket) this.connect();
  }

  // Connect anew at once, so that all comes anew.
  renew() {
    this.quietSince ||= Date.now();
    if (this.socket) this.leave(this.socket);
    this.connect();
  }

  send() {
    if (this.socket?.readyState !== WebSocket.OPEN || this.wish === null || this.said === this.wish) return;
    this.said = this.wish;
    this.socket.send(this.wish);
  }

  connect() {
    clearTimeout(this.timer);
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
    this.socket = socket;
    this.said = "";
    this.hasAll = false;
    this.began = performance.now();
    socket.onopen = () => this.send();
    socket.onmessage = (event) => {
      if (socket !== this.socket) return;
      this.heard = performance.now();
      this.attempts = 0;
      this.quietSince = 0;
      const frame = JSON.parse(event.data);
      const isFirst = !this.hasAll && frame.products !== undefined;
      this.hasAll ||= isFirst;
      this.onFrame(frame, isFirst);
    };
    socket.onclose = () => this.leave(socket);
  }

  // Give a socket up, whether it knows of its end or not, and connect anew after a delay.
  leave(socket) {
    if (socket !== this.socket) return;
    this.socket = null;
    socket.close();
    this.quiet();
    this.timer = setTimeout(() => this.connect(), DELAYS[Math.min(this.attempts, DELAYS.length - 1)]);
    this.attempts += 1;
  }

  quiet() {
    if (!this.quietSince) this.quietSince = Date.now() - (this.heard && performance.now() - this.heard);
    this.onQuiet(this.quietSince);
  }

  watch() {
    if (this.quietSince) this.onQuiet(this.quietSince);
    if (!this.socket) return;
    const since = performance.now() - Math.max(this.heard, this.began);
    if (this.socket.readyState === WebSocket.CONNECTING) {
      if (since > OPEN_WITHIN) this.leave(this.socket);
    } else if (since > LOST_AFTER) {
      this.leave(this.socket);
    } else if (since > QUIET_AFTER) {
      this.quiet();
    }
  }
}
