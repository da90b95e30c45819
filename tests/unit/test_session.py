"""The rules of a connection, as tables: what comes in, and what must come out.

A step is `A snapshot` (or update, heartbeat: a frame of product A-USD), `ack A B`, `error REASON`,
`junk TEXT` (a frame as it stands), `partial` (bytes that complete no frame), `+2.5` (seconds pass, and what
is due is checked), `A crossed` (its book is, since now), `A crossed since 2` (2 seconds ago) or `A wanted` (a
snapshot of it is). What comes out is `A snapshot` (a message that is handed on), `> subscribe A B` (a
request) or `! reason text` (an error; a new connection follows at once).
"""

import json
import logging
import math

import pytest

from orderbook.coinbase.exchange import subscribe
from orderbook.feed.errors import FeedError
from orderbook.feed.session import SUBSCRIBE_CHUNK, Session
from orderbook.feed.silence import Timeouts
from orderbook.feed.stats import FeedStats

LEVELS: dict[str, dict[str, object]] = {
    "snapshot": {"type": "snapshot", "bids": [["1", "1"]], "asks": [["2", "1"]]},
    "update": {"type": "l2update", "changes": [["buy", "1", "2"]]},
    "heartbeat": {"type": "heartbeat"},
    "trade": {"type": "match", "trade_id": 7, "side": "buy", "price": "1", "size": "1"},
    "last trade": {"type": "last_match", "trade_id": 6, "side": "buy", "price": "1", "size": "1"},
}
TIMEOUTS = Timeouts()
KINDS = {
    "Snapshot": "snapshot",
    "L2Update": "update",
    "Heartbeat": "heartbeat",
    "Trade": "trade",
    "LastTrade": "last trade",
}


class Driven:
    """A session that is driven by steps, and what came out of it."""

    def __init__(self, products: str, timeouts: Timeouts = TIMEOUTS, offset: float = 0.0) -> None:
        self.product_ids = [f"{letter}-USD" for letter in products.split()]
        self.stats = {product_id: FeedStats() for product_id in self.product_ids}
        self.session = Session(self.product_ids, self.stats, timeouts, offset)
        self.now = 10_000.0
        self.out: list[str] = []
        self.last_partial = -math.inf
        self.session.connected(self.now)
        self._send()

    def step(self, step: str) -> None:
        """Do one step, and note what comes out."""
        try:
            self._do(step)
        except FeedError as error:
            self.out.append(f"! {error.reason} {error}".replace("-USD", ""))
            self.session.disconnected(error)
            self.session.connected(self.now)
        self._send()

    def _do(self, step: str) -> None:
        first, _, rest = step.partition(" ")
        if first.startswith("+"):
            self.now += float(first)
            if self.now >= self.session.deadline:
                self.session.check(self.now, self.last_partial)
        elif first == "partial":
            self.last_partial = self.now
        elif rest == "wanted":
            self.session.resubscribe(f"{first}-USD", self.now, "its recording was interrupted")
        elif rest.startswith("crossed"):
            since = self.now - float(rest.removeprefix("crossed").removeprefix(" since") or 0)
            self.session.resync(f"{first}-USD", since, "crossed for 2.0 s", self.now)
        else:
            message = self.session.receive(self.frame(first, rest), self.now)
            if message:
                self.out.append(f"{message.product_id.removesuffix('-USD')} {KINDS[type(message).__name__]}")

    def frame(self, first: str, rest: str) -> bytes:
        """The frame of a step."""
        if first == "junk":
            return rest.encode()
        if first == "error":
            return json.dumps({"type": "error", "message": "Failed to subscribe", "reason": rest}).encode()
        if first == "ack":
            listed = [f"{letter}-USD" for letter in rest.split()]
            channels = [
                {"name": "level2_50", "product_ids": listed},
                {"name": "heartbeat", "product_ids": []},
            ]
            return json.dumps({"type": "subscriptions", "channels": channels}).encode()
        return json.dumps(LEVELS[rest] | {"product_id": f"{first}-USD"}).encode()

    def _send(self) -> None:
        while self.session.has_request:
            request = self.session.next_request(self.now)
            assert request
            asked = json.loads(request)
            assert ("heartbeat" in asked["channels"]) == (asked["type"] == "subscribe")
            self.out.append(f"> {asked['type']} {' '.join(asked['product_ids'])}".replace("-USD", ""))


