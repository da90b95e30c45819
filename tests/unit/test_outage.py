"""Log of an output whose rows are not delivered."""

import logging

import pytest

from orderbook.output.outage import LOG_INTERVAL, SETTLED, Outage
from tests.support.clock import Clock
from tests.support.recordings import logged


def test_outage(caplog: pytest.LogCaptureFixture) -> None:
    """An outage is logged when it begins, and when rows have been delivered for a while without trouble."""
    outage = Outage("Kafka a:1", clock := Clock())
    outage.update(delivered=5, lost=0, why="")
    assert logged(caplog) == []
    outage.trouble("gone\n")
    outage.update(delivered=5, lost=0, why="gone\n")
    assert logged(caplog) == [("WARNING", "Kafka a:1: rows are not delivered: 'gone\\n'")]
    for clock.now in (10, 20):
        outage.trouble("gone still")
        outage.update(delivered=5, lost=int(clock.now), why="gone")
    clock.now = 60
    outage.update(delivered=5, lost=20, why="gone")
    outage.update(delivered=6, lost=20, why="")
    assert len(caplog.records) == 1
    clock.now += SETTLED
    outage.update(delivered=6, lost=20, why="")
    assert logged(caplog)[1:] == [
        ("WARNING", "Kafka a:1: rows are delivered again after 60.0 s, 20 rows are lost")
    ]
    outage.close(lost=20)
    assert len(caplog.records) == 2


def test_outage_that_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The end of an outage in which no row was lost is no warning."""
    caplog.set_level(logging.INFO)
    outage = Outage("Kafka a:1", clock := Clock())
    outage.trouble("gone")
    outage.update(delivered=0, lost=0, why="gone")
    outage.update(delivered=1, lost=0, why="")
    clock.now = SETTLED
    outage.update(delivered=1, lost=0, why="")
    assert logged(caplog)[1] == ("INFO", "Kafka a:1: rows are delivered again after 0.0 s, 0 rows are lost")


def test_outage_that_keeps_coming_back(caplog: pytest.LogCaptureFixture) -> None:
    """Outages that soon follow one another are counted together: two lines in half a minute at most."""
    outage = Outage("Kafka a:1", clock := Clock())
    for second in range(200):
        clock.now = second * SETTLED
        outage.update(delivered=second, lost=second // 4, why="refused")
    assert 2 * 200 * SETTLED / LOG_INTERVAL - 3 < len(caplog.records) < 2 * 200 * SETTLED / LOG_INTERVAL + 1
    outage.close(lost=49)
    counts = [int(text.split()[-4]) for _, text in logged(caplog) if text.endswith("rows are lost")]
    assert sum(counts) == 49


def test_end_within_an_outage(caplog: pytest.LogCaptureFixture) -> None:
    """What is lost at the end of the run is logged with what the outage has cost so far."""
    outage = Outage("Kafka a:1", Clock())
    outage.update(delivered=0, lost=3, why="refused")
    outage.close(lost=1_000)
    assert logged(caplog)[1:] == [("WARNING", "Kafka a:1: the run ends, 1,000 rows are lost")]
