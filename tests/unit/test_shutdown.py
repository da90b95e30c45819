"""Shutdown: which request counts, and what is logged before the engine gets it."""

import logging
import signal
import threading

import pytest

from orderbook.shutdown import Shutdown, logged


def test_not_requested() -> None:
    """At first nothing is requested, and there is no exit code."""
    shutdown = Shutdown()
    assert (shutdown.requested, shutdown.code) == (False, None)


@pytest.mark.parametrize(("codes", "code"), [([0], 0), ([1], 1), ([0, 1], 0), ([1, 0, 143], 1)])
def test_first_request_counts(codes: list[int], code: int) -> None:
    """A request ends the run, also one for code 0, and later requests don't change the exit code."""
    shutdown = Shutdown()
    for each in codes:
        shutdown.request(each)
        assert (shutdown.requested, shutdown.code) == (True, code)


def test_requests_of_many_threads() -> None:
    """Of requests that come at the same moment from several threads one counts, for every thread the same."""
    shutdown, threads, seen = Shutdown(), 8, list[int | None]()
    together = threading.Barrier(threads)

    def request(code: int) -> None:
        together.wait(10)
        shutdown.request(code)
        seen.append(shutdown.code)

    running = [threading.Thread(target=request, args=[code]) for code in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(10)
    assert seen == [shutdown.code] * threads
    assert shutdown.code in range(threads)


def test_live_run_abandons_nothing() -> None:
    """A run that can't be resumed goes on to its orderly end where output could not be delivered."""
    shutdown = Shutdown()
    shutdown.request(1)
    shutdown.abandon()
    assert shutdown.code == 1


def test_install_in_another_thread_does_nothing() -> None:
    """Outside the main thread the signals are left as they are, instead of an error."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in signals], signal.pthread_sigmask(signal.SIG_BLOCK, [])
    errors: list[BaseException] = []

    def install() -> None:
        try:
            Shutdown().install()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=install)
    thread.start()
    thread.join(10)
    assert errors == []
    assert before == (
        [signal.getsignal(number) for number in signals],
        signal.pthread_sigmask(signal.SIG_BLOCK, []),
    )


def test_logged(caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected exception is logged with its traceback, then raised; `StopIteration` is not logged."""

    @logged
    def divide(numerator: int, denominator: int) -> float:
        if numerator == 0:
            raise StopIteration
        return numerator / denominator

    assert divide(3, 2) == 1.5
    with pytest.raises(StopIteration):
        divide(0, 1)
    assert caplog.records == []
    with pytest.raises(ZeroDivisionError):
        divide(1, 0)
    [record] = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.ERROR, "unexpected, the run ends")
    assert "numerator / denominator" in caplog.text


def test_linger() -> None:
    """A run that is over may wait for a signal, which is no request any more, unless there was one."""
    shutdown = Shutdown()
    waiting = threading.Thread(target=shutdown.linger, args=[lambda: True])
    waiting.start()
    shutdown.request(130)
    waiting.join(10)
    assert not waiting.is_alive() and shutdown.code is None
    shutdown.linger(lambda: False)
    shutdown.request(1)
    shutdown.linger(lambda: True)
    assert shutdown.code == 1
