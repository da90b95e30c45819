"""Table of what each fault of the exchange does to a product, and the run in which all of them happen.

In the run each row has a product of its own. Each of these has a connection of its own, or shares one with
a companion, to which the fault does not happen. The network going away is everyone's, and has tests of its
own: `test_outage`.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from tests.exchange import Exchange
from tests.exchange.trouble import FAULTS, Accepted, AtOnce, Handshake, Stream, Struck
from tests.support.judged import Judged
from tests.support.live import PAIR, end, settings
from tests.support.ports import metrics_port
from tests.support.scrape import scrape
from tests.support.waiting import DEADLINE

ENDS = "ends"  # for good
STAYS = "stays"  # on the subscription on which it happened
ANEW = "anew"  # is subscribed anew, on the connection on which it happened
RECOVERS = "recovers"  # by itself, on a new connection

# Seconds until lines are right again, once a client has given a connection or a subscription up: up to 1 for
# the delay before the next attempt, up to 1 more for each that fails, and 8 for a busy machine.
AT_NEXT = 1 + 8.0
AT_SECOND = 1 + 1 + 8.0


class Row(NamedTuple):
    """A fault, and what becomes of its product.

    `within` are the seconds from the fault until the product's lines are right again, at most. `says` is in
    the log, as an ERROR where the product ends, else as a WARNING; `reason` is counted.
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

    @property
    def companion(self) -> str:
        """The product that may share its connection."""
        return companion_of(self.product)

    @property
    def needs_a_drop(self) -> bool:
        """Whether the fault only comes over a new connection."""
        return FAULTS[self.fault].moment is not Stream and self.outcome != ENDS


def companion_of(product: str) -> str:
    """The product that shares a product's connection.

    Of products in alphabetical order those share one that are as far apart as there are connections.
    """
    return f"Z{product}"


