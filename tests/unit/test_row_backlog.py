"""Backlog of rows: bounded memory, and what is dropped is counted and logged."""

import math

import pytest
from pytest import LogCaptureFixture as Log

from orderbook.output.row_backlog import FRAME, RowBacklog
from orderbook.shutdown import Shutdown
from tests.support.clock import Clock
from tests.support.recordings import logged
from tests.support.rows import rows, trades

LIMIT = 100_000


def size(backlog: RowBacklog) -> int:
    """Bytes that wait."""
    return sum(buffer.size for buffer in backlog.take(math.inf).values())


def test_bound(caplog: Log) -> None:
    """At the bound rows are dropped until half of it is free, counted by dataset, and logged twice."""
    clock = Clock()
    backlog = RowBacklog(LIMIT, False, Shutdown(), clock)
    for at in range(1_000):
        backlog.add(trades(0, 1, each=10, symbol=f"P{at % 10}-USD"))
        backlog.add([rows("quotes", (1.0, 2.0, 3.0, 4.0))])
    waiting = len(backlog)
    assert LIMIT <= size(backlog) < LIMIT + 500
    assert backlog.dropped.total() == 11_000 - waiting
    clock.now = 7
    first, second, *others = backlog.take(math.inf)
    backlog.written(first)
    backlog.written(second)
    dropped = backlog.dropped.total()
    backlog.add(trades(0, 1))
    assert backlog.dropped.total() == dropped + 1
    for key in others:
        backlog.written(key)
    backlog.add([rows("quotes", (1.0, 2.0, 3.0, 4.0))])
    counts = ", ".join(f"{backlog.dropped[name]:,} of {name}" for name in ("quotes", "trades"))
    [(error, began), over] = logged(caplog)
    assert error == "ERROR"
    assert began.startswith("the disk is too slow: 100") and began.endswith("what comes is dropped")
    assert over == ("WARNING", f"after 7.0 s rows are taken again; dropped were {counts}")


def test_order_of_what_is_put_back() -> None:
    """Rows that could not be written wait on, before those that have come since."""
    backlog = RowBacklog(10 * FRAME, False, Shutdown())
    backlog.add(trades(0, 3))
    backlog.take(math.inf)
    backlog.add([*trades(3, 1, each=60_000), *trades(0, 2), *trades(0, 1, symbol="ETH-USD")])
    backlog.put_back()
    first, second = backlog.take(math.inf).values()
    assert [count for _, count in first.frames] == [3, 1, 2]
    assert (first.rows, second.rows, len(backlog)) == (60_005, 1, 60_006)


@pytest.mark.parametrize("symbol", ["../BTC-USD", "BTC/USD", "", ".", "..", ".x", "a b", "a=b", "x" * 65])
def test_symbol_that_is_no_file_name(symbol: str, caplog: Log) -> None:
    """A product whose name leads elsewhere ends the run and is in the log; none of its rows is written."""
    shutdown = Shutdown()
    backlog = RowBacklog(LIMIT, False, shutdown)
    backlog.add([*trades(0, 2, symbol=symbol), *trades(0, 1)])
    [(level, text)] = logged(caplog)
    assert level == "ERROR"
    assert text.startswith("no file can bear the name of the product '")
    assert shutdown.code == 1
    assert (len(backlog), backlog.dropped) == (1, {"trades": 2})
