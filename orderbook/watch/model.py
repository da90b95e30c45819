"""Model of what is watched: the products, the chosen one's book and trades, and how far they can be trusted.

It takes frames, and knows no socket, no clock and no terminal: `now` is any clock in seconds that never goes
back. What is not live has no prices here, so none can be drawn.
"""

import math
from bisect import insort
from decimal import Decimal
from typing import NamedTuple

from orderbook.watch.frames import BadFrame, Book, Choice, Frame, Row, Status, Trade

LATE_AFTER = 2.0  # seconds that a frame took longer than the fastest of its connection
SILENT_AFTER = 2.0  # seconds; heartbeats come once a second, and so do frames of the push
MOST_PRODUCTS = 10_000
MOST_TRADES = 50
MOST_LEVELS = 200  # that the server gives a side


class State(NamedTuple):
    """How far a product can be trusted: a word for it, and why it is not live."""

    word: str
    reason: str = ""

    @property
    def is_live(self) -> bool:
        return self.word == "live"

    @property
    def has_prices(self) -> bool:
        """Whether prices may be shown: of a silent product the last ones are, marked as such."""
        return self.word in ("live", "silent")

    def __str__(self) -> str:
        return f"{self.word}: {self.reason}" if self.reason else self.word


class Digits:
    """Digits that a column needs; they only grow, so that nothing jumps."""

    def __init__(self) -> None:
        self.before = 1
        self.after = 0

    def grow(self, numbers: list[float]) -> None:
        """Make room for numbers."""
        for number in numbers:
            self.before = max(self.before, len(str(int(number))))
            self.after = max(self.after, decimals(number))


