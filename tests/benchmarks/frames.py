"""What the contenders are fed: streams of raw frames in files, and what is true after each of them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from tests.exchange.market import Market, market
from tests.support.oracle import Oracle, decoded
from tests.support.processes import ROOT

CAPTURES = ROOT.parent / "shared" / "captures"
LEVELS = (16_500, 28_500)  # bids and asks of a BTC-USD-sized book: 45,000 together
SHORT = 300  # updates in the short form of a stream

Best = tuple[float, float, float, float]  # bid price and size, ask price and size
Told = tuple[str, Best]  # and the product


class Stream(NamedTuple):
    """A stream of frames in a file, one a line.

    Beside `x.jsonl` stand `x.snapshots.jsonl`, the stream without its updates, `x.short.jsonl`, its
    first `SHORT` updates, and `x.true.json`, what is true after each snapshot and update.
    """

    name: str
    path: str
    updates: int
    changes: int
    levels: int
    judged: bool  # whether it is one of those that the targets are about

    def other(self, suffix: str) -> Path:
        """One of the files beside it."""
        return Path(self.path).with_suffix(suffix)

    def truth(self) -> list[Told]:
        """What is true after each snapshot and update."""
        told = json.loads(self.other(".true.json").read_bytes())
        return [(product, (*best,)) for product, best in told]


def capture(folder: Path) -> Stream | None:
    """What was captured from the real exchange, where it is present; the oracle says what is true."""
    files = sorted(CAPTURES.glob("*.jsonl"))
    frames = [line for file in files for line in file.read_bytes().splitlines()]
    oracles: dict[str, Oracle] = {}
    truth: list[Told] = []
    for frame in frames:
        if _is_book(frame):
            product = str(decoded(frame)["product_id"])
            oracle = oracles.setdefault(product, Oracle(product))
            oracle.judge(frame)
            if best := oracle.best():
                truth.append((product, best))
    return _written(folder / "capture.jsonl", "real capture", frames, truth) if frames else None


def synthetic(folder: Path, changes: int, updates: int, restless: bool = False) -> Stream:
    """A seeded market with a BTC-USD-sized book; its own true book says what is true."""
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


def _written(path: Path, name: str, frames: list[bytes], truth: list[Told], judged: bool = True) -> Stream:
    snapshots = [frame for frame in frames if frame.startswith(b'{"type":"snapshot"')]
    updates = [frame for frame in frames if frame.startswith(b'{"type":"l2update"')]
    levels = sum(len(decoded(frame)[side]) for frame in snapshots for side in ("bids", "asks"))  # type: ignore[arg-type]
    changes = sum(frame.count(b'["') for frame in updates)
    stream = Stream(name, str(path), len(updates), changes, levels, judged)
    last = frames.index(updates[min(SHORT, len(updates)) - 1])
    write(path, frames)
    write(stream.other(".snapshots.jsonl"), snapshots)
    write(stream.other(".short.jsonl"), frames[: last + 1])
    stream.other(".true.json").write_text(json.dumps(truth))
    return stream
