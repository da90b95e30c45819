"""Table 6, replays of this checkout and of another one: `--against DIR`."""

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

from tests.benchmarks.frames import synthetic
from tests.benchmarks.table import Table, Target, figure, times
from tests.support.processes import ROOT, environment

NOTES = (
    "`python -m bytewax.run` in each of the two checkouts, this one and {other}, with the same interpreter,",
    "on the same recordings of {updates:,} updates; stdout, filtered or with every line, is /dev/null. The",
    "processor time of whole processes: that for the updates is less that of replays of the snapshots, which",
    "is in the rows of the start. The least of {rounds} runs; all take turns. × is the other's time ÷",
    "this one's: above 1, this one is faster. Whom it favours: nobody.",
)

HEADER = ("", "×", "ms", "the other's")


def table(folder: Path, quick: bool, other: Path) -> Table:
    """Replay each stream in both checkouts."""
    rounds, updates = (3, 20_000) if quick else (9, 50_000)
    rows, targets = [], []
    for stream in [synthetic(folder, changes, updates) for changes in (10, 22)]:
        paths = {"start": str(stream.other(".snapshots.jsonl")), "all": stream.path}
        for what, spread in (("filtered", 0.0001), ("every line", -1.0)):
            name = f"{stream.name}, {what}"
            runs = {
                (checkout, part): _replay(checkout, path, spread)
                for part, path in paths.items()
                for checkout in (ROOT, other)
            }
            least = dict.fromkeys(runs, math.inf)
            for _ in range(rounds):
                for key, run in runs.items():
                    least[key] = min(least[key], run())
            starts = [least[checkout, "start"] for checkout in (ROOT, other)]
            rests = [least[checkout, "all"] - least[checkout, "start"] for checkout in (ROOT, other)]
            for part, (its, others) in (("updates", rests), ("start, snapshots", starts)):
                rows.append([f"{name}: {part}", times(others / its), figure(its * 1e3), figure(others * 1e3)])
            ratio = rests[1] / rests[0]
            targets.append(Target(f"{name}: the other ÷ this, updates", ratio, 0.97, "×", at_least=True))
    notes = [note.format(other=other.name, updates=updates, rounds=rounds) for note in NOTES]
    return Table("6. Replay, against another checkout", notes, HEADER, rows, targets)


def _replay(checkout: Path, path: str, min_spread: float) -> Callable[[], float]:
    """A replay that returns the seconds of processor that it took."""
    command = [sys.executable, "-m", "bytewax.run", f"dataflow:replay({path!r}, {min_spread})"]

    def run() -> float:
        before = getrusage(RUSAGE_CHILDREN)
        subprocess.run(
            command,
            cwd=checkout,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=300,
            check=True,
        )
        after = getrusage(RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return run
