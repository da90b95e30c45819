"""Table 1, throughput: raw frames in, best bid and ask after every message out, the same work for all."""

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from tests.benchmarks import engine, frames, peers
from tests.benchmarks.child import Run, apart, processor_time
from tests.benchmarks.frames import SHORT, Stream, Top
from tests.benchmarks.table import Table, Target, figure, times, version_of


class Contender(NamedTuple):
    """One that does the work: `start` prepares a run, which is not timed; what it returns is timed."""

    does: str
    package: str
    start: Callable[[Path], Run]
    tops: Callable[[Path], list[Top]]


def _by_bytewax(does: str, start: Callable[[Path], Run], printing: Callable[[Path], Run]) -> Contender:
    return Contender(f"{does}, through Bytewax", "bytewax", start, lambda path: engine.tops(printing(path)))


def _by_itself(does: str, package: str, run: Callable[[peers.Frames], list[frames.Best]]) -> Contender:
    def start(path: Path) -> Run:
        return partial(run, path.read_bytes().splitlines())

    def tops(path: Path) -> list[Top]:
        lines = path.read_bytes().splitlines()
        return list(zip(peers.products(lines), run(lines), strict=True))

    return Contender(does, package, start, tops)


OURS, FLOOR, TUTORIAL = "this dataflow", "the floor", "the tutorial's way"

PEERS = {
    "sortedcontainers": _by_itself("a SortedDict a side", "sortedcontainers", peers.sortedcontainers),
    "order_book": _by_itself("its OrderBook (C)", "order_book", peers.order_book),
    "ccxt": _by_itself("its OrderBook (Python)", "ccxt", peers.ccxt),
    "nautilus, Cython": _by_itself("its OrderBook (Rust)", "nautilus_trader", peers.nautilus_cython),
    "nautilus, PyO3": _by_itself("its OrderBook (Rust)", "nautilus_trader", peers.nautilus_pyo3),
}

CONTENDERS = {
    OURS: _by_bytewax("file to stdout, filtered at 1 bp", engine.ours, engine.ours_every_line),
    "this dataflow, all lines": _by_bytewax(
        "the same, with every summary printed", engine.ours_every_line, engine.ours_every_line
    ),
    "our book alone": _by_itself("our decoder and book", "msgspec", peers.our_book),
    TUTORIAL: _by_bytewax(
        "json, a dict a side, min or max after each change", engine.tutorials_way, engine.tutorials_way
    ),
    **PEERS,
    FLOOR: Contender(
        "our source and decoder, an empty stateful step, an empty sink, through Bytewax",
        "bytewax",
        engine.floor,
        lambda path: [],
    ),
}

NOTES = (
    "Each in a process of its own; checked first (prices and sizes after every message), then timed, in",
    "{rounds} rounds which the contenders take by turns, by the processor time of the run: interpreter start",
    "and imports are not in it. × is a contender's time ÷ this dataflow's: above 1, ours is faster. `all` is",
    "the whole stream, the least of all runs; `updates` the stream without its snapshots, as on a connection",
    "that lasts: the median difference to a run of the snapshots alone. ~: of the first {short} updates.",
    "The tutorial's way has one round. In the restless market the top moves in half of the updates, in the",
    "others in about 4 of 100, as on the real feed; no target is set for it. Stdout is /dev/null.",
    "Whom it favours: the peers, who find the frames in memory, check none, keep no metrics, filter and",
    "print nothing, and have msgspec decode for them, typed.",
)

HEADER = ("", "× all", "× updates", "µs an update", "ns a change", "updates/s", "ms in all")


class Best(NamedTuple):
    """The times of a contender on a stream, in seconds."""

    snapshots: float  # its snapshots alone, the least of all runs
    tried: float  # the stream, or its short form, the least of all runs
    update: float  # an update of it, by the difference of the two run one after the other, the median
    updates: int  # in what was tried


def table(folder: Path, quick: bool) -> Table:
    """Run all contenders on all streams."""
    rounds, updates = (1, 3_000) if quick else (5, 20_000)
    real = frames.capture(folder)
    streams = [real] if real else []
    streams += [frames.synthetic(folder, changes, updates) for changes in (10, 22)]
    streams.append(frames.synthetic(folder, 10, updates, restless=True))
    budget, patience = (0.4, 2.0) if quick else (1.0, 12.0)
    results: dict[str, list[Any]] = {name: [] for name in CONTENDERS}
    for turn in range(rounds):
        for name in CONTENDERS:
            if not turn or name != TUTORIAL:  # that takes its time, and no noise is of its size
                results[name].append(apart(measure, name, streams, budget, patience, not turn))
    rows: list[list[str]] = []
    targets: list[Target] = []
    for index, stream in enumerate(streams):
        best = {name: _best([r[index] for r in its]) for name, its in results.items() if _ran(its)}
        rows.append([f"{stream.name}:", *[""] * 6])
        for name, its in results.items():
            rows.append(_row(name, best, stream) if name in best else [f"  {name}: {its[0]}", *[""] * 6])
        if missing := {OURS, TUTORIAL, FLOOR} - best.keys():
            raise AssertionError(f"{stream.name}: {[results[name][0] for name in missing]}")
        if stream.judged:
            targets += _targets(best, stream, stream is real)
    about = [
        *(note.format(rounds=rounds, short=SHORT) for note in NOTES),
        *(f"- {s.name}: {s.levels:,} levels, {s.updates:,} updates, {s.changes:,} changes" for s in streams),
        *([] if real else ["- the real capture is not here"]),
        *(f"- {name}: {c.does} [{c.package} {version_of(c.package)}]" for name, c in CONTENDERS.items()),
    ]
    return Table("1. Throughput", about, HEADER, rows, targets)


