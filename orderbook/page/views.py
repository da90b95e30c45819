"""Views of the books: what the page's thread may see while the dataflow's threads change it.

    worker's thread   odd version ─▶ the step updates the book ─▶ even version
    page's thread     even version? ─▶ copy ─▶ still the same? ─▶ it is a book at a message's end

The worker neither waits nor copies: a view costs it some attributes a message, and without a page there is
none.
"""

from collections import deque
from collections.abc import Callable, Collection, Mapping
from functools import wraps
from typing import NamedTuple, TypeVar

from orderbook.book import CrossedBook, OrderBookState, OrderBookSummary, OversizedBook, Step, Summary
from orderbook.coinbase.messages import L2Update, Message, Snapshot, Status, Trade
from orderbook.feed.stats import FeedStats

T = TypeVar("T")

KEPT_TRADES = 50  # the last ones of a product


class State(NamedTuple):
    """The state of a product: `live`, or why it isn't."""

    event: str
    reason: str = ""


CONNECTING = State("connecting")
LIVE = State("live")


class View:
    """What is shown of one product; only the worker that keeps its book writes to it."""

    __slots__ = ("book", "gaps", "last", "status", "symbol", "traded", "trades", "updates", "version")

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.version = 0  # odd while the book is being updated
        self.book: OrderBookState | None = None
        self.last: Message | None = None
        self.status: State | None = None  # why the stream has broken off; None where it hasn't
        self.updates = self.gaps = 0
        self.traded = 0  # trades so far, which number them
        self.trades: deque[tuple[int, Trade]] = deque(maxlen=KEPT_TRADES)

    def note(self, message: Message) -> None:
        """Take what a message says of more than the book."""
        self.last = message
        kind = type(message)
        if kind is L2Update:
            self.updates += 1
        elif kind is Trade:
            assert isinstance(message, Trade)
            self.traded += 1
            self.trades.append((self.traded, message))
        elif kind is Status:
            assert isinstance(message, Status)
            self.status = State(*message.event_and_reason)
            self.gaps += message.event == "gap"
        elif kind is Snapshot:
            self.status = None

    def read(self, make: Callable[["View"], T]) -> T | None:
        """What a function makes of the view at a message's end; None where a message comes meanwhile."""
        before = self.version
        if before % 2:
            return None
        made = make(self)
        return made if self.version == before else None

    @property
    def summary(self) -> Summary:
        """The book's summary; None before there is a book."""
        return self.book.summarize() if self.book else None

    @property
    def state(self) -> State:
        """Whether the book may be shown."""
        book, summary = self.book, self.summary
        if isinstance(summary, OversizedBook):
            return State("resync", f"{summary.bids} bids and {summary.asks} asks can't be true")
        if book is None or not book.is_live:
            return self.status or CONNECTING
        if isinstance(summary, CrossedBook):
            return State("crossed", f"best bid {summary.bid_price}, best ask {summary.ask_price}")
        if isinstance(summary, OrderBookSummary):
            return LIVE
        bids, asks = book.levels()
        return State("one-sided", "no bids" if asks else "no asks" if bids else "no levels")

    @property
    def repeats(self) -> bool:
        """Whether the book is at most as new as it was before a snapshot, as a renewed connection has it."""
        return self.book is not None and self.book.repeats


class Views:
    """The views of a process, by product; `feeds` has the counts of its feeds, and a replay has none.

    A product has a view from its first message on, or as soon as it is expected.
    """

    def __init__(self, feeds: Mapping[str, FeedStats] | None) -> None:
        self.feeds = feeds
        self.ended = False  # a replay that is over
        self._views: dict[str, View] = {}

    def expect(self, symbols: Collection[str]) -> None:
        """Have views of products that are to come."""
        for symbol in symbols:
            self._views.setdefault(symbol, View(symbol))

    def watching(self, step: Step) -> Step:
        """The step that keeps a book, watched; costs 0.4 µs a message."""
        views = self._views

        @wraps(step)
        def watched(state: OrderBookState | None, message: Message) -> tuple[OrderBookState, Summary]:
            symbol = message.product_id
            view = views.get(symbol)
            if view is None:
                view = views[symbol] = View(symbol)
            view.version += 1
            answer = step(state, message)
            view.book = answer[0]
            view.note(message)
            view.version += 1
            return answer

        return watched

    def get(self, symbol: str) -> View | None:
        """The view of a product, if there is one."""
        return self._views.get(symbol)

    def all(self) -> list[View]:
        """All views, in the order of their coming; from any thread."""
        return list(self._views.values())
