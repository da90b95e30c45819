"""Table 7, outputs of rows: what files and Kafka beside them cost a live run and a replay."""

import time
from pathlib import Path

from tests.benchmarks.frames import synthetic
from tests.benchmarks.latency import TICK
from tests.benchmarks.live import LiveRun, Measured
from tests.benchmarks.table import Table, Target, figure, milliseconds
from tests.support.broker import Broker
from tests.support.processes import start

NOTES = (
    "400 products as in table 2, evenly and at the tick, first without outputs, then with default datasets",
    "(quotes, trades, book_snapshot_25_1s, status) into Parquet, then into Kafka too: librdkafka's own mock",
    "cluster, one broker on loopback, which takes its share of the two cores. The replay is of {updates:,}",
    "updates of one product, every line into /dev/null, whole processes; the best of {rounds}.",
    "Whom it favours: those without outputs, for the broker and the disk of a user are often elsewhere.",
)

HEADER = ("", "p50 ms", "p99 ms", "answered", "core %", "µs", "MB")
PLAIN, FILES, KAFKA = "without", "Parquet", "Parquet and Kafka"


def table(folder: Path, quick: bool) -> Table:
    """Run the cases one after another."""
    seconds, rounds, updates = (5.0, 1, 20_000) if quick else (20.0, 3, 50_000)
    rows, targets = [], []
    outputs: dict[str, dict[str, str]] = {PLAIN: {}, FILES: {"ORDERBOOK_DATA": str(folder / "data")}}
    with Broker() as broker:
        broker.start()
        outputs[KAFKA] = outputs[FILES] | {"ORDERBOOK_KAFKA": broker.servers}
        for way, tick in (("evenly", None), ("at the tick", TICK)):
            measured = {}
            for name, env in outputs.items():
                with LiveRun(400, 20, folder, tick=tick, env=env) as live:
                    measured[name] = live.measure(seconds)
                rows.append(_row(f"{way}, {name}", measured[name]))
            plain = measured.pop(PLAIN)
            for name, its in measured.items():
                p99 = its.quantile(0.99) / plain.quantile(0.99)
                targets.append(Target(f"{way}, {name}: p99 ÷ without", p99, 1.3, "×"))
                targets.append(Target(f"{way}, {name}: processor ÷ without", its.cpu / plain.cpu, 1.35, "×"))
    path = synthetic(folder, 10, updates).path
    took = {name: min(_replay(path, outputs[name]) for _ in range(rounds)) for name in (PLAIN, FILES)}
    rows += [
        [f"replay, {name}", "-", "-", "-", "-", figure(s / updates * 1e6), "-"] for name, s in took.items()
    ]
    targets.append(Target("replay into Parquet: time ÷ without", took[FILES] / took[PLAIN], 2, "×"))
    notes = [note.format(updates=updates, rounds=rounds) for note in NOTES]
    return Table("7. Outputs of rows", notes, HEADER, rows, targets)


def _row(name: str, its: Measured) -> list[str]:
    quantiles = (milliseconds(its.quantile(share)) for share in (0.5, 0.99))
    answered, cpu = f"{its.answered * 100:.2f} %", f"{its.cpu * 100:.1f}"
    return [name, *quantiles, answered, cpu, figure(its.cost * 1e6), figure(its.peak)]


def _replay(path: str, env: dict[str, str]) -> float:
    """Seconds that a replay takes, to its last file."""
    with open("/dev/null", "wb") as nowhere:
        began = time.monotonic()
        with start([f"dataflow:replay({path!r}, min_spread=-1)"], env, stdout=nowhere) as process:
            finished = process.wait(300)
    if finished.code:
        raise RuntimeError(finished.stderr[-2000:])
    return time.monotonic() - began
