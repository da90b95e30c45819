"""Checks of a run in which all faults happened: what its log, metrics and lines must be."""

import re
from collections import Counter
from decimal import Decimal

from tests.exchange.trouble import FAULTS, Stream, Subscribe
from tests.support.fault_table import AT_SECOND, DROPPED, ENDS, RECOVERS, STAYS, Row, Storm
from tests.support.live import PAIR
from tests.support.oracle import Top, line

UNREACHABLE = "unreachable"  # its log lines name no product, since all share the cause


def check_log_and_counts(seen: Storm, row: Row) -> None:
    """The product's trouble is logged once, and counted by its reason."""
    warnings = [(level, text) for level, text in seen.logged(row.product) if level != "INFO"]
    # A connection that is lost again at once has been logged.
    repeated = row.needs_a_drop and row.says == DROPPED
    dropped = [("WARNING", DROPPED)] if row.needs_a_drop else []
    level = "ERROR" if row.outcome == ENDS else "WARNING"
    wanted = dropped + (
        [(level, row.says)] if row.says and row.reason != UNREACHABLE and not repeated else []
    )
    assert len(warnings) == len(wanted), warnings
    for (level, text), (wanted_level, pattern) in zip(warnings, wanted, strict=True):
        assert level == wanted_level and re.search(pattern, text), f"{level} {text}"
    if row.reason == UNREACHABLE:
        assert re.search(f"WARNING {row.says}", seen.stderr)
    counted, least = (
        seen.resyncs(row.product),
        Counter(["closed"] * len(dropped) + [row.reason] * bool(row.says)),
    )
    if row.fault == "connection_refused":
        counted["unreachable"] = min(1, counted["unreachable"])  # once an attempt
    assert counted == least


def check_product(seen: Storm, row: Row) -> None:
    """Every line of the product is right, and it is live where it must be, in time."""
    judged, product = seen.judged, row.product
    assert judged.witnesses[product].wrong == []
    asked = sum(product in connection.products for connection in seen.exchange.connections)
    if row.outcome == ENDS:
        assert judged.printed[product] == []
        assert asked == 1
        return
    (strike,) = seen.struck(row)
    connection, subscription = max(judged.subscriptions(product))
    if strike.connection is not None:
        assert (connection > strike.connection) == (row.outcome == RECOVERS)
    was_asked = FAULTS[row.fault].moment in (Subscribe, Stream)
    assert asked == 1 + row.needs_a_drop + (row.outcome == RECOVERS and was_asked)
    assert (subscription > 0) == (row.outcome not in (STAYS, RECOVERS))
    assert_up_to_date(seen, product)
    if row.outcome != STAYS or row.needs_a_drop:
        assert seen.back_after(product) < row.within
    else:
        assert judged.printed[product] == judged.wanted(product)


def check_companion(seen: Storm, row: Row) -> None:
    """The companion loses no line where the connection stays; where it is replaced it is soon live."""
    judged, companion = seen.judged, row.companion
    assert judged.witnesses[companion].wrong == []
    assert_up_to_date(seen, companion)
    if row.needs_a_drop or row.outcome == RECOVERS:
        assert {connection for connection, _ in judged.subscriptions(companion)} >= {
            max(connection for connection, _ in judged.subscriptions(row.product))
        }
        assert seen.back_after(companion) < max(row.within, AT_SECOND)
    else:
        assert len(judged.subscriptions(companion)) == 1
        assert judged.printed[companion] == judged.wanted(companion)
        assert [level for level, _text in seen.logged(companion)] == ["INFO"]


def check_calm(seen: Storm) -> None:
    """Products of other connections miss no line, and nothing is logged of them but that they are live."""
    for product in PAIR:
        assert seen.judged.witnesses[product].wrong == []
        assert len(seen.judged.subscriptions(product)) == 1
        assert seen.judged.printed[product] == seen.judged.wanted(product)
        assert [level for level, _text in seen.logged(product)] == ["INFO"]
    assert seen.judged.stray == []


def assert_up_to_date(seen: Storm, product: str) -> None:
    """The last that the product printed is the exchange's book, and that it is live was logged last."""
    level, text = seen.logged(product)[-1]
    assert level == "INFO" and text.startswith("live, ")
    assert seen.judged.is_up_to_date(product)
    bid, bid_size, ask, ask_size = seen.exchange.best(product)
    spread = float(Decimal(repr(ask)) - Decimal(repr(bid)))
    assert seen.judged.printed[product][-1] == line(product, Top(bid, bid_size, ask, ask_size, spread))
