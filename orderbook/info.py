"""Contents of recordings: `python -m orderbook.info PATH…` prints a table of products, and what is not whole.

Exits with 1 where a file is not whole: its last line is truncated, or a line is bad.
"""

import logging
import sys
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from orderbook.coinbase.messages import BadFrame, L2Update, Message, Snapshot, Status, Trade, arrival
from orderbook.printable import printable
from orderbook.recording.breaks import STOPPED_AFTER
from orderbook.recording.line import MAX_LINE, decode_line, too_long
from orderbook.recording.paths import files_at
from orderbook.recording.reader import Reader

BLOCK = 65_536  # bytes that are read at a time


@dataclass
class Product:
    """What recordings have of a product."""

    first: int | None = None  # arrivals, in nanoseconds since 1970
    last: int | None = None
    frames: int = 0
    snapshots: int = 0
    updates: int = 0
    trades: int = 0
    gaps: Counter[str] = field(default_factory=Counter)  # by their reasons
    missing_trades: int = 0
    last_trade: int | None = None

    def add(self, message: Message) -> None:
        """Count a message; without an arrival it goes by the exchange's time."""
        if isinstance(message, Status):
            self.gaps[message.reason] += 1
            return
        self.frames += 1
        self.snapshots += isinstance(message, Snapshot)
        self.updates += isinstance(message, L2Update)
        if isinstance(message, Trade):
            self._add_trade(message)
        time = arrival(message)
        if time is not None:
            if self.last is not None and time - self.last > STOPPED_AFTER:
                self.gaps["gap: no message for more than a minute"] += 1
            self.first = time if self.first is None else min(self.first, time)
            self.last = time if self.last is None else max(self.last, time)

    def _add_trade(self, trade: Trade) -> None:
        """Count it, unless it is the last before a subscription; holes of ids are missing trades."""
        is_new = type(trade) is Trade
        self.trades += is_new
        if self.last_trade is not None:
            self.missing_trades += max(0, trade.trade_id - self.last_trade - is_new)
        self.last_trade = max(trade.trade_id, self.last_trade or 0)


def contents(files: Iterable[Path], products: dict[str, Product]) -> Iterator[str]:
    """Count what is in these recordings, and yield a line for whatever in them is not whole.

    Of a file with bad lines the first is shown; the others are read all the same.
    """
    for path in files:
        reader, bad = Reader(path, timed=False), 0
        try:
            while not reader.ended:
                reader.fill(BLOCK)
                before = reader.line
                for number, line in enumerate(reader.take(len(reader.lines)), before + 1):
                    try:
                        _count(line, products)
                    except BadFrame as error:
                        bad += 1
                        if bad == 1:
                            yield f"{reader.name}:{number}: {printable(error)}"
        except (OSError, zlib.error) as error:
            yield f"{reader.name}:{reader.line + 1}: {printable(error)}"
        if reader.truncated:
            yield f"{reader.name}:{reader.line + 1}: the last line is truncated"
        if bad > 1:
            yield f"{reader.name}: {bad} lines are bad"


def _count(line: bytes, products: dict[str, Product]) -> None:
    if len(line) > MAX_LINE:
        raise too_long(line)
    message = decode_line(line)
    if isinstance(message, Message):
        products.setdefault(message.product_id, Product()).add(message)


def table(products: dict[str, Product]) -> Iterator[str]:
    """The lines of the table, and below each product its gaps."""
    yield _row("product", "first arrival", "last arrival", "frames", "snapshots", "updates", "trades", "gaps")
    for name, its in sorted(products.items()):
        counts = its.frames, its.snapshots, its.updates, its.trades, its.gaps.total()
        yield _row(printable(name), _time(its.first), _time(its.last), *(f"{count:,}" for count in counts))
        for reason, count in its.gaps.most_common():
            yield f"    {count} × {printable(reason)}"
        if its.missing_trades:
            yield f"    {its.missing_trades} trades are missing, by their ids"


def _row(product: str, first: str, last: str, *counts: str) -> str:
    return f"{product:<12} {first:<26} {last:<26}" + "".join(f" {count:>11}" for count in counts)


def _time(nanoseconds: int | None) -> str:
    if nanoseconds is None:
        return "unknown"
    try:
        return f"{datetime.fromtimestamp(nanoseconds // 10**9, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{nanoseconds} ns"


def main() -> None:
    """Tell of the recordings at the paths of the command line."""
    if len(sys.argv) < 2:
        sys.exit(f"usage: {sys.executable} -m orderbook.info PATH...")
    try:
        files = files_at(sys.argv[1:])
    except ValueError as error:
        sys.exit(f"info: {error}")
    logging.disable()  # what the reader logs is printed
    products: dict[str, Product] = {}
    broken = list(contents(files, products))
    print(*table(products), "", sep="\n")
    print(*broken, f"{len(files)} files, {'all' if not broken else 'not all'} whole", sep="\n")
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
