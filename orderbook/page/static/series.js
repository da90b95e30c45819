// Spread and imbalance of the chosen product over the last minutes.

import { Chart, palette, ticks } from "./canvas.js";
import { byId, write } from "./dom.js";
import { decimalsOf, fixed, NONE, signed } from "./numbers.js";

const GUTTER = 74; // as wide as the heatmap's, so that the seconds stand below each other

export class Series {
  constructor() {
    this.product = null;
    this.spread = new Chart(byId("spread"), GUTTER, () => this.drawSpread());
    this.imbalance = new Chart(byId("imbalance"), GUTTER, () => this.drawImbalance());
  }

  paint(product) {
    this.product = product;
    const { row, isLive } = product;
    write(byId("spread-now"), isLive ? `${fixed(row.spread_bps, 3)} bp` : NONE);
    write(byId("imbalance-now"), isLive ? signed(row.imbalance_1, 2) : NONE);
    this.drawSpread();
    this.drawImbalance();
  }

  drawSpread() {
    const chart = this.spread;
    if (!chart.width || !this.product) return;
    const context = chart.clear();
    let most = 0;
    this.each(chart, (_x, bid, ask) => (most = Math.max(most, bps(bid, ask) || 0)));
    if (!(most > 0)) return;
    const y = (value) => chart.height - 3 - (value / most) * (chart.height - 9);
    const marks = ticks(0, most, 3);
    const decimals = Math.max(...marks.map((value) => decimalsOf(Number(value.toPrecision(9)))));
    for (const value of marks) chart.level(y(value), fixed(value, decimals));
    context.strokeStyle = palette.ink;
    context.beginPath();
    let isDown = false;
    this.each(chart, (x, bid, ask) => {
      const value = bps(bid, ask);
      if (Number.isNaN(value)) isDown = false;
      else if (isDown) context.lineTo(x, y(value));
      else context.moveTo(x, y(value));
      isDown = !Number.isNaN(value);
    });
    context.stroke();
  }

  drawImbalance() {
    const chart = this.imbalance;
    if (!chart.width || !this.product) return;
    const context = chart.clear();
    const middle = chart.height / 2;
    for (const value of [1, 0, -1]) chart.level(middle - value * (middle - 4), signed(value, 0));
    const width = Math.max(1, chart.inner / this.product.history.span);
    this.each(chart, (x, _bid, _ask, value) => {
      if (Number.isNaN(value)) return;
      context.fillStyle = value > 0 ? palette.bid : palette.ask;
      const height = value * (middle - 4);
      context.fillRect(x - width / 2, Math.min(middle, middle - height), width, Math.abs(height));
    });
  }

  each(chart, draw) {
    const { history } = this.product;
    const { span } = history;
    history.last(span, (old, bid, ask, imbalance) => {
      draw((1 - (old + 0.5) / span) * chart.inner, bid, ask, imbalance);
    });
  }
}

function bps(bid, ask) {
  return ((ask - bid) / ((ask + bid) / 2)) * 1e4;
}
