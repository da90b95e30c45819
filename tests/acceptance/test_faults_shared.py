"""Faults of the exchange, each to one product of a connection that two share."""

from collections.abc import Iterator

import pytest

from tests.support.checks import check_calm, check_companion, check_log_and_counts, check_product
from tests.support.fault_table import SHARED_TABLE, Row, Storm, storm


@pytest.fixture(scope="module")
def seen() -> Iterator[Storm]:
    """The run in which all faults happened."""
    with storm(SHARED_TABLE, shared=True) as seen:
        yield seen


@pytest.mark.parametrize("row", SHARED_TABLE, ids=lambda row: f"{row.fault} {row.outcome}")
def test_fault(seen: Storm, row: Row) -> None:
    """A fault of one product costs the other one at most the connection, and no wrong line."""
    check_log_and_counts(seen, row)
    check_product(seen, row)
    check_companion(seen, row)
    check_calm(seen)
