// Last trades of the chosen product, newest first.

import { byId, cells, haveRows, name, write } from "./dom.js";
import { decimalsOf, fixed } from "./numbers.js";

const MOST = 50;

export class Trades {
  constructor() {
    this.begin();
  }

  // Another product, or another connection: the trades come anew.
  begin() {
    this.trades = [];
    this.decimals = 0;
    this.sizeDecimals = 0;
    byId("trade-rows").replaceChildren();
  }

  take(trades) {
    const known = new Set(this.trades.map(({ id }) => id)); // one who chose to and fro is sent them twice
    const all = this.trades.concat(trades.filter(({ id }) => !known.has(id)));
    this.trades = all.sort((one, other) => Number(one.id) - Number(other.id)).slice(-MOST); // older ones may follow
    for (const { price, amount } of trades) {
      this.decimals = Math.max(this.decimals, decimalsOf(price));
      this.sizeDecimals = Math.min(8, Math.max(this.sizeDecimals, decimalsOf(amount)));
    }
  }

  paint(product) {
    const decimals = Math.max(this.decimals, product.decimals);
    const make = () => cells(["time", "side", "price", "size", "value"]);
    const rows = haveRows(byId("trade-rows"), this.trades.length, make);
    this.trades.forEach((trade, place) => {
      const row = rows[this.trades.length - 1 - place];
      const [time, side, price, size, value] = row.children;
      const isBuy = trade.side === "buy";
      name(row, isBuy ? "bid" : "ask");
      write(time, (trade.timestamp ?? trade.local_timestamp ?? "").slice(11, 23));
      write(side, isBuy ? "▲ buy" : "▼ sell");
      write(price, fixed(trade.price, decimals));
      write(size, fixed(trade.amount, this.sizeDecimals));
      write(value, fixed(trade.price * trade.amount, 2));
    });
  }
}
