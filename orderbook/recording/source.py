"""The Bytewax source of a replay: recordings as the messages that they were.

A recording is what the exchange sent, raw, and when it came; `decode` checks it as it checks the feed.
"""

import gzip
import logging
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import msgspec
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from orderbook.coinbase.messages import BadFrame, L2Update, Message, Snapshot
from orderbook.printable import printable
from orderbook.recording.line import decode_line
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
        self._parts: list[RecordingPartition] = []
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
        for name, file in self._files.items():
            try:
                name.encode()  # the engine takes no other
                file.open("rb").close()
            except (OSError, UnicodeEncodeError) as error:
                why = error.strerror if isinstance(error, OSError) else "its name is not UTF-8"
                raise ValueError(f"{path!r} can't be read: {why}: {str(file)!r}") from None

    def list_parts(self) -> list[str]:
        return list(self._files)

    def build_part(
        self, step_id: str, for_part: str, resume_state: tuple[int, int] | None
    ) -> "RecordingPartition":
        offset, line = resume_state or (0, 0)
        part = RecordingPartition(self._files[for_part], offset, line, self._file_of, self._shutdown)
        self._parts.append(part)
        return part

    def report(self) -> str:
        """What was replayed so far, and where the files are that have not come to their end, in a line."""
        parts = self._parts
        products = set[str]().union(*(part.products for part in parts))
        times = sorted(time for part in parts for time in (part.first_time, part.last_time) if time)
        text = f"{sum(part.frames for part in parts)} frames of {len(products)} products"
        if times:
            text += f" from {times[0]} to {times[-1]}"
        if left := [f"{part.name}:{part.line}" for part in parts if not part.ended]:
            text += f", not to the end: the last lines were {', '.join(left[:4])}"
            text += f" and those of {len(left) - 4} more files" if len(left) > 4 else ""
        return printable(text)

    def without_snapshots(self) -> list[str]:
        """The products of which no snapshot came, where none of any other product came either.

        Where a replay is resumed, the snapshots were before.
        """
        parts = self._parts
        if any(part.synced or part.resumed or not part.ended for part in parts):
            return []
        return sorted(set[str]().union(*(part.products for part in parts)))


class RecordingPartition(StatefulSourcePartition[tuple[str, Message], tuple[int, int]]):
    """A file's messages, from a byte offset on, as fast as they are asked for.

    `file_of` has the file that each product was found in, for all partitions of the process.
    """

    def __init__(
        self, path: Path, offset: int, line: int, file_of: dict[str, str], shutdown: Shutdown
    ) -> None:
        self.name = printable(path)
        self.line = self._resumed_at = line  # how many lines were read, with those before a resume
        self.resumed = offset > 0
        self.ended = False
        self.products: set[str] = set()
        self.synced: set[str] = set()  # the products of which a snapshot came
        self.first_time: str | None = None
        self.last_time: str | None = None
        self._file_name = path.name
        self._offset = offset
        self._file_of = file_of
        self._shutdown = shutdown
        self._file = cast(BinaryIO, gzip.open(path) if path.suffix == ".gz" else path.open("rb"))
        self._truncated = False
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
            log.error("%s:%d: %s", self.name, self.line + 1, printable(self._wrong))
            self._shutdown.request(1)
        self._shutdown.check()
        batch: list[tuple[str, Message]] = []
        try:
            self._read_into(batch)
        except (BadFrame, OSError, zlib.error) as error:
            self._wrong = str(error)
        if batch:
            self.first_time = self.first_time or batch[0][1].time
            self.last_time = batch[-1][1].time or self.last_time
        elif self.ended:
            raise StopIteration
        return batch

    def _read_into(self, batch: list[tuple[str, Message]]) -> None:
        if self.ended:
            return
        readline, products, offset, line_number = self._file.readline, self.products, self._offset, self.line
        end = offset + BATCH_BYTES
        try:
            while offset < end:
                line = readline()
                if not line.endswith(b"\n") and not self._is_whole(line, line_number):
                    self.ended = True
                    break
                message = decode_line(line)
                if type(message) is L2Update or isinstance(message, Message):  # the second takes 0.2 µs
                    product_id = message.product_id
                    if product_id not in products:
                        self._add(product_id)
                    if type(message) is Snapshot:
                        self.synced.add(product_id)
                    batch.append((product_id, message))
                offset += len(line)
                line_number += 1
        except EOFError:  # a gzip file that stops before its end
            self._truncated = self.ended = True
        finally:
            self._offset, self.line = offset, line_number
        if self._truncated:
            log.warning("%s:%d: the last line is truncated; left out", self.name, self.line + 1)

    def _is_whole(self, line: bytes, line_number: int) -> bool:
        """Whether there is a last line, though it has no newline, and a crash has not truncated it."""
        try:
            if line:
                decode_line(line)
        except BadFrame:
            if not _is_truncated(line, line_number):
                raise
            self._truncated = True
            return False
        return bool(line)

    @property
    def frames(self) -> int:
        """How many lines were read."""
        return self.line - self._resumed_at

    def _add(self, product_id: str) -> None:
        if not product_id.isprintable():
            raise BadFrame(f"{product_id!r} is not a product")
        if self._file_of.setdefault(product_id, self._file_name) != self._file_name:
            raise BadFrame(f"{product_id} is in {self._file_of[product_id]} too")
        self.products.add(product_id)

    def snapshot(self) -> tuple[int, int]:
        """Where to resume: the byte offset and the number of lines before it."""
        return self._offset, self.line

    def close(self) -> None:
        self._file.close()


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
