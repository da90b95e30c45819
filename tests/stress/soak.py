"""Soak: a long run with faults, `python -m tests.stress.soak --minutes 30`.

Many products share a few connections, over wss, which are renewed each minute; a random fault happens to
one of them each second, and the reader of stdout stops now and then, but for a calm last minute. Every line
is judged as it is printed (see `witness`), and a renewal must lose none; at the end every book must be the
exchange's, the recording of the run must print the same lines again, connects and requests must have stayed
below the exchange's limit, and the process must not have grown. Exits with 1 if anything was wrong.
"""

import argparse
import hashlib
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

from orderbook.book import OrderBookState
from orderbook.coinbase.messages import Message
from orderbook.recording.line import decode_line
from tests.exchange import Exchange
from tests.exchange.connection import Sent
from tests.exchange.trouble import FAULTS, Struck
from tests.stress.outage import LIMIT_BURST, LIMIT_RATE, excess
from tests.support.live import names, settings
from tests.support.processes import ROOT, Finished, by_product, start
from tests.support.usage import Usage, usage
from tests.support.waiting import wait_until
from tests.support.witness import Lost, Subscription, Witness, subscription_of

CALM = 60.0  # seconds without faults at the end
STOPS_EVERY, STOP = 60.0, 3.0  # seconds: now and then the reader of stdout stops for less than `stale_after`
LOST_FOR = 2.0 + STOP  # seconds for which lines may come of a book after it lost an update
STRUCK_FOR = 15.0  # seconds within which a fault has cost its connection or subscription, stops included
LEFT_ALONE = 60.0  # seconds for which a product may be unsubscribed, as one that is crossed too often
SETTLING = 300.0  # seconds until memory must be flat
EVERY = 10.0  # seconds between two looks at the process

Book = tuple[dict[float, float], dict[float, float]]


class Tape:
    """The lines of a product, as their number and hash."""

    def __init__(self) -> None:
        self.count = 0
        self._hash = hashlib.sha256()

    def add(self, line: str) -> None:
        """The product's next line."""
        self.count += 1
        self._hash.update(line.encode() + b"\n")

    def is_equal(self, other: "Tape") -> bool:
        """Whether the other one has the same lines."""
        return self._hash.digest() == other._hash.digest()


class Judge:
    """What was sent and printed of all products."""

    def __init__(self, products: list[str]) -> None:
        self.witnesses = {product: Witness(product) for product in products}
        self.tapes: dict[str, Tape] = defaultdict(Tape)
        self.counts: Counter[str] = Counter()
        self.stops = True  # whether the reader stops now and then
        self._begun: dict[str, dict[Subscription, float]] = defaultdict(dict)

    def sent(self, product: str, sent: Sent) -> None:
        """The exchange is about to send a frame."""
        self.counts["updates"] += b'"l2update"' in sent.frame[:40]
        self.counts["frames"] += 1
        self._begun[product].setdefault(subscription_of(sent), sent.when)
        self.witnesses[product].sent(sent)

    def receive(self, reader: int) -> None:
        """Read and judge all lines of a pipe, with stops."""
        next_stop = time.monotonic() + STOPS_EVERY
        with open(reader, encoding="utf-8") as lines:
            for line in map(str.rstrip, lines):
                if self.stops and time.monotonic() > next_stop:
                    time.sleep(STOP)
                    next_stop = time.monotonic() + STOPS_EVERY
                product = line.split("'", 2)[1]
                self.witnesses[product].receive(line)
                self.tapes[product].add(line)

    def wrong_lines(self, struck: list[Struck]) -> list[str]:
        """Lines that must not have been printed, and those that a renewal lost though no fault struck."""
        wrong = []
        for product, witness in self.witnesses.items():
            wrong += [f"{product}: not what was sent: {line}" for line in witness.wrong[:3]]
            for lost in witness.lost[:100]:
                if not any(explains(strike, product, lost) for strike in struck):
                    wrong.append(f"{product}: lost at a renewal: {lost}")
        return wrong

    def wrong_after_losses(self, struck: list[Struck]) -> list[str]:
        """Lines of a subscription that came too long after it lost an update."""
        wrong = []
        for strike in struck:
            if strike.name != "update_lost" or strike.product is None or strike.connection is None:
                continue
            begun = self._begun[strike.product].items()
            connection, subscription = max(
                its for its, when in begun if its[0] == strike.connection and when <= strike.when
            )
            last = self.witnesses[strike.product].last_printed(connection, subscription)
            if last - strike.when > LOST_FOR:
                wrong.append(f"{strike.product}: lines for {last - strike.when:.1f} s after a lost update")
        return wrong


