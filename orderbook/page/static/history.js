// History of a product: what its top was at each of the last seconds, in rings that never grow.

export const SECONDS = 300;
export const MINUTE = 60;
const SPANS = [MINUTE, 2 * MINUTE, SECONDS]; // that charts show: the shortest that has all there is
const RATE_OVER = 5; // seconds

export class History {
  constructor() {
    this.bids = new Float64Array(SECONDS).fill(NaN);
    this.asks = new Float64Array(SECONDS).fill(NaN);
    this.imbalances = new Float64Array(SECONDS).fill(NaN);
    this.counts = new Float64Array(RATE_OVER + 1).fill(NaN);
    this.second = 0;
    this.began = 0;
  }

  // How many seconds charts show.
  get span() {
    const known = this.second - this.began;
    return SPANS.find((span) => known < span) ?? SECONDS;
  }

  // Note the top as it is at a second; what was missed since the last one is a hole, not a line.
  note(second, row, isLive) {
    if (this.second) {
      const first = Math.max(this.second + 1, second - SECONDS + 1);
      for (let missed = first; missed < second; missed += 1) this.put(missed, NaN, NaN, NaN, NaN);
    }
    this.began ||= second;
    const { bid_price: bid, ask_price: ask, imbalance_1: imbalance } = row;
    const known = isLive && bid !== null && ask !== null;
    this.put(second, known ? bid : NaN, known ? ask : NaN, known ? imbalance : NaN, row.updates);
    this.second = second;
  }

  put(second, bid, ask, imbalance, count) {
    const place = second % SECONDS;
    this.bids[place] = bid;
    this.asks[place] = ask;
    this.imbalances[place] = imbalance;
    this.counts[second % this.counts.length] = count;
  }

  // Updates a second, over the last few seconds that are known; NaN for too few.
  get rate() {
    for (let over = RATE_OVER; over > 0; over -= 1) {
      const size = this.counts.length;
      const grown = this.counts[this.second % size] - this.counts[(this.second - over + size) % size];
      if (grown >= 0) return grown / over;
    }
    return NaN;
  }

  // Call `each(age, bid, ask, imbalance)` for the last so many seconds, oldest first.
  last(seconds, each) {
    for (let old = seconds - 1; old >= 0; old -= 1) {
      const second = this.second - old;
      if (second < 0) continue;
      const place = second % SECONDS;
      each(old, this.bids[place], this.asks[place], this.imbalances[place]);
    }
  }

  // By how much the mid changed over the last minute, as a share; 0 where that is not known.
  get change() {
    let first = NaN;
    let latest = NaN;
    this.last(MINUTE, (_old, bid, ask) => {
      if (Number.isNaN(bid)) return;
      latest = (bid + ask) / 2;
      if (Number.isNaN(first)) first = latest;
    });
    return first ? latest / first - 1 || 0 : 0;
  }
}
