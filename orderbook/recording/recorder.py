"""Recorder of a product: its frames on their way from the feed to the file, and the gaps between them."""

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from orderbook.printable import printable
from orderbook.recording.backlog import Backlog
from orderbook.recording.file import RecordingFile
from orderbook.recording.line import count_frames, encode, encode_status

log = logging.getLogger(__name__)

RETRY_DELAY = 3.0  # seconds between two attempts at a file that can't be written
# Seconds between two requests for a snapshot. A product prints nothing from the request to its snapshot, and
# two within 60 s would cost it the connection.
SNAPSHOT_INTERVAL = 75.0


class Recorder:
    """Appends a product's frames to `<folder>/<product>.jsonl`, as lines `<arrival in ns> <frame>`.

    The product's worker only hands them over, and never waits; the writer's thread does all that touches the
    disk. A recording that can't go on is interrupted: frames are dropped until the next snapshot, from which
    on they can be replayed; a line says so there, and where this run goes on with another's file. Raises
    `OSError` where the file can't be opened, or has a recorder already.
    """

    def __init__(
        self,
        folder: str,
        product_id: str,
        backlog: Backlog,
        open_file: Callable[[Path], RecordingFile] = RecordingFile,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = Path(folder, f"{product_id}.jsonl")
        self.name = printable(self.path)
        self.ended = False  # whether the file is closed for good
        self.due = 0.0  # when an interrupted recording is to be tried again
        self.product_id = product_id
        self._backlog = backlog
        self._open_file = open_file
        self._clock = clock
        self._file: RecordingFile | None = None
        self._largest = 0  # bytes of a frame so far
        self._batch: list[bytes] = []  # what is being written
        # The rest is shared by both threads, under the lock.
        self._lock = threading.Lock()
        self.ending = False  # whether frames that come are of no concern any more
        self._frames: list[bytes] = []
        self._awaits_snapshot = False
        self._interrupted_at: float | None = None
        self._why = ""  # as far as it was logged
        self._missing = 0  # frames that were dropped since then
        self._request: float | None = None
        self._gap = "another run has recorded this far" if self._open().size else ""

    # For the worker:

    def write(self, frame: bytes, arrival: int, is_snapshot: bool) -> None:
        """Have a frame recorded, unless this recorder ends or waits for a snapshot. Costs about 1 µs.

        `arrival` is in nanoseconds since 1970.
        """
        with self._lock:
            if self.ending:
                return
            if self._awaits_snapshot and not is_snapshot:
                self._missing += 1
                return
            lines = [encode(frame, arrival)]
            if self._gap:
                lines.insert(0, encode_status(self.product_id, f"gap: {self._gap}", arrival))
            if self._backlog.reserve(sum(map(len, lines))):
                self._frames += lines
                self._awaits_snapshot, self._gap = False, ""
            else:
                self._drop(1)

    def take_request(self) -> float | None:
        """Since when, by the monotonic clock, a snapshot is needed; None where none is to be asked for."""
        with self._lock:
            request, self._request = self._request, None
        return request

    def end(self) -> None:
        """Record nothing beyond what was handed over so far."""
        with self._lock:
            self.ending = True

    @property
    def unwritten(self) -> int:
        """How many of the last frames are not in the file."""
        with self._lock:
            return self._missing + count_frames(self._frames) + count_frames(self._batch)

    # For the writer; each raises `OSError` where the recording is interrupted, once for each reason.

    @property
    def is_interrupted(self) -> bool:
        """Whether it drops frames until a snapshot comes."""
        return self._awaits_snapshot

    def write_out(self) -> None:
        """Append the frames that wait, and close the file behind the last one."""
        with self._lock:
            batch, self._frames = self._frames, []
            self._batch = batch
            ending = self.ending
        size = sum(map(len, batch))
        try:
            if batch:
                self._largest = max(self._largest, *map(len, batch))
                (self._file or self._open()).append(batch)
                self._resume()
        except OSError as error:
            self._interrupt(error)
        finally:
            self._backlog.release(size)
            if ending:
                self._close()
                self.ended = True

    def check(self) -> None:
        """See whether the file is still there, and as it was left."""
        try:
            if self._file:
                self._file.check()
        except OSError as error:
            self._interrupt(error)

    def try_again(self) -> None:
        """Open the file of an interrupted recording anew, and ask for a snapshot if there is room for it."""
        if self.ended:
            return
        self.due = self._clock() + RETRY_DELAY
        try:
            self._open().check_room(self._largest)
        except OSError as error:
            self._interrupt(error)
            return
        with self._lock:
            if self._awaits_snapshot:
                self._request = self._clock()
                self.due = self._request + SNAPSHOT_INTERVAL

    def _open(self) -> RecordingFile:
        self._close()
        os.makedirs(self.path.parent, exist_ok=True)
        self._file = self._open_file(self.path)
        if truncated := self._file.truncated:
            log.warning("%s: removed the last line, which was truncated, %d bytes", self.name, truncated)
        return self._file

    def _close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None

    def _interrupt(self, error: OSError) -> None:
        self._close()
        with self._lock:
            lost, self._frames = self._frames, []
            self._drop(count_frames(self._batch) + count_frames(lost))
            self._batch = []
            before, self._why = self._why, error.strerror or str(error)
        self._backlog.release(sum(map(len, lost)))
        if self._why != before:
            raise error

    def _drop(self, count: int) -> None:
        self._missing += count
        self._awaits_snapshot, self._gap = True, "the recording was interrupted"
        if self._interrupted_at is None:
            self._interrupted_at = self._clock()

    def _resume(self) -> None:
        with self._lock:
            if self._interrupted_at is None or self._awaits_snapshot:
                return
            seconds, missing = self._clock() - self._interrupted_at, self._missing
            self._interrupted_at, self._missing, self._why = None, 0, ""
        log.info("%s: goes on after %.1f s, %d frames are missing", self.name, seconds, missing)
