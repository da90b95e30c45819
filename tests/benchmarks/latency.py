"""Table 2, latency: from the exchange's send to the line on stdout, the cost of it, and of an idle feed."""

import signal
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.live import LiveRun, Measured
from tests.benchmarks.table import Table, Target, figure, milliseconds

NOTES = (
    "The simulated exchange, the dataflow (one worker) and this process, which reads its lines, are three",
    "processes; wss with deflate on loopback, 16 connections at most; an update has 10 changes, a product 20",
    "updates/s, sent evenly or all at each tick of 50 ms. Four products are of real size, up to 43,600",
    "levels; those beyond have 400. Every summary is printed. Updates are made beforehand, so that the",
    "exchange takes less of the cores. The latency begins just before it writes the update to its socket,",
    "encryption included, and ends when the line is read. `live` is from the start of the process to the",
    "first line of the last product; `µs` is of processor, for an update; memory is the peak. The tutorial's",
    "way gets the same feed by `batch_async(0.5 s, 100)`. Idle: heartbeats only, one a second a product.",
    "Whom it favours: nobody knowingly; but exchange and reader take the dataflow's cores where there are",
    "only two, and on a busy machine the tails say more about the machine.",
)

HEADER = ("", "p50 ms", "p90 ms", "p99 ms", "max ms", "answered", "updates/s", "core %", "µs", "MB", "live s")

TICK = 0.05  # seconds; the exchange sends what a product gathered in as many

FOUR, TUTORIAL, EVEN, BURSTS = "4 products", "the tutorial's way", "400 products", "400 products, at the tick"
MANY, FOUR_IDLE, EVEN_IDLE = "800 products, at the tick", "4 products, idle", "400 products, idle"


class Case(NamedTuple):
    """A dataflow and its feed, for so many seconds."""

    name: str
    products: int
    seconds: float
    rate: float = 20
    tick: float | None = None
    tutorial: bool = False


def table(folder: Path, quick: bool) -> Table:
    """Run the cases one after another."""
    seconds = 5.0 if quick else 20.0
    cases = [
        Case(FOUR, 4, seconds),
        Case(TUTORIAL, 4, seconds, tutorial=True),
        Case("100 products", 100, seconds),
        Case(EVEN, 400, seconds),
        Case(BURSTS, 400, seconds, tick=TICK),
        Case(MANY, 800, seconds, tick=TICK),
        Case(FOUR_IDLE, 4, seconds / 2, rate=0),
        Case(EVEN_IDLE, 400, seconds / 2, rate=0),
    ]
    measured = {case.name: run(case, folder) for case in cases}
    rows = [row(case, measured[case.name]) for case in cases]
    snapshot = milliseconds(measured[FOUR].snapshot)
    notes = [*NOTES, f"The first snapshot of BTC-USD took {snapshot} ms from its send to its line."]
    return Table("2. Latency, from the exchange's send to stdout", notes, HEADER, rows, targets(measured))


def run(case: Case, folder: Path) -> Measured:
    """Measure one case."""
    dataflow = "tests.benchmarks.tutorial:live" if case.tutorial else "dataflow:flow"
    with LiveRun(case.products, case.rate, folder, tick=case.tick, dataflow=dataflow) as live:
        return live.measure(case.seconds, signal.SIGKILL if case.tutorial else signal.SIGINT)


def row(case: Case, its: Measured) -> list[str]:
    """A case's figures."""
    name = f"{case.name}, 4 products" if case.tutorial else case.name
    cpu, memory, live = f"{its.cpu * 100:.1f}", figure(its.peak), figure(its.live)
    if not case.rate:
        return [name, *["-"] * 5, "0", cpu, "-", memory, live]
    return [
        name,
        *(milliseconds(its.quantile(share)) for share in (0.5, 0.9, 0.99, 1)),
        f"{its.answered * 100:.2f} %",
        figure(its.updates / its.seconds),
        cpu,
        figure(its.cost * 1e6),
        memory,
        live,
    ]


def targets(measured: dict[str, Measured]) -> list[Target]:
    """The bounds of these figures."""
    ratio = measured[TUTORIAL].quantile(0.5) / measured[FOUR].quantile(0.5)
    bounds = [
        Target("the tutorial's p50 ÷ ours, 4 products", ratio, 600, "×", at_least=True),
        Target(f"{FOUR}: p50", measured[FOUR].quantile(0.5) * 1e3, 1.2, " ms"),
        Target(f"{FOUR}: share of a core", measured[FOUR].cpu * 100, 8, " %"),
    ]
    for name, p50, p99 in ((EVEN, 2, 5), (BURSTS, 15, 25)):
        its = measured[name]
        bounds += [
            *keeps_up(name, its, 7_900),
            Target(f"{name}: p50", its.quantile(0.5) * 1e3, p50, " ms"),
            Target(f"{name}: p99", its.quantile(0.99) * 1e3, p99, " ms"),
            Target(f"{name}: processor an update", its.cost * 1e6, 55, " µs"),
            Target(f"{name}: all live after the start", its.live, 2, " s"),
            Target(f"{name}: peak of memory", its.peak, 110, " MB"),
        ]
    bounds += keeps_up(MANY, measured[MANY], 15_800)
    for name, most in ((FOUR_IDLE, 8), (EVEN_IDLE, 30)):
        bounds.append(Target(f"{name}: share of a core", measured[name].cpu * 100, most, " %"))
    return bounds


def keeps_up(name: str, its: Measured, rate: float) -> list[Target]:
    """That the exchange sends as many updates a second, and that they are answered."""
    return [
        Target(f"{name}: updates sent a second", its.updates / its.seconds, rate, at_least=True),
        Target(f"{name}: updates answered", its.answered * 100, 99.9, " %", at_least=True),
    ]