def explains(strike: Struck, product: str, lost: Lost) -> bool:
    """Whether a fault had ended the connection or the product's subscription that a line was lost of.

    Then the next one, if it was there already, took over before its time.
    """
    if not 0 <= lost.when - strike.when <= STRUCK_FOR or strike.connection not in (None, lost.connection):
        return False
    return strike.product in (None, product) or FAULTS[strike.name].replaces == "connection"


class Seen(NamedTuple):
    """What was seen of a run."""

    finished: Finished
    figures: list[tuple[float, Usage]]  # by seconds since the start
    books: dict[str, Book]  # the exchange's at the end
    struck: list[Struck]
    connections: int  # that were made
    attempts: list[float]
    requests: list[float]


def run(options: argparse.Namespace, listed: list[str], judge: Judge, folder: Path) -> Seen:
    """Run it, a fault each `interval` seconds, and print the figures from time to time."""
    with Exchange(
        listed,
        rate=options.rate,
        seed=options.seed,
        tls=options.tls,
        compression="deflate" if options.deflate else None,
        on_sent=judge.sent,
        fault_seed=options.seed,
        fault_interval=options.interval,
    ) as exchange:
        own = {"RECORD": str(folder), "REFRESH": options.refresh, "CONNECTIONS": options.connections}
        env = settings(exchange, **{name: str(value) for name, value in own.items()})
        reader, writer = os.pipe()
        receiver = threading.Thread(target=judge.receive, args=[reader])
        receiver.start()
        with open(writer, "wb") as pipe:
            process = start(["dataflow:flow", "-w", str(options.workers)], env, stdout=pipe)
        figures: list[tuple[float, Usage]] = []
        with process:
            began, seconds = time.monotonic(), options.minutes * 60
            while (now := time.monotonic() - began) < seconds:
                if now > seconds - min(CALM, seconds / 3):
                    exchange.calm()
                    judge.stops = False
                time.sleep(min(EVERY, seconds / 10))
                figures.append((time.monotonic() - began, usage(process.pid)))
                if len(figures) % 6 == 0:
                    print(f"{now:6.0f} s {figures[-1][1]} {dict(judge.counts)}", flush=True)
            exchange.pause()
            wait_until(lambda: all(map(exchange.live, listed)), LEFT_ALONE + 30)
            books = {product: exchange.book(product) for product in listed}
            time.sleep(2)  # for the lines that are on their way; nothing more is sent but heartbeats
            process.interrupt(signal.SIGINT)
            finished = process.wait()
        receiver.join(30)
        return Seen(
            finished,
            figures,
            books,
            exchange.struck,
            len(exchange.connections),
            exchange.attempts,
            [request.when for request in exchange.requests],
        )


def wrong_recordings(judge: Judge, seen: Seen, folder: Path) -> list[str]:
    """Recordings that don't end with the exchange's book, or don't print the run's lines again."""
    wrong = []
    for product, book in seen.books.items():
        path = folder / f"{product}.jsonl"
        if recorded_book(path) != book:
            wrong.append(f"{product}: the book at the end is not the exchange's")
        replayed = Tape()
        with start([f"dataflow:replay({str(path)!r}, min_spread=-1)"]) as replay:
            for line in by_product(replay.wait(300).stdout).get(product, []):
                replayed.add(line)
        if not replayed.is_equal(judge.tapes[product]):
            live = judge.tapes[product].count
            wrong.append(f"{product}: {live} lines live, {replayed.count} other ones replayed")
    return wrong


