// Table of all products; only the rows in sight are elements, whatever the number of products.

import { GLYPHS } from "./market.js";
import { MINUTE } from "./history.js";
import { palette } from "./canvas.js";
import { age, aligned, byText, fixed, NONE, signed } from "./numbers.js";
import { byId, element, label, name, stretch, write } from "./dom.js";

const ROW = 22; // px, as in the style
const SORT_EACH = 2000; // ms: an order that changes all the time can't be read

// Title, what it is sorted by, whether from the greatest at first; a class each.
const COLUMNS = [
  ["product", "product", (p) => p.symbol, false],
  ["bid", "bid", (p) => p.row.bid_price, true],
  ["ask", "ask", (p) => p.row.ask_price, true],
  ["bp", "bp", (p) => p.row.spread_bps, true],
  ["imbalance", "imbal.", (p) => p.row.imbalance_1, true],
  ["minute", "minute", (p) => p.history.change, true],
  ["rate", "upd/s", (p) => p.history.rate, true],
  ["lag", "lag ms", (p) => p.row.lag, true],
  ["age", "age", (p) => p.age, true],
  ["state", "state", (p) => (p.isLive ? "~" : p.state), false],
];

const HINTS = {
  bp: "spread in basis points of the mid",
  imbalance: "imbalance of the best level: bids to the left, asks to the right",
  minute: "the mid over the last minute, sorted by its change",
  rate: "updates a second, over the last five",
  lag: "from the exchange’s time to ours, in milliseconds",
  age: "since the last frame of any kind",
};

export class Table {
  constructor(market, onChoose) {
    this.market = market;
    this.onChoose = onChoose;
    this.chosen = null;
    this.order = [];
    this.sorted = 0; // when; 0 where it must be done anew
    this.members = 0;
    this.column = 0;
    this.reversed = false;
    this.filter = "";
    this.decimals = 0; // the most of any product, so that the points are in line
    this.pool = [];
    this.grid = byId("grid");
    this.body = byId("rows");
    this.head();
    this.grid.addEventListener("scroll", () => this.paint(true), { passive: true });
    new ResizeObserver(() => this.paint(true)).observe(this.grid);
    byId("search").addEventListener("input", (event) => this.search(event.target.value));
    this.body.addEventListener("click", (event) => {
      const row = event.target.closest("[role=row]");
      if (row) this.onChoose(row.dataset.symbol);
    });
  }

  head() {
    this.heads = COLUMNS.map(([key, title], place) => {
      const cell = element("span", key, "", { role: "columnheader" });
      const hint = HINTS[key] ?? title;
      const button = element("button", "", title, { type: "button", tabindex: "-1", title: hint });
      button.addEventListener("click", () => this.sortBy(place, place === this.column && !this.reversed));
      cell.append(button);
      byId("columns").append(cell);
      return cell;
    });
    this.sortBy(0, false);
  }

  sortBy(column, reversed) {
    this.column = (column + COLUMNS.length) % COLUMNS.length;
    this.reversed = reversed;
    const falls = COLUMNS[this.column][3] !== reversed;
    this.heads.forEach((cell, place) => {
      cell.setAttribute("aria-sort", place !== this.column ? "none" : falls ? "descending" : "ascending");
    });
    this.sorted = 0;
    this.paint(true);
  }

  search(text) {
    this.filter = text.trim().toLowerCase();
    this.sorted = 0;
    this.paint(true);
  }

  arrange() {
    const [, , value, falls] = COLUMNS[this.column];
    const all = [...this.market.products.values()];
    const wanted = this.filter
      ? all.filter((p) => p.symbol.toLowerCase().includes(this.filter) || p.state.includes(this.filter))
      : all;
    const direction = falls !== this.reversed ? -1 : 1;
    const keys = new Map(wanted.map((product) => [product, value(product)]));
    const missing = (key) => key === null || key === undefined || Number.isNaN(key);
    this.order = wanted.sort((one, other) => {
      const [a, b] = [keys.get(one), keys.get(other)];
      if (missing(a) || missing(b)) return missing(a) - missing(b) || byText(one.symbol, other.symbol);
      const compared = typeof a === "string" ? byText(a, b) : a - b;
      return compared * direction || byText(one.symbol, other.symbol);
    });
    this.sorted = performance.now();
    this.members = this.market.members;
    for (const product of all) this.decimals = Math.max(this.decimals, product.decimals);
    this.body.style.height = `${this.order.length * ROW}px`;
    this.grid.setAttribute("aria-rowcount", String(this.order.length + 1));
    write(byId("shown"), wanted.length < all.length ? `${wanted.length} of ${all.length}` : `${all.length}`);
  }