class Model:
    """What is known now."""

    def __init__(self) -> None:
        self.status: Status | None = None
        self.frame: Frame | None = None  # the last one
        self.rows: dict[str, Row] = {}
        self.products: list[str] = []  # in the order of their names
        self.chosen: str | None = None
        self.step = 0.0
        self.lost = "connecting"  # why there is no connection; empty while there is one
        self._book: Book | None = None  # the last that came, maybe of what was chosen before
        self._trades: list[Trade] = []
        self._received = -math.inf
        self._fastest = math.inf  # least of own clock less frame's time: the clocks' difference, nearly
        self._late = 0.0
        self.prices, self.sizes = Digits(), Digits()  # of the ladder

    # What comes

    def connected(self, now: float) -> None:
        """Begin anew: the next frame has all."""
        self.lost, self._received = "", now
        self._fastest, self._late = math.inf, 0.0
        self.status = self.frame = None
        self.rows.clear()
        self.products.clear()
        self._book = None
        self._trades.clear()

    def disconnected(self, reason: str) -> None:
        """Trust nothing any more."""
        self.lost = reason

    def take(self, frame: Frame, now: float) -> None:
        """Follow a frame; `BadFrame` where it can't be true."""
        self.frame, self._received = frame, now
        apart = now - frame.time.timestamp()
        self._fastest = min(self._fastest, apart)
        self._late = apart - self._fastest
        self.status = frame.status or self.status
        for row in frame.products:
            if row.symbol not in self.rows:
                insort(self.products, row.symbol)
            self.rows[row.symbol] = row
        if len(self.rows) > MOST_PRODUCTS:
            raise BadFrame(f"more than {MOST_PRODUCTS:,} products")
        if self.chosen is None and self.products:
            self.chosen = self.products[0]
        self._book = frame.book or self._book
        trades = {trade.id: trade for trade in [*self._trades, *frame.trades] if trade.symbol == self.chosen}
        # Ids are whole numbers as text; one who chose to and fro is sent older ones after newer ones.
        ordered = sorted(trades.values(), key=lambda trade: (len(trade.id), trade.id))
        self._trades = ordered[-MOST_TRADES:]
        self._make_room()

    # What is chosen

    def move(self, by: int) -> None:
        """Choose the product that lies so many further in the table, or its first or last."""
        if self.products:
            place = self.products.index(self.chosen) if self.chosen in self.rows else 0
            self._choose(self.products[min(max(place + by, 0), len(self.products) - 1)], 0.0)

    def group(self, now: float) -> None:
        """Group the levels by the next larger step, or, after the largest, by none."""
        row = self.rows.get(self.chosen or "")
        if row and row.mid and row.mid > 0 and self.state(row.symbol, now).has_prices:
            larger = [step for step in steps(row.mid) if step > self.step]
            self._choose(row.symbol, larger[0] if larger else 0.0)

    def page(self, size: int) -> list[str]:
        """The products of the page that the chosen one is on: a table stands still within it."""
        place = self.products.index(self.chosen) if self.chosen in self.rows else 0
        first = place - place % max(size, 1)
        return self.products[first : first + size]

    def choice(self, levels: int) -> Choice:
        """What to ask the server for, where so many levels a side can be seen."""
        return Choice(book=self.chosen, levels=min(max(levels, 1), MOST_LEVELS), step=self.step)

    def _choose(self, product: str, step: float) -> None:
        if product != self.chosen:
            self.prices, self.sizes = Digits(), Digits()
        self.chosen, self.step = product, step
        self._make_room()

    def _make_room(self) -> None:
        levels = [(trade.price, trade.amount) for trade in self.trades]
        if row := self.rows.get(self.chosen or ""):
            levels.append((row.bid_price or 0.0, row.bid_amount or 0.0))
            levels.append((row.ask_price or 0.0, row.ask_amount or 0.0))
        if self._book and self._book.symbol == self.chosen:
            levels += self._book.bids + self._book.asks
        self.prices.grow([price for price, _size in levels])
        self.sizes.grow([size for _price, size in levels])

    # What can be trusted

    def connection(self, now: float) -> State:
        """The state of the connection: `live`, or why nothing that it brought can be trusted now."""
        if self.lost:
            return State("no connection", self.lost)
        if (silence := now - self._received) > SILENT_AFTER:
            return State("no data", f"for {silence:.0f} s")
        if self._late > LATE_AFTER:
            return State("frames arrive late", f"{self._late:.0f} s")
        return State("live")

    def state(self, product: str, now: float) -> State:
        """The state of a product."""
        connection, row = self.connection(now), self.rows[product]
        if not connection.is_live:
            return connection
        if row.event != "live":
            return State(row.event, row.reason or "")
        if self.frame and row.seen and self.status and self.status.kind == "live":
            silence = (self.frame.time - row.seen).total_seconds()
            if silence > SILENT_AFTER:
                return State("silent", f"for {silence:.0f} s")
        return State("live")

    @property
    def trades(self) -> list[Trade]:
        """The last trades of the chosen product, the oldest first."""
        return [trade for trade in self._trades if trade.symbol == self.chosen]

    def book_state(self, now: float) -> State:
        """The state of the chosen product's book."""
        connection = self.connection(now)
        if not connection.is_live:
            return connection
        book = self._book
        if self.chosen not in self.rows or not book or (book.symbol, book.step) != (self.chosen, self.step):
            return State("waiting", "for the book")
        state = self.state(self.chosen, now)
        return State(book.event) if state.has_prices and book.event != "live" else state

    def book(self, now: float) -> Book | None:
        """The chosen product's book, where its prices may be shown."""
        return self._book if self.book_state(now).has_prices else None


def decimals(number: float) -> int:
    """The decimals that a number was written with."""
    exponent = Decimal(repr(number)).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def steps(price: float) -> list[float]:
    """Price steps to group by: some 0.2 to 20 basis points of a price, each a 1, 2 or 5 with zeros."""
    zeros = math.floor(math.log10(price)) - 4
    fine = [float(f"{digit}e{zeros + more}") for more in (0, 1) for digit in (1, 2, 5)]
    return [*fine, float(f"1e{zeros + 2}")]
