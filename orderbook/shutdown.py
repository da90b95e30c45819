"""How a run ends: the one way, whatever the reason.

`finish` raises a flag. Every partition looks at it when polled and says that it is at its end, so the
engine closes what it has opened and returns; the process then exits with the code that was given.
"""

import atexit
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import wraps
from typing import TypeVar, TypeVarTuple

Ts = TypeVarTuple("Ts")
R = TypeVar("R")

log = logging.getLogger(__name__)


def logged(function: Callable[[*Ts], R]) -> Callable[[*Ts], R]:
    """Log what is unexpected before the engine gets to see it: in a cluster it loses the traceback."""

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


class Ending:
    """The end of this process's run: not yet, or with which exit code.

    `code_of_its_own` is the exit code of a run that ends by itself, without a `finish`. `resumable`
    says that another run may go on where the engine has noted that this one came to.
    """

    def __init__(self, resumable: bool = False) -> None:
        self.code: int | None = None
        self.code_of_its_own = 0
        self._resumable = resumable
        self._lock = threading.Lock()

    @property
    def reached(self) -> bool:
        """Whether everything should end now."""
        return self.code is not None

    def finish(self, code: int) -> None:
        """End the run with this exit code; the first call counts. From any thread or signal handler."""
        if self._lock.acquire(blocking=False):  # never released: a handler may interrupt a finish
            self.code = code

    def abandon(self) -> None:
        """At the end, output could not be delivered.

        A run that is resumable exits here and now, before the engine notes a place behind what was
        not delivered; the next run says it again.
        """
        if self._resumable:
            self._exit()

    def install(self) -> None:
        """End on SIGINT and SIGTERM with code 0, and exit with the code that was given.

        Does nothing outside the main thread, where Python allows no signal handlers.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda _number, _frame: self.finish(0))
        atexit.register(self._exit_with_code)

    def _exit_with_code(self) -> None:
        # The engine's own way to a code above 0 is to raise, which prints 90 lines of traceback.
        if self.code or (self.code is None and self.code_of_its_own):
            self._exit()

    def _exit(self) -> None:
        if sys.stderr is not None:
            sys.stderr.flush()
        os._exit(self.code_of_its_own if self.code is None else self.code)
