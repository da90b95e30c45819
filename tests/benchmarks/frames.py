"""Streams of raw frames in files, the contenders' input, and the true top of the book after each frame."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from orderbook.coinbase import exchange
from tests.exchange.market import Market, market
from tests.support.oracle import Oracle, decoded
from tests.support.processes import ROOT

CAPTURES = ROOT.parent / "shared" / "captures"
LEVELS = (16_500, 28_500)  # bids and asks of a BTC-USD-sized book: 45,000 together
SHORT = 300  # updates in the short form of a stream

decode: Callable[[bytes], Any] = exchange.decode  # all frames of the streams are messages of a product

Best = tuple[float, float, float, float]  # bid price and size, ask price and size
Top = tuple[str, Best]  # and the product


class Stream(NamedTuple):
    """A stream of frames in a file, one a line.

    Beside `x.jsonl` stand `x.snapshots.jsonl`, the stream without its updates, `x.short.jsonl`, its
    first `SHORT` updates, and `x.true.json`, the true top after each snapshot and update.
    """

    name: str
    path: str
    updates: int
    changes: int
    levels: int
    judged: bool  # whether targets are set for it

    def other(self, suffix: str) -> Path:
        """One of the files beside it."""
        return Path(self.path).with_suffix(suffix)

    def truth(self) -> list[Top]:
        """The true top after each snapshot and update."""
        tops = json.loads(self.other(".true.json").read_bytes())
        return [(product, (*best,)) for product, best in tops]


def capture(folder: Path) -> Stream | None:
    """The frames captured from the real exchange, where they are present; the oracle has their truth."""
    files = sorted(CAPTURES.glob("*.jsonl"))
    frames = [line for file in files for line in file.read_bytes().splitlines()]
    oracles: dict[str, Oracle] = {}
    truth: list[Top] = []
    for frame in frames:
        if _is_book(frame):
            product = str(decoded(frame)["product_id"])
            oracle = oracles.setdefault(product, Oracle(product))
            oracle.judge(frame)
            if best := oracle.best():
                truth.append((product, best))
    return _written(folder / "capture.jsonl", "real capture", frames, truth) if frames else None


def synthetic(folder: Path, changes: int, updates: int, restless: bool = False) -> Stream:
    """A seeded market with a BTC-USD-sized book; its own true book has the truth."""
    market = btc_usd(moving=0.5) if restless else btc_usd()
    frames = [market.snapshot()]
    truth = [("BTC-USD", market.best())]
    for _ in range(updates):
        frames.append(market.update(changes))
        truth.append(("BTC-USD", market.best()))
    name = f"synthetic, {changes} changes{', restless' if restless else ''}"
    return _written(folder / f"{name}.jsonl", name, frames, truth, judged=not restless)


def btc_usd(**others: Any) -> Market:
    """A seeded market with a BTC-USD-sized book."""
    return market("BTC-USD", 1, LEVELS, **others)


def write(path: Path, frames: Iterable[bytes]) -> Path:
    """Write frames as a recording."""
    path.write_bytes(b"".join(frame + b"\n" for frame in frames))
    return path


def _is_book(frame: bytes) -> bool:
    return frame.startswith((b'{"type":"snapshot"', b'{"type":"l2update"'))


def _written(path: Path, name: str, frames: list[bytes], truth: list[Top], judged: bool = True) -> Stream:
    snapshots = [frame for frame in frames if frame.startswith(b'{"type":"snapshot"')]
    updates = [frame for frame in frames if frame.startswith(b'{"type":"l2update"')]
    levels = sum(len(decoded(frame)[side]) for frame in snapshots for side in ("bids", "asks"))
    changes = sum(frame.count(b'["') for frame in updates)
    stream = Stream(name, str(path), len(updates), changes, levels, judged)
    last = frames.index(updates[min(SHORT, len(updates)) - 1])
    write(path, frames)
    write(stream.other(".snapshots.jsonl"), snapshots)
    write(stream.other(".short.jsonl"), frames[: last + 1])
    stream.other(".true.json").write_text(json.dumps(truth))
    return stream
