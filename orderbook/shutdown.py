"""Shutdown of a run: one way, whatever the reason.

`Shutdown.request` sets the exit code. Each partition asks at its next poll (`check`), which raises
`StopIteration`, so the engine closes what it has opened and returns; then the process exits with that code.
"""

import atexit
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from functools import wraps
from typing import TypeVar, TypeVarTuple

Ts = TypeVarTuple("Ts")
R = TypeVar("R")

log = logging.getLogger(__name__)

LINGER_INTERVAL = 0.05  # seconds
POLL_TIMEOUT = 0.6  # seconds from a signal until a partition must have been polled; it is each millisecond


def logged(function: Callable[[*Ts], R]) -> Callable[[*Ts], R]:
    """Log an unexpected exception before the engine gets it: in a cluster the engine loses its traceback."""

    @wraps(function)
    def wrapper(*args: *Ts) -> R:
        try:
            return function(*args)
        except StopIteration:
            raise
        except Exception:
            log.exception("unexpected, the run ends")
            raise

    return wrapper


class Shutdown:
    """The shutdown of this process's run: whether it is requested, and with which exit code.

    `default_code` is the exit code of a run that ends without a request. A `resumable` run is a replay:
    interrupted by a signal it is not complete, so it exits with 128 + the signal's number, and another run
    may go on where the engine has noted that this one was. A live run exits with 0 after a signal.
    """

    def __init__(self, default_code: int = 0, *, resumable: bool = False) -> None:
        self._default_code = default_code
        self._resumable = resumable
        self._codes: list[int] = []  # a list, since an append needs no lock: a signal handler may append too
        self._at_exit: Callable[[], object] = lambda: None
        self._checked = threading.Event()  # a partition was polled since the request
        self._exiting = threading.Lock()  # several workers may abandon at once, and one of them exits

    @property
    def requested(self) -> bool:
        """Whether the run should end now."""
        return bool(self._codes)

    @property
    def code(self) -> int | None:
        """The exit code that was requested; None where none was."""
        return self._codes[0] if self._codes else None

    def check(self) -> None:
        """Raise `StopIteration` where the run should end; for partitions, at each poll."""
        if self._codes:
            self._checked.set()
            raise StopIteration

    def request(self, code: int) -> None:
        """End the run with this exit code; the first request counts. From any thread or handler."""
        self._codes.append(code)

    def abandon(self) -> None:
        """End without what remains: output could not be delivered, though the run is at its end.

        A resumable run exits at once, before the engine notes a position behind what was not delivered, so
        the next run prints it again. Any other run goes on to its orderly end.
        """
        if self._resumable:
            self._exit(at_once=True)

    def linger(self, lasts: Callable[[], bool]) -> None:
        """Wait for a signal though the run is over, as long as it lasts; that changes no exit code."""
        if self._codes:
            return
        while not self._codes and lasts():
            time.sleep(LINGER_INTERVAL)
        self._codes.clear()

    def install(self, at_exit: Callable[[], object] = lambda: None) -> None:
        """Request the shutdown at SIGINT, SIGTERM and SIGHUP, and exit with the code that was requested.

        `at_exit` is called when the run is over, last before the exit; it may still request a code.
        A SIGINT after a request exits at once, with 130. A SIGHUP that is ignored (`nohup`) stays ignored.
        Where the engine polls no partition, as it does while a clock that was set back has not caught up, or
        while it waits for another process of its cluster, a live run exits without it.
        Does nothing outside the main thread, where Python allows no signal handlers.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        signals = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
        if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
            signals.remove(signal.SIGHUP)
        # Handlers run only when the main thread gets to Python code, which it does not while the engine
        # waits for another process of its cluster. So a thread waits for the signals, which threads that
        # are started from here on leave to it; the handlers are for those that a library started before.
        self._at_exit = at_exit
        for number in signals:
            signal.signal(number, lambda number, _frame: self._on_signal(number))
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        threading.Thread(target=self._wait_for_signals, args=[signals], daemon=True).start()
        atexit.register(self._exit)

    def _wait_for_signals(self, signals: set[signal.Signals]) -> None:
        while True:
            number = signal.sigwait(signals)
            if number != signal.SIGINT or not self.requested:
                # First, since a run may be over the moment that it is requested. The log waits for nobody.
                log.info("%s: shutting down; a second SIGINT exits at once", signal.Signals(number).name)
            self._on_signal(number)
            if not self._resumable and not self._checked.wait(POLL_TIMEOUT):
                log.error("the engine stands still: exit without it")
                self._exit(at_once=True)

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGINT and self.requested:
            os._exit(128 + number)
        self.request(128 + number if self._resumable else 0)

    def _exit(self, at_once: bool = False) -> None:
        with self._exiting:
            self._at_exit()
            code = self._default_code if self.code is None else self.code
            # The engine's own way to a code above 0 is to raise, which prints 90 lines of traceback.
            if code or at_once:
                logging.shutdown()  # writes what is still queued
                os._exit(code)
