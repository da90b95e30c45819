"""Faults of the exchange, each to a product with a connection of its own."""

from collections.abc import Iterator

import pytest

from tests.exchange.trouble import FAULTS
from tests.stress.outage import LIMIT_BURST, LIMIT_RATE, excess
from tests.support.checks import check_calm, check_log_and_counts, check_product
from tests.support.fault_table import TABLE, Row, Storm, storm


@pytest.fixture(scope="module")
def seen() -> Iterator[Storm]:
    """The run in which all faults happened."""
    with storm(TABLE, shared=False) as seen:
        yield seen


def test_every_fault_has_a_row() -> None:
    """The table has each fault of the exchange."""
    assert {row.fault for row in TABLE} == set(FAULTS)


def test_connects_are_limited(seen: Storm) -> None:
    """All products together, at the start and whatever happens, stay below the exchange's limit."""
    assert len(seen.exchange.attempts) > 2 * LIMIT_BURST
    assert excess(seen.exchange.attempts, LIMIT_RATE, LIMIT_BURST) <= 0
    assert excess([request.when for request in seen.exchange.requests], LIMIT_RATE, LIMIT_BURST) <= 0


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.fault} {row.outcome}")
def test_fault(seen: Storm, row: Row) -> None:
    """A fault does to its product what its row says, every line is right, and the others miss none."""
    check_log_and_counts(seen, row)
    check_product(seen, row)
    check_calm(seen)