  // Choose the product so many rows further.
  move(rows) {
    if (!this.order.length) return;
    const now = this.order.findIndex((product) => product.symbol === this.chosen);
    const next = now < 0 ? 0 : Math.min(this.order.length - 1, Math.max(0, now + rows));
    this.onChoose(this.order[next].symbol);
    const top = next * ROW;
    const seen = this.grid.clientHeight - 2 * ROW; // less the header, which stays
    if (top < this.grid.scrollTop) this.grid.scrollTop = top;
    else if (top > this.grid.scrollTop + seen) this.grid.scrollTop = top - seen;
  }

  choose(symbol) {
    this.chosen = symbol;
    this.paint(true);
  }

  // Paint the rows in sight: those that changed, or all; with `second` what changes once a second too.
  paint(all = false, second = false) {
    const isDue = performance.now() - this.sorted > SORT_EACH;
    if (isDue || !this.sorted || this.members !== this.market.members) this.arrange();
    const first = Math.max(0, Math.floor(this.grid.scrollTop / ROW) - 2);
    const count = Math.min(this.order.length - first, Math.ceil(this.grid.clientHeight / ROW) + 4);
    while (this.pool.length < count) this.pool.push(this.make());
    let focus = "";
    this.pool.forEach((row, place) => {
      const product = place < count ? this.order[first + place] : null;
      row.node.hidden = !product;
      if (!product) {
        row.product = null;
        return;
      }
      if (product.symbol === this.chosen) focus = row.node.id;
      const isOther = row.product !== product;
      row.product = product;
      this.position(row, first + place);
      if (all || second || isOther || isDue || this.market.changed.has(product)) this.fill(row, product);
      if (second || isOther || isDue) this.spark(row.canvas, product);
    });
    this.market.changed.clear();
    if (focus) this.grid.setAttribute("aria-activedescendant", focus);
    else this.grid.removeAttribute("aria-activedescendant");
  }

  make() {
    const node = element("div", "", "", { role: "row", id: `row-${this.pool.length}` });
    const parts = COLUMNS.map(([key]) => element("span", key, "", { role: "gridcell" }));
    node.append(...parts);
    const part = Object.fromEntries(COLUMNS.map(([key], place) => [key, parts[place]]));
    const bars = ["bid", "ask"].map((side) => part.imbalance.appendChild(element("i", side)));
    const canvas = part.minute.appendChild(element("canvas", "", "", { "aria-hidden": "true" }));
    this.body.append(node);
    return { node, part, bars, canvas, product: null };
  }

  position(row, place) {
    const where = `translateY(${place * ROW}px)`;
    if (row.node.style.transform !== where) row.node.style.transform = where;
    row.node.setAttribute("aria-rowindex", String(place + 2));
  }

  fill({ node, part, bars }, product) {
    const { row, state, isLive, decimals } = product;
    const isChosen = product.symbol === this.chosen;
    node.dataset.symbol = product.symbol;
    name(node, `${isChosen ? "chosen " : ""}${isLive ? "" : "off"}`.trim());
    node.setAttribute("aria-selected", String(isChosen));
    write(part.product, product.symbol);
    write(part.bid, aligned(row.bid_price, decimals, this.decimals));
    write(part.ask, aligned(row.ask_price, decimals, this.decimals));
    write(part.bp, fixed(row.spread_bps, 3));
    const imbalance = row.imbalance_1;
    label(part.imbalance, imbalance === null ? NONE : signed(imbalance, 2));
    stretch(bars[0], imbalance > 0 ? imbalance : 0);
    stretch(bars[1], imbalance < 0 ? -imbalance : 0);
    const change = product.history.change * 1e4;
    label(part.minute, `${signed(change, 1)} bp in a minute`);
    write(part.rate, fixed(product.history.rate, 1));
    write(part.lag, row.lag === null ? NONE : fixed(row.lag * 1000, 1));
    write(part.age, age(product.age));
    write(part.state, `${GLYPHS[state] ?? "○"} ${state}`);
    if (part.state.title !== (row.reason ?? "")) part.state.title = row.reason ?? "";
  }

  spark(canvas, { history }) {
    const [width, height, ratio] = [60, 16, devicePixelRatio || 1];
    if (canvas.width !== Math.round(width * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    let [low, high] = [Infinity, -Infinity];
    history.last(MINUTE, (_old, bid, ask) => {
      low = Math.min(low, (bid + ask) / 2 || low);
      high = Math.max(high, (bid + ask) / 2 || high);
    });
    context.strokeStyle = palette.dim;
    context.beginPath();
    let isDown = false;
    history.last(MINUTE, (old, bid, ask) => {
      const middle = (bid + ask) / 2;
      if (Number.isNaN(middle)) {
        isDown = false;
        return;
      }
      const x = width - 1 - old * ((width - 2) / (MINUTE - 1));
      const y = high > low ? 1.5 + (height - 3) * ((high - middle) / (high - low)) : height / 2;
      if (isDown) context.lineTo(x, y);
      else context.moveTo(x, y);
      isDown = true;
    });
    context.stroke();
  }
}
