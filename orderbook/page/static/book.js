// Head of the chosen book: its state, what its levels say in short, and how old it is.

import { byId, element, mark, name, write } from "./dom.js";
import { GLYPHS } from "./market.js";
import { age, fixed, milliseconds, NONE, signed } from "./numbers.js";

// A class and a title each.
const FACTS = [
  ["weighted", "weighted mid"],
  ["near", "imbalance of 1, 5, 25"],
  ["levels", "levels: bids, asks"],
  ["rate", "updates, lag"],
  ["age", "last frame"],
  ["dated", "dated by the exchange, UTC"],
];

export class BookHead {
  constructor() {
    this.facts = {};
    for (const [key, title] of FACTS) {
      const pair = element("div", key);
      pair.append(element("dt", "", title), (this.facts[key] = element("dd", "", NONE)));
      byId("book").append(pair);
    }
    this.panes = document.querySelectorAll(".pane.book");
  }

  paint(product, book) {
    const { row, state, isLive, decimals } = product;
    const signals = isLive ? book.signals : null;
    const { facts } = this;
    write(byId("symbol"), product.symbol);
    name(byId("state"), isLive ? "state" : "state off");
    write(byId("state"), `${GLYPHS[state] ?? "○"} ${state}`);
    for (const pane of this.panes) mark(pane, "off", !isLive);
    byId("reason").hidden = isLive;
    write(byId("reason"), isLive ? "" : reason(state, row.reason));
    for (const quote of document.querySelectorAll(".quote")) write(quote, product.symbol.split("-")[1] ?? "");
    write(facts.weighted, fixed(signals?.weighted_mid, decimals + 1));
    const near = [1, 5, 25].map((levels) => signed(signals?.[`imbalance_${levels}`] ?? null, 2));
    write(facts.near, near.join("  "));
    write(facts.levels, isLive ? book.levels.map((count) => fixed(count, 0)).join("  ") || NONE : NONE);
    write(facts.rate, `${fixed(product.history.rate, 1)} a second, ${milliseconds(row.lag)}`);
    write(facts.age, Number.isNaN(product.age) ? NONE : `${age(product.age)} ago`);
    const dated = isLive ? book.timestamp : null;
    write(facts.dated, dated ? dated.slice(11, 23) : NONE);
    if (facts.dated.dataset.time !== (dated ?? "")) facts.dated.dataset.time = dated ?? "";
  }
}

function reason(state, given) {
  if (state === "old") return "What is shown is old.";
  return `Not live: ${state}${given ? ` – ${given}` : ""}`;
}
