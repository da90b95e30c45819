"""The fault table: what each fault of the exchange does to its product, and that it does no more.

All of them happen in one run, with the times of the default settings, each to a product of its own.
The network going away is everyone's, and has tests of its own: `test_outage`.
"""

import re
import socket
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from typing import NamedTuple

import pytest

from tests.exchange import Exchange
from tests.exchange.trouble import FAULTS, Accepted, AtOnce, Handshake, Stream, Struck
from tests.stress.outage import LIMIT_BURST, LIMIT_RATE, excess
from tests.support.judged import Judged
from tests.support.live import PAIR, end, settings
from tests.support.oracle import Top, line
from tests.support.processes import DEADLINE

RECOVERS = "recovers"  # by itself, on a new connection
STAYS = "stays"  # on the connection on which it happened
ENDS = "ends"  # for good

# Seconds from the fault until the product's lines are right again, at most. What the settings make of
# it, then up to 1 for the delay before the next attempt, up to 1 more for each that fails, and 4 for a
# machine that is busy with other things.
AT_NEXT = 1 + 4.0
AT_SECOND = 1 + 1 + 4.0


class Row(NamedTuple):
    """A fault, and what must become of its product.

    `says` is what stands in the warning (for one that ends, in the error), `reason` what is counted.
    """

    fault: str
    outcome: str
    within: float = AT_NEXT
    says: str = ""
    reason: str = ""
    lasts: float | None = None  # seconds, if not as usual

    @property
    def product(self) -> str:
        """The product that it happens to."""
        return f"{self.fault}-{self.outcome}".upper().replace("_", "")


DROPPED = "the connection was closed: no close frame"
LIES = {
    "not_json": "upstream connect error",
    "cut": "truncated",
    "wrong_shape": "7777",
    "wrong_side": "hold",
    "other_product": "'ELSE-WHERE'",
    "nested": "recursion",
    "price_nan": "'NaN'",
    "price_infinite": "'Infinity'",
    "price_zero": "'0.00'",
    "price_negative": "'-1.00'",
    "price_absurd": "'1e301'",
    "price_no_number": "''",
    "size_nan": "'NaN'",
    "size_infinite": "'inf'",
    "size_negative": "'-1.00000000'",
    "size_absurd": "'1e999'",
    "size_no_number": "'one'",
}
TABLE = [
    Row("unknown_product", ENDS, says="is not a valid product.*; this product ends here", reason="closed"),
    # Connecting. The first attempt may come late enough to be taken if nobody listens for a second only.
    Row("connection_refused", RECOVERS, 3 + AT_SECOND, "no connection to ws://", "closed", lasts=2),
    Row("http_403", RECOVERS, AT_SECOND, "no connection to .* HTTP 403", "closed"),
    Row("http_429", RECOVERS, AT_SECOND, "no connection to .* HTTP 429", "closed"),
    Row("http_503", RECOVERS, AT_SECOND, "no connection to .* HTTP 503", "closed"),
    Row("dropped_at_once", RECOVERS, AT_SECOND, DROPPED, "closed"),
    Row("handshake_hangs", RECOVERS, 5 + AT_SECOND, "no connection to .* timed out", "closed"),
    # Subscribing
    Row("snapshot_never", RECOVERS, 10 + AT_SECOND, "no snapshot within 10 s", "stale"),
    Row("ack_late", STAYS, 2 + AT_NEXT),
    Row("ack_missing", STAYS),
    Row("ack_after_snapshot", STAYS),
    Row("unknown_product", RECOVERS, AT_SECOND, "is not a valid product", "closed"),
    Row("another_error", RECOVERS, AT_SECOND, "the exchange says: .*'Internal error'", "closed"),
    Row("snapshot_late", STAYS, 3 + AT_NEXT),
    Row("snapshot_over_1_mib", STAYS),
    Row("snapshot_over_64_mib", RECOVERS, 4 + AT_SECOND, "1009", "closed"),
    # Losing the connection
    Row("silence_without_heartbeats", RECOVERS, 5 + AT_NEXT, "no frame for 5 s", "stale"),
    Row("dropped_in_mid_frame", RECOVERS, AT_NEXT, DROPPED, "closed"),
    Row("closed_1001", RECOVERS, AT_NEXT, "the connection was closed: .*1001", "closed"),
    Row("closed_1006", RECOVERS, AT_NEXT, DROPPED, "closed"),
    Row("closed_1011", RECOVERS, AT_NEXT, "the connection was closed: .*1011", "closed"),
    # A stream that is odd but right
    Row("silence_with_heartbeats", STAYS),
    Row("snapshot_again", STAYS),
    Row("unknown_type", STAYS),
    Row("update_repeated", STAYS),
    Row("burst", STAYS),
    Row("time_jumps", STAYS),
    Row("time_year_one", STAYS),
    Row("slow_link", STAYS),
    # A stream that is wrong. A crossed book gets 2 seconds, and is looked at once a second at least.
    Row(
        "update_lost", RECOVERS, 2 + 1 + AT_NEXT, r"crossed for [2-9]\.\d s, best bid .*, best ask", "crossed"
    ),
    Row("error_in_mid_stream", RECOVERS, AT_NEXT, "the exchange says: .*'Internal error'", "closed"),
    *(Row(lie, RECOVERS, AT_NEXT, f"frame rejected: .*{what}", "bad frame") for lie, what in LIES.items()),
]


