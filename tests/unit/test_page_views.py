"""Views of books: their states, and that they are read at the end of a message only."""

import pytest

from orderbook.coinbase.messages import Heartbeat, LastTrade, Message, Snapshot, Trade
from orderbook.page.views import KEPT_TRADES, State, View, Views
from tests.support.views import ARRIVAL, Fed, keep, snapshot, status, update

WHOLE = snapshot("A-B", [(10.0, 1.0)], [(11.0, 2.0)])


@pytest.mark.parametrize(
    ("messages", "state"),
    [
        ([update("A-B", "buy", 9.0, 1.0)], State("connecting")),
        ([WHOLE], State("live")),
        ([WHOLE, Heartbeat("A-B")], State("live")),
        ([WHOLE, update("A-B", "buy", 11.0, 1.0)], State("crossed", "best bid 11.0, best ask 11.0")),
        ([WHOLE, update("A-B", "sell", 11.0, 0.0)], State("one-sided", "no asks")),
        ([WHOLE, update("A-B", "buy", 10.0, 0.0)], State("one-sided", "no bids")),
        ([snapshot("A-B")], State("one-sided", "no levels")),
        ([WHOLE, status("A-B", "stale: no frame for 5 s")], State("stale", "no frame for 5 s")),
        ([WHOLE, status("A-B", "closed: x"), Heartbeat("A-B")], State("closed", "x")),
        ([status("A-B", "refused: no such product")], State("refused", "no such product")),
        ([WHOLE, status("A-B", "gap: 3 to 5"), WHOLE], State("live")),
    ],
)
def test_state(messages: list[Message], state: State) -> None:
    """A product is live from its snapshot on, and says why it isn't."""
    assert Fed().feed(*messages).state == state


def test_expected_products() -> None:
    """A product that is expected is connecting until its first message."""
    fed = Fed()
    fed.views.expect(["A-B", "C-D"])
    fed.feed(WHOLE)
    assert [(view.symbol, view.state.event) for view in fed.views.all()] == [
        ("A-B", "live"),
        ("C-D", "connecting"),
    ]


def test_is_not_read_within_a_message() -> None:
    """While a step is under way a view can't be read, nor where a message came while it was."""
    views = Views(None)
    seen: list[object] = []

    def step(state, message):  # type: ignore[no-untyped-def]
        view = views.get("A-B")
        assert view
        seen.append(view.read(lambda view: "read"))
        return keep(state, message)

    watched = views.watching(step)
    state, _ = watched(None, WHOLE)
    view = views.get("A-B")
    assert seen == [None] and view and view.read(lambda view: view.summary) is state.summarize()

    def make(view: View) -> str:
        watched(state, WHOLE)
        return "torn"

    assert view.read(make) is None


def test_counts_and_trades() -> None:
    """Updates, gaps and trades are counted; the last trades are kept, each with its number."""
    trades = [Trade("A-B", n, "buy", 10.0, 1.0, None, ARRIVAL) for n in range(KEPT_TRADES + 5)]
    last = LastTrade("A-B", 1, "buy", 10.0, 1.0)
    view = Fed().feed(last, WHOLE, update("A-B", "buy", 9.0, 1.0), *trades, status("A-B", "gap: x"))
    assert (view.updates, view.gaps) == (1, 1)
    assert list(view.trades) == list(enumerate(trades, start=1))[5:]


def test_a_snapshot_ends_the_status_before_it() -> None:
    """Why a stream broke off is forgotten with the next snapshot."""
    assert Fed().feed(WHOLE, status("A-B", "closed: x"), WHOLE).status is None


def test_a_copy_is_no_part_of_the_book() -> None:
    """A copy of a book stays as it is while the book goes on, also one that is shared with another copy."""
    state, _ = keep(None, Snapshot("A-B", WHOLE.bids, WHOLE.asks))
    copy = state.copy()
    keep(state, update("A-B", "buy", 10.5, 1.0))
    copy.check()
    assert copy.depth(9) == ([(10.0, 1.0)], [(11.0, 2.0)])
    assert state.depth(9) == ([(10.5, 1.0), (10.0, 1.0)], [(11.0, 2.0)])
