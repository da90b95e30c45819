"""File of a recording: locked, and of whole lines, whatever happens to disk and process."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from orderbook.printable import printable

CHUNK = 2**20  # bytes of a write, or one frame more; they take memory twice


class Changed(OSError):
    """Another program has removed, renamed, replaced, truncated or appended to the file."""


def lock(file: int, path: Path) -> None:
    """Lock an open file against a second recorder; raises `OSError` with the reason where that fails."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BlockingIOError(f"{printable(path)} is being recorded to already") from None
    except OSError as error:
        raise OSError(f"{printable(path)} can't be locked: {error.strerror}") from None


class RecordingFile:
    """A file of frames, one a line, open to append to.

    A crash, or a disk that takes only a part, truncates the last line; that line is removed at once, or
    when the file is opened again; `truncated` has how many bytes that were, and `size` what is left. Raises
    `OSError` where the file can't be opened, or is locked by another recorder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open(path, "a+b", buffering=0)
        try:
            lock(self._file.fileno(), path)
            self.truncated = self._remove_truncated_line()
        except OSError:
            self._file.close()
            raise

    def append(self, frames: list[bytes]) -> None:
        """Append the frames, and remove those from the list that are written, also where this raises."""
        while frames:
            taken, error = self._write(_lines(frames))
            del frames[:taken]
            if error:
                raise error

    def check(self) -> None:
        """Raise `OSError` where the path no longer leads to this file, or the file is not as it was left."""
        opened = os.fstat(self._file.fileno())
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            raise Changed("it was removed or renamed") from None
        if (there.st_dev, there.st_ino) != (opened.st_dev, opened.st_ino):
            raise Changed("another file has its name")
        if opened.st_size != self.size:
            raise Changed("another program has truncated it or appended to it")

    def check_room(self, size: int) -> None:
        """Raise `OSError` where the disk has no room for so many bytes: as many blanks come and go."""
        _, error = self._write(b" " * size)
        if error:
            raise error
        self._remove_truncated_line()

    def close(self) -> None:
        self._file.close()

    def _write(self, data: bytes) -> tuple[int, OSError | None]:
        """Write whole lines; answers how many the disk has taken, and why not all."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            with suppress(OSError):  # the disk may refuse this too
                self._remove_truncated_line()
            return data.count(b"\n", 0, len(data) - len(rest)), error
        self.size += len(data)
        return data.count(b"\n"), None

    def _remove_truncated_line(self) -> int:
        """Remove what follows the last newline; answers how many bytes.

        It goes by what is in the file, so it never makes one longer that another program has truncated.
        """
        size = whole = self._file.seek(0, os.SEEK_END)
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
        self.size = whole
        return size - whole


def _lines(frames: list[bytes]) -> bytes:
    """The first frames as lines, some `CHUNK` bytes; in JSON that decodes, a newline is white space."""
    lines, size = [], 0
    for frame in frames:
        lines.append(frame.replace(b"\n", b" "))
        size += len(frame)
        if size >= CHUNK:
            break
    return b"\n".join(lines) + b"\n"
