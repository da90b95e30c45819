"""Gaps in the changes of books: what nobody can apply is dropped, up to the next snapshot."""

import pytest

from orderbook.output.datasets import Rows, dataset
from orderbook.output.gaps import Gaps
from orderbook.output.queue import RowQueue
from orderbook.output.row_backlog import RowBacklog
from orderbook.shutdown import Shutdown

CHANGES, TRADES = dataset("incremental_book_L2"), dataset("trades")


def changes(price: float, is_snapshot: bool = False, symbol: str = "A-B") -> Rows:
    """A row of a changed level."""
    return Rows(CHANGES, symbol, 1, 1, [(is_snapshot, "bid", price, 1.0)])


TRADE = Rows(TRADES, "A-B", 1, 1, [("7", "buy", 1.0, 1.0)])


def test_gap() -> None:
    """Of a product, changes behind a dropped one are hidden until a snapshot; nothing else is."""
    gaps = Gaps()
    assert not gaps.hide(changes(1.0))
    gaps.open(TRADE)
    assert not gaps.hide(changes(1.0))
    gaps.open(changes(1.0))
    assert [gaps.hide(rows) for rows in (changes(2.0), TRADE, changes(2.0, symbol="C-D"))] == [
        True,
        False,
        False,
    ]
    assert not gaps.hide(changes(3.0, is_snapshot=True))
    assert not gaps.hide(changes(4.0))


def test_queue_that_was_full() -> None:
    """What is taken from a queue that has dropped a change goes on with a snapshot."""
    queue = RowQueue(30, Shutdown(), waits=False)  # three rows
    queue.put([changes(n) for n in (1.0, 2.0, 3.0, 4.0)])
    assert queue.dropped[CHANGES.name] == 1
    assert queue.take() is None
    assert queue.dropped[CHANGES.name] == 4
    queue.put([changes(5.0), changes(6.0, is_snapshot=True), changes(7.0)])
    taken = [rows.values[0][2] for rows in iter(queue.take, None)]
    assert taken == [6.0, 7.0]
    assert queue.dropped[CHANGES.name] == 5


@pytest.mark.parametrize("limit", [1])
def test_backlog_that_was_full(limit: int) -> None:
    """Behind a change that found no room, those are dropped that come before a snapshot."""
    backlog = RowBacklog(limit, False, Shutdown())
    backlog.add([changes(1.0), changes(2.0)])
    assert backlog.dropped[CHANGES.name] == 1
    for key in backlog.take(float("inf")):
        backlog.written(key)
    backlog.add([changes(3.0)])
    assert backlog.dropped[CHANGES.name] == 2
    backlog.add([changes(4.0, is_snapshot=True)])
    assert (backlog.dropped[CHANGES.name], len(backlog)) == (2, 1)
