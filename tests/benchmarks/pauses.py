"""Table 5, pauses: what makes the stream stand still, and the time and memory of a large book."""

import gc
import pickle
import time
import tracemalloc
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir

from dataflow import mapper
from orderbook.book import OrderBookState
from tests.benchmarks import engine, frames
from tests.benchmarks.child import apart, resident
from tests.benchmarks.frames import decode
from tests.benchmarks.table import Table, Target, figure, milliseconds
from tests.benchmarks.tutorial import Part

NOTES = (
    "Four books of 45,000 levels. `Gap`: four products, an update each a poll, as fast as it goes, through",
    "epochs of {epoch} s; of each epoch the longest time between two batches at the sink, and of those the",
    "median and the longest; without recovery in processor time, of which others that use the machine take",
    "none, with it in time on the clock, for it waits for a disk too: it stores the books in a folder.",
    "`Pickles`: the part of that which is Python's, called by hand. `Snapshot`: {size} MB, decoded, made a",
    "book, summarized. Memory: what {books} books add to a process (resident), with all that decoding left",
    "behind, and what Python has given out for one (tracemalloc).",
)

EPOCH = 0.25
BOOKS = 8


def table(folder: Path, quick: bool) -> Table:
    """Measure each in a process of its own."""
    market = frames.btc_usd()
    updates = 30_000 if quick else 60_000
    stream = str(
        frames.write(folder / "stream.jsonl", [market.snapshot(), *map(market.update, [10] * updates)])
    )
    frame = market.snapshot()
    largest = str(frames.write(folder / "snapshot.jsonl", [frame]))
    (folder / "recovery").mkdir()
    plain = apart(gaps, stream, None)
    kept = apart(gaps, stream, str(folder / "recovery"))
    pickles = apart(pickle_books, largest, 30)
    summary = apart(take_snapshot, largest, 30)
    memory = apart(weigh, largest)
    rows = [
        ["gap without recovery", *_gap(plain)],
        ["gap with recovery", *_gap(kept)],
        ["pickles of four books", *map(milliseconds, pickles), ""],
        ["snapshot to summary", *map(milliseconds, summary), ""],
    ]
    notes = [note.format(epoch=EPOCH, size=figure(len(frame) / 1e6), books=BOOKS) for note in NOTES]
    notes.append(f"A book: {memory[0]:.1f} MB resident, {memory[1]:.1f} MB given out by Python.")
    targets = [
        Target("the longest gap without recovery, in processor time", plain["longest"] * 1e3, 10, " ms"),
        Target("snapshot to summary, median", summary[0] * 1e3, 30, " ms"),
        Target("a book of 45,000 levels, resident", memory[0], 12, " MB"),
    ]
    return Table("5. Pauses", notes, ["", "median ms", "longest ms", "usual ms"], rows, targets)


def _gap(seen: dict[str, float]) -> list[str]:
    return [milliseconds(seen[name]) for name in ("median", "longest", "usual")]


def pickle_books(path: str, runs: int) -> list[float]:
    """Median and longest seconds for pickles of four books."""
    books = _books(path, 4)
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        for book in books:
            pickle.dumps(book)
        taken.append(time.perf_counter() - start)
    return [median(taken), max(taken)]


def gaps(path: str, recovery: str | None) -> dict[str, float]:
    """Keep four books through short epochs; of the longest gaps of each the median and the longest."""
    noting = _Noting(time.perf_counter if recovery else time.process_time)
    flow = Dataflow("gaps")
    messages = op.input("input", flow, _Four(Path(path).read_bytes().splitlines()))
    op.output("out", op.stateful_map("orderbook", messages, mapper), noting)
    config = None
    if recovery:
        init_db_dir(Path(recovery), 1)  # type: ignore[no-untyped-call]
        config = RecoveryConfig(recovery)  # type: ignore[no-untyped-call]
    engine.run(flow, epoch_interval=timedelta(seconds=EPOCH), recovery_config=config)
    noted = noting.noted[1:]  # without the snapshots
    between = [after - before for before, after in pairwise(noted)]
    longest: dict[int, float] = {}
    for when, gap in zip(noted, between, strict=False):
        epoch = int((when - noted[0]) / EPOCH)
        longest[epoch] = max(longest.get(epoch, 0.0), gap)
    longest.pop(max(longest))  # the last one is not a whole epoch
    if len(longest) < 3:
        raise AssertionError(f"only {len(longest)} whole epochs: too few updates for this machine")
    return {
        "median": median(longest.values()),
        "longest": max(longest.values()),
        "usual": median(between),
    }


def take_snapshot(path: str, runs: int) -> list[float]:
    """Median and longest seconds from a snapshot's frame to its summary."""
    frame = Path(path).read_bytes()
    taken = []
    for _ in range(runs):
        book = OrderBookState()
        start = time.perf_counter()
        book.update(decode(frame))
        book.summarize()
        taken.append(time.perf_counter() - start)
    return [median(taken), max(taken)]


def weigh(path: str) -> list[float]:
    """MB of a book: what it adds to the process, and what Python has given out for it."""
    before = resident()
    kept = _books(path, BOOKS)
    gc.collect()
    added = (resident() - before) / len(kept)
    tracemalloc.start()
    kept = _books(path, 1)
    given, _peak = tracemalloc.get_traced_memory()
    return [added, given / 1e6]


def _books(path: str, count: int) -> list[OrderBookState]:
    books = [OrderBookState() for _ in range(count)]
    for book in books:
        book.update(decode(Path(path).read_bytes()))
    return books


class _Four(FixedPartitionedSource[tuple[str, Any], None]):
    """Four products that get the same frames, one a poll."""

    def __init__(self, lines: list[bytes]) -> None:
        self._lines = lines

    def list_parts(self) -> list[str]:
        return ["P0-USD", "P1-USD", "P2-USD", "P3-USD"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> Part:
        return Part([(for_part, decode(line))] for line in self._lines)


class _Noting(DynamicSink[object]):
    """A sink that notes when each batch comes."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.noted: list[float] = []
        self.clock = clock

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "_NotingPartition":
        return _NotingPartition(self)


class _NotingPartition(StatelessSinkPartition[object]):
    def __init__(self, sink: _Noting) -> None:
        self._sink = sink

    def write_batch(self, items: list[object]) -> None:
        self._sink.noted.append(self._sink.clock())
