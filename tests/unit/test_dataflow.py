"""The steps of the dataflow, and what building one leaves alone."""

import gc
import logging
import os
import pickle
import signal
import sys
import threading
from decimal import Decimal

import pytest
from bytewax.dataflow import Dataflow
from bytewax.testing import run_main
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

import dataflow
from orderbook.book import CrossedBook, OrderBookSummary, OversizedBook, Summary
from orderbook.coinbase.messages import MAX_LEVELS, Change, Heartbeat, L2Update, Level, Snapshot

PRODUCT = "ABC-EUR"
SNAPSHOT = Snapshot(PRODUCT, [Level(99.0, 1.0)], [Level(100.0, 2.0)])
SUMMARY = OrderBookSummary(99.0, 1.0, 100.0, 2.0, 1.0)


def test_mapper_keeps_a_book_and_summarizes_it() -> None:
    """Each message gives the book and its summary; a heartbeat gives none, save of a crossed book."""
    state, summary = dataflow.mapper(None, SNAPSHOT)
    assert summary == SUMMARY
    assert dataflow.mapper(state, Heartbeat(PRODUCT)) == (state, None)
    _, summary = dataflow.mapper(state, L2Update(PRODUCT, [Change("buy", 100.0, 1.0)]))
    assert isinstance(summary, CrossedBook)
    assert dataflow.mapper(state, Heartbeat(PRODUCT)) == (state, summary)


TOLD = "10:00:09.5"  # the last that came before the snapshot


@pytest.mark.parametrize(
    ("before", "snapshot", "updates"),
    [
        # A renewed connection begins with a snapshot that is older, or newer, than the last update.
        (TOLD, ("10:00:08", False), [("10:00:09", False), ("10:00:09.5", False), ("10:00:10", True)]),
        (TOLD, ("10:00:09.5", False), [("10:00:10", True)]),
        (TOLD, ("10:00:10", True), [("10:00:11", True)]),
        (TOLD, ("10:00:08", False), [("10:00:10", True), ("10:00:09", True)]),  # later ones are let be
        # A time that is absent, absurd or further away says nothing.
        (TOLD, ("09:59:00", True), [("09:59:01", True)]),
        ("23:00:00", ("10:00:08", True), [("10:00:09", True)]),
        (None, ("10:00:08", True), [("10:00:09", True)]),
        (TOLD, (None, True), [(None, True)]),
        (TOLD, ("10:00:08", False), [(None, False), ("10:00:09", False), ("10:00:10", True)]),
        (TOLD, ("10:00:08", False), [("09:00:00", False), (None, True), ("10:00:09", True)]),
        (TOLD, ("noon", True), [("10:00:09", True)]),
    ],
)
def test_mapper_repeats_nothing(
    before: str | None, snapshot: tuple[str | None, bool], updates: list[tuple[str | None, bool]]
) -> None:
    """What came before a snapshot of an earlier time brings no line again; the book is right all the time."""

    def time(of_day: str | None) -> str | None:
        return of_day and f"2026-11-24T{of_day}Z"

    state, _ = dataflow.mapper(None, SNAPSHOT)
    state, _ = dataflow.mapper(state, L2Update(PRODUCT, [Change("buy", 98.0, 1.0)], time(before)))
    state = pickle.loads(pickle.dumps(state))
    again = Snapshot(PRODUCT, [Level(90.0, 1.0)], [Level(100.0, 2.0)], time(snapshot[0]))
    state, summary = dataflow.mapper(state, again)
    assert (summary is not None) == snapshot[1]
    for number, (of_day, answered) in enumerate(updates, start=91):
        update = L2Update(PRODUCT, [Change("buy", float(number), 1.0)], time(of_day))
        state, summary = dataflow.mapper(state, update)
        assert (summary is not None) == answered
        top = state.summarize()
        assert isinstance(top, OrderBookSummary) and top.bid_price == number


def test_mapper_logs_what_it_drops(caplog: pytest.LogCaptureFixture) -> None:
    """Changes before the first snapshot give no summary, and one warning that names the product."""
    state, summary = dataflow.mapper(None, L2Update(PRODUCT, [Change("buy", 100.0, 1.0)]))
    assert summary is None
    dataflow.mapper(state, L2Update(PRODUCT, [Change("buy", 100.0, 1.0)]))
    assert caplog.messages == [f"{PRODUCT}: changes before the first snapshot are dropped"]


