"""Readers that stop: nobody reads stdout, stderr or both for a while, `python -m tests.stress.stopped`.

Many products run over wss, recorded. After the stop no connection may have been lost, every message must be
recorded, memory must have stayed bounded, and lines of the present must come within a second of the reader's
return. A second run of each is ended by SIGTERM in its stop, within a second. Exits with 1 if anything was
wrong.
"""

import argparse
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.exchange import Exchange
from tests.exchange.connection import Sent
from tests.support.live import names, settings
from tests.support.oracle import Oracle
from tests.support.processes import ROOT, Running, start
from tests.support.usage import usage
from tests.support.waiting import wait_until

SOON = 1.0  # seconds for the present, and for an end by SIGTERM
GROWTH = 100e6  # bytes by which memory may grow in a stop: the lines of 5 s, and what the pipes hold
STOPS = (("stdout",), ("stderr",), ("stdout", "stderr"))


class Reader:
    """Reads a pipe to its end in a thread, and stops when told to; keeps the lines of one product."""

    def __init__(self, product: str) -> None:
        self.reading, self.writing = os.pipe()
        self.open = threading.Event()
        self.open.set()
        self.lines: list[tuple[float, str]] = []
        self._product = f"('{product}'".encode()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        rest = b""
        with open(self.reading, "rb", buffering=0) as pipe:
            while self.open.wait() and (chunk := pipe.read(2**20)):
                now = time.monotonic()
                *lines, rest = (rest + chunk).split(b"\n")
                self.lines += [(now, line.decode()) for line in lines if line.startswith(self._product)]


class Seen:
    """What the exchange sent: how many messages of each product, and the lines of one of them."""

    def __init__(self, product: str) -> None:
        self.frames: Counter[str] = Counter()
        self.lines: list[tuple[float, str]] = []
        self._product, self._oracle = product, Oracle(product)

    def sent(self, product: str, sent: Sent) -> None:
        """The exchange is about to send a frame."""
        self.frames[product] += 1
        if product == self._product and (line := self._oracle.apply(sent.frame)):
            self.lines.append((sent.when, line))


@contextmanager
def live(
    options: argparse.Namespace, folder: Path, seen: Seen
) -> Iterator[tuple[Exchange, Running, dict[str, Reader]]]:
    """A recorded run, once all its products are live, and the readers of its stdout and stderr."""
    listed = names(options.products)
    readers = {name: Reader(listed[0]) for name in ("stdout", "stderr")}
    with Exchange(
        listed, rate=options.rate, levels=200, changes=10, prepared=50, tls=True, on_sent=seen.sent
    ) as exchange:
        env = settings(exchange, RECORD=str(folder))
        pipes = {name: open(reader.writing, "wb") for name, reader in readers.items()}
        with start(["dataflow:flow"], env, stdout=pipes["stdout"], stderr=pipes["stderr"]) as process:
            for pipe in pipes.values():
                pipe.close()
            wait_until(lambda: all(map(exchange.live, listed)))
            yield exchange, process, readers
        for reader in readers.values():
            reader.open.set()
            reader.thread.join(10)


def stopped(which: tuple[str, ...], options: argparse.Namespace, folder: Path) -> list[str]:
    """Run, stop these readers for so long, and read on; what was wrong."""
    listed, wrong = names(options.products), []
    seen = Seen(listed[0])
    with live(options, folder, seen) as (exchange, process, readers):
        time.sleep(2.0)
        connections, before = len(exchange.connections), usage(process.pid).resident
        for name in which:
            readers[name].open.clear()
        peak, end = 0, time.monotonic() + options.seconds
        while time.monotonic() < end:
            time.sleep(0.5)
            peak = max(peak, usage(process.pid).resident)
        back = time.monotonic()
        for name in which:
            readers[name].open.set()
        time.sleep(5.0)
        if len(exchange.connections) > connections:
            wrong.append(f"{len(exchange.connections) - connections} connections were lost")
        exchange.pause()
        time.sleep(2.0)
        process.interrupt(signal.SIGINT)
        code = process.wait().code
    if code:
        wrong.append(f"exit code {code}")
    if peak > before + GROWTH:
        wrong.append(f"memory grew from {before:,} to {peak:,} bytes")
    recorded = {name: (folder / f"{name}.jsonl").read_bytes().count(b"\n") for name in listed}
    # What comes while the run ends is not recorded.
    short = [name for name in listed if seen.frames[name] - recorded[name] > 1]
    if short:
        wrong.append(f"{short[0]}: {recorded[short[0]]} of {seen.frames[short[0]]} frames are recorded")
    present = present_after(back, readers["stdout"].lines, seen.lines)
    if present > SOON:
        wrong.append(f"the present came after {present:.1f} s")
    missing = len(seen.lines) - len(readers["stdout"].lines)
    print(
        f"{' and '.join(which)} stopped for {options.seconds:g} s: present after {present:.2f} s, "
        f"{missing} of {len(seen.lines)} lines of {listed[0]} dropped, "
        f"memory {before / 1e6:.1f}, {peak / 1e6:.1f} MB at most",
        flush=True,
    )
    return wrong


def present_after(back: float, printed: list[tuple[float, str]], sent: list[tuple[float, str]]) -> float:
    """Seconds from the reader's return to the first line that was printed within a second of its sending.

    The lines at the end are compared one by one, from the last one backwards.
    """
    present = float("inf")
    for (read, line), (when, expected) in zip(reversed(printed), reversed(sent), strict=False):
        if line != expected or read < back:
            break
        if read - when < SOON:
            present = read - back
    return present


def ended(which: tuple[str, ...], options: argparse.Namespace, folder: Path) -> list[str]:
    """Run, stop these readers, and send SIGTERM; what was wrong."""
    with live(options, folder, Seen(names(options.products)[0])) as (_exchange, process, readers):
        for name in which:
            readers[name].open.clear()
        time.sleep(options.seconds / 6)
        began = time.monotonic()
        process.interrupt(signal.SIGTERM)
        code = process.wait().code
        took = time.monotonic() - began
    print(f"{' and '.join(which)} stopped, SIGTERM: ended in {took:.2f} s with {code}", flush=True)
    return [] if took < SOON and code == 0 else [f"SIGTERM took {took:.2f} s, exit code {code}"]


def main() -> None:
    """Stop the readers, print the figures, and exit with 1 if they are not good enough."""
    parser = argparse.ArgumentParser(prog="python -m tests.stress.stopped", description=__doc__)
    parser.add_argument("--products", type=int, default=400, help="default: %(default)s")
    parser.add_argument("--rate", type=float, default=20, help="updates a second a product; %(default)s")
    parser.add_argument("--seconds", type=float, default=60, help="default: %(default)s")
    options = parser.parse_args()
    os.chdir(ROOT)
    wrong = []
    for which in STOPS:
        for run in (stopped, ended):
            with tempfile.TemporaryDirectory() as folder:
                wrong += run(which, options, Path(folder))
    print(*wrong or ["nothing was wrong"], sep="\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
