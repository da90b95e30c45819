"""Fuzz of `decode`: hostile frames by the thousand, each of which gives a message, None or `BadFrame`.

Run it long by `python -m tests.stress.fuzz 100000` (a number of frames, then, if wanted, a seed). It prints
how often each outcome came and the time it took, and exits with 1 where there was any other outcome, an
error's text was too long or a frame took over a second.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random

from orderbook.coinbase.exchange import decode
from orderbook.coinbase.messages import BadFrame, L2Update, Snapshot
from tests.exchange.market import Market
from tests.stress.report import report
from tests.support.processes import ROOT

LONGEST_TEXT = 400  # characters of an error's text, however long its frame
LONGEST_TIME = 1.0  # seconds of processor, which a busy machine does not lengthen
CAPTURES = ROOT.parent / "shared/captures"
TOKENS = [
    *(b'"', b"\\", b"\\u0000", b"\\ud800", b"[", b"]", b"{", b"}", b",", b":", b" ", b"\n", b"\0", b"\xff"),
    *(b"-", b".", b"e", b"E+", b"0", b"1", b"NaN", b"Infinity", b"null", b"true", b"1e400", b"-1", b'"-1"'),
    *(b'"0"', b'["buy","-1","1"]', b'"type":"l2update"', b'"type":"match",', b'"changes":[],', b'"bids":5,'),
]


def seeds() -> list[bytes]:
    """Frames to begin from: an invented market's, and those of the real captures where there are any."""
    market = Market("BTC-USD", 1, levels=8, mid=600, spread_ticks=8, gap_ticks=4)
    frames = [
        b'{"type":"subscriptions","channels":[{"name":"level2_50","product_ids":["BTC-USD"]}]}',
        b'{"type":"error","message":"Failed to subscribe","reason":"BTC-XXX is not a valid product"}',
        *(make() for make in [market.snapshot, market.heartbeat, market.match] * 3),
        *(market.update() for _ in range(20)),
    ]
    for path in sorted(CAPTURES.glob("*.jsonl")):
        frames += [line for line in path.read_bytes().splitlines() if len(line) < 10_000]
    return frames


def mutants(random: Random) -> Iterator[bytes]:
    """Frames without end: some of random bytes, most of them seeds after one to six mutations."""
    frames = seeds()

    def flip(frame: bytearray, at: int) -> None:
        frame[at : at + 1] = bytes([random.randrange(256)])

    def insert(frame: bytearray, at: int) -> None:
        frame[at:at] = random.choice(TOKENS)

    def delete(frame: bytearray, at: int) -> None:
        del frame[at : at + 1 + int(random.expovariate(0.2))]

    def truncate(frame: bytearray, at: int) -> None:
        del frame[at:]

    def splice(frame: bytearray, at: int) -> None:
        other = random.choice(frames)
        frame[at:] = other[random.randrange(len(other)) :]

    def repeat(frame: bytearray, at: int) -> None:
        frame[at:at] = frame[at : at + random.randrange(80)] * random.randrange(1, 4)

    def nest(frame: bytearray, at: int) -> None:
        frame[at:at] = random.choice([b"[", b'{"a":']) * random.choice([10, 500, 1_000, 2_000, 50_000])

    mutations: list[Callable[[bytearray, int], None]]
    mutations = [*([flip, insert, delete, splice, repeat] * 8), truncate, truncate, nest]
    while True:
        if random.random() < 0.05:
            yield random.randbytes(random.randrange(200))
            continue
        frame = bytearray(random.choice(frames))
        for _ in range(random.choice([1, 1, 1, 2, 3, 6])):
            random.choice(mutations)(frame, random.randrange(len(frame) + 1))
        yield bytes(frame)


def fuzz(rounds: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Decode so many hostile frames; returns how often each outcome came, and what must not happen."""
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    for _, frame in zip(range(rounds), mutants(Random(seed)), strict=False):
        began = time.thread_time()
        try:
            message = decode(frame)
            outcome = type(message).__name__
            if not all(in_bounds(number) for number in numbers(message)):
                wrong.append(f"out of bounds: {_short(frame)}")
        except BadFrame as error:
            outcome = "BadFrame"
            if len(str(error)) >= LONGEST_TEXT:
                wrong.append(f"a text of {len(str(error))} characters: {_short(frame)}")
        except Exception as error:
            outcome = type(error).__name__
            wrong.append(f"{error!r}: {_short(frame)}")
        took = time.thread_time() - began
        counts[outcome] += 1
        if took > LONGEST_TIME:
            wrong.append(f"{took:.1f} s: {_short(frame)}")
    return counts, wrong


def numbers(message: object) -> list[tuple[float, float]]:
    """All prices and sizes of a message."""
    if isinstance(message, Snapshot):
        return [(level.price, level.size) for level in message.bids + message.asks]
    if isinstance(message, L2Update):
        return [(change.price, change.size) for change in message.changes]
    return []


def in_bounds(number: tuple[float, float]) -> bool:
    """Whether a book can be kept with this price and size."""
    price, size = number
    return 0 < price <= 1e300 and 0 <= size <= 1e300


def _short(frame: bytes) -> str:
    return f"{len(frame)} bytes, {frame[:300]!r}"


if __name__ == "__main__":
    sys.exit(report(fuzz, rounds=100_000))