def measure(
    name: str, streams: Sequence[Sequence[Any]], budget: float, patience: float, check: bool
) -> list[Best] | str:
    """In the child: check and time a contender; a string says why it could not be."""
    contender = CONTENDERS[name]
    best = []
    for stream in (Stream(*fields) for fields in streams):
        path, short = Path(stream.path), stream.other(".short.jsonl")
        try:
            start = contender.start(stream.other(".snapshots.jsonl"))
            snapshots = processor_time(start)
        except ImportError as error:
            return f"not installed ({error})"
        each = (processor_time(contender.start(short)) - snapshots) / SHORT
        too_slow = each * stream.updates > patience
        tried = short if too_slow else path
        if check and name != FLOOR:
            products = peers.products(tried.read_bytes().splitlines())
            if wrong := _difference(contender.tops(tried), stream.truth()[: len(products)]):
                return f"WRONG: {wrong}"
        updates = SHORT if too_slow else stream.updates
        rest, end = contender.start(tried), time.monotonic() + budget
        pairs = [(processor_time(start), processor_time(rest))]
        while time.monotonic() < end:
            pairs.append((processor_time(start), processor_time(rest)))
        update = median((its - of_snapshots) / updates for of_snapshots, its in pairs)
        best.append(Best(min(p[0] for p in pairs), min(p[1] for p in pairs), update, updates))
    return best


def _difference(tops: list[Top], truth: list[Top]) -> str:
    """Where tops differ from the true ones, beyond a float's last digits."""
    actual, true = _by_product(tops), _by_product(truth)
    for product, expected in true.items():
        its = actual.get(product, [])
        if len(its) != len(expected):
            return f"{product}: {len(its)} tops, not {len(expected)}"
        for number, (top, correct) in enumerate(zip(its, expected, strict=True)):
            if not all(math.isclose(a, b, rel_tol=1e-12) for a, b in zip(top, correct, strict=True)):
                return f"{product}, message {number}: {top}, not {correct}"
    return ""


def _by_product(tops: list[Top]) -> dict[str, list[frames.Best]]:
    """The tops of books that are not crossed: of those that are the dataflow prints nothing."""
    by_product: dict[str, list[frames.Best]] = {}
    for product, top in tops:
        if top[0] < top[2]:
            by_product.setdefault(product, []).append(top)
    return by_product


def _ran(rounds: list[Any]) -> bool:
    return not any(isinstance(results, str) for results in rounds)


def _best(rounds: list[Any]) -> Best:
    """All rounds together; the first of them decides whether a contender gets the short form."""
    same = [b for b in (Best(*fields) for fields in rounds) if b.updates == rounds[0][-1]]
    update = max(1e-9, median(b.update for b in same))
    return Best(min(b.snapshots for b in same), min(b.tried for b in same), update, same[0].updates)


def _all(best: Best, stream: Stream) -> float:
    """The whole stream's time."""
    if best.updates == stream.updates:
        return best.tried
    return best.snapshots + best.update * stream.updates


def _row(name: str, best: dict[str, Best], stream: Stream) -> list[str]:
    its, ours = best[name], best[OURS]
    return [
        f"  {name}{' ~' if its.updates < stream.updates else ''}",
        times(_all(its, stream) / _all(ours, stream)),
        times(its.update / ours.update),
        figure(its.update * 1e6),
        figure(its.update * stream.updates / stream.changes * 1e9),
        figure(1 / its.update),
        figure(_all(its, stream) * 1e3),
    ]


def _targets(best: dict[str, Best], stream: Stream, real: bool) -> list[Target]:
    targets = []
    parts: dict[str, Callable[[Best], float]] = {
        "all": lambda b: _all(b, stream),
        "updates": lambda b: b.update,
    }
    for part, of in parts.items():
        ours, where = of(best[OURS]), f"{stream.name}, {part}:"
        if real:
            target = Target(f"{where} {TUTORIAL} ÷ ours", of(best[TUTORIAL]) / ours, 300, "×", at_least=True)
            targets.append(target)
        its = {name: of(best[name]) for name in PEERS if name in best}
        fastest = min(its, key=lambda name: its[name], default="none is here")
        what = f"{where} the fastest of {len(its)} peers ({fastest}) ÷ ours"
        targets.append(Target(what, its.get(fastest, 0.0) / ours, 1, "×", at_least=True))
        targets.append(Target(f"{where} ours ÷ {FLOOR}", ours / of(best[FLOOR]), 2, "×"))
    return targets
