"""Table 3, growth: the cost of an update as the book, its changes and the products grow, and over time."""

import copy
import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import Any

from orderbook.book import OrderBookState
from orderbook.coinbase.messages import Change, L2Update, Level, Snapshot
from tests.benchmarks import engine
from tests.benchmarks.child import apart, processor_time, resident
from tests.benchmarks.frames import btc_usd, decode, write
from tests.benchmarks.table import Table, Target, figure, milliseconds, times
from tests.exchange.market import Market, market

NOTES = (
    "Book, changes and time: frame to summary, our decoder and book alone, without snapshots; products:",
    "a folder of as many recordings through Bytewax. × is the cost ÷ that of the row with ×1. Changes fall",
    "mostly near the top, as on the real feed; where levels and products grow, the top moves in every other",
    "update, far more often than there. The swing is the worst that is known: {swing} bids in no order are",
    "deleted best first, one an update, and come back. The least processor time of several runs, taken by",
    "turns; for the swing and for time, which is long, a mean. The millions are a stream of {cycle:,}",
    "updates and one that leads the book back to the stream's start, again and again, on a book of 45,000",
    "levels, which is copied every {cycle:,} updates as at an epoch's end.",
)

CYCLE = 50_000
SWING = 600


def table(folder: Path, quick: bool) -> Table:
    """Measure each growth in a process of its own."""
    by_levels = apart(grow_levels, [100, 1_000, 10_000, 100_000], 1_000 if quick else 4_000)
    by_swing = apart(swing, [1_000, 10_000, 100_000], 2 if quick else 10)
    by_changes = apart(grow_changes, [1, 10, 100, 1_000], 20_000 if quick else 100_000)
    counts = [1, 4, 20, 100] if quick else [1, 4, 20, 100, 400]
    by_products = apart(grow_products, counts, 8_000 if quick else 40_000, str(folder))
    total, points = (200_000, 4) if quick else (10_000_000, 5)
    over_time = apart(pass_time, total, points, deadline=900)
    rows = [["levels a side:", "", "", ""]]
    rows += _rows(by_levels, 1_000, "µs an update")
    rows.append([f"levels a side, in a market that swings over {SWING}:", "", "", ""])
    rows += [
        [
            f"  {size:,}",
            times(cost / by_swing[0][1]),
            f"{figure(cost * 1e6)} µs an update",
            f"longest {milliseconds(longest)} ms",
        ]
        for size, cost, longest in by_swing
    ]
    rows += [["changes an update, 45,000 levels:", "", "", ""], *_rows(by_changes, 10, "ns a change", 1e9)]
    rows += [["products, 400 levels each:", "", "", ""], *_rows(by_products, 1, "µs an update")]
    rows.append(["updates so far:", "", "", ""])
    first = over_time[0]
    rows += [
        [f"  {done:,}", times(cost / first[1]), f"{figure(cost * 1e6)} µs an update", f"{memory:.1f} MB"]
        for done, cost, memory in over_time
    ]
    sizes = dict(by_levels)
    spread = max(memory for *_, memory in over_time) - first[2]
    targets = [
        Target("an update at 100,000 levels a side ÷ at 1,000", sizes[100_000] / sizes[1_000], 1.5, "×"),
        Target(f"memory gained from {first[0]:,} to {total:,} updates", spread, 1, " MB"),
    ]
    notes = [note.format(cycle=CYCLE, swing=SWING) for note in NOTES]
    return Table("3. Growth", notes, ["", "×", "cost", ""], rows, targets)


def _rows(costs: list[tuple[int, float]], one: int, unit: str, scale: float = 1e6) -> list[list[str]]:
    base = dict(costs)[one]
    return [[f"  {size:,}", times(cost / base), f"{figure(cost * scale)} {unit}", ""] for size, cost in costs]


def grow_levels(sizes: list[int], updates: int) -> list[tuple[int, float]]:
    """Seconds an update of 10 changes, by levels a side."""
    prepared = {size: _prepared(market("P-USD", 1, levels=size), 10, updates) for size in sizes}
    return [(size, cost / updates) for size, cost in _least(prepared).items()]


