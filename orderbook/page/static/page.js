// The page: what comes is kept by the market, and painted once a picture of the screen.

import { BookHead } from "./book.js";
import { Cost } from "./cost.js";
import { Depth } from "./depth.js";
import { Heatmap, LEVELS } from "./heatmap.js";
import { startKeys } from "./keys.js";
import { Ladder } from "./ladder.js";
import { Market } from "./market.js";
import { Push } from "./push.js";
import { Series } from "./series.js";
import { Table } from "./table.js";
import { startTheme } from "./theme.js";
import { Trades } from "./trades.js";
import { Trust } from "./trust.js";

class Page {
  constructor() {
    this.market = new Market();
    this.trust = new Trust(this.market);
    this.book = null; // the last of the chosen product
    this.wanted = named(); // by the address or by choice; it may not be known yet
    this.chosen = "";
    this.isDue = false; // painting
    this.hasSecond = false; // what is painted once a second
    const toggleTheme = startTheme(() => this.due(true));
    this.head = new BookHead();
    this.ladder = new Ladder(() => this.ask());
    this.depth = new Depth();
    this.heatmap = new Heatmap();
    this.series = new Series();
    this.trades = new Trades();
    this.cost = new Cost(() => this.ask());
    this.table = new Table(this.market, (symbol) => this.choose(symbol));
    startKeys({ table: this.table, ladder: this.ladder, toggleTheme });
    this.push = new Push(
      (frame, isFirst) => this.take(frame, isFirst),
      (since) => this.quiet(since),
    );
    document.addEventListener("visibilitychange", () => this.see());
    addEventListener("hashchange", () => this.choose(named()));
    this.ask();
  }

  get product() {
    return this.market.products.get(this.chosen);
  }

  // Ask for what is in sight: of a hidden page the counts alone, for its title.
  ask() {
    const isSeen = !document.hidden;
    const book = isSeen && this.product ? this.chosen : null;
    this.push?.ask({
      products: isSeen,
      book,
      levels: LEVELS,
      step: this.ladder.grouping,
      cost: this.cost.amount,
    });
  }

  see() {
    this.ask();
    if (!document.hidden) this.push.renew(); // what was kept from before is old
  }

  take(frame, isFirst) {
    if (document.hidden) {
      if (frame.status) this.market.status = frame.status;
      this.market.isOld = false;
      this.trust.paint(true);
      return;
    }
    const isSecond = this.market.take(frame, isFirst);
    if (isFirst) this.trades.begin();
    this.settle();
    if (frame.book?.symbol === this.chosen) this.book = frame.book;
    if (frame.trades?.length && frame.trades[0].symbol === this.chosen) this.trades.take(frame.trades);
    if (isSecond) {
      this.market.note();
      const { product } = this;
      if (product) this.heatmap.note(this.market.second, product, product.isLive ? this.book : null);
    }
    this.due(isSecond);
  }

  quiet(since) {
    this.trust.quietSince = since;
    const isNews = !this.market.isOld;
    if (isNews) this.market.growOld();
    if (document.hidden) this.trust.paint(true); // its title is seen
    else this.due(isNews);
  }

  // Show what is wanted as soon as it is known, and till then the first.
  settle() {
    const { products } = this.market;
    if (products.has(this.wanted)) this.show(this.wanted);
    else if (!this.product && products.size) this.show([...products.keys()].sort()[0]);
  }

  choose(symbol) {
    this.wanted = symbol;
    history.replaceState(null, "", `#${encodeURIComponent(symbol)}`);
    this.settle();
  }

  show(symbol) {
    if (symbol === this.chosen) return;
    this.chosen = symbol;
    this.book = null;
    this.trades.begin();
    this.heatmap.begin();
    this.ladder.begin();
    this.table.choose(symbol);
    this.ask();
    this.due(true);
  }

  due(hasSecond) {
    this.hasSecond ||= hasSecond;
    if (this.isDue) return;
    this.isDue = true;
    requestAnimationFrame(() => this.paint());
  }

  paint() {
    this.isDue = false;
    const { product, hasSecond } = this;
    this.hasSecond = false;
    this.trust.paint(false);
    this.table.paint(false, hasSecond);
    if (!product) return;
    const book = product.row.event === "live" && this.book?.event === "live" ? this.book : EMPTY;
    this.head.paint(product, book);
    this.ladder.paint(product, book);
    this.depth.paint(product, book, hasSecond);
    this.cost.paint(product, book);
    this.trades.paint(product);
    if (!hasSecond) return;
    this.series.paint(product);
    this.heatmap.draw();
  }
}

const EMPTY = { bids: [], asks: [], step: 0, signals: null, depth: null, cost: null, levels: [] };

function named() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
}

new Page();
