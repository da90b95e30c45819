// Depth of the chosen book: the value up to each distance from the mid, drawn and in figures.

import { Chart, palette, ticks } from "./canvas.js";
import { byId, cells, element, haveRows, label, stretch, write } from "./dom.js";
import { fixed, NONE, short, signed } from "./numbers.js";

const WITHIN = [10, 50, 100]; // basis points, as in the signals
const REACH = 100; // basis points that are drawn a side

export class Depth {
  constructor() {
    this.book = null;
    this.chart = new Chart(byId("depth-chart"), 48, () => this.draw());
    this.rows = haveRows(byId("depth-sums"), WITHIN.length, (place) => {
      const made = cells(["within", "bids", "asks", "share"], true);
      write(made.children[0], `${WITHIN[place]} bp`);
      made.children[3].append(element("span"), element("i", "bid"));
      return made;
    });
  }

  // Paint the figures; the curve, which costs more and changes less, once a second, and where it comes or goes.
  paint(product, book, isSecond) {
    const wasLive = this.book !== null;
    this.book = product.isLive ? book : null;
    WITHIN.forEach((bps, place) => {
      const [, bids, asks, share] = this.rows[place].children;
      const signals = this.book?.signals;
      const [bid, ask] = ["bid", "ask"].map((side) => signals?.[`${side}_depth_${bps}bps`] ?? null);
      write(bids, fixed(bid, 0));
      write(asks, fixed(ask, 0));
      const part = bid === null || !(bid + ask > 0) ? null : bid / (bid + ask);
      write(share.firstChild, part === null ? NONE : `${fixed(part * 100, 0)} %`);
      stretch(share.lastChild, part ?? 0);
    });
    if (isSecond || wasLive !== product.isLive) this.draw();
  }

  draw() {
    const { chart } = this;
    if (!chart.width) return;
    const context = chart.clear();
    const depth = this.book?.depth;
    if (!depth) return;
    const [bids, asks] = [depth.bids ?? [], depth.asks ?? []];
    const most = Math.max(bids.at(-1)?.[1] ?? 0, asks.at(-1)?.[1] ?? 0);
    if (!(most > 0)) return;
    const bottom = chart.height - 16;
    const y = (value) => bottom - (value / most) * (bottom - 6);
    for (const value of ticks(0, most, 3)) chart.level(y(value), short(value));
    const middle = chart.inner / 2;
    const side = (levels, sign, colour) => {
      const x = (bps) => middle + sign * (Math.min(bps, REACH) / REACH) * middle;
      context.beginPath();
      context.moveTo(middle, bottom);
      let last = 0;
      for (const [bps, value] of levels) {
        context.lineTo(x(bps), y(last));
        context.lineTo(x(bps), y(value));
        last = value;
      }
      context.lineTo(x(REACH), y(last));
      context.strokeStyle = colour;
      context.lineWidth = 1.5;
      context.stroke();
      context.lineTo(x(REACH), bottom);
      context.closePath();
      context.globalAlpha = 0.22;
      context.fillStyle = colour;
      context.fill();
      context.globalAlpha = 1;
    };
    side(bids, -1, palette.bid);
    side(asks, 1, palette.ask);
    for (const bps of chart.inner < 270 ? [-100, 0, 100] : [-100, -50, 0, 50, 100]) {
      const align = bps === -100 ? "left" : bps === 100 ? "right" : "center";
      const text = bps ? `${signed(bps, 0)} bp` : "mid";
      chart.text(text, middle + (bps / REACH) * middle, chart.height - 6, align);
    }
    const [bid, ask] = [bids, asks].map((levels) => short(levels.at(-1)?.[1]));
    label(chart.canvas, `Value within 1 % of the mid: bids ${bid}, asks ${ask}`);
  }
}
