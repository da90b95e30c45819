// Numbers as text: decimals that stay, so that digits change and nothing else moves.

export const NONE = "–";
const FIGURE_SPACE = "\u2007"; // as wide as a digit
const POINT_SPACE = "\u2008"; // as wide as a point
const MOST_DECIMALS = 12;
const formats = new Map();

// How many decimals a number has as it is written in decimals: 2 of 0.25, 8 of 1e-8.
export function decimalsOf(number) {
  const [digits, exponent = "0"] = String(number).split("e");
  const point = digits.indexOf(".");
  const decimals = (point < 0 ? 0 : digits.length - point - 1) - Number(exponent);
  return Math.min(MOST_DECIMALS, Math.max(0, decimals));
}

// A number with so many decimals, and commas between thousands.
export function fixed(number, decimals) {
  if (number === null || number === undefined || Number.isNaN(number)) return NONE;
  let format = formats.get(decimals);
  if (!format) {
    format = new Intl.NumberFormat("en-US", {
      minimumFractionDigits: decimals,
      maximumFractionDigits: decimals,
    });
    formats.set(decimals, format);
  }
  return format.format(number);
}

// A number of a column whose numbers have up to `most` decimals: filled up, so that the points are in line.
export function aligned(number, decimals, most) {
  const text = fixed(number, decimals);
  const missing = most - decimals;
  if (text === NONE || missing <= 0) return text;
  return text + (decimals ? "" : POINT_SPACE) + FIGURE_SPACE.repeat(missing);
}

// A large number in few digits: 950, 12.3k, 4.56M.
export function short(number) {
  if (number === null || number === undefined || Number.isNaN(number)) return NONE;
  const size = Math.abs(number);
  for (const [unit, name] of [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]]) {
    if (size >= unit) return significant(number / unit) + name;
  }
  return significant(number);
}

// Three digits that count, but never an exponent.
export function significant(number) {
  if (number === 0) return "0";
  const whole = Math.floor(Math.log10(Math.abs(number))) + 1;
  return fixed(number, Math.min(MOST_DECIMALS, Math.max(0, 3 - whole)));
}

// A share of −1 to 1 with its sign: +0.25.
export function signed(number, decimals) {
  const text = fixed(number, decimals);
  return number > 0 && text !== NONE ? `+${text}` : text.replace("-", "−");
}

export function milliseconds(seconds) {
  if (seconds === null || seconds === undefined) return NONE;
  return `${fixed(seconds * 1000, seconds < 0.01 ? 1 : 0)} ms`;
}

// Seconds as an age: 0.3 s, 45 s, 12 min, 5 h.
export function age(seconds) {
  if (seconds === null || Number.isNaN(seconds)) return NONE;
  if (seconds < 10) return `${fixed(Math.max(0, seconds), 1)} s`;
  if (seconds < 100) return `${Math.floor(seconds)} s`;
  if (seconds < 6000) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h`;
}

// Steps of 1, 2 and 5 times a power of ten, above the price's last decimal and up to 1 % of it.
export function stepsFor(price, decimals) {
  const steps = [];
  for (let power = -decimals; 10 ** power <= price / 100; power += 1) {
    for (const first of [1, 2, 5]) {
      const step = Number(`${first}e${power}`);
      if (step <= price / 100 && !(first === 1 && power === -decimals)) steps.push(step);
    }
  }
  return steps;
}

// The order of two texts, by their characters alone: much faster than that of a language.
export const byText = (one, other) => (one < other ? -1 : one > other ? 1 : 0);
