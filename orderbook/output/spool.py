"""Spools: hidden files that take rows until these become files that readers see.

    DIR/.parquet-<worker>/lock                     held for as long as the process lives
                          <dataset>_….rows         a header, then frames
    header, frame         length and CRC-32 of what follows, then that, in MessagePack

Parquet has its footer at the end, and gzip its checksum: neither can be appended to and be whole at any
moment. A spool is: whatever ends the process, all frames that were appended are there, save that the last
one may be truncated. The process that finds a spool whose own process has ended finishes it.
"""

import fcntl
import logging
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

import msgspec

from orderbook.output.datasets import Column, Value
from orderbook.printable import printable

log = logging.getLogger(__name__)

Item = tuple[int | None, int | None, list[tuple[Value, ...]]]  # both times, and the rows that share them
Packed = tuple[bytes | bytearray, int]  # so many items, one behind the other

_HEAD = struct.Struct(">II")
_ARRAY = struct.Struct(">cI")  # MessagePack: the items that follow are an array of so many


class Content(msgspec.Struct, frozen=True):
    """What a spool has rows of; no other spool has its `name`, which begins with the first row's time."""

    dataset: str
    symbol: str
    date: str
    name: str
    columns: tuple[Column, ...]


_header = msgspec.msgpack.Decoder(Content)
_items = msgspec.msgpack.Decoder(list[Item])


class Spool:
    """A file of rows that share dataset, product and day. Holds no descriptor between two calls."""

    def __init__(self, path: Path, content: Content, size: int = 0) -> None:
        self.path = path
        self.content = content
        self.size = size  # bytes of it that are good, as far as is known

    @classmethod
    def open(cls, path: Path) -> "Spool | None":
        """The spool of a process that has ended; None where it ended before the first row."""
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            header = _read(file.fileno(), 0, size)
            if not header or not _read(file.fileno(), _HEAD.size + len(header), size):
                return None
        try:
            return cls(path, _header.decode(header), size)
        except msgspec.DecodeError as error:  # of another version
            raise OSError(f"{path.name} is of another version: {error}") from None

    def append(self, frames: Sequence[Packed]) -> None:
        """Append rows; where that raises `OSError`, none of them is there."""
        parts = [] if self.size else _framed(msgspec.msgpack.encode(self.content))
        for packed, count in frames:
            parts += _framed(_ARRAY.pack(b"\xdd", count), packed)
        data = memoryview(b"".join(parts))
        end = self.size + len(data)
        file = os.open(self.path, os.O_WRONLY | (0 if self.size else os.O_CREAT | os.O_TRUNC), 0o666)
        try:
            while data:
                data = data[os.pwrite(file, data, end - len(data)) :]
        except OSError:
            with suppress(OSError):  # else the next append writes over it
                os.truncate(file, self.size)
            raise
        finally:
            os.close(file)
        self.size = end

    def frames(self) -> Iterator[list[Item]]:
        """The rows, as many at a time as were appended at once; what a crash truncated is logged."""
        with open(self.path, "rb") as file:
            position = _HEAD.size + len(_read(file.fileno(), 0, self.size))
            while position < self.size:
                if not (data := _read(file.fileno(), position, self.size)):
                    lost = self.size - position
                    log.warning("%s: the last %d bytes are left out, not whole", printable(self.path), lost)
                    return
                yield _items.decode(data)
                position += _HEAD.size + len(data)


def _framed(*parts: bytes | bytearray) -> list[bytes | bytearray]:
    checksum = 0
    for part in parts:
        checksum = zlib.crc32(part, checksum)
    return [_HEAD.pack(sum(map(len, parts)), checksum), *parts]


def _read(file: int, position: int, end: int) -> bytes:
    """What a header or frame at this position holds; nothing where it is not whole."""
    head = os.pread(file, _HEAD.size, position)
    if len(head) < _HEAD.size:
        return b""
    length, checksum = _HEAD.unpack(head)
    if position + _HEAD.size + length > end:
        return b""
    data = os.pread(file, length, position + _HEAD.size)
    return data if zlib.crc32(data) == checksum else b""


class SpoolFolder:
    """The hidden folder of a process's spools, locked: no other process takes them for left behind."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self.worker = path.name.rpartition("-")[2]
        self._lock = lock
        self._count = 0

    @classmethod
    def create(cls, folder: Path, format: str) -> "SpoolFolder":
        """A new one in the data's folder; raises `OSError`."""
        path = folder / f".{format}-{token_hex(4)}"
        os.makedirs(path)
        return cls(path, _lock(path / "lock", os.O_CREAT))

    @classmethod
    def left_behind(cls, folder: Path, format: str) -> "list[SpoolFolder]":
        """Those of processes that have ended, locked for this one."""
        found = []
        for path in sorted(folder.glob(f".{format}-*/lock")):
            with suppress(OSError):  # its process lives, or has just removed it
                found.append(cls(path.parent, _lock(path)))
        return found

    @property
    def is_there(self) -> bool:
        """Whether it is still the one that this process has locked."""
        with suppress(FileNotFoundError):
            return os.path.samestat(os.stat(self.path / "lock"), os.fstat(self._lock))
        return False

    def begin(self, dataset: str, symbol: str, date: str, time: str, columns: tuple[Column, ...]) -> Spool:
        """A spool for rows of a dataset, product and day, of which the first came at this time."""
        self._count += 1
        name = f"{time}-{self.worker}" + (f"-{self._count}" if self._count > 1 else "")
        content = Content(dataset, symbol, date, name, columns)
        return Spool(self.path / f"{dataset}_{date}_{symbol}_{name}.rows", content)

    def spools(self) -> list[Spool]:
        """The spools in it, oldest first; those without a row are removed, and unfinished files."""
        for path in self.path.glob("*.tmp"):
            path.unlink()
        found = []
        for path in sorted(self.path.glob("*.rows"), key=lambda path: path.stat().st_mtime_ns):
            if spool := Spool.open(path):
                found.append(spool)
            else:
                log.warning("%s: removed, it ends before its first row", printable(path))
                path.unlink()
        return found

    def close(self) -> None:
        """Remove it where it has no spool any more, and unlock it."""
        with suppress(OSError):
            if self.is_there and not any(self.path.glob("*.rows")):
                os.unlink(self.path / "lock")
                os.rmdir(self.path)
        os.close(self._lock)


def _lock(path: Path, flags: int = 0) -> int:
    file = os.open(path, os.O_RDWR | flags, 0o666)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise
    return file
