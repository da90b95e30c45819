"""Table 4, workers: throughput and latency by the number of workers and processes."""

import math
import time
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path

from tests.benchmarks.frames import btc_usd, write
from tests.benchmarks.live import LiveRun, Measured
from tests.benchmarks.table import Table, figure, milliseconds, times
from tests.support.ports import cluster_arguments
from tests.support.processes import start

NOTES = (
    "Throughput: {products} recordings of {updates:,} updates of 10 changes on books of 45,000 levels,",
    "replayed by `python -m bytewax.run` to filtered stdout; the least wall time of {rounds} runs, less that",
    "of the same on the snapshots alone. × is the throughput ÷ one worker's. Latency: {live} products at 20",
    "updates/s from the simulated exchange, as in table 2; core % and memory are of all processes together.",
    "Workers are threads under one interpreter lock, so they overlap waiting, not work; a cluster pickles",
    "the half of the messages whose books are in the other process; runs apart share nothing. Whom it",
    "favours: one worker, since exchange and reader need a core too.",
)

HEADER = ("", "× throughput", "updates/s", "p50 ms", "p90 ms", "p99 ms", "answered", "core %", "MB")

PRODUCTS, LIVE = 8, 20

CLUSTER, APART = "a cluster of 2 processes", "2 runs, half the products each"
KINDS = {"1 worker": 1, "-w 2": 1, "-w 4": 1, CLUSTER: 2, APART: 2}


def table(folder: Path, quick: bool) -> Table:
    """Run each kind of cluster."""
    updates, rounds, seconds = (2_000, 2, 4.0) if quick else (10_000, 3, 15.0)
    whole, snapshots = _recordings(folder, updates)
    taken = dict.fromkeys(KINDS, math.inf)
    idle = dict.fromkeys(KINDS, math.inf)
    for _ in range(rounds):
        for kind in KINDS:
            taken[kind] = min(taken[kind], _replay(kind, whole))
            idle[kind] = min(idle[kind], _replay(kind, snapshots))
    rates = {kind: PRODUCTS * updates / (taken[kind] - idle[kind]) for kind in KINDS}
    rows = [
        _row(kind, rates[kind] / rates["1 worker"], rates[kind], _live(kind, folder, seconds))
        for kind in KINDS
    ]
    notes = [note.format(products=PRODUCTS, updates=updates, rounds=rounds, live=LIVE) for note in NOTES]
    return Table("4. Workers", notes, HEADER, rows)


def _recordings(folder: Path, updates: int) -> tuple[Path, Path]:
    """Two folders: whole recordings, and their snapshots alone. The products differ in name only.

    In each lie two, with half of the recordings each.
    """
    market = btc_usd()
    frames = [market.snapshot(), *(market.update(10) for _ in range(updates))]
    whole, snapshots = folder / "whole", folder / "snapshots"
    for path, kept in ((whole, frames), (snapshots, frames[:1])):
        for number in range(PRODUCTS):
            half, name = path / str(number % 2), f"P{number:02d}-USD"
            half.mkdir(parents=True, exist_ok=True)
            file = write(half / f"{name}.jsonl", (frame.replace(b"BTC-USD", name.encode()) for frame in kept))
            (path / file.name).hardlink_to(file)
    return whole, snapshots


def _arguments(kind: str) -> AbstractContextManager[list[list[str]]]:
    """The arguments of each process."""
    if kind == CLUSTER:
        return cluster_arguments(KINDS[kind])
    return nullcontext([kind.split() if kind.startswith("-w") else []] * KINDS[kind])


def _replay(kind: str, path: Path) -> float:
    """Seconds from the start of the first process to the end of the last."""
    paths = [path / str(half) for half in range(2)] if kind == APART else [path] * KINDS[kind]
    begin = time.monotonic()
    with ExitStack() as stack:
        arguments = stack.enter_context(_arguments(kind))
        processes = [
            stack.enter_context(start([f"dataflow:replay({str(its)!r})", *own]))
            for its, own in zip(paths, arguments, strict=True)
        ]
        codes = [process.wait(120).code for process in processes]
    if any(codes):
        raise AssertionError(f"{kind}: exit codes {codes}")
    return time.monotonic() - begin


def _live(kind: str, folder: Path, seconds: float) -> Measured:
    with _arguments(kind) as arguments, LiveRun(LIVE, 20, folder, arguments, apart=kind == APART) as live:
        return live.measure(seconds)


def _row(kind: str, ratio: float, rate: float, live: Measured) -> list[str]:
    return [
        kind,
        times(ratio),
        figure(rate),
        *(milliseconds(live.quantile(share)) for share in (0.5, 0.9, 0.99)),
        f"{live.answered * 100:.2f} %",
        f"{live.cpu * 100:.1f}",
        figure(live.peak),
    ]