def swing(sizes: list[int], swings: int) -> list[tuple[int, float, float]]:
    """Seconds an update of one change, mean and longest, by levels a side; the best ones go and come."""
    costs = []
    for size in sizes:
        prices = [float(size + number) for number in range(size)]
        best_first = prices[: -SWING - 1 : -1]
        updates = [L2Update("P-USD", [Change("buy", price, 0.0)]) for price in best_first]
        updates += [L2Update("P-USD", [Change("buy", price, 1.0)]) for price in reversed(best_first)]
        book = OrderBookState()
        Random(1).shuffle(prices)
        book.update(Snapshot("P-USD", [Level(price, 1.0) for price in prices], [Level(3.0 * size, 1.0)]))
        taken = []
        for update in updates * swings:
            start = time.process_time()
            book.update(update)
            book.summarize()
            taken.append(time.process_time() - start)
        costs.append((size, sum(taken) / len(taken), max(taken)))
    return costs


def grow_changes(sizes: list[int], changes: int) -> list[tuple[int, float]]:
    """Seconds a change, by changes an update, in a book of 45,000 levels."""
    prepared = {size: _prepared(btc_usd(), size, max(10, changes // size)) for size in sizes}
    return [(size, cost / (size * max(10, changes // size))) for size, cost in _least(prepared).items()]


def grow_products(counts: list[int], updates: int, folder: str) -> list[tuple[int, float]]:
    """Seconds an update through Bytewax, by products; the same number of updates for all together."""
    runs: dict[tuple[int, bool], Callable[[], float]] = {}
    for count in counts:
        whole, snapshots = Path(folder, f"whole-{count}"), Path(folder, f"snapshots-{count}")
        whole.mkdir()
        snapshots.mkdir()
        for number in range(count):
            product = f"P{number:03d}-USD"
            frames = list(_frames(market(product, 1), 10, updates // count))
            write(whole / f"{product}.jsonl", frames)
            write(snapshots / f"{product}.jsonl", frames[:1])
        runs[count, True] = partial(processor_time, engine.ours(whole))
        runs[count, False] = partial(processor_time, engine.ours(snapshots))
    least = _least(runs)
    return [(count, (least[count, True] - least[count, False]) / updates) for count in counts]


def pass_time(updates: int, points: int) -> list[tuple[int, float, float]]:
    """At so many points: the updates done, seconds an update since the last point, memory in MB."""
    first, *rest = _frames(btc_usd(), 10, min(CYCLE, updates // points))
    rest.append(_way_back(first, rest))
    book = OrderBookState()
    book.update(decode(first))
    stream = cycle(rest)
    for frame in islice(stream, len(rest)):  # once round, so that the book has its usual size
        book.update(decode(frame))
    seen, copied = [], book.changes // (10 * CYCLE)
    for point in range(1, points + 1):
        start = time.process_time()
        for frame in islice(stream, updates // points):
            book.update(decode(frame))
            book.summarize()
            if book.changes // (10 * CYCLE) > copied:
                copied += 1
                copy.deepcopy(book)
        cost = (time.process_time() - start) / (updates // points)
        seen.append((updates // points * point, cost, resident()))
    return seen


def _way_back(first: bytes, updates: list[bytes]) -> bytes:
    """An update that leads from the book after these frames back to the first, a snapshot."""
    books = []
    book = OrderBookState()
    for frame in (first, *updates):
        book.update(decode(frame))
        if frame is first or frame is updates[-1]:
            books.append([dict(side) for side in book.depth(10**6)])
    changes = []
    for word, before, after in zip(("buy", "sell"), *books, strict=True):
        gone = [(word, price, 0.0) for price in after.keys() - before.keys()]
        changes += gone + [(word, *level) for level in before.items() if after.get(level[0]) != level[1]]
    listed = ",".join(f'["{word}","{price!r}","{size:.8f}"]' for word, price, size in changes)
    return f'{{"type":"l2update","product_id":"BTC-USD","changes":[{listed}]}}'.encode()


def _frames(source: Market, changes: int, updates: int) -> Iterator[bytes]:
    """A snapshot and updates."""
    yield source.snapshot()
    for _ in range(updates):
        yield source.update(changes)


def _prepared(source: Market, changes: int, updates: int) -> Callable[[], float]:
    """A run over frames that are made beforehand; it returns the processor time of its updates."""
    snapshot, *rest = _frames(source, changes, updates)

    def run() -> float:
        book = OrderBookState()
        book.update(decode(snapshot))
        return processor_time(lambda: _apply(book, rest))

    return run


def _apply(book: OrderBookState, frames: list[bytes]) -> None:
    for frame in frames:
        book.update(decode(frame))
        book.summarize()


def _least(runs: dict[Any, Callable[[], float]], rounds: int = 7) -> dict[Any, float]:
    """The least time of each run, of several; the runs take turns."""
    least = dict.fromkeys(runs, math.inf)
    for _ in range(rounds):
        for name, run in runs.items():
            least[name] = min(least[name], run())
    return least
