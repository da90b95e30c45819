"""Recorder of a product's frames: raw, one a line."""

import fcntl
import logging
import os
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)


class Recorder:
    """Appends a product's frames to `<folder>/<product>.jsonl`.

    Each frame is one write, so a crash can truncate the last line only; that line is removed when the
    file is opened again. Raises `OSError` where the file can't be opened, or is being recorded to by
    another recorder.
    """

    def __init__(self, folder: str, product_id: str) -> None:
        self.path = Path(folder, f"{product_id}.jsonl")
        self._file = open(self.path, "a+b", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise BlockingIOError(f"{self.path} is being recorded to already") from None
        self._size = self._remove_truncated_line()

    def _remove_truncated_line(self) -> int:
        size = self._file.seek(0, os.SEEK_END)
        whole = size
        while whole:
            start = max(0, whole - 65_536)
            self._file.seek(start)
            newline = self._file.read(whole - start).rfind(b"\n")
            if newline >= 0:
                whole = start + newline + 1
                break
            whole = start
        if whole < size:
            self._file.truncate(whole)
            log.warning("%s: removed the last line, which was truncated, %d bytes", self.path, size - whole)
        return whole

    def write(self, frame: bytes) -> None:
        """Append a frame. A disk that refuses it ends the recording at its last whole line."""
        if self._file.closed:
            return
        line = frame.replace(b"\n", b" ") + b"\n"  # in JSON that decodes, a newline is white space
        try:
            written = self._file.write(line)
            if written != len(line):
                raise OSError(f"took {written} of {len(line)} bytes")
            self._size += written
        except OSError as error:
            log.error("%s: %s; this recording ends here", self.path, error)
            with suppress(OSError):  # the disk may refuse this too
                self._file.truncate(self._size)
            self._file.close()

    def close(self) -> None:
        """Close the file; frames that come later are not recorded."""
        self._file.close()
