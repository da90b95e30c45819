"""How it is kept and heard again: frames recorded one a line, and read back as the same stream.

A recording is what the exchange sent, raw, and nothing else; `decode` judges it as it judges the feed.
"""

import fcntl
import gzip
import logging
import os
import zlib
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from orderbook.coinbase.messages import BadFrame, BookMessage, decode
from orderbook.shutdown import Ending, logged

log = logging.getLogger(__name__)

SUFFIXES = (".jsonl", ".jsonl.gz")
BATCH_BYTES = 65_536  # some 100 updates: past that the engine's cost a message falls no further


class Recorder:
    """Appends a product's frames to `<folder>/<product>.jsonl`.

    Each frame is one write, so a crash can cut the last line only; that line is removed when the
    file is opened again. Raises `OSError` where the file can't be opened, or is being recorded to
    by somebody else.
    """

    def __init__(self, folder: str, product_id: str) -> None:
        self.path = Path(folder, f"{product_id}.jsonl")
        self._file = open(self.path, "a+b", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise BlockingIOError(f"{self.path} is being recorded to already") from None
        self._size = self._remove_cut_line()

    def _remove_cut_line(self) -> int:
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
            log.warning("%s: removed a last line that was cut short, %d bytes", self.path, size - whole)
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


class RecordingSource(FixedPartitionedSource[tuple[str, BookMessage], tuple[int, int]]):
    """A recording, or a folder of them, as a source with one partition a file.

    Takes `.jsonl` and `.jsonl.gz`. A file may mix products, but a product may be in one file only:
    two files are read side by side, and their changes would mix in its book. Raises `ValueError`
    where there is nothing to read at `path`.
    """

    def __init__(self, path: str, ending: Ending) -> None:
        self._ending = ending
        self._file_of: dict[str, str] = {}
        root = Path(path)
        try:
            files = sorted(root.iterdir()) if root.is_dir() else [root]
        except OSError as error:
            raise ValueError(f"{path!r} can't be read: {error.strerror}") from None
        self._files = {file.name: file for file in files if file.name.endswith(SUFFIXES)}
        if not self._files:
            raise ValueError(
                f"{path!r} is not a recording, nor a folder of recordings ({', '.join(SUFFIXES)})"
            )
        for file in self._files.values():
            try:
                file.open("rb").close()
            except OSError as error:
                raise ValueError(f"{path!r} can't be read: {error.strerror}: {file}") from None

    def list_parts(self) -> list[str]:
        return list(self._files)

    def build_part(
        self, step_id: str, for_part: str, resume_state: tuple[int, int] | None
    ) -> "RecordingPartition":
        offset, line = resume_state or (0, 0)
        return RecordingPartition(self._files[for_part], offset, line, self._file_of, self._ending)


class RecordingPartition(StatefulSourcePartition[tuple[str, BookMessage], tuple[int, int]]):
    """A file's messages, from a byte offset on, as fast as they are asked for.

    `file_of` tells, for all partitions of the process, which file a product was found in.
    """

    def __init__(self, path: Path, offset: int, line: int, file_of: dict[str, str], ending: Ending) -> None:
        self._path = path
        self._name = path.name
        self._offset = offset
        self._line = line
        self._file_of = file_of
        self._ending = ending
        self._file = cast(BinaryIO, gzip.open(path) if path.suffix == ".gz" else path.open("rb"))
        self._cut = False
        self._wrong: str | None = None
        self._resume()

    def _resume(self) -> None:
        try:
            if self._offset:
                self._file.seek(self._offset - 1)
                end_of_line = self._file.read(1)
                # The last line of all may have no newline.
                if end_of_line != b"\n" and (not end_of_line or self._file.read(1)):
                    self._wrong = "not the recording that is to be resumed: no line begins here"
        except (EOFError, OSError, zlib.error) as error:
            self._wrong = str(error)

    @logged
    def next_batch(self) -> list[tuple[str, BookMessage]]:
        """The messages of the next lines. A bad line ends the run, once those before it are out."""
        if self._wrong:
            log.error("%s:%d: %s", self._path, self._line + 1, self._wrong)
            self._ending.finish(1)
        if self._ending.reached:
            raise StopIteration
        batch: list[tuple[str, BookMessage]] = []
        try:
            end = self._offset + BATCH_BYTES
            while self._offset < end:
                line = self._read_line()
                if not line:
                    if batch:
                        break
                    raise StopIteration
                message = decode(line)
                if isinstance(message, BookMessage):
                    product_id = message.product_id
                    if self._file_of.setdefault(product_id, self._name) != self._name:
                        raise BadFrame(f"{product_id} is in {self._file_of[product_id]} too")
                    batch.append((product_id, message))
                self._offset += len(line)
                self._line += 1
        except (BadFrame, OSError, zlib.error) as error:
            self._wrong = str(error)
        return batch

    def _read_line(self) -> bytes:
        """The next line, empty at the end; what a crash has cut short is said and left out."""
        if self._cut:
            return b""
        try:
            line = self._file.readline()
            if line.endswith(b"\n") or not line:
                return line
            decode(line)  # the last newline may have been lost without the rest
        except (EOFError, BadFrame):  # EOFError: a gzip file that stops before its end
            log.warning("%s:%d: the last line is cut short; left out", self._path, self._line + 1)
            self._cut = True
            return b""
        return line

    def snapshot(self) -> tuple[int, int]:
        """Where to resume: the byte offset and the number of lines before it."""
        return self._offset, self._line

    def close(self) -> None:
        self._file.close()
