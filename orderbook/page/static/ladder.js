// Ladder of the chosen book: asks above, bids below, the mid between, each with its size and the sum so far.

import { cells, element, haveRows, name, stretch, write, byId } from "./dom.js";
import { decimalsOf, fixed, NONE, stepsFor } from "./numbers.js";

const LEAST = 25; // levels a side
const MOST = 60;
const ROW = 18; // px, as in the style

export class Ladder {
  constructor(onChange) {
    this.onChange = onChange;
    this.box = byId("steps");
    this.step = byId("step");
    this.steps = "";
    this.levels = LEAST;
    this.isCentred = false;
    const mid = cells(["mid", "", ""]);
    this.mid = mid.children;
    byId("mid").append(mid);
    this.step.addEventListener("change", () => {
      this.isCentred = false;
      onChange();
    });
    new ResizeObserver(() => this.fit()).observe(this.box);
  }

  get grouping() {
    return Number(this.step.value);
  }

  // As many levels as there is place for; where it is too little, the ladder scrolls.
  fit() {
    const levels = Math.floor((this.box.clientHeight / ROW - 2) / 2);
    this.levels = Math.min(MOST, Math.max(LEAST, levels));
    this.isCentred = false;
  }

  // Another product: no grouping at first, and the mid in the middle.
  begin() {
    this.steps = "";
    this.isCentred = false;
    this.step.replaceChildren(element("option", "", "none", { value: "0" }));
  }

  // The next larger or smaller step, by key.
  shift(places) {
    const last = this.step.options.length - 1;
    const next = Math.min(last, Math.max(0, this.step.selectedIndex + places));
    if (next === this.step.selectedIndex) return;
    this.step.selectedIndex = next;
    this.step.dispatchEvent(new Event("change"));
  }

  offer(product, mid) {
    const steps = stepsFor(mid, product.decimals);
    const known = `${steps.length} ${steps[0]}`;
    if (known === this.steps) return;
    const chosen = this.grouping;
    if (chosen && !steps.includes(chosen)) steps.push(chosen); // it is grouped by it still
    steps.sort((one, other) => one - other);
    this.steps = known;
    const option = (step, text) => element("option", "", text, { value: step });
    const options = steps.map((step) => option(step, fixed(step, decimalsOf(step))));
    this.step.replaceChildren(option(0, "none"), ...options);
    this.step.value = String(chosen);
  }

  paint(product, book) {
    const isLive = product.isLive && book.bids.length > 0;
    const mid = book.signals?.mid ?? NaN;
    if (isLive) this.offer(product, mid);
    const sides = [book.asks.slice(0, this.levels), book.bids.slice(0, this.levels)];
    const [asks, bids] = sides.map((levels) => withSums(levels));
    for (const [, size] of sides.flat()) {
      product.sizeDecimals = Math.min(8, Math.max(product.sizeDecimals, decimalsOf(size)));
    }
    const largest = Math.max(...sides.flat().map(([, size]) => size), 0);
    // The step may have been asked for, but not be the book's yet.
    const decimals = book.step ? decimalsOf(book.step) : product.decimals;
    const shape = { decimals, sizes: product.sizeDecimals, largest };
    this.side(byId("asks"), asks.reverse(), shape);
    this.side(byId("bids"), bids, shape);
    write(this.mid[1], isLive ? fixed(mid, product.decimals + 1) : NONE);
    write(this.mid[2], isLive ? `spread ${fixed(book.signals.spread, product.decimals)}` : "");
    if (isLive && !this.isCentred) this.centre();
  }

  side(body, levels, { decimals, sizes, largest }) {
    const rows = haveRows(body, levels.length, row);
    levels.forEach(([price, size, sum], place) => {
      const [priced, sized, summed] = rows[place].children;
      write(priced, fixed(price, decimals));
      write(sized.firstChild, fixed(size, sizes));
      stretch(sized.lastChild, size / largest);
      write(summed, fixed(sum, sizes));
    });
  }

  centre() {
    const middle = byId("mid").offsetTop + ROW / 2;
    this.box.scrollTop = Math.max(0, middle - this.box.clientHeight / 2);
    this.isCentred = true;
  }
}

function row() {
  const made = cells(["price", "size", "sum"], true);
  made.children[1].append(element("span"), element("i"));
  return made;
}

function withSums(levels) {
  let sum = 0;
  return levels.map(([price, size]) => [price, size, (sum += size)]);
}
