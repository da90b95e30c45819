// Canvases: as sharp as the screen, as large as their place, in the page's colours.

const NAMES = ["ink", "dim", "line", "pane", "bid", "ask"];
export const palette = {};

export function readPalette() {
  const style = getComputedStyle(document.documentElement);
  for (const name of NAMES) palette[name] = style.getPropertyValue(`--${name}`).trim();
}

// A colour such as #4e9bff as [red, green, blue].
export function rgb(colour) {
  const number = parseInt(colour.slice(1), 16);
  return [number >> 16, (number >> 8) & 255, number & 255];
}

export class Chart {
  // `gutter` is the place at the right for labels; `onSize()` is called when it must be painted anew.
  constructor(canvas, gutter, onSize) {
    this.canvas = canvas;
    this.gutter = gutter;
    this.context = canvas.getContext("2d");
    this.width = 0;
    this.height = 0;
    new ResizeObserver(([entry]) => {
      const ratio = devicePixelRatio || 1;
      this.width = Math.floor(entry.contentRect.width);
      this.height = Math.floor(entry.contentRect.height);
      canvas.width = Math.round(this.width * ratio);
      canvas.height = Math.round(this.height * ratio);
      this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
      onSize();
    }).observe(canvas);
  }

  get inner() {
    return this.width - this.gutter;
  }

  clear() {
    this.context.clearRect(0, 0, this.width, this.height);
    this.context.font = "11px Inter, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";
    this.context.lineWidth = 1;
    this.context.textBaseline = "middle";
    return this.context;
  }

  // A line across at a height, with its label in the gutter.
  level(y, text) {
    const { context } = this;
    context.strokeStyle = palette.line;
    context.beginPath();
    context.moveTo(0, Math.round(y) + 0.5);
    context.lineTo(this.inner, Math.round(y) + 0.5);
    context.stroke();
    this.text(text, this.inner + 5, Math.min(this.height - 6, Math.max(6, y)), "left");
  }

  text(text, x, y, align, colour = palette.dim) {
    this.context.fillStyle = colour;
    this.context.textAlign = align;
    this.context.fillText(text, x, y);
  }
}

// Round numbers between two, some `count` of them.
export function ticks(low, high, count) {
  const rough = (high - low) / count;
  if (!(rough > 0)) return [];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((first) => first * power >= rough) * power;
  const found = [];
  for (let place = Math.ceil(low / step); place * step <= high; place += 1) found.push(place * step);
  return found;
}
