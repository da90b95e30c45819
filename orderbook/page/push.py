"""What is pushed, kept once for all clients, and what each client has had of it.

Each change is made into bytes once, when a client wants to see it; nothing is made that nobody looks at.
"""

from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime

import msgspec

from orderbook.book import Summary
from orderbook.page import frames
from orderbook.page.frames import Choice, Copy
from orderbook.page.totals import Totals
from orderbook.page.views import View, Views

ROWS_AT_ONCE = 50  # 0.4 ms
STATUS_INTERVAL = 1.0  # seconds


class Frame(msgspec.Struct, omit_defaults=True):
    """What a client is sent; each part is JSON, and absent where nothing of it is new."""

    time: str
    status: msgspec.Raw | None = None
    products: list[msgspec.Raw] | None = None
    book: msgspec.Raw | None = None
    trades: list[dict[str, object]] | None = None


class Board:
    """What clients look at: the rows of all products, the books that are chosen, the status."""

    def __init__(self, views: Views, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.views = views
        self._clock = clock
        self._totals = Totals(views)
        self._counted = float("-inf")
        self._versions: dict[str, int] = {}
        self._summaries: dict[str, Summary] = {}  # those in the rows
        self._rows: dict[str, tuple[int, msgspec.Raw]] = {}  # each with the number of its making
        self._made = 0
        self._copies: dict[str, Copy] = {}
        self.status: msgspec.Raw | None = None  # until the first count

    @property
    def now(self) -> str:
        """The time, as it is pushed."""
        return self._clock().isoformat(timespec="microseconds").replace("+00:00", "Z")

    def count(self, at: float) -> None:
        """Make the status anew where it is a second old, at a time of the monotonic clock."""
        if at >= self._counted + STATUS_INTERVAL:
            self._counted = at
            self.status = msgspec.Raw(frames.encode(self._totals.count()))

    def make_rows(self) -> Iterator[None]:
        """Make the rows that have changed, so many between two steps."""
        for place, view in enumerate(self.views.all(), start=1):
            version = view.version
            if self._versions.get(view.symbol) != version:
                read = view.read(self._read_row)
                if read is not None:
                    made, self._summaries[view.symbol] = read
                    self._versions[view.symbol] = version
                    self._made += 1
                    self._rows[view.symbol] = self._made, msgspec.Raw(made)
            if not place % ROWS_AT_ONCE:
                yield

    def _read_row(self, view: View) -> tuple[bytes, Summary]:
        """The row of a view, and the summary in it: while the book repeats what it was, the one before."""
        kept = self._summaries.get(view.symbol) if view.repeats else None
        return frames.row(view, kept), kept or view.summary

    def forget_rows(self) -> None:
        """Forget all rows, since nobody looks at them: they are made anew for who comes next."""
        self._rows.clear()
        self._versions.clear()
        self._summaries.clear()

    def rows(self, after: int) -> tuple[int, list[msgspec.Raw]]:
        """The rows that were made after a number, and the number to go on with."""
        return self._made, [raw for number, raw in list(self._rows.values()) if number > after]

    def copy(self, view: View) -> Copy | None:
        """The book of a view, copied where it has changed; None where a message comes meanwhile."""
        copy = self._copies.get(view.symbol)
        if copy is None or not (view.read(copy.is_newer_than) or view.read(copy.is_of)):
            if (copy := view.read(Copy)) is None:
                return None
            self._copies[view.symbol] = copy
        return copy

    def make_book(self, symbol: str) -> Iterator[None]:
        """Make what all frames of a book need, in pieces; what is left takes 1 ms for 40,000 levels."""
        view = self.views.get(symbol)
        if view and (copy := self.copy(view)):
            yield
            _ = copy.near
            yield

    def keep(self, choices: Collection[Choice]) -> None:
        """Forget the copies of books, and their frames, that nobody looks at."""
        chosen = {choice.book for choice in choices}
        for symbol, copy in list(self._copies.items()):
            if symbol in chosen:
                copy.forget([choice for choice in choices if choice.book == symbol])
            else:
                del self._copies[symbol]


class Viewer:
    """What one client has chosen, and what it has had so far."""

    def __init__(self) -> None:
        self._choice = Choice(pause=True)
        self._row = self._trade = 0
        self._status: msgspec.Raw | None = None
        self._book: bytes | None = None

    @property
    def choice(self) -> Choice:
        """What the client wants to see; what it had of another book is forgotten."""
        return self._choice

    @choice.setter
    def choice(self, choice: Choice) -> None:
        if choice.book != self._choice.book:
            self._book, self._trade = None, 0
        self._choice = choice

    def frame(self, board: Board) -> bytes | None:
        """What is new for the client, or None; it counts as sent."""
        choice, frame = self._choice, Frame(board.now)
        if choice.pause:
            return None
        if board.status is not self._status:
            frame.status = self._status = board.status
        if choice.products:
            self._row, rows = board.rows(self._row)
            frame.products = rows or None
        if choice.book is not None:
            self._add_book(board, choice, choice.book, frame)
        return frames.encode(frame) if frame != Frame(frame.time) else None

    def _add_book(self, board: Board, choice: Choice, symbol: str, frame: Frame) -> None:
        view = board.views.get(symbol)
        copy = board.copy(view) if view else None
        if view is None:
            made = frames.unknown(symbol)
        elif copy:
            made = copy.frame(choice.levels, choice.step, choice.cost)
        else:
            return
        if made != self._book:
            self._book, frame.book = made, msgspec.Raw(made)
        if view and (new := [each for each in list(view.trades) if each[0] > self._trade]):
            self._trade = new[-1][0]
            frame.trades = [frames.trade(trade) for _number, trade in new]
