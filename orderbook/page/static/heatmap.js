// Heatmap of the ladder: for each of the last seconds what lay at which price, best bid and ask drawn in.

import { Chart, palette, rgb, ticks } from "./canvas.js";
import { byId } from "./dom.js";
import { MINUTE, SECONDS } from "./history.js";
import { decimalsOf, fixed } from "./numbers.js";

export const LEVELS = 100; // a side that are asked for, and kept for each second
const BINS = 96; // prices that are told apart
const SHADES = 255;
const LABEL = 48; // px that a time takes below the picture

export class Heatmap {
  constructor() {
    this.chart = new Chart(byId("heatmap"), 74, () => this.draw());
    // Price and size of each level of each second, bids before asks: a ring of fixed size, about 1 MB.
    this.levels = new Float64Array(SECONDS * LEVELS * 4);
    this.counts = new Uint16Array(SECONDS * 2);
    this.seconds = new Float64Array(SECONDS);
    this.sums = new Float64Array(SECONDS * BINS * 2);
    this.picture = new OffscreenCanvas(SECONDS, BINS);
    this.pixels = new ImageData(SECONDS, BINS);
    this.begin();
  }

  // Another product: nothing is known of it.
  begin() {
    this.seconds.fill(0);
    this.middle = NaN;
    this.reach = NaN;
    this.product = null;
  }

  // Keep the levels of a second; of one that has no live book there are none.
  note(second, product, book) {
    this.product = product;
    const place = second % SECONDS;
    this.seconds[place] = second;
    [book?.bids ?? [], book?.asks ?? []].forEach((levels, side) => {
      const count = Math.min(LEVELS, levels.length);
      this.counts[place * 2 + side] = count;
      let at = (place * 2 + side) * LEVELS * 2;
      for (let level = 0; level < count; level += 1) {
        this.levels[at] = levels[level][0];
        this.levels[at + 1] = levels[level][1];
        at += 2;
      }
    });
    if (book?.bids.length && book.asks.length) this.aim(book);
  }

  // Show what the ladder reaches; only where that has become quite another, the picture moves.
  aim({ bids, asks }) {
    const middle = (bids[0][0] + asks[0][0]) / 2;
    const far = (levels) => Math.abs(levels[Math.min(LEVELS, levels.length) - 1][0] - middle);
    const reach = Math.max(Math.min(far(bids), far(asks)), middle * 1e-5);
    const isOff = Math.abs(middle - this.middle) > this.reach / 2;
    const isOther = reach > this.reach * 1.6 || reach < this.reach / 1.6;
    if (isOff || isOther || Number.isNaN(this.middle)) {
      this.middle = middle;
      this.reach = reach * 1.1;
    }
  }

  draw() {
    const { chart, product } = this;
    if (!chart.width) return;
    const context = chart.clear();
    if (!product || Number.isNaN(this.middle)) return;
    const [low, high] = [this.middle - this.reach, this.middle + this.reach];
    const bottom = chart.height - 16;
    const { second, span } = product.history;
    this.shade(second, span, low, high);
    context.imageSmoothingEnabled = false;
    context.drawImage(this.picture, SECONDS - span, 0, span, BINS, 0, 0, chart.inner, bottom);
    const y = (price) => ((high - price) / (high - low)) * bottom;
    const x = (old) => (1 - (old + 0.5) / span) * chart.inner;
    const prices = ticks(low, high, Math.max(3, bottom / 50));
    const decimals = Math.max(...prices.map((price) => decimalsOf(Number(price.toPrecision(12)))));
    for (const price of prices) {
      const height = Math.min(bottom - 6, Math.max(6, y(price)));
      chart.text(fixed(price, decimals), chart.inner + 5, height, "left");
    }
    context.save();
    context.beginPath();
    context.rect(0, 0, chart.inner, bottom);
    context.clip();
    this.line(0, palette.bid, x, y);
    this.line(1, palette.ask, x, y);
    context.restore();
    let apart = span === SECONDS ? MINUTE : span / 4;
    while (apart < span && (apart / span) * chart.inner < LABEL) apart *= 2;
    for (let old = apart; old < span; old += apart) {
      const text = apart < MINUTE ? `−${old} s` : `−${old / MINUTE} min`;
      chart.text(text, x(old), chart.height - 6, "center");
    }
    chart.text("now", chart.inner, chart.height - 6, "right");
  }

  // Sum the sizes of each second by price, then colour them by how many are less.
  shade(now, span, low, high) {
    const { sums, levels } = this;
    sums.fill(0);
    let most = 0;
    for (let old = 0; old < span; old += 1) {
      const place = (((now - old) % SECONDS) + SECONDS) % SECONDS;
      if (this.seconds[place] !== now - old) continue;
      for (let side = 0; side < 2; side += 1) {
        let at = (place * 2 + side) * LEVELS * 2;
        for (let level = 0; level < this.counts[place * 2 + side]; level += 1, at += 2) {
          const bin = Math.floor(((high - levels[at]) / (high - low)) * BINS);
          if (bin < 0 || bin >= BINS) continue;
          const cell = (bin * SECONDS + SECONDS - 1 - old) * 2 + side;
          sums[cell] += levels[at + 1];
          if (sums[cell] > most) most = sums[cell];
        }
      }
    }
    const colours = [rgb(palette.bid), rgb(palette.ask)];
    const data = this.pixels.data;
    for (let cell = 0; cell < SECONDS * BINS; cell += 1) {
      const side = sums[cell * 2] >= sums[cell * 2 + 1] ? 0 : 1;
      const size = sums[cell * 2 + side];
      data[cell * 4] = colours[side][0];
      data[cell * 4 + 1] = colours[side][1];
      data[cell * 4 + 2] = colours[side][2];
      data[cell * 4 + 3] = most > 0 ? Math.round(SHADES * Math.sqrt(size / most)) : 0;
    }
    this.picture.getContext("2d").putImageData(this.pixels, 0, 0);
  }

  line(side, colour, x, y) {
    const { context } = this.chart;
    context.strokeStyle = colour;
    context.lineWidth = 1.5;
    context.beginPath();
    let isDown = false;
    this.product.history.last(this.product.history.span, (old, bid, ask) => {
      const price = side ? ask : bid;
      if (Number.isNaN(price)) {
        isDown = false;
        return;
      }
      if (isDown) context.lineTo(x(old), y(price));
      else context.moveTo(x(old), y(price));
      isDown = true;
    });
    context.stroke();
  }
}
