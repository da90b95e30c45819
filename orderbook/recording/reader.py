"""Reader of one recording: its lines in their order, some at a time, each with the time that it goes by."""

import gzip
import logging
import math
import os
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import msgspec

from orderbook.coinbase.messages import BadFrame
from orderbook.printable import printable
from orderbook.recording.line import MAX_LINE, decode_line, time_of_line, times_of_lines

log = logging.getLogger(__name__)

_LOOK_BYTES = 2**23  # in which the first time is looked for: some large snapshots may have none
_LOOK_CHUNK = 4_096
_HOUR = 3_600 * 10**9  # nanoseconds


class Place(NamedTuple):
    """Where in a recording a reader is: bytes and lines before it, and the time of the last line of them."""

    offset: int = 0
    line: int = 0
    time: int = 0


BEGIN = Place()


class Reader:
    """A recording's lines from a place on, in their order.

    A line goes by its arrival, else by the exchange's time, but never before the line before it; lines before
    the first that has a time go by that one. A last line that a crash has truncated is logged and left out.

    `lines` are those that were read and not taken, `times` their times, in nanoseconds since 1970; none that
    comes later is of a time before `known_until`. Where the reader is not `timed`, `times` stays empty.
    """

    def __init__(self, path: Path, place: Place = BEGIN, timed: bool = True) -> None:
        self.name = printable(path)
        self.line = self.resumed_at = place.line  # how many lines were taken, with those before a resume
        self.lines: list[bytes] = []
        self.times: list[int] = []
        self.known_until: float = place.time
        self.truncated = False
        self._timed = timed
        self._offset, self._time = place.offset, place.time
        self.size = path.stat().st_size  # bytes on disk
        self._file = _File(path)
        self._reading: gzip.GzipFile | _File | None = None
        self._tail: list[bytes] = []  # the beginning of a line, in pieces
        self._exhausted = False
        self._has_warned = False

    @property
    def place(self) -> Place:
        """Where to go on, behind the last line that was taken."""
        return Place(self._offset, self.line, self._time)

    @property
    def ended(self) -> bool:
        """Whether there is no line more."""
        return self._exhausted and not self.lines

    @property
    def bytes_read(self) -> int:
        """How many bytes of the file were read."""
        return self._file.offset

    def look(self) -> None:
        """Learn the time that the first line goes by, and hold nothing; raises as `fill` does."""
        if self._offset:
            return
        while not (self._exhausted or self.known_until or self.bytes_read > _LOOK_BYTES):
            self._read(_LOOK_CHUNK)
            self.known_until = next(filter(None, map(time_of_line, self.lines)), 0)
            self.lines = []
        self._reading, self._tail, self._exhausted, self.truncated = None, [], False, False
        self._file.offset = 0

    def fill(self, size: int) -> None:
        """Read some `size` bytes of lines, at least one line, if there are more.

        Raises `BadFrame`, `EOFError`, `OSError` or `zlib.error` where the file can't be read.
        """
        self._read(size)
        if self._exhausted and self.lines and not self.lines[-1].endswith(b"\n"):
            self._check_last_line()
        if self._exhausted and self.truncated:
            line = self.line + len(self.lines) + 1
            log.warning("%s:%d: the last line is truncated; left out", self.name, line)
        if self._timed:
            latest = int(self.known_until)
            times = times_of_lines(self.lines)
            self.times = [latest := time if time and time > latest else latest for time in times]
            self.known_until = latest
            if times and latest - (times[-1] or latest) > _HOUR and not self._has_warned:
                self._has_warned = True
                log.warning("%s: a time in it is wrong, those behind it are hours earlier", self.name)
        if self.ended:
            self.known_until = math.inf

    def take(self, count: int) -> list[bytes]:
        """The first of the lines that were read."""
        taken = self.lines[:count]
        if not taken:
            return taken
        del self.lines[:count]
        if self._timed:
            self._time = self.times[count - 1]
            del self.times[:count]
        self.line += len(taken)
        self._offset += sum(map(len, taken))
        return taken

    def give_back(self, line: bytes, time: int) -> None:
        """Be before the last line that was taken, whose time this is, and read no more."""
        self.line -= 1
        self._offset -= len(line)
        self._time = time

    def _read(self, size: int) -> None:
        while not (self.lines or self._exhausted):
            try:
                chunk = (self._reading or self._open()).read1(size)
            except EOFError:  # a gzip file that stops before its end
                self.truncated, self._exhausted, self._tail = True, True, []
                return
            self._exhausted = not chunk
            self._tail.append(chunk)
            if chunk and b"\n" not in chunk and sum(map(len, self._tail)) <= MAX_LINE:
                continue
            lines = BytesIO(b"".join(self._tail)).readlines()
            if lines and len(lines[0]) > MAX_LINE:  # it is bad, and nothing behind it is read
                lines, self._exhausted = lines[:1], True
            whole = self._exhausted or lines[-1].endswith(b"\n")
            self._tail = [] if whole else [lines.pop()]
            self.lines = lines

    def _open(self) -> "gzip.GzipFile | _File":
        file = gzip.GzipFile(fileobj=self._file) if self._file.is_compressed else self._file
        if self._offset:
            file.seek(self._offset - 1)
            end_of_line = file.read1(1)
            # The last line of all may have no newline.
            if end_of_line != b"\n" and (not end_of_line or file.read1(1)):
                raise BadFrame("not the recording that is to be resumed: no line begins here")
        self._reading = file
        return file

    def _check_last_line(self) -> None:
        """Drop a last line without newline, if a crash has truncated it."""
        line = self.lines[-1]
        try:
            decode_line(line)
        except BadFrame:
            if len(line) <= MAX_LINE and _is_truncated(line, self.line + len(self.lines) - 1):
                self.truncated = True
                self.lines.pop()


class _File:
    """A file on disk, open only while it is read: a replay may have more of them than a process may open."""

    def __init__(self, path: Path) -> None:
        self.is_compressed = path.suffix == ".gz"
        self.offset = 0
        self._path = path
        self._identity: tuple[int, int] | None = None

    def read(self, size: int = -1) -> bytes:
        with open(self._path, "rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            identity = status.st_dev, status.st_ino
            if self._identity not in (None, identity):
                raise OSError("another file has its name")
            self._identity = identity
            file.seek(self.offset)
            data = file.read(size)
        self.offset += len(data)
        return data

    read1 = read

    def seek(self, offset: int) -> int:
        self.offset = offset
        return offset


def _is_truncated(line: bytes, line_number: int) -> bool:
    """Whether a last line that is no frame is a part of one: no part of an object is whole JSON.

    Where there is no line before it, it may be of a file that is no recording at all.
    """
    frame = line.lstrip(b"0123456789 \t\r")
    try:
        msgspec.json.decode(frame)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return line_number > 0 or frame.startswith(b"{")
    return False