ONE_LIVE = ["ack A", "A snapshot"]
ONE_LIVE_OUT = ["> subscribe A", "A snapshot"]
TWO_LIVE = ["ack A B", "A snapshot", "B snapshot"]
TWO_LIVE_OUT = ["> subscribe A B", "A snapshot", "B snapshot"]
ANEW = ["> unsubscribe A", "> subscribe A"]
NO_PRODUCT = "the exchange answers 'Failed to subscribe', 'A is not a valid product'"
WRONG = "error A-USD is not a valid product"

TABLE: dict[str, tuple[str, list[str], list[str]]] = {
    # A snapshot first
    "messages before the snapshot are dropped": (
        "A",
        ["ack A", "A update", "A heartbeat", "A snapshot", "A update", "A heartbeat"],
        ["> subscribe A", "A snapshot", "A update", "A heartbeat"],
    ),
    "a product is live by its own snapshot": (
        "A B",
        ["ack A B", "B snapshot", "A update", "B update", "A snapshot", "A update"],
        ["> subscribe A B", "B snapshot", "B update", "A snapshot", "A update"],
    ),
    "trades are handed on whether the book is live or not": (
        "A",
        ["ack A", "A last trade", "A trade", "A update", "A snapshot", "A trade", "A crossed", "A trade"],
        ["> subscribe A", "A last trade", "A trade", "A snapshot", "A trade", *ANEW, "A trade"],
    ),
    "a snapshot in mid-stream is handed on": (
        "A",
        [*ONE_LIVE, "A snapshot", "A update"],
        [*ONE_LIVE_OUT, "A snapshot", "A update"],
    ),
    "an acknowledgement may be missing or late": (
        "A",
        ["A snapshot", "A update", "ack A", "A update"],
        ["> subscribe A", "A snapshot", "A update", "A update"],
    ),
    "a frame of an unknown type is passed over": (
        "A",
        [*ONE_LIVE, 'junk {"type":"ticker","product_id":"A-USD"}', "A update"],
        [*ONE_LIVE_OUT, "A update"],
    ),
    # Frames that can't be trusted cost the connection
    "a frame that is not JSON": (
        "A B",
        [*TWO_LIVE, "junk <html>", "A update", "A snapshot"],
        [
            *TWO_LIVE_OUT,
            "! bad_frame frame rejected: JSON is malformed: invalid character (byte 0): b'<html>'",
            "> subscribe A B",
            "A snapshot",
        ],
    ),
    "a frame of a product that was not asked for": (
        "A",
        [*ONE_LIVE, "B update"],
        [*ONE_LIVE_OUT, "! bad_frame frame rejected: it is of product 'B'", "> subscribe A"],
    ),
    "an acknowledgement of a product that was not asked for": (
        "A",
        ["ack A C"],
        [
            "> subscribe A",
            "! bad_frame frame rejected: it acknowledges 'C', which was not asked for",
            "> subscribe A",
        ],
    ),
    "an error that answers no subscribe": (
        "A",
        [*ONE_LIVE, "error Internal error"],
        [
            *ONE_LIVE_OUT,
            "! refused the exchange answers 'Failed to subscribe', 'Internal error'",
            "> subscribe A",
        ],
    ),
    # Silence
    "a connection on which nothing ever comes": (
        "A B",
        ["+4.9", "+0.1"],
        ["> subscribe A B", "! stale no frame for 5 s", "> subscribe A B"],
    ),
    "a connection that falls silent": (
        "A B",
        [*TWO_LIVE, "+1", "A heartbeat", "B heartbeat", "+4.9", "+0.1"],
        [*TWO_LIVE_OUT, "A heartbeat", "B heartbeat", "! stale no frame for 5 s", "> subscribe A B"],
    ),
    "heartbeats keep a quiet market alive": (
        "A",
        [*ONE_LIVE, *["+4", "A heartbeat"] * 20],
        [*ONE_LIVE_OUT, *["A heartbeat"] * 20],
    ),
    "a product that is silent though its connection speaks is subscribed anew": (
        "A B",
        [*TWO_LIVE, *["+1", "B heartbeat"] * 5, "A update", "A snapshot", "A update"],
        [*TWO_LIVE_OUT, *["B heartbeat"] * 4, *ANEW, "B heartbeat", "A snapshot", "A update"],
    ),
    "products of a connection that falls silent are not subscribed anew one by one": (
        "A B",
        [*TWO_LIVE, "A heartbeat", "+0.9", "B heartbeat", "+4.2", "+0.8"],
        [*TWO_LIVE_OUT, "A heartbeat", "B heartbeat", "! stale no frame for 5 s", "> subscribe A B"],
    ),
    "a product is not silent while a long frame of another one holds its heartbeats up": (
        "A B",
        [*TWO_LIVE, *["partial", "+4"] * 3, "A snapshot", "+0.2", "B heartbeat"],
        [*TWO_LIVE_OUT, "A snapshot", "B heartbeat"],
    ),
    # Slow links
    "bytes of a frame are a sign of life": (
        "A",
        ["ack A", *["partial", "+4"] * 9, "A snapshot", "A update"],
        ["> subscribe A", "A snapshot", "A update"],
    ),
    "snapshots may come one after the other, each in its time": (
        "A B C",
        ["ack A B C", *[*["partial", "+4"] * 3, "A snapshot"], *[*["partial", "+4"] * 3, "B snapshot"]],
        ["> subscribe A B C", "A snapshot", "B snapshot"],
    ),
    "a frame that never ends is given up after a minute": (
        "A",
        ["ack A", *["partial", "+4"] * 16, "partial", "+1"],
        ["> subscribe A", "! stale no frame for 5 s", "> subscribe A"],
    ),
    "a frame that stops in the middle is given up": (
        "A",
        ["ack A", *["partial", "+4"] * 3, "+1"],
        ["> subscribe A", "! stale no frame for 5 s", "> subscribe A"],
    ),
    # Snapshots that don't come
    "no snapshot at all": (
        "A B",
        ["ack A B", *["+4", "A heartbeat"] * 2, "+2"],
        ["> subscribe A B", "! stale no snapshot within 10 s", "> subscribe A B"],
    ),
    "no snapshot of one product costs the connection once, then its subscription": (
        "A B",
        [
            *["ack A B", "B snapshot", *["+4", "B heartbeat"] * 2, "+2"],
            *["ack A B", "B snapshot", *["+4", "B heartbeat"] * 2, "+2", "B heartbeat"],
            *["+4", "B heartbeat"] * 15,
            "A snapshot",
        ],
        [
            *["> subscribe A B", "B snapshot", "B heartbeat", "B heartbeat"],
            "! stale A: no snapshot within 10 s",
            *["> subscribe A B", "B snapshot", "B heartbeat", "B heartbeat"],
            *["> unsubscribe A", *["B heartbeat"] * 15, "> subscribe A", "B heartbeat", "A snapshot"],
        ],
    ),
    # Crossed books
    "a crossed book is subscribed anew, and its messages dropped until its snapshot": (
        "A B",
        [*TWO_LIVE, "A crossed", "A update", "A heartbeat", "B update", "A snapshot", "A update"],
        [*TWO_LIVE_OUT, *ANEW, "B update", "A snapshot", "A update"],
    ),
    "a book that was crossed before its last snapshot is another one": (
        "A",
        [*ONE_LIVE, "+3", "A snapshot", "+1", "A crossed since 2", "A update"],
        [*ONE_LIVE_OUT, "A snapshot", "A update"],
    ),
    "a product that is not live yet has no crossed book": (
        "A",
        ["ack A", "A crossed", "A snapshot"],
        ["> subscribe A", "A snapshot"],
    ),
    "crossed again within a minute costs the connection": (
        "A B",
        [*TWO_LIVE, "A crossed", "A snapshot", "+3", "A crossed", *TWO_LIVE],
        [
            *TWO_LIVE_OUT,
            *[*ANEW, "A snapshot"],
            "! crossed A: crossed for 2.0 s",
            *TWO_LIVE_OUT,
        ],
    ),
    "crossed a third time it is left alone for a minute, and the others stay": (
        "A B",
        [
            *[*TWO_LIVE, "A crossed", "A snapshot", "A crossed", *TWO_LIVE, "A crossed"],
            *["+4", "A update", "B update"] * 15,
            *["A snapshot", "A update"],
        ],
        [
            *[*TWO_LIVE_OUT, *ANEW, "A snapshot", "! crossed A: crossed for 2.0 s", *TWO_LIVE_OUT],
            "> unsubscribe A",
            *["B update"] * 14,
            *["> subscribe A", "B update", "A snapshot", "A update"],
        ],
    ),
    "a product that stays crossed costs its connection no second time": (
        "A B",
        [
            *[*TWO_LIVE, "A crossed", "A snapshot", "A crossed", *TWO_LIVE, "A crossed"],
            *[*["+4", "B update"] * 15, "A snapshot", "A crossed"] * 3,
        ],
        [
            *[*TWO_LIVE_OUT, *ANEW, "A snapshot", "! crossed A: crossed for 2.0 s", *TWO_LIVE_OUT],
            "> unsubscribe A",
            *[*["B update"] * 14, "> subscribe A", "B update", "A snapshot", "> unsubscribe A"] * 3,
        ],
    ),
    "crossed again after a minute is as if for the first time": (
        "A B",
        [*TWO_LIVE, "A crossed", "A snapshot", *["+4", "A update", "B update"] * 16, "A crossed"],
        [*TWO_LIVE_OUT, *ANEW, "A snapshot", *["A update", "B update"] * 16, *ANEW],
    ),
    "a connection whose only product is left alone is not called silent": (
        "A",
        [
            *[*ONE_LIVE, "A crossed", "A snapshot", "A crossed", *ONE_LIVE, "A crossed"],
            *["+30", "+30", "A snapshot", "+4.9", "+0.1"],
        ],
        [
            *[*ONE_LIVE_OUT, *ANEW, "A snapshot", "! crossed A: crossed for 2.0 s", *ONE_LIVE_OUT],
            *["> unsubscribe A", "> subscribe A", "A snapshot", "! stale no frame for 5 s", "> subscribe A"],
        ],
    ),
    "a snapshot that is wanted for itself is no sign that the book is wrong": (
        "A",
        [*ONE_LIVE, "A wanted", "A update", "A snapshot", "A crossed", "A snapshot", "A wanted"],
        [*ONE_LIVE_OUT, *[*ANEW, "A snapshot"] * 2, *ANEW],
    ),
    # Acknowledgements
    "an acknowledgement from before a request says nothing of it": (
        "A B",
        [
            *[*TWO_LIVE, "A wanted", "A snapshot", "A wanted"],
            *["ack B", "ack A B", "ack B", "ack A B", "A snapshot", "A update"],
        ],
        [*TWO_LIVE_OUT, *ANEW, "A snapshot", *ANEW, "A snapshot", "A update"],
    ),
    "resyncs of two products within one round trip cost no connection": (
        "A B C",
        [
            *["ack A B C", "A snapshot", "B snapshot", "C snapshot", "A crossed", "C crossed"],
            *["ack B C", "ack A B C", "ack A B", "ack A B C", "A snapshot", "C snapshot"],
        ],
        [
            *["> subscribe A B C", "A snapshot", "B snapshot", "C snapshot", *ANEW],
            *["> unsubscribe C", "> subscribe C", "A snapshot", "C snapshot"],
        ],
    ),
    "a subscription that is no longer listed is asked for anew": (
        "A B",
        [*TWO_LIVE, "ack B", "A update", "B update", "A snapshot"],
        [*TWO_LIVE_OUT, "> subscribe A", "B update", "A snapshot"],
    ),
    "an acknowledgement of the unsubscribe alone changes nothing": (
        "A B",
        [*TWO_LIVE, "A crossed", "ack B", "ack A B", "A snapshot"],
        [*TWO_LIVE_OUT, *ANEW, "A snapshot"],
    ),
    # Refusals
    "a product that does not exist ends, the others are asked for anew": (
        "A B C",
        ["error B-USD is not a valid product", "ack A C", "A snapshot", "C snapshot"],
        ["> subscribe A B C", "> subscribe A C", "A snapshot", "C snapshot"],
    ),
    "a refusal that names nobody is narrowed down by halves": (
        "A B C D",
        [
            *["error No", "error No", "ack C D", "C snapshot", "D snapshot", "error No", "ack B C D"],
            *["B snapshot", "ack A B C D", "A snapshot"],
        ],
        [
            *["> subscribe A B C D", "> subscribe A B", "> subscribe C D", "> subscribe A"],
            *["C snapshot", "D snapshot", "> subscribe B", "> subscribe A", "B snapshot", "A snapshot"],
        ],
    ),
    "a product that is refused again and again is left alone, and the others stay": (
        "A B",
        [
            *["error A-USD is in maintenance", "ack B", "B snapshot", "error A-USD is in maintenance"],
            *["error A-USD is in maintenance", "ack B", "B snapshot"],
            *["+4", "B heartbeat"] * 15,
        ],
        [
            *["> subscribe A B", "> subscribe B", "> subscribe A", "B snapshot"],
            "! refused A: the exchange answers 'Failed to subscribe', 'A is in maintenance'",
            *["> subscribe A B", "> subscribe B", "B snapshot"],
            *[*["B heartbeat"] * 14, "> subscribe A", "B heartbeat"],
        ],
    ),
    "a product that was live is asked for again though the exchange says that it does not exist": (
        "A B",
        [*TWO_LIVE, "A crossed", WRONG, "ack A B"],
        [*TWO_LIVE_OUT, *ANEW, "! refused A: " + NO_PRODUCT, "> subscribe A B"],
    ),
    "a product that does not exist ends a connection of its own": (
        "A",
        [WRONG, "A snapshot"],
        ["> subscribe A", "! bad_frame frame rejected: it is of product 'A'"],
    ),
    "a refusal of a product that was not asked for ends no product": (
        "A",
        ["error ZZZ-ZZZ is not a valid product", "A snapshot"],
        ["> subscribe A", "> subscribe A", "A snapshot"],
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_rule(name: str) -> None:
    """What comes out is what the row says, in order."""
    products, steps, out = TABLE[name]
    driven = Driven(products)
    for step in steps:
        driven.step(step)
    assert driven.out == out


BOTH = "AB"


@pytest.mark.parametrize(
    ("steps", "breaks"),
    [
        (["A crossed"], ["A resync: crossed for 2.0 s"]),
        (["A wanted"], ["A resync: its recording was interrupted"]),
        (6 * ["+1", "B heartbeat"], ["A stale: no frame of it for 5 s"]),
        (["+6"], ["A stale: no frame for 5 s", "B stale: no frame for 5 s"]),
        (["ack B"], ["A closed: the exchange has ended the subscription"]),
        (["junk 5"], [f"{each} resync: frame rejected: Expected `object`, got `int`: b'5'" for each in BOTH]),
        (["error "], [f"{each} refused: the exchange answers 'Failed to subscribe', ''" for each in BOTH]),
        (["A crossed", "A update", "A snapshot"], ["A resync: crossed for 2.0 s"]),
        (["A crossed", "+6"], ["A resync: crossed for 2.0 s", "B stale: no frame for 5 s"]),
        (
            ["A crossed", "A snapshot", "A crossed"],
            ["A resync: crossed for 2.0 s", "A resync: crossed for 2.0 s", "B resync: A: crossed for 2.0 s"],
        ),
        (["A update", "A snapshot", "B heartbeat"], []),
    ],
)  # fmt: skip
def test_streams_that_break_off(steps: list[str], breaks: list[str]) -> None:
    """Each product that was live, and is so no longer, is told once, with what happened and why."""
    driven = Driven("A B")
    for step in [*TWO_LIVE, *steps]:
        driven.step(step)
    told = [f"{status.product_id.removesuffix('-USD')} {status.reason}" for status in driven.session.breaks]
    assert [text.replace("-USD", "") for text in told] == breaks


def test_product_that_was_never_live_breaks_off_where_it_is_refused() -> None:
    """A product that does not exist is told as refused; of one that has had no snapshot nothing is told."""
    driven = Driven("A B")
    driven.step("error A-USD is not a valid product")
    driven.step("+12")
    assert [(status.product_id, status.event) for status in driven.session.breaks] == [("A-USD", "refused")]


def test_many_products_are_asked_for_in_chunks() -> None:
    """A subscribe names so many products at most, and the next one waits for its answer."""
    letters = [f"P{number}" for number in range(2 * SUBSCRIBE_CHUNK + 1)]
    driven = Driven(" ".join(letters))
    chunks = [letters[at : at + SUBSCRIBE_CHUNK] for at in range(0, len(letters), SUBSCRIBE_CHUNK)]
    assert driven.out == [f"> subscribe {' '.join(chunks[0])}"]
    driven.step(f"ack {' '.join(chunks[0])}")
    driven.step(f"{chunks[1][0]} snapshot")  # an acknowledgement may be missing
    assert driven.out == [
        *(f"> subscribe {' '.join(chunk)}" for chunk in chunks[:2]),
        f"{chunks[1][0]} snapshot",
        f"> subscribe {' '.join(chunks[2])}",
    ]


def test_renewals_take_turns() -> None:
    """Connections are renewed each `refresh` seconds, each at its own offset."""
    for offset in (0.0, 0.25, 0.5):
        driven = Driven("A", Timeouts(refresh=100.0), offset)
        for _ in range(3):
            driven.now = driven.session.renewal
            assert driven.now % 100 == 100 * offset
            driven.session.connected(driven.now)


def test_renewed_session_hands_over() -> None:
    """Its successor goes on with its counts, and with what it knows of products that made trouble."""
    driven = Driven("A B", Timeouts(refresh=100.0), offset=0.25)
    for step in [*TWO_LIVE, "A crossed", "A snapshot", "A crossed", *TWO_LIVE, "A crossed", "B update"]:
        driven.step(step)
    old, now = driven.session, driven.now
    successor = old.successor()
    successor.connected(now)
    assert successor.next_request(now) == subscribe(["B-USD"])  # the other one is left alone
    before = driven.stats["B-USD"].snapshots
    successor.receive(driven.frame("B", "snapshot"), now)
    assert (old.live, successor.live) == ({"B-USD"}, {"B-USD"})
    assert driven.stats["B-USD"].snapshots == before
    renewed = old.hand_over(successor, now + 20.0)
    assert str(renewed) == "renewed after 20 s: its turn comes 25 s into each 100 s"
    assert old.ended
    assert driven.stats["B-USD"].snapshots == before + 1
    assert driven.stats["B-USD"].resyncs["refresh"] == 1
    successor.receive(driven.frame("B", "update"), now + 21.0)
    assert (driven.stats["B-USD"].live, driven.stats["B-USD"].last_frame) == (True, now + 21.0)
    driven.session = successor
    successor.receive(driven.frame("B", "update"), now + 60.0)
    successor.check(now + 60.0)
    assert successor.next_request(now + 60.0) == subscribe(["A-USD"])


def test_counts() -> None:
    """What was received of a product is counted, and each reason that cost it its subscription."""
    driven = Driven("A B")
    for step in [*TWO_LIVE, "A update", "A heartbeat", "A crossed", "A update", "A snapshot", "junk x"]:
        driven.step(step)
    stats = driven.stats["A-USD"]
    assert (stats.frames, stats.snapshots, stats.updates, stats.connects) == (5, 2, 1, 2)
    assert stats.resyncs == {"crossed": 1, "bad_frame": 1}
    assert driven.stats["B-USD"].resyncs == {"bad_frame": 1}
    assert not stats.live
    driven.step("+0.5")
    driven.step("A snapshot")
    assert stats.live
    assert stats.last_frame == driven.now


def test_silence_counts_from_the_first_request() -> None:
    """A connection that must wait for its turn to ask for anything is not called silent meanwhile."""
    session = Session(["A-USD"], {"A-USD": FeedStats()}, Timeouts())
    session.connected(10_000.0)
    session.check(10_020.0)
    session.next_request(10_020.0)
    assert session.deadline == 10_025.0


def test_what_is_given_up_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A product that ends is an ERROR, one that is subscribed anew or left alone a WARNING."""
    driven = Driven("A B C")
    for step in ["error B-USD is not a valid product", "ack A C", "A snapshot", "A crossed"]:
        driven.step(step)
    assert [(record.levelno, record.getMessage().partition(":")[0]) for record in caplog.records] == [
        (logging.ERROR, "B-USD"),
        (logging.WARNING, "A-USD"),
    ]
    assert "is not a valid product" in caplog.messages[0] and "ends here" in caplog.messages[0]
    assert caplog.messages[1] == "A-USD: crossed for 2.0 s; subscribed anew"
    assert driven.session.refuses("B-USD") and not driven.session.refuses("A-USD")
    assert driven.session.product_ids == ["A-USD", "C-USD"] and not driven.session.ended


def test_no_connection_is_needed_while_all_products_are_left_alone() -> None:
    """A connection that is lost meanwhile is made again when the first of its products is due."""
    driven = Driven("A B")
    assert driven.session.idle_for(driven.now) == 0
    for product in ("A", "B"):
        for step in [*TWO_LIVE, *[f"{product} crossed", f"{product} snapshot"] * 2, *TWO_LIVE]:
            driven.step(step)
        assert driven.session.idle_for(driven.now) == 0
        driven.step(f"{product} crossed")
        driven.step("+10")
    assert driven.session.idle_for(driven.now) == 60 - 20
