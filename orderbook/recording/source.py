"""Replay source: recordings read back as the stream that they were.

A recording is what the exchange sent, raw, and nothing else; `decode` judges it as it judges the feed.
"""

import gzip
import logging
import zlib
from pathlib import Path
from typing import BinaryIO, cast

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from orderbook.coinbase.exchange import decode
from orderbook.coinbase.messages import BadFrame, Message
from orderbook.shutdown import Shutdown, logged

log = logging.getLogger(__name__)

SUFFIXES = (".jsonl", ".jsonl.gz")
BATCH_BYTES = 65_536  # some 100 updates: past that the engine's cost a message falls no further


class RecordingSource(FixedPartitionedSource[tuple[str, Message], tuple[int, int]]):
    """A recording, or a folder of them, as a source with one partition a file.

    Takes `.jsonl` and `.jsonl.gz`. A file may mix products, but a product may be in one file only:
    two files are read side by side, and their changes would mix in its book. Raises `ValueError`
    where there is nothing to read at `path`.
    """

    def __init__(self, path: str, shutdown: Shutdown) -> None:
        self._shutdown = shutdown
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
        return RecordingPartition(self._files[for_part], offset, line, self._file_of, self._shutdown)


class RecordingPartition(StatefulSourcePartition[tuple[str, Message], tuple[int, int]]):
    """A file's messages, from a byte offset on, as fast as they are asked for.

    `file_of` tells, for all partitions of the process, which file a product was found in.
    """

    def __init__(
        self, path: Path, offset: int, line: int, file_of: dict[str, str], shutdown: Shutdown
    ) -> None:
        self._path = path
        self._name = path.name
        self._offset = offset
        self._line = line
        self._file_of = file_of
        self._shutdown = shutdown
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
    def next_batch(self) -> list[tuple[str, Message]]:
        """The messages of the next lines. A bad line ends the run, once those before it are out."""
        if self._wrong:
            log.error("%s:%d: %s", self._path, self._line + 1, self._wrong)
            self._shutdown.request(1)
        if self._shutdown.requested:
            raise StopIteration
        batch: list[tuple[str, Message]] = []
        try:
            end = self._offset + BATCH_BYTES
            while self._offset < end:
                line = self._read_line()
                if not line:
                    if batch:
                        break
                    raise StopIteration
                message = decode(line)
                if isinstance(message, Message):
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
