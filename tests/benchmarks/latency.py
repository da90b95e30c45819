"""Table 2: from the exchange's send to the line on stdout, and what it costs to wait for nothing."""

import signal
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.live import Live, Watched
from tests.benchmarks.table import Table, Target, figure, milliseconds, times

NOTES = (
    "The simulated exchange, the dataflow (one worker) and this watcher are three processes on loopback",
    "websockets without deflate; an update has 10 changes. Four products are of real size, up",
    "to 43,600 levels; those beyond have 400. Every summary is printed. The tutorial's way hears the",
    "same exchange by `batch_async(0.5 s, 100)`. Idle: heartbeats only, one a second a product. Memory is",
    "the peak. What it favours: nobody knowingly; but exchange and watcher take the dataflow's cores",
    "where there are only two, and on a busy machine the tails say more about the machine.",
)

HEADER = ("", "× p50", "p50 ms", "p90 ms", "p99 ms", "max ms", "answered", "updates/s", "core %", "MB")

BUSY = "400 products"


class Case(NamedTuple):
    """A dataflow and what it is to hear, for so many seconds."""

    name: str
    products: int
    rate: float
    seconds: float
    tutorial: bool = False


def table(folder: Path, quick: bool) -> Table:
    """Run the cases one after another."""
    seconds = 5.0 if quick else 20.0
    cases = [
        Case("4 products", 4, 20, seconds),
        Case("the tutorial's way, 4 products", 4, 20, seconds, tutorial=True),
        Case("100 products", 100, 20, seconds),
        Case(BUSY, 400, 20, seconds),
        Case("4 products, idle", 4, 0, seconds / 2),
        Case("400 products, idle", 400, 0, seconds / 2),
    ]
    notes = list(NOTES)
    if quick:
        cases = [case for case in cases if case.products < 400]
        notes.append("Quick: 400 products need a minute to connect, so they are left out.")
    seen = {case.name: run(case, folder) for case in cases}
    ours = seen["4 products"]
    rows = [row(case, seen[case.name], ours) for case in cases]
    notes.append(f"The first snapshot of BTC-USD took {milliseconds(ours.snapshot)} ms to its line.")
    return Table("2. Latency, from the exchange's send to stdout", notes, HEADER, rows, targets(seen))


def run(case: Case, folder: Path) -> Watched:
    """Watch one case."""
    dataflow = "tests.benchmarks.tutorial:live" if case.tutorial else "dataflow:flow"
    with Live(case.products, case.rate, folder, dataflow=dataflow) as live:
        return live.watch(case.seconds, signal.SIGKILL if case.tutorial else signal.SIGINT)


def row(case: Case, seen: Watched, ours: Watched) -> list[str]:
    """A case's figures."""
    cost = [f"{seen.cpu * 100:.1f}", figure(seen.peak)]
    if not case.rate:
        return [case.name, "", *["-"] * 5, "0", *cost]
    return [
        case.name,
        times(seen.quantile(0.5) / ours.quantile(0.5)),
        *(milliseconds(seen.quantile(share)) for share in (0.5, 0.9, 0.99, 1)),
        f"{seen.kept_up * 100:.2f} %",
        figure(seen.updates / seen.seconds),
        *cost,
    ]


def targets(seen: dict[str, Watched]) -> list[Target]:
    """What had to be reached, of the cases that were run."""
    ours, tutorial = seen["4 products"], seen["the tutorial's way, 4 products"]
    ratio = tutorial.quantile(0.5) / ours.quantile(0.5)
    reached = [Target("the tutorial's p50 ÷ ours, 4 products", ratio, 600, "×", at_least=True)]
    if busy := seen.get(BUSY):
        reached += [
            Target(f"{BUSY}: updates sent a second", busy.updates / busy.seconds, 7_900, at_least=True),
            Target(f"{BUSY}: updates answered", busy.kept_up * 100, 99.9, " %", at_least=True),
            Target(f"{BUSY}: p50", busy.quantile(0.5) * 1e3, 5, " ms"),
            Target(f"{BUSY}: p99", busy.quantile(0.99) * 1e3, 40, " ms"),
            Target(f"{BUSY}: share of a core", busy.cpu * 100, 75, " %"),
        ]
    for name, most in (("4 products, idle", 8), ("400 products, idle", 30)):
        if idle := seen.get(name):
            reached.append(Target(f"{name}: share of a core", idle.cpu * 100, most, " %"))
    return reached
