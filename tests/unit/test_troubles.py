"""Log of lost connections: what is logged, and when it is counted instead, by a clock of the test's own."""

import logging
from collections import UserDict
from collections.abc import ValuesView
from contextlib import suppress
from threading import Barrier, BrokenBarrierError, Thread

import pytest

from orderbook.feed.errors import Closed, FeedError, Refresh, Rejected, Unreachable
from orderbook.feed.stats import FeedStats
from orderbook.feed.troubles import SIGNIFICANT, Troubles
from tests.support.clock import Clock

AWAY = Unreachable("no connection to ws://x: nobody listens")
HANGS = Unreachable("no connection to ws://x: timed out")
LOST = Closed("the connection was closed: 1001")
RENEWED = Refresh("renewed after 60 s")
HINT = "replay a recording, without a network"

Step = tuple[float, str, FeedError]
"""The time, the products of the connection, and why it was given up or not made."""

TABLE: dict[str, tuple[list[Step], list[str]]] = {
    "a lost connection is logged with its products, the reason and the delay": (
        [(0, "A B", LOST)],
        ["WARNING A, B: the connection was closed: 1001; next attempt in 1.5 s"],
    ),
    "of many products the first three are named": (
        [(0, "A B C", LOST), (0, "D E F G H", LOST)],
        [
            "WARNING A, B, C: the connection was closed: 1001; next attempt in 1.5 s",
            "WARNING D, E, F and 2 more: the connection was closed: 1001; next attempt in 1.5 s",
        ],
    ),
    "a renewal is no trouble, however often it comes": (
        [(0, "A", RENEWED), (1, "A", RENEWED)],
        ["INFO A: renewed after 60 s"] * 2,
    ),
    "an exchange that can't be reached is one trouble of all products, and the hint follows it": (
        [(0, "A", AWAY), (0, "B", AWAY), (1, "C", AWAY)],
        ["WARNING no connection to ws://x: nobody listens; next attempt in 1.5 s", f"WARNING {HINT}"],
    ),
    "addresses in another order are the same cause": (
        [
            (
                0,
                "A",
                Unreachable("no connection to ws://x: Multiple exceptions: [Errno 101] a, [Errno 101] b"),
            ),
            (
                0,
                "B",
                Unreachable("no connection to ws://x: Multiple exceptions: [Errno 101] b, [Errno 101] a"),
            ),
        ],
        [
            "WARNING no connection to ws://x: Multiple exceptions: [Errno 101] a, [Errno 101] b; "
            "next attempt in 1.5 s",
            f"WARNING {HINT}",
        ],
    ),
    "the hint is logged once, whatever follows": (
        [(0, "A", AWAY), (1, "A", HANGS), (100, "A", AWAY)],
        [
            "WARNING no connection to ws://x: nobody listens; next attempt in 1.5 s",
            f"WARNING {HINT}",
            "WARNING no connection to ws://x: timed out; next attempt in 1.5 s",
            "WARNING no connection to ws://x: nobody listens; next attempt in 1.5 s",
        ],
    ),
    "what repeats is counted, and the count is logged each 30 s": (
        [(second, "A", LOST) for second in range(65)],
        [
            "WARNING A: the connection was closed: 1001; next attempt in 1.5 s",
            "WARNING 30 more connections lost or not made, the last one: A: the connection was closed: 1001; "
            "0 of 3 products are live",
            "WARNING 30 more connections lost or not made, the last one: A: the connection was closed: 1001; "
            "0 of 3 products are live",
        ],
    ),
    "all products and troubles share the count": (
        [
            *((0, product, LOST) for product in "ABC"),
            *((second, product, LOST) for second in range(5, 31, 5) for product in "ABC"),
        ],
        [
            *(
                f"WARNING {product}: the connection was closed: 1001; next attempt in 1.5 s"
                for product in "ABC"
            ),
            "WARNING 16 more connections lost or not made, the last one: A: the connection was closed: 1001; "
            "0 of 3 products are live",
        ],
    ),
    "a trouble that is new is logged while another one repeats": (
        [(0, "A", LOST), (1, "A", LOST), (2, "A", Rejected("frame rejected: b''")), (3, "B", LOST)],
        [
            "WARNING A: the connection was closed: 1001; next attempt in 1.5 s",
            "WARNING A: frame rejected: b''; next attempt in 1.5 s",
            "WARNING B: the connection was closed: 1001; next attempt in 1.5 s",
        ],
    ),
    "a trouble that differs in values alone is the same": (
        [(second, "A", Rejected(f"{'-' * SIGNIFICANT}{second}")) for second in range(3)],
        [f"WARNING A: {'-' * (SIGNIFICANT)}0; next attempt in 1.5 s"],
    ),
    "a trouble that comes back after 30 s is logged anew, and counted anew": (
        [(0, "A", LOST), (10, "A", LOST), (41, "A", LOST), (60, "A", LOST), (72, "A", LOST)],
        [
            "WARNING A: the connection was closed: 1001; next attempt in 1.5 s",
            "WARNING A: the connection was closed: 1001; next attempt in 1.5 s",
            "WARNING 2 more connections lost or not made, the last one: A: the connection was closed: 1001; "
            "0 of 3 products are live",
        ],
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_log(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """What is logged is what the row says, in order."""
    steps, lines = TABLE[name]
    caplog.set_level(logging.INFO)
    clock = Clock()
    troubles = Troubles({product: FeedStats() for product in "ABC"}, HINT, clock=clock)
    for clock.now, products, error in steps:
        troubles.report(products.split(), error, 1.5)
    assert [f"{record.levelname} {record.getMessage()}" for record in caplog.records] == lines


def test_no_hint_after_a_live_time(caplog: pytest.LogCaptureFixture) -> None:
    """Where any product has been live there is no hint; the count says how many products are live."""
    stats = {product: FeedStats() for product in "ABC"}
    stats["B"].snapshots = 1
    stats["B"].live = True
    clock = Clock()
    troubles = Troubles(stats, HINT, clock=clock)
    for clock.now in (0.0, 20.0, 40.0):
        troubles.report(["A"], AWAY, 1.5)
    assert HINT not in caplog.messages
    assert caplog.messages[-1].endswith("nobody listens; 1 of 3 products are live")


def test_threads(caplog: pytest.LogCaptureFixture) -> None:
    """Two threads that report at the same time log the hint once between them."""
    both = Barrier(2)

    class MeetingStats(UserDict[str, FeedStats]):
        """Counts at which two threads meet, if both get there."""

        def values(self) -> ValuesView[FeedStats]:
            with suppress(BrokenBarrierError):
                both.wait(0.2)
            return super().values()

    troubles = Troubles(MeetingStats(), HINT, clock=lambda: 0.0)
    threads = [Thread(target=troubles.report, args=[["A"], error, 1.5]) for error in (AWAY, HANGS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (caplog.messages.count(HINT), len(caplog.messages)) == (1, 3)
