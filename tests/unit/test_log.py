"""Log of the process, through real pipes whose reader reads, stops or goes away."""

import logging
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from orderbook.output.log import FLUSH_TIMEOUT, LogHandler
from tests.support.pipe import Pipe
from tests.support.waiting import wait_until


@contextmanager
def logging_to(pipe: Pipe, capacity: int) -> Iterator[tuple[logging.Logger, LogHandler]]:
    """A logger of its own, whose records go to the pipe; at the end both ends of it are closed."""
    handler = LogHandler(pipe.writer, capacity)
    logger = logging.Logger("test")
    logger.addHandler(handler)
    try:
        yield logger, handler
    finally:
        if not pipe.reading:
            pipe.close_reader()  # ends a write that waits for room
        wait_until(lambda: not handler.queue.unfinished_tasks)
        handler.listener.stop()
        pipe.close()


def test_records_are_written_whole_and_in_order() -> None:
    """Each record is a line with time and level, an exception with its traceback; `flush` waits for all."""
    pipe = Pipe()
    with logging_to(pipe, 1_000) as (logger, handler):
        for n in range(300):
            logger.warning("record %d", n)
        try:
            raise RuntimeError("on \N{SNOWMAN} purpose \ud800")
        except RuntimeError:
            logger.exception("unexpected")
        handler.flush()
        written = os.read(pipe.reader, 10**6).decode()
    *lines, raised = written.splitlines()
    assert raised == "RuntimeError: on \N{SNOWMAN} purpose \\ud800"
    numbered = [re.fullmatch(r"\S+ \S+ WARNING record (\d+)", line) for line in lines[:300]]
    assert [int(match[1]) for match in numbered if match] == list(range(300))
    assert lines[300].endswith(" ERROR unexpected")
    assert lines[301] == "Traceback (most recent call last):"


def log_much(logger: logging.Logger) -> None:
    """Log five times what fits into the queue."""
    for _ in range(500):
        logger.error("x" * 100)


def test_reader_that_stopped() -> None:
    """Nobody waits for a reader that stopped; what it missed is counted, and once it reads it is said."""
    pipe = Pipe()
    pipe.fill()
    with logging_to(pipe, 100) as (logger, handler):
        threads = [threading.Thread(target=log_much, args=[logger], daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert not any(thread.is_alive() for thread in threads)
        began = time.monotonic()
        handler.flush()
        assert time.monotonic() - began < 10 * FLUSH_TIMEOUT, "an exit would hang"
        pipe.read_all()
        wait_until(lambda: b" dropped" in b"".join(pipe.packets))
        logger.error("the present")
        handler.flush()
    *old, said, present = pipe.close().decode().lstrip(".").splitlines()
    assert all(line.endswith(" ERROR " + "x" * 100) for line in old)
    assert said.endswith(
        f" WARNING {2_000 - len(old)} lines of the log were dropped, since stderr was not read"
    )
    assert present.endswith(" ERROR the present")


@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "non-blocking"])
def test_slow_reader(blocking: bool) -> None:
    """A reader that pauses gets every line whole, also where stderr is non-blocking."""
    pipe = Pipe()
    pipe.fill()
    os.set_blocking(pipe.writer, blocking)
    with logging_to(pipe, 5_000) as (logger, handler):
        for n in range(5_000):
            logger.error("record %d", n)
        pipe.read_all()
        wait_until(lambda: not handler.queue.unfinished_tasks)
    lines = pipe.close().decode().lstrip(".").splitlines()
    assert [line.partition("record ")[2] for line in lines] == [str(n) for n in range(5_000)]


def test_reader_that_went_away() -> None:
    """Where nobody reads any more the log is lost, and nothing else."""
    pipe = Pipe()
    pipe.close_reader()
    with logging_to(pipe, 10) as (logger, handler):
        for _ in range(100):
            logger.error("lost")
        handler.flush()


def test_progress_stands_below_the_log() -> None:
    """A progress text is cleared before each line of the log, drawn anew behind it, and gone at the end."""
    pipe = Pipe()
    with logging_to(pipe, 10) as (logger, handler):
        handler.show("10 %")
        logger.error("one")
        handler.show("20 %")
        handler.flush()
        logger.error("two")
        handler.flush()
        written = os.read(pipe.reader, 10**6).decode()
    clear = "\r\x1b[K"
    times = re.compile(r"\d{4}-\S+ \S+ ")
    shown = f"{clear}10 %{clear}ERROR one\n10 %{clear}20 %{clear}ERROR two\n"
    assert times.sub("", written) == shown