class Storm(NamedTuple):
    """The run in which all of it happened, when it is over."""

    exchange: Exchange
    judged: Judged
    began: dict[str, float]  # `time.monotonic()` when a product's trouble began
    stderr: str
    counts: dict[tuple[str, ...], float]  # metrics by name and labels

    def said(self, product: str) -> list[tuple[str, str]]:
        """What was said of a product, as level and text."""
        return re.findall(rf"^\S+ \S+ (\w+) {product}: (.*)$", self.stderr, re.MULTILINE)

    def resyncs(self, product: str) -> dict[str, float]:
        """How often a connection was given up, by reason."""
        return {
            labels[1]: count
            for (name, *labels), count in self.counts.items()
            if name == "orderbook_resyncs_total" and labels[0] == product
        }


def struck(exchange: Exchange, row: Row) -> list[Struck]:
    """When a row's fault happened; the handshake of a product isn't known to be its own."""
    return [s for s in exchange.struck if s.name == row.fault and s.product in (row.product, None)]


def needs_a_drop(row: Row) -> bool:
    """Whether a fault only comes over a new connection."""
    return FAULTS[row.fault].moment is not Stream and row.outcome != ENDS


def strike(exchange: Exchange, row: Row) -> None:
    """Let a fault happen to its product, and return when it has."""
    exchange.fault(row.fault, row.product, seconds=row.lasts)
    if needs_a_drop(row):
        exchange.fault("closed_1006", row.product)
    exchange.wait(lambda: struck(exchange, row), DEADLINE)


def is_over(exchange: Exchange, row: Row) -> bool:
    """Whether what a fault does is done, and the product is where it must be after it."""
    (strike,) = struck(exchange, row)
    if time.monotonic() < strike.when + FAULTS[row.fault].seconds:
        return False
    former = strike.connection if row.outcome == RECOVERS else None
    live = [connection.number for connection in exchange.live(row.product)]
    return bool(live) and (former is None or live[-1] > former)


def scrape(port: int) -> dict[tuple[str, ...], float]:
    """What the run's own endpoint shows of our metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=DEADLINE) as response:
        text: str = response.read().decode()
    return {
        (name, *re.findall('="(.*?)"', labels)): float(value)
        for name, labels, value in re.findall(r"^(orderbook_\w+){(.*)} (\S+)$", text, re.MULTILINE)
    }


@pytest.fixture(scope="module")
def storm() -> Iterator[Storm]:
    """Let every fault happen, the calm products' lines flowing on meanwhile."""
    survivors = [row for row in TABLE if row.outcome != ENDS]
    living = [*PAIR, *(row.product for row in survivors)]
    judged = Judged([*PAIR, *(row.product for row in TABLE)])
    began: dict[str, float] = {}

    def everyone_is_live() -> bool:
        return all(map(exchange.live, living))

    def calm_lines() -> int:
        return min(len(judged.printed[product]) for product in PAIR)

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Exchange(judged.products, rate=10, levels=40, on_sent=judged.sent) as exchange:
        for row in TABLE:
            if row.outcome == ENDS:
                exchange.fault(row.fault, row.product)
        api = {"BYTEWAX_DATAFLOW_API_ENABLED": "1", "BYTEWAX_DATAFLOW_API_PORT": str(port)}
        with judged.run(settings(exchange) | api) as process:
            exchange.wait(everyone_is_live, DEADLINE)
            for row in survivors:
                if FAULTS[row.fault].moment in (AtOnce, Handshake, Accepted):
                    # It happens to whoever connects next, so nobody else may be about to.
                    exchange.wait(everyone_is_live, DEADLINE)
                lines, began[row.product] = calm_lines(), time.monotonic()
                strike(exchange, row)
                exchange.wait(lambda lines=lines: calm_lines() >= lines + 2, DEADLINE)
            # What doesn't come in time shows in the tests.
            with suppress(TimeoutError):
                exchange.wait(lambda: all(is_over(exchange, row) for row in survivors), DEADLINE)
            exchange.pause()
            with suppress(TimeoutError):
                exchange.wait(lambda: all(map(judged.is_up_to_date, living)), DEADLINE)
            counts = scrape(port)
            (finished,) = end(process)
        yield Storm(exchange, judged, began, finished.stderr, counts)


