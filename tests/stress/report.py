"""Report of a fuzz: how often each outcome came, and what must not happen."""

import sys
import time
from collections import Counter
from collections.abc import Callable


def report(fuzz: Callable[[int, int], tuple[Counter[str], list[str]]], rounds: int, seed: int = 1) -> int:
    """Fuzz with the rounds and the seed of the command line, print the outcomes; returns the exit code."""
    arguments = [int(argument) for argument in sys.argv[1:]]
    began = time.perf_counter()
    counts, wrong = fuzz(*arguments, *(rounds, seed)[len(arguments) :])
    for outcome, number in counts.most_common():
        print(f"{number:>10,} {outcome}")
    print(f"{counts.total():>10,} in {time.perf_counter() - began:.1f} s, {len(wrong)} wrong")
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return 1 if wrong else 0
