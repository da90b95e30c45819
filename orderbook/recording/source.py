"""The Bytewax source of a replay: recordings as the messages that they were.

A recording is what the exchange sent, raw, and when it came; `decode` checks it as it checks the feed.
"""

import logging
import math
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from orderbook.coinbase.messages import Message
from orderbook.printable import printable
from orderbook.recording.paths import files_at
from orderbook.recording.recordings import Messages, Recordings, State, check_span
from orderbook.shutdown import Shutdown, logged

log = logging.getLogger(__name__)

LONGEST_SLEEP = 0.05  # seconds between two polls, in which a shutdown is noticed
LONG = 60.0  # seconds to wait that are worth a line of the log


class RecordingSource(FixedPartitionedSource[tuple[str, Message], State]):
    """Recordings as a source with one partition, which merges all files into one order by arrival.

    `products`, `start` and `end` are those of `Recordings`. Raises `ValueError` where there is nothing to
    read at a path, or where the end is not behind the start.
    """

    def __init__(
        self,
        paths: str,
        shutdown: Shutdown,
        products: Collection[str] | None = None,
        speed: float | None = None,
        start: int | None = None,
        end: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        check_span(start, end)
        self._files = files_at(paths)
        self._products = products
        self._shutdown = shutdown
        self._speed = speed
        self._start, self._end = start, end
        self._clock = clock
        self._part: RecordingPartition | None = None  # of this process; another one may have it

    def list_parts(self) -> list[str]:
        return ["recordings"]

    def build_part(self, step_id: str, for_part: str, resume_state: State | None) -> "RecordingPartition":
        timed = self._speed is not None
        recordings = Recordings(self._files, self._products, self._start, self._end, resume_state, timed)
        self._part = RecordingPartition(recordings, self._shutdown, self._speed, self._clock)
        return self._part

    def progress(self) -> str | None:
        """How much was read so far, in a few words; None where nothing is being read."""
        if self._part is None:
            return None
        readers = self._part.recordings.readers
        share = sum(reader.bytes_read for reader in readers) / max(1, sum(r.size for r in readers))
        return printable(f"replayed {share:.0%}, until {self._part.last_time or 'the start'}")

    def conclude(self, lines: int | None) -> bool:
        """Log what was replayed and printed, and why it has failed, if it has; whether it came to its end."""
        log.info("replayed %s%s", self.report(), "" if lines is None else f", {lines} lines")
        if failure := self.failure():
            log.error("%s", failure)
            self._shutdown.request(1)
        return self._part is not None and self._part.recordings.ended and not failure

    def report(self) -> str:
        """What was replayed so far, and where the files are that have not come to their end, in a line."""
        part = self._part
        readers = part.recordings.readers if part else []
        products = part.recordings.products if part else ()
        text = f"{part.recordings.given if part else 0} messages of {len(products)} products"
        if part and part.first_time:
            text += f" from {part.first_time} to {part.last_time}"
        left = [f"{reader.name}:{reader.line}" for reader in readers if not reader.ended]
        if part and not part.recordings.ended and left:
            text += f", not to the end: the last lines were {', '.join(left[:4])}"
            text += f" and those of {len(left) - 4} more files" if len(left) > 4 else ""
        return printable(text)

    def failure(self) -> str | None:
        """Why a replay that came to its end has failed; see `Recordings.failure`."""
        return self._part.recordings.failure if self._part else None


class RecordingPartition(StatefulSourcePartition[tuple[str, Message], State]):
    """The messages of recordings, as fast as they are asked for, or at a speed: 1 is that of the arrivals."""

    def __init__(
        self, recordings: Recordings, shutdown: Shutdown, speed: float | None, clock: Callable[[], float]
    ) -> None:
        self.recordings = recordings
        self.first_time: str | None = None
        self.last_time: str | None = None
        self._shutdown = shutdown
        self._speed = speed
        self._clock = clock
        self._began: tuple[float, float] | None = None  # the clock then, and what came first, in ns
        self._awake: datetime | None = None
        self._awaited = 0.0  # what is long in coming, as far as it was logged

    @logged
    def next_batch(self) -> Messages:
        """The messages that are due. A bad line ends the run, once those before it are out."""
        self._shutdown.check()
        try:
            batch = self._paced(self._speed) if self._speed else self.recordings.read()
        except ValueError as error:
            log.error("%s", error)
            self._shutdown.request(1)
            raise StopIteration from None
        if batch:
            self.first_time = self.first_time or batch[0][1].time
            self.last_time = batch[-1][1].time or self.last_time
        elif self.recordings.ended:
            raise StopIteration
        return batch

    def _paced(self, speed: float) -> Messages:
        now, polled, recordings = self._clock(), datetime.now(UTC), self.recordings
        began, first = self._began or (now, 0.0)  # 0: nothing is due before it is known what comes first
        until = first + (now - began) * speed * 1e9
        batch = recordings.read(until)
        following = recordings.next_time
        if not self._began and recordings.begun and 0 < following < math.inf:
            self._began, until = (now, following), following
        wait = max(0.0, following - until) / 1e9 / speed if recordings.begun else 0.0
        if wait > LONG and following != self._awaited:
            log.info("nothing was recorded for long: what follows comes in %.0f s", wait)
            self._awaited = following
        self._awake = polled + timedelta(seconds=min(wait, LONGEST_SLEEP))
        return batch

    def next_awake(self) -> datetime | None:
        return self._awake

    def snapshot(self) -> State:
        """Where to resume: the place in each file."""
        return self.recordings.state