def test_every_fault_has_a_row() -> None:
    """The table knows each fault of the exchange."""
    assert {row.fault for row in TABLE} == set(FAULTS)


def test_connects_are_paced(storm: Storm) -> None:
    """All the products together, at the start and whatever happens, stay below the exchange's limit."""
    assert len(storm.exchange.attempts) > 2 * LIMIT_BURST
    assert excess(storm.exchange.attempts, LIMIT_RATE, LIMIT_BURST) <= 0


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.fault} {row.outcome}")
def test_fault(storm: Storm, row: Row) -> None:
    """What the row says of its product, and every line of it is right; the others miss none."""
    said, judged = storm.said(row.product), storm.judged
    complaints = [(level, text) for level, text in said if level != "INFO"]
    dropped = [("WARNING", DROPPED)] if needs_a_drop(row) else []
    of_the_fault = [("ERROR" if row.outcome == ENDS else "WARNING", row.says)] if row.says else []
    if row.fault == "connection_refused":
        of_the_fault *= len(complaints) - 1  # once an attempt
    wanted = dropped + of_the_fault
    assert len(complaints) == len(wanted), complaints
    for (level, text), (wanted_level, pattern) in zip(complaints, wanted, strict=True):
        assert level == wanted_level and re.search(pattern, text), f"{level} {text}"
    counted = {reason: count for reason, count in storm.resyncs(row.product).items() if count}
    assert counted == Counter(["closed"] * len(dropped) + [row.reason] * len(of_the_fault))
    rejected = storm.counts["orderbook_rejected_frames_total", row.product]
    assert rejected == (row.reason == "bad frame")

    assert judged.witnesses[row.product].wrong == []
    if row.outcome == ENDS:
        assert judged.printed[row.product] == []
        assert sum(row.product in connection.products for connection in storm.exchange.connections) == 1
    else:
        assert_is_well(storm, row, said)
    for product in PAIR:
        assert judged.witnesses[product].wrong == []
        assert len(judged.connections(product)) == 1
        assert judged.printed[product] == judged.wanted(product)
        assert [level for level, _text in storm.said(product)] == ["INFO"]
    assert judged.stray == []


def assert_is_well(storm: Storm, row: Row, said: list[tuple[str, str]]) -> None:
    """The product is live where it must be, in time, and the last that it printed is the exchange's book."""
    judged = storm.judged
    (strike,) = struck(storm.exchange, row)
    newest = max(judged.connections(row.product))
    if strike.connection is not None:
        assert newest > strike.connection if row.outcome == RECOVERS else newest == strike.connection
    assert said[-1][0] == "INFO" and said[-1][1].startswith("live, ")
    assert judged.is_up_to_date(row.product)
    if row.outcome == RECOVERS or needs_a_drop(row):
        back = judged.when[row.product][-len(judged.wanted(row.product))]
        assert back - storm.began[row.product] < row.within
    else:
        assert judged.printed[row.product] == judged.wanted(row.product)
    bid, bid_size, ask, ask_size = storm.exchange.best(row.product)
    spread = float(Decimal(repr(ask)) - Decimal(repr(bid)))
    assert judged.printed[row.product][-1] == line(row.product, Top(bid, bid_size, ask, ask_size, spread))
