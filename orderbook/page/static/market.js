// All products as the server last said, and which of it may be shown as live.

import { decimalsOf } from "./numbers.js";
import { History } from "./history.js";

const LATE_AFTER = 2; // seconds that a frame took longer than the fastest of its connection
const SILENT_AFTER = 1.7; // seconds without any frame of a product; heartbeats come each second

export const GLYPHS = { live: "●", connecting: "…", crossed: "✕", refused: "✕", closed: "✕" };

export class Product {
  constructor(symbol) {
    this.symbol = symbol;
    this.row = null;
    this.seen = NaN; // when its last frame of any kind came, in seconds since 1970
    this.history = new History();
    this.decimals = 0; // of prices: they only ever become more
    this.sizeDecimals = 0;
    this.state = "connecting";
    this.age = NaN; // seconds since the last frame of any kind
  }

  get isLive() {
    return this.state === "live";
  }

  take(row) {
    this.row = row;
    this.seen = row.seen === null ? NaN : Date.parse(row.seen) / 1000;
    this.learn(row.bid_price, row.bid_amount);
    this.learn(row.ask_price, row.ask_amount);
  }

  learn(price, size) {
    if (price === null) return;
    this.decimals = Math.max(this.decimals, decimalsOf(price));
    this.sizeDecimals = Math.min(8, Math.max(this.sizeDecimals, decimalsOf(size)));
  }
}

export class Market {
  constructor() {
    this.products = new Map();
    this.status = null;
    this.time = NaN; // of the last frame, in seconds since 1970 by the server's clock
    this.second = 0;
    this.isOld = true; // no frame for too long, or not yet any
    this.fastest = Infinity; // least of own clock less frame's time: the clocks' difference, nearly
    this.late = 0; // seconds, of the last frame; 0 where it is not late
    this.changed = new Set();
    this.members = 0; // grows whenever a product comes or goes
  }

  // Take a frame, the first of a connection with all products; gives whether a new second began with it.
  take(frame, isFirst) {
    if (this.isOld) this.everything();
    if (isFirst) this.forget(new Set(frame.products.map((row) => row.symbol)));
    this.time = Date.parse(frame.time) / 1000;
    const apart = performance.now() / 1000 - this.time;
    this.fastest = Math.min(isFirst ? Infinity : this.fastest, apart);
    this.late = apart - this.fastest > LATE_AFTER ? apart - this.fastest : 0;
    this.isOld = this.late > 0;
    if (frame.status) this.status = frame.status;
    for (const row of frame.products ?? []) {
      let product = this.products.get(row.symbol);
      if (!product) {
        this.products.set(row.symbol, (product = new Product(row.symbol)));
        this.members += 1;
      }
      product.take(row);
      this.changed.add(product);
    }
    this.judge();
    const second = Math.floor(this.time);
    if (second === this.second) return false;
    this.second = second;
    return true;
  }

  // Note the second in each history; what wasn't sent meanwhile, as to a hidden page, is a hole.
  note() {
    for (const product of this.products.values()) {
      product.history.note(this.second, product.row, product.isLive);
    }
  }

  // Nothing that came before is to be shown as live.
  growOld() {
    this.late = 0;
    this.isOld = true;
    this.everything();
    this.judge();
  }

  forget(present) {
    for (const symbol of [...this.products.keys()]) {
      if (!present.has(symbol) && this.products.delete(symbol)) this.members += 1;
    }
  }

  everything() {
    for (const product of this.products.values()) this.changed.add(product);
  }

  judge() {
    const isReplay = this.status?.kind === "replay"; // whose frames came when it was recorded
    for (const product of this.products.values()) {
      const { event } = product.row;
      product.age = isReplay ? NaN : this.time - product.seen;
      let state = event;
      if (this.isOld) state = "old";
      else if (event === "live" && product.age > SILENT_AFTER) state = "silent";
      if (state !== product.state) this.changed.add(product);
      product.state = state;
    }
  }

  notLive() {
    return [...this.products.values()].filter((product) => !product.isLive);
  }
}
