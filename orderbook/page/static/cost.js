// Cost of a market order of a given amount, on the chosen book as it is now.

import { byId, cells, haveRows, write } from "./dom.js";
import { fixed, NONE } from "./numbers.js";

const MOST = 1e12;

export class Cost {
  constructor(onChange) {
    this.input = byId("amount");
    this.amount = 10_000;
    this.rows = haveRows(byId("cost-rows"), 2, (place) => {
      const made = cells(["side", "average", "bps", "costs"], true);
      write(made.children[0], place ? "▼ sell" : "▲ buy");
      return made;
    });
    this.input.addEventListener("input", () => {
      const amount = Number(this.input.value.replaceAll(",", ""));
      const isRight = amount > 0 && amount <= MOST;
      this.input.setAttribute("aria-invalid", String(!isRight));
      this.amount = isRight ? amount : 0;
      onChange();
    });
  }

  // What the order pays above the mid, or gets below it, is its cost; fees come on top.
  paint(product, book) {
    const cost = product.isLive ? book.cost : null;
    ["buy", "sell"].forEach((side, place) => {
      const [, average, bps, costs] = this.rows[place].children;
      const its = cost?.[side];
      const isShort = cost && cost.amount > 0 && !its;
      write(average, its ? fixed(its.average, product.decimals + 2) : isShort ? "too few levels" : NONE);
      write(bps, its ? fixed(its.slippage_bps, 3) : NONE);
      write(costs, its ? fixed((cost.amount * its.slippage_bps) / 1e4, 2) : NONE);
    });
  }
}
