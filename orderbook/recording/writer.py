"""Writer of a process's recordings: a thread of its own, so that no disk holds up a feed."""

import atexit
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from orderbook.recording.backlog import LIMIT, Backlog
from orderbook.recording.file import Changed, RecordingFile
from orderbook.recording.recorder import Recorder
from orderbook.shutdown import logged

log = logging.getLogger(__name__)

INTERVAL = 0.25  # seconds in which frames gather: a write a frame would take much of the interpreter's lock
CHECK_INTERVAL = 1.0  # seconds between two looks at where the files are
# Seconds between two attempts to go on, of all recordings: each costs two requests, of which the limiter of
# the feeds lets off 7 a second, and reconnects need some too.
ATTEMPT_INTERVAL = 0.5
SLOW = 5.0  # seconds after which a disk that has not come back is logged
CLOSE_TIMEOUT = 0.75  # seconds for what still waits at the end; a run must end within one


class Writer:
    """Writes the recordings of a process into a folder; the thread runs while there are any."""

    def __init__(
        self,
        folder: str,
        limit: int = LIMIT,
        open_file: Callable[[Path], RecordingFile] = RecordingFile,
        interval: float = INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._backlog = Backlog(limit)
        self._open_file = open_file
        self._interval = interval
        self._clock = clock
        self._condition = threading.Condition()
        self._hurry = threading.Event()
        self._recorders: list[Recorder] = []
        self._began = math.inf  # the round of writes that is under way
        self._slow = math.inf  # the last one that was logged to take long
        self._next_check = self._next_attempt = 0.0

    def open(self, product_id: str) -> Recorder:
        """A recorder of a product; raises `OSError` as it does."""
        recorder = Recorder(self._folder, product_id, self._backlog, self._open_file, self._clock)
        with self._condition:
            self._recorders.append(recorder)
            if len(self._recorders) == 1:
                threading.Thread(target=self._run, name="recordings", daemon=True).start()
                atexit.register(self.close)
        return recorder

    def close(self, recorders: Iterable[Recorder] | None = None, timeout: float = CLOSE_TIMEOUT) -> None:
        """Write out and close these recordings, or all; what the disk does not take in time is logged."""
        with self._condition:
            remaining = [recorder for recorder in self._recorders if not recorder.ending]
            closing = remaining if recorders is None else list(recorders)
            for recorder in closing:
                recorder.end()
            self._hurry.set()
            self._condition.wait_for(lambda: all(recorder.ended for recorder in closing), timeout)
        left = [f"{recorder.name} ({count} frames)" for recorder in closing if (count := recorder.unwritten)]
        if left:
            log.error("recordings end without the last that came: %s", _listed(left))

    def watch(self) -> None:
        """Log, once each time, that the disk doesn't answer; to be called by those that don't wait for it."""
        began = self._began
        seconds = self._clock() - began
        if seconds > SLOW and began != self._slow:
            self._slow = began
            log.warning("the disk has not answered for %.0f s; what comes waits in memory", seconds)

    @logged
    def _run(self) -> None:
        while True:
            self._hurry.wait(self._interval)
            self._hurry.clear()
            with self._condition:
                recorders = list(self._recorders)
            self._began = now = self._clock()
            self._write(recorders, now)
            self._began = math.inf
            with self._condition:
                self._recorders = [recorder for recorder in self._recorders if not recorder.ended]
                self._condition.notify_all()
                if not self._recorders:
                    atexit.unregister(self.close)
                    return

    def _write(self, recorders: Sequence[Recorder], now: float) -> None:
        steps = [(recorder.name, recorder.write_out) for recorder in recorders]
        if now >= self._next_check:
            self._next_check = now + CHECK_INTERVAL
            steps = [(recorder.name, recorder.check) for recorder in recorders] + steps
        interrupted = [r for r in recorders if r.is_interrupted and r.due <= now]
        if interrupted and now >= self._next_attempt and self._backlog.has_room:
            self._next_attempt = now + ATTEMPT_INTERVAL
            first = min(interrupted, key=lambda recorder: recorder.due)
            steps.append((first.name, first.try_again))
        names_of: dict[tuple[int, str], list[str]] = {}
        for name, step in steps:
            try:
                step()
            except OSError as error:
                level = logging.WARNING if isinstance(error, Changed) else logging.ERROR
                names_of.setdefault((level, error.strerror or str(error)), []).append(name)
        for (level, why), names in names_of.items():
            log.log(level, "%s: the recording is interrupted: %s", _listed(names), why)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