@pytest.mark.parametrize(
    ("summary", "min_spread", "kept"),
    [
        (SUMMARY, 0.0001, True),
        (SUMMARY, 0.01, False),  # a spread of exactly the threshold
        (SUMMARY, 0.0099, True),
        (SUMMARY, -1, True),
        (OrderBookSummary(899.73, 1.0, 900.0, 1.0, 0.27), 0.0003, False),  # as floats it is above
        (OrderBookSummary(1.0, 1.0, 1.0 + 1e-15, 1.0, 1e-15), 0, True),
        (OrderBookSummary(0.0, 1.0, 1.000000000000001, 1.0, 1.0), 0.999999999999999, True),  # 1 - 1e-30
        (CrossedBook(101.0, 100.0, 1), -1, False),
        (OversizedBook(9, 1), -1, False),
        (None, -1, False),
    ],
)
def test_just_large_spread(summary: Summary, min_spread: float, kept: bool) -> None:
    """A summary is kept whose spread is above the fraction of its ask price; a book without one never is."""
    assert dataflow.just_large_spread((PRODUCT, summary), min_spread) is kept


@given(st.integers(1, 10**6), st.integers(-2, 2), st.integers(1, 9_999), st.integers(0, 8))
def test_just_large_spread_is_exact(ask: int, ticks: int, points: int, places: int) -> None:
    """A spread near the threshold passes where it is above it in decimals, whatever the floats say."""
    threshold = Decimal(points).scaleb(-4)
    exact_ask = Decimal(ask).scaleb(-places)
    exact_spread = exact_ask * threshold + Decimal(ticks).scaleb(-places - 9)
    summary = OrderBookSummary(0.0, 1.0, float(exact_ask), 1.0, float(exact_spread))
    assert dataflow.just_large_spread((PRODUCT, summary), float(threshold)) is (ticks > 0)


def test_oversized_book_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A book that has grown beyond all bounds is dropped with one warning, and answers so once."""
    state, _ = dataflow.mapper(None, SNAPSHOT)
    caplog.clear()
    grow = L2Update(PRODUCT, [Change("sell", 101.0 + n / 100, 1.0) for n in range(MAX_LEVELS + 1_000)])
    answers = [dataflow.mapper(state, message)[1] for message in (grow, Heartbeat(PRODUCT), grow)]
    assert answers == [OversizedBook(1, MAX_LEVELS + 1_001), None, None]
    [text] = caplog.messages
    assert text == f"{PRODUCT}: {answers[0]}, so dropped until the next snapshot"


@pytest.mark.parametrize(
    ("summary", "kept"),
    [(CrossedBook(101.0, 100.0, 1), True), (OversizedBook(9, 1), True), (SUMMARY, False), (None, False)],
)
def test_is_wrong(summary: Summary, kept: bool) -> None:
    """Only crossed and oversized books go back to their feed."""
    assert dataflow.is_wrong((PRODUCT, summary)) is kept


def process_state() -> list[object]:
    """What of the process belongs to whoever runs it."""
    return [
        [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)],
        signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        os.fstat(1).st_ino,
        logging.getLogger().handlers[:],
        logging.getLogger().level,
        gc.get_freeze_count(),
        threading.active_count(),
        list(REGISTRY.collect()).__len__(),
        sys.stdout,
    ]


def test_building_a_dataflow_touches_nothing() -> None:
    """In a REPL or a notebook the process belongs to others: signals, stdout, logging, threads, metrics."""
    before = process_state()
    dataflow.live(products="BTC-USD")
    dataflow.replay("tests/recordings")
    dataflow.live_books(Dataflow("own"), products="BTC-USD")
    dataflow.replayed_books(Dataflow("own"), "tests/recordings")
    assert process_state() == before


def test_lines_appear_where_stdout_was_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    """In a notebook, whose stdout is its own, the lines of a run appear in the cell."""
    run_main(dataflow.replay("tests/recordings/BTC-EUR.jsonl", min_spread=-1))  # type: ignore[no-untyped-call]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 200
    assert all(line.startswith("('BTC-EUR', OrderBookSummary(bid_price=") for line in lines)
