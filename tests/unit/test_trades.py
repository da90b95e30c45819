"""Ids of trades: a missing one is counted and logged, and none is handed on twice."""

import pytest

from orderbook.coinbase.messages import Heartbeat, LastTrade, Message, Trade
from orderbook.feed.stats import FeedStats
from orderbook.feed.trades import LOG_INTERVAL, MissingTrades, TradeIds
from tests.support.clock import Clock


def message(text: str) -> Message:
    """A trade of an id (`5`), the last one before a subscription (`last 5`), or a heartbeat (`beat 5`)."""
    kind, _, number = text.rpartition(" ")
    if kind == "beat":
        return Heartbeat("A-B", None, int(number))
    return (LastTrade if kind else Trade)("A-B", int(number), "buy", 1.0, 1.0)


@pytest.mark.parametrize(
    ("messages", "handed_on", "missing"),
    [
        (["last 4", "5", "6", "beat 6", "7"], ["last 4", "5", "6", "beat 6", "7"], 0),
        (["5", "6"], ["5", "6"], 0),  # no trade before
        (["beat 9", "10"], ["beat 9", "10"], 0),
        (["last 4", "6"], ["last 4", "6"], 1),
        (["5", "9", "10"], ["5", "9", "10"], 3),
        (["5", "beat 7", "8"], ["5", "beat 7", "8"], 2),  # told once, by the heartbeat
        (["5", "beat 8", "6", "7", "8"], ["5", "beat 8", "6", "7", "8"], 3),  # all late
        (["500000", "last 10", "11", "12"], ["500000", "last 10", "11", "12"], 0),  # ids that begin anew
        (["5", "beat 7", "9"], ["5", "beat 7", "9"], 3),
        (["5", "beat 7", "7"], ["5", "beat 7", "7"], 2),  # late, and no repetition
        (["5", "6", "last 6", "7"], ["5", "6", "7"], 0),  # a new subscription
        (["5", "last 8", "9"], ["5", "last 8", "9"], 3),  # what came between two subscriptions, 8 too
        (["5", "6", "7", "6", "7", "8"], ["5", "6", "7", "8"], 0),  # on the connection before too
        (["5", "5"], ["5"], 0),
        (["5", "beat 4", "6"], ["5", "beat 4", "6"], 0),
    ],
)
def test_ids(messages: list[str], handed_on: list[str], missing: int) -> None:
    """Each trade is handed on once, and those that never came are counted."""
    stats = FeedStats()
    ids = TradeIds("A-B", stats, MissingTrades())
    assert [text for text in messages if ids.is_new(message(text))] == handed_on
    assert stats.missing_trades == missing


def test_missing_trades_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The first are logged at once, later ones are counted on, and logged together for all products."""
    clock = Clock(1000.0)
    missing = MissingTrades(clock)
    missing.add("A-B", 2)
    missing.add("A-B", 1)
    for number in range(5):
        missing.add(f"C{number}-D", 5 - number)
    missing.log_rest()
    clock.now += LOG_INTERVAL
    missing.log_rest()
    missing.log_rest()
    assert caplog.messages == [
        "trades are missing: 2 of A-B",
        "trades are missing: 5 of C0-D, 4 of C1-D, 3 of C2-D and those of 3 more products",
    ]
