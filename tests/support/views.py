"""Views of books for tests, fed by messages."""

from collections.abc import Sequence

from orderbook.book import OrderBookState, Summary
from orderbook.coinbase.messages import Change, L2Update, Level, Message, Snapshot, Status
from orderbook.feed.stats import FeedStats
from orderbook.page.views import View, Views

ARRIVAL = 1_790_000_000_123_456_789  # 2026-09-21T14:13:20.123456Z
ARRIVED = "2026-09-21T14:13:20.123456Z"


def keep(state: OrderBookState | None, message: Message) -> tuple[OrderBookState, Summary]:
    """Keep a book, and summarize it after each message."""
    state = state or OrderBookState()
    state.update(message)
    return state, state.summarize()


class Fed:
    """Views that a test feeds."""

    def __init__(self, feeds: dict[str, FeedStats] | None = None) -> None:
        self.views = Views(feeds)
        self._step = self.views.watching(keep)
        self._books: dict[str, OrderBookState] = {}

    def feed(self, *messages: Message) -> View:
        """Have the books take messages; returns the view of the last one's product."""
        for message in messages:
            symbol = message.product_id
            self._books[symbol], _ = self._step(self._books.get(symbol), message)
        view = self.views.get(messages[-1].product_id)
        assert view
        return view


def snapshot(
    symbol: str, bids: Sequence[tuple[float, float]] = (), asks: Sequence[tuple[float, float]] = ()
) -> Snapshot:
    """A snapshot of these levels, (price, size)."""
    bid_levels, ask_levels = ([Level(*level) for level in side] for side in (bids, asks))
    return Snapshot(symbol, bid_levels, ask_levels, None, ARRIVAL)


def update(symbol: str, side: str, price: float, size: float, time: str | None = None) -> L2Update:
    """An update of one level."""
    return L2Update(symbol, [Change(side, price, size)], time, ARRIVAL)  # type: ignore[arg-type]


def status(symbol: str, reason: str) -> Status:
    """A product's stream breaks off."""
    return Status(symbol, reason, ARRIVAL)
