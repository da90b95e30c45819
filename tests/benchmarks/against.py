"""Table 6, replays of this checkout and of another one: `--against DIR`."""

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

from tests.benchmarks.frames import Stream, capture, synthetic
from tests.benchmarks.table import Table, Target, figure, times
from tests.support.processes import ROOT, environment

NOTES = (
    "`python -m bytewax.run` in each of the two checkouts, this one and {other}, with the same interpreter,",
    "on the same recordings; stdout, filtered or with every line, is /dev/null. The processor time of the",
    "whole process: start and imports are in it. The least of {rounds} runs; the two take turns. × is the",
    "other's time ÷ this one's: above 1, this one is faster. Whom it favours: nobody.",
)


def table(folder: Path, quick: bool, other: Path) -> Table:
    """Replay each stream in both checkouts."""
    rounds, updates = (2, 5_000) if quick else (7, 50_000)
    real = capture(folder)
    streams = [real] if real else []
    streams.append(synthetic(folder, 10, updates))
    rows, targets = [], []
    for stream in streams:
        for what, spread in (("filtered", 0.0001), ("every line", -1.0)):
            runs = {checkout: _replay(checkout, stream, spread) for checkout in (ROOT, other)}
            least = dict.fromkeys(runs, math.inf)
            for _ in range(rounds):
                for checkout, run in runs.items():
                    least[checkout] = min(least[checkout], run())
            name, ratio = f"{stream.name}, {what}", least[other] / least[ROOT]
            rows.append([name, times(ratio), figure(least[ROOT] * 1e3), figure(least[other] * 1e3)])
            targets.append(Target(f"{name}: the other ÷ this", ratio, 0.97, "×", at_least=True))
    notes = [note.format(other=other.name, rounds=rounds) for note in NOTES]
    return Table("6. Replay, against another checkout", notes, ("", "×", "ms", "the other's"), rows, targets)


def _replay(checkout: Path, stream: Stream, min_spread: float) -> Callable[[], float]:
    """A replay that returns the seconds of processor that it took."""
    command = [sys.executable, "-m", "bytewax.run", f"dataflow:replay({stream.path!r}, {min_spread})"]

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
