// Trust in what is shown: the counts of the whole run, the banner, the title and its sign.

import { byId, mark, write } from "./dom.js";
import { fixed, milliseconds } from "./numbers.js";

const NAMED = 6; // products that the banner names
const PATIENCE = 500; // ms

export class Trust {
  constructor(market) {
    this.market = market;
    this.quietSince = Date.now();
    this.said = "";
  }

  // Paint it all; `isHidden`: only the counts of the server are known, not the products.
  paint(isHidden) {
    const { market } = this;
    const { status } = market;
    const count = status?.products ?? market.products.size;
    const off = isHidden ? [] : market.notLive();
    const live = isHidden ? (status?.live ?? 0) : market.products.size - off.length;
    mark(document.body, "old", market.isOld);
    if (status && market.time && !market.isOld) this.counts(status, live, count);
    this.title(live, count, status);
    if (!isHidden) this.banner(off, live);
  }

  counts(status, live, count) {
    write(byId("live"), `${live} of ${count}`);
    mark(byId("live"), "some", live < count);
    for (const key of ["connects", "resyncs", "gaps"]) write(byId(key), fixed(status[key], 0));
    write(byId("missing"), fixed(status.missing_trades, 0));
    write(byId("lag50"), milliseconds(status.lag_p50));
    write(byId("lag99"), milliseconds(status.lag_p99));
    mark(document.body, "replay", status.kind === "replay");
    write(byId("clock"), new Date(this.market.time * 1000).toISOString().slice(11, 19));
  }

  title(live, count, status) {
    const { isOld } = this.market;
    const kind = status?.kind === "replay" ? "replayed" : "live";
    let title = `● ${count} ${kind} – Order books`;
    if (status?.ended) title = "■ replay over – Order books";
    if (isOld) title = `✕ ${this.market.late ? "late" : "no server"} – Order books`;
    else if (live < count && !status?.ended) title = `○ ${count - live} of ${count} not live – Order books`;
    if (document.title !== title) document.title = title;
    const icon = isOld ? "/favicon-none.svg" : live < count ? "/favicon-some.svg" : "/favicon.svg";
    const link = byId("favicon");
    if (link.getAttribute("href") !== icon) link.href = icon;
  }

  banner(off, live) {
    let text = "";
    if (this.market.late) {
      text = `Frames arrive late: ${fixed(this.market.late, 0)} s. What is grey is old.`;
    } else if (this.market.isOld) {
      if (Date.now() - this.quietSince < PATIENCE) return; // a page that is shown again is old for a moment
      const since = new Date(this.quietSince).toTimeString().slice(0, 8);
      text = `No word from the server since ${since}. What is grey is old; connecting anew all the time.`;
    } else if (off.length && !this.market.status?.ended) {
      const names = off.slice(0, NAMED).map((product) => `${product.symbol} ${product.state}`).join(", ");
      const more = off.length > NAMED ? ` and ${off.length - NAMED} more` : "";
      text = `Not live: ${names}${more}.${live ? "" : " Nothing here is live."}`;
    }
    mark(byId("banner"), "calm", !text); // it keeps its place, so that nothing moves when there is news
    mark(byId("banner"), "lost", this.market.isOld);
    const isReplay = this.market.status?.kind === "replay";
    const isOver = this.market.status?.ended;
    if (isReplay) text ||= isOver ? "The recording is over: these are its last prices." : "A recording is replayed.";
    text ||= `All ${live} books are live.`;
    if (text === this.said) return; // a screen reader speaks what changes
    this.said = text;
    byId("banner").textContent = text;
    byId("banner").title = text;
  }
}
