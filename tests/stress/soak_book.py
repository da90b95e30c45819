"""Soak of one book: changes without end, and memory must stay flat, however far the price has moved.

    python -m tests.stress.soak_book 100000000

makes that many changes of size, prints the memory in use (RSS) ten times on the way, and exits with 1
where it grew by more than 5 % after the first tenth. A hundred million take half a minute or two.
"""

import sys
import time
from collections.abc import Iterator
from random import Random

from orderbook.book import OrderBookState, OrderBookSummary
from orderbook.coinbase.messages import Change, L2Update, Level, Snapshot
from tests.support.usage import usage

PRODUCT = "SOAK-USD"
LEVELS = 500  # places a side, of which some seven tenths are taken at any time
CHANGES = 100  # a message
START = 6_000_000  # the middle of the book at first, in ticks of 0.01
MOST_GROWTH = 1.05


def snapshot() -> Snapshot:
    """The book at the start, with all places taken."""
    bids = [Level((START - place) / 100, 1.0) for place in range(1, LEVELS + 1)]
    asks = [Level((START + place) / 100, 1.0) for place in range(1, LEVELS + 1)]
    return Snapshot(PRODUCT, bids, asks)


def updates(changes: int, seed: int = 1) -> Iterator[L2Update]:
    """Updates with so many changes in all; each is good until the next is asked for.

    The middle moves by a tick at each, up more often than down, so there are always new prices and old
    ones left behind. Two levels come and two go with it; among the other changes some 70 % set a size,
    where there is a level or none, and the rest delete one, which may be absent. They are made from a few
    prepared ones by giving their changes the prices of the moment: at 0.1 µs a change, less than the
    book's own work.
    """
    random = Random(seed)
    prepared = {step: [_prepare(random, step) for _ in range(20)] for step in (1, -1)}
    middle = START
    for _ in range(0, changes, CHANGES):
        step = 1 if random.random() < 0.65 else -1
        update, places = random.choice(prepared[step])
        middle += step
        for change, place in zip(update.changes, places, strict=True):
            change.price = (middle + place) / 100
        yield update


def _prepare(random: Random, step: int) -> tuple[L2Update, list[int]]:
    """An update for a step of the middle, and the place of each change: ticks from the new middle."""
    if step > 0:
        moved = [(-1, 1.0), (-LEVELS - 1, 0.0), (0, 0.0), (LEVELS, 1.0)]
    else:
        moved = [(0, 0.0), (-LEVELS, 1.0), (1, 1.0), (LEVELS + 1, 0.0)]
    buys, sells = moved[:2], moved[2:]
    for count in range(CHANGES - len(moved)):
        near = min(LEVELS, 1 + int(random.expovariate(1 / 30)))
        place = near if random.random() < 0.6 else random.randint(1, LEVELS)
        size = round(random.uniform(0.001, 9), 8) if random.random() < 0.7 else 0.0
        if count % 2:
            buys.append((-place, size))
        else:
            sells.append((place, size))
    changes = [Change("buy", 1.0, size) for _, size in buys] + [
        Change("sell", 1.0, size) for _, size in sells
    ]
    return L2Update(PRODUCT, changes), [place for place, _ in buys + sells]


def main(total: str = "100000000") -> int:
    tenth = int(total) // 10
    book = OrderBookState()
    book.update(snapshot())
    began, done, first = time.perf_counter(), 0, 0
    for update in updates(int(total)):
        book.update(update)
        done += CHANGES
        if done % tenth < CHANGES:
            book.check()
            bids, asks = book.depth(2 * LEVELS)
            used, summary = usage().resident, book.summarize()
            first = first or used
            print(
                f"{done:>13,} changes in {time.perf_counter() - began:5.0f} s: RSS {used / 2**20:.2f} MiB, "
                f"{len(bids)} bids and {len(asks)} asks live, best bid {bids[0][0]}",
                flush=True,
            )
            if not isinstance(summary, OrderBookSummary) or not LEVELS / 2 < len(bids) <= LEVELS:
                print(f"this is not the book of the market: {summary}")
                return 1
    growth = usage().resident / first
    print(f"RSS after the whole is {growth:.3f} times that after the first tenth")
    return 0 if growth <= MOST_GROWTH else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
