"""Replays with recovery, killed at random moments and resumed until they have come to their end.

    python -m tests.stress.kill 50

makes 50 such runs (a number of runs, then, if wanted, a seed), prints what it did, and exits with 1
where a line was lost, or one was wrong. The lines of a run that is to be killed are read slowly, so that
a replay of a moment takes seconds, and some of its epochs are over by then.
"""

import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from threading import Timer

from tests.exchange.market import market
from tests.support.oracle import lines
from tests.support.processes import by_product, run, start
from tests.support.recordings import text, write

PRODUCTS = ("BTC-USD", "ETH-USD", "BTC-EUR", "ETH-EUR")
UPDATES = 3_000  # a product
DURATION = 4.0  # seconds that a replay takes from its first line on; epochs take one


def record(folder: Path, seed: int) -> dict[str, list[str]]:
    """Make recordings of four markets, one of them compressed; answers the lines that they must bring."""
    expected: dict[str, list[str]] = {}
    for product in PRODUCTS:
        source = market(product, seed, levels=60)
        frames = [source.snapshot(), *(source.update() for _ in range(UPDATES))]
        expected |= lines(frames)
        suffix = ".jsonl.gz" if product == PRODUCTS[0] else ".jsonl"
        write(folder / f"{product}{suffix}", text(frames))
    return expected


def attempt(
    arguments: list[str], size: int, seconds: float | None = None, number: int = signal.SIGKILL
) -> tuple[int, str]:
    """Run until the end, or until it is sent a signal after so many seconds; its exit code and its lines.

    `size` is how many bytes a whole replay prints. The lines of a run that is to be ended early are read
    slowly. A SIGKILL may come before the first line; for any other signal the seconds count from there on.
    """
    reader, writer = os.pipe()
    with open(reader, "rb", buffering=0) as pipe:
        with open(writer, "wb") as ours:
            process = start(arguments, stdout=ours)
        with process:
            timer = Timer(seconds or 0, process.interrupt, [number])
            if seconds is not None and number == signal.SIGKILL:
                timer.start()
            output = b""
            while chunk := pipe.read(16_384):
                if seconds is not None and number != signal.SIGKILL and not output:
                    timer.start()
                output += chunk
                if seconds is not None:
                    time.sleep(len(chunk) / size * DURATION)
            timer.cancel()
            return process.wait().code, output.decode()


def check(expected: dict[str, list[str]], outputs: list[str]) -> list[int]:
    """Answers, attempt by attempt, how many of all lines come before those that it printed.

    Each must go on, in order, at or before the line that the ones before it came to; the last must
    come to the end. `AssertionError` where a line is missing, wrong or torn.
    """
    before = [0] * len(outputs)
    printed = [by_product(output) for output in outputs]
    for product, wanted in expected.items():
        reached = 0
        for i, got in enumerate(listed.get(product, []) for listed in printed):
            begins = [at for at in range(reached + 1) if wanted[at : at + len(got)] == got]
            assert begins, f"{product}: after {reached} lines these are wrong: {got[:1]} … {got[-1:]}"
            before[i] += max(begins)
            reached = max(reached, max(begins) + len(got))
        assert reached == len(wanted), f"{product}: ends after {reached} of {len(wanted)} lines"
        assert got[-1:] in ([], wanted[-1:]), f"{product}: does not end as it should: {got[-1]}"
    return before


def kill_and_resume(folder: Path, expected: dict[str, list[str]], seed: int, kills: int) -> list[str]:
    """Kill and resume one replay so often, by a number of workers that may change; answers what was done."""
    random = Random(seed)
    size = sum(len(line) + 1 for listed in expected.values() for line in listed)
    did, outputs = [], []
    with tempfile.TemporaryDirectory() as recovery:
        run([recovery, str(random.randint(1, 3))], module="bytewax.recovery")
        replay = [f"dataflow:replay({str(folder)!r}, min_spread=-1)", "-r", recovery, "-s", "1", "-b", "0"]
        for seconds in [*(random.uniform(0, DURATION) for _ in range(kills)), None]:
            workers = random.choice(["1", "1", "2", "4"])
            code, output = attempt([*replay, "-w", workers], size, seconds)
            outputs.append(output)
            if code == 0:
                did.append(f"-w {workers} comes to its end,")
                break
            did.append(f"-w {workers} killed at {seconds:.2f} s,")
            assert code == -signal.SIGKILL, f"-w {workers} ends with code {code}"
    went_on = zip(did, check(expected, outputs), map(str.splitlines, outputs), strict=True)
    return [
        f"{what} after printing {f'{len(printed)} lines from line {before + 1} on' if printed else 'nothing'}"
        for what, before, printed in went_on
    ]


def main() -> None:
    """Make the runs of the command line."""
    runs, seed = ([int(argument) for argument in sys.argv[1:]] + [1])[:2]
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        expected = record(Path(folder), seed)
        for i in range(1, runs + 1):
            try:
                did = kill_and_resume(Path(folder), expected, seed * 1_000 + i, kills=1 + i % 3)
            except AssertionError as error:
                wrong += 1
                did = [f"WRONG: {error}"]
            print(f"{i}: {'; '.join(did)}", flush=True)
    print(f"{runs} runs, {wrong} wrong")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