DROPPED = "the connection was closed: no close frame"
UNTRUSTED = {
    "not_json": "upstream connect error",
    "cut": "truncated",
    "wrong_shape": "7777",
    "wrong_side": "hold",
    "other_product": "'ELSE-WHERE'",
    "nested": "recursion",
    "key_twice": "twice",
    "not_utf8": "utf-8",
    "too_many_changes": "length",
    "price_nan": '"NaN"',
    "price_infinite": '"Infinity"',
    "price_zero": '"0.00"',
    "price_negative": '"-1.00"',
    "price_absurd": '"1e301"',
    "price_no_number": '""',
    "size_nan": '"NaN"',
    "size_infinite": '"inf"',
    "size_negative": '"-1.00000000"',
    "size_absurd": '"1e999"',
    "size_no_number": '"one"',
}
BROKEN = {
    "reserved_bits": "reserved bits",
    "unknown_opcode": "opcode",
    "masked": "masking",
    "half_a_close_code": "close frame",
    "not_deflated": "decompression failed",
}
CROSSED = r"crossed for [2-9]\.\d s, best bid .*, best ask .*; subscribed anew"
INTERNAL = "the exchange answers .*'Internal error'"
UNKNOWN = "is not a valid product"
TABLE = [
    Row("unknown_product", ENDS, says=f"{UNKNOWN}.*; this product ends here", reason="refused"),
    # Connecting. The first attempt may come late enough to be taken if nobody listens for a second only.
    Row("connection_refused", RECOVERS, 3 + AT_SECOND, "no connection to .*", "unreachable", lasts=2),
    Row("http_403", RECOVERS, AT_SECOND, "no connection to .* HTTP 403", "unreachable"),
    Row("http_429", RECOVERS, AT_SECOND, "no connection to .* HTTP 429", "unreachable"),
    Row("http_503", RECOVERS, AT_SECOND, "no connection to .* HTTP 503", "unreachable"),
    Row("dropped_at_once", RECOVERS, AT_SECOND, DROPPED, "closed"),
    Row("handshake_late", RECOVERS, 3 + AT_SECOND),
    Row("redirect", RECOVERS, AT_SECOND),
    Row("handshake_hangs", RECOVERS, 5 + AT_SECOND, "no connection to .* timed out", "unreachable"),
    # Subscribing
    Row("snapshot_never", RECOVERS, 10 + AT_SECOND, "no snapshot within 10 s", "stale"),
    Row("ack_late", STAYS, 2 + AT_NEXT),
    Row("ack_missing", STAYS),
    Row("ack_after_snapshot", STAYS),
    Row("unknown_product", STAYS, AT_NEXT, f"{UNKNOWN}.*; subscribed anew", "refused"),
    Row("another_error", STAYS, AT_NEXT, f"{INTERNAL}; subscribed anew", "refused"),
    Row("snapshot_late", STAYS, 3 + AT_NEXT),
    Row("snapshot_slow", STAYS, 7 + AT_NEXT),
    Row("snapshot_over_1_mib", STAYS),
    Row("snapshot_over_4_mib", RECOVERS, 4 + AT_SECOND, "1009", "closed"),
    # Losing the connection
    Row("silence_without_heartbeats", RECOVERS, 5 + AT_NEXT, "no frame for 5 s", "stale"),
    Row("dropped_in_mid_frame", RECOVERS, AT_NEXT, DROPPED, "closed"),
    Row("closed_1001", RECOVERS, AT_NEXT, "the connection was closed: .*1001", "closed"),
    Row("closed_1006", RECOVERS, AT_NEXT, DROPPED, "closed"),
    Row("closed_1011", RECOVERS, AT_NEXT, "the connection was closed: .*1011", "closed"),
    Row("closed_and_open", RECOVERS, AT_NEXT, "the connection was closed: received 1001 .*bye", "closed"),
    *(
        Row(frame, RECOVERS, AT_NEXT, f"the connection was closed: sent 1002 .*{wrong}", "closed")
        for frame, wrong in BROKEN.items()
    ),
    Row("unsubscribed_in_mid_stream", ANEW, AT_NEXT, "has ended the subscription; subscribed anew", "closed"),
    # A stream that is odd but right
    Row("silence_with_heartbeats", STAYS),
    Row("snapshot_again", STAYS),
    Row("unknown_type", STAYS),
    Row("update_repeated", STAYS),
    Row("burst", STAYS),
    Row("time_jumps", STAYS),
    Row("time_year_one", STAYS),
    Row("slow_link", STAYS),
    Row("trade_lost", STAYS),
    Row("trade_repeated", STAYS),
    # A stream that is wrong. A crossed book gets 2 seconds, and a crossed book comes once a second at least.
    Row("update_lost", ANEW, 2 + 1 + AT_NEXT, CROSSED, "crossed"),
    Row("error_in_mid_stream", RECOVERS, AT_NEXT, INTERNAL, "refused"),
    Row("product_silent", RECOVERS, 5 + AT_NEXT, "no frame for 5 s", "stale"),
    *(
        Row(frame, RECOVERS, AT_NEXT, f"frame rejected: .*{wrong}", "bad_frame")
        for frame, wrong in UNTRUSTED.items()
    ),
]
# On a shared connection a subscribe that is refused is asked for again by halves, which nobody need know; and
# a product can be silent though its connection is not.
ON_A_SHARED_CONNECTION = {
    "another_error": Row("another_error", STAYS),
    "product_silent": Row("product_silent", ANEW, 8 + AT_NEXT, "no frame of it for 5 s", "stale"),
}
SHARED_TABLE = [ON_A_SHARED_CONNECTION.get(row.fault, row) for row in TABLE]