def recorded_book(path: Path) -> Book:
    """All levels of the book that a recording ends with."""
    state = OrderBookState()
    with path.open("rb") as file:
        for frame in file:
            message = decode_line(frame)
            if isinstance(message, Message):
                state.update(message)
    state.check()
    bids, asks = state.depth(10**9)
    return dict(bids), dict(asks)


def wrong_usage(first: Usage, end: Usage, options: argparse.Namespace) -> list[str]:
    """What grew: memory, files, threads; each worker's event loop has two sockets besides its connections."""
    wrong = []
    if end.resident > first.resident * 1.1:
        wrong.append(f"memory grew from {first.resident:,} to {end.resident:,} bytes")
    sockets = max(options.connections, options.workers) + 2 * options.workers
    if end.sockets > sockets + 2 or end.files > first.files + 4 or end.threads > first.threads:
        wrong.append(f"leaked: {first} became {end}")
    return wrong


def soak(options: argparse.Namespace, folder: Path) -> list[str]:
    """Run it, print the figures, and return what was wrong."""
    listed = names(options.products)
    judge = Judge(listed)
    seen = run(options, listed, judge, folder)
    settled = [figures for when, figures in seen.figures if when >= min(SETTLING, options.minutes * 30)]
    wrong = judge.wrong_lines(seen.struck) + judge.wrong_after_losses(seen.struck)
    wrong += wrong_recordings(judge, seen, folder) + wrong_usage(settled[0], settled[-1], options)
    if seen.finished.code != 0 or "Traceback" in seen.finished.stderr:
        wrong.append(f"ended with {seen.finished.code}: {seen.finished.stderr[-2000:]}")
    sent = {"connects": seen.attempts, "requests": seen.requests}
    above = {what: excess(moments, LIMIT_RATE, LIMIT_BURST) for what, moments in sent.items()}
    wrong += [f"{what}: {excess:.1f} above the limit" for what, excess in above.items() if excess > 0]

    way = f"{'wss' if options.tls else 'ws'} {'with' if options.deflate else 'without'} deflate"
    print(f"{options.minutes:g} minutes, {options.products} products on {options.connections} connections")
    print(f"of {way}, renewed each {options.refresh:g} s; {options.workers} workers, seed {options.seed}")
    printed = sum(witness.printed for witness in judge.witnesses.values())
    print(f"sent: {dict(judge.counts)}; lines printed and judged: {printed}")
    faults = Counter(strike.name for strike in seen.struck)
    print(f"faults: {len(seen.struck)}: {dict(faults.most_common())}")
    lost = sum(len(witness.lost) for witness in judge.witnesses.values())
    print(f"connections that a fault ended while their renewal was under way cost {lost} products a line")
    print(f"connections made: {seen.connections}; connects {above['connects']:+.1f}, ", end="")
    print(f"requests {above['requests']:+.1f} at most, where the exchange's limit is 0")
    print(f"settled: {settled[0]}, at the end: {settled[-1]}")
    return wrong


def main() -> None:
    """Soak, and exit with 1 if anything was wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.stress.soak",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    yes_or_no = argparse.BooleanOptionalAction
    parser.add_argument("--minutes", type=float, default=30, help="length of the run")
    parser.add_argument("--products", type=int, default=20, help="number of products")
    parser.add_argument("--connections", type=int, default=3, help="that they share")
    parser.add_argument("--rate", type=float, default=35, help="updates a second a product")
    parser.add_argument("--refresh", type=float, default=60, help="seconds between renewals of a connection")
    parser.add_argument("--seed", type=int, default=1, help="of the markets and of the faults")
    parser.add_argument("--interval", type=float, default=1, help="seconds between two faults")
    parser.add_argument("--workers", type=int, default=1, help="-w of the run")
    parser.add_argument("--tls", action=yes_or_no, default=True, help="wss")
    parser.add_argument("--deflate", action=yes_or_no, default=True, help="compressed frames")
    options = parser.parse_args()
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        wrong = soak(options, Path(folder))
    print(*wrong, sep="\n") if wrong else print("nothing was wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
