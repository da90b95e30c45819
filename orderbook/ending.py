"""How a run ends: the one way, whatever the reason.

`finish` raises a flag. Every partition looks at it when polled and says that it is at its end, so the
engine closes what it has opened and returns; the process then exits with the code that was given.
"""

import atexit
import os
import signal
import sys
import threading


class Ending:
    """The end of this process's run: not yet, or with which exit code.

    `code_of_its_own` is the exit code of a run that ends by itself, without a `finish`.
    """

    def __init__(self, code_of_its_own: int = 0) -> None:
        self.code: int | None = None
        self._code_of_its_own = code_of_its_own
        self._lock = threading.Lock()

    @property
    def reached(self) -> bool:
        """Whether everything should end now."""
        return self.code is not None

    def finish(self, code: int) -> None:
        """End the run with this exit code; the first call counts. From any thread or signal handler."""
        if self._lock.acquire(blocking=False):  # never released: a handler may interrupt a finish
            self.code = code

    def install(self) -> None:
        """End on SIGINT and SIGTERM with code 0, and exit with the code that was given.

        Does nothing outside the main thread, where Python allows no signal handlers.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda _number, _frame: self.finish(0))
        atexit.register(self._exit)

    def _exit(self) -> None:
        # The engine's own way to a code above 0 is to raise, which prints 90 lines of traceback.
        code = self._code_of_its_own if self.code is None else self.code
        if code:
            sys.stderr.flush()
            os._exit(code)