class Storm(NamedTuple):
    """The run in which all of it happened, when it is over."""

    exchange: Exchange
    judged: Judged
    began: dict[str, float]  # `time.monotonic()` when a product's trouble began
    stderr: str
    counts: dict[tuple[str, ...], float]  # metrics by name and labels

    def logged(self, product: str) -> list[tuple[str, str]]:
        """What was logged of a product, alone or with others, as level and text."""
        lines = re.findall(r"^\S+ \S+ (\w+) ([A-Z0-9-]+(?:, [A-Z0-9-]+)*): (.*)$", self.stderr, re.MULTILINE)
        return [(level, text) for level, names, text in lines if product in names.split(", ")]

    def resyncs(self, product: str) -> dict[str, float]:
        """How often a subscription was given up or not made, by reason."""
        return {
            labels[1]: count
            for (name, *labels), count in self.counts.items()
            if name == "orderbook_resyncs_total" and labels[0] == product and count
        }

    def struck(self, row: Row) -> list[Struck]:
        """When a row's fault happened; the handshake of a product isn't known to be its own."""
        return [s for s in self.exchange.struck if s.name == row.fault and s.product in (row.product, None)]

    def back_after(self, product: str) -> float:
        """Seconds from its trouble until the lines of the product's newest subscription began."""
        return self.judged.when[product][-len(self.judged.wanted(product))] - self.began[product]


@contextmanager
def storm(table: list[Row], shared: bool) -> Iterator[Storm]:
    """Let every fault of the table happen, the calm products' lines flowing on meanwhile."""
    survivors = [row for row in table if row.outcome != ENDS]
    ended = {row.product for row in table if row.outcome == ENDS}
    products = [*(row.product for row in table), *PAIR]
    connections = len(products)
    if shared:
        products = [*products, *map(companion_of, products)]
    living = [product for product in products if product not in ended]
    judged = Judged(products)
    with (
        metrics_port() as port,
        Exchange(products, rate=10, levels=40, on_sent=judged.sent) as exchange,
    ):
        seen = Storm(exchange, judged, {}, "", {})

        def everyone_is_live() -> bool:
            return all(map(exchange.live, living))

        def all_sent() -> bool:
            return not any(connection.open and connection.backlog for connection in exchange.connections)

        def calm_lines() -> int:
            return min(len(judged.printed[product]) for product in PAIR)

        def strike(row: Row) -> None:
            if FAULTS[row.fault].moment in (AtOnce, Handshake, Accepted):
                # It happens to whoever connects next, so nobody else may be about to.
                exchange.wait(everyone_is_live, DEADLINE)
            lines, now = calm_lines(), time.monotonic()
            seen.began.update({row.product: now, row.companion: now})
            exchange.fault(row.fault, row.product, seconds=row.lasts)
            if row.needs_a_drop:
                exchange.fault("closed_1006", row.product)
            exchange.wait(lambda: seen.struck(row), DEADLINE)
            exchange.wait(lambda: calm_lines() >= lines + 2, DEADLINE)

        for row in table:
            if row.outcome == ENDS:
                exchange.fault(row.fault, row.product)
        api = {"BYTEWAX_DATAFLOW_API_ENABLED": "1", "BYTEWAX_DATAFLOW_API_PORT": str(port)}
        env = settings(exchange, CONNECTIONS=str(connections)) | api
        with judged.run(env) as process:
            exchange.wait(everyone_is_live, DEADLINE)
            for row in survivors:
                strike(row)
            # What doesn't come in time shows in the tests.
            with suppress(TimeoutError):
                exchange.wait(lambda: all(is_over(seen, row) for row in survivors), DEADLINE)
            exchange.pause()
            with suppress(TimeoutError):
                exchange.wait(lambda: all_sent() and all(map(judged.is_up_to_date, living)), DEADLINE)
            counts = scrape(port)
            (finished,) = end(process)
        yield seen._replace(stderr=finished.stderr, counts=counts)


def is_over(seen: Storm, row: Row) -> bool:
    """Whether what a fault does is done, and its product is where it must be after it."""
    (strike,) = seen.struck(row)
    if time.monotonic() < strike.when + FAULTS[row.fault].seconds:
        return False
    live = [connection.number for connection in seen.exchange.live(row.product)]
    if row.outcome == RECOVERS and strike.connection is not None:
        return bool(live) and live[-1] > strike.connection
    if row.outcome == ANEW:
        return len(seen.judged.subscriptions(row.product)) > 1 and bool(live)
    return bool(live)
