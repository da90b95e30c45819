"""Recordings merged into one order by arrival, whatever files they are in.

Lines of the same time are in the order of the files. How a line goes that has no arrival, `reader` says.
"""

import math
import re
import zlib
from bisect import bisect_right
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path

from orderbook.book import OrderBookState
from orderbook.coinbase.messages import BadFrame, L2Update, Level, Message, Snapshot, Status
from orderbook.printable import printable
from orderbook.recording.breaks import Breaks
from orderbook.recording.line import MAX_LINE, decode_line, too_long
from orderbook.recording.paths import names_of
from orderbook.recording.reader import Place, Reader

BATCH_BYTES = 65_536  # some 100 updates: past that the engine's cost a message falls no further
HELD_BYTES = 2**25  # of lines of all files that wait for those of others, or 8,192 of each

MAX_TIME = 2**64  # nanoseconds; no line has a later time

_UNREADABLE = (BadFrame, OSError, zlib.error)
_PRODUCT = re.compile(rb'"product_id"\s*:\s*"([^"\\]*)"')

Messages = list[tuple[str, Message]]
# What is replayed, whether `start` was reached, and the place in each file.
State = tuple[tuple[object, ...], bool, tuple[tuple[int, int, int], ...]]


class Recordings:
    """The messages of files as one stream, of some products or of all, from `start` until before `end`.

    The times are arrivals, in nanoseconds since 1970. What came before `start` is read, for the books: in
    its place each book that is live at `start` comes as a snapshot that arrives then. A product may be in
    several files one after another, not in two at the same time, since their changes would mix in its book;
    where the next file begins with a snapshot, a `gap` comes first. Without `timed` a single file is read as
    it stands, which is faster, and `next_time` says nothing of it.
    """

    def __init__(
        self,
        files: Sequence[Path],
        products: Collection[str] | None = None,
        start: int | None = None,
        end: int | None = None,
        state: State | None = None,
        timed: bool = False,
    ) -> None:
        self.synced: set[str] = set()  # the products of which a snapshot came
        self.given = 0  # how many messages were
        self.wrong: str | None = None  # what ends it before its end
        chosen = None if products is None else tuple(sorted(products))
        self._what = (names_of(files), chosen, start)
        what, self.begun, places = state or (self._what, start is None, ((0, 0, 0),) * len(files))
        self._refused = None if what == self._what else state
        if self._refused:
            self.wrong = f"a replay of other {_difference(what, self._what)} can't be resumed"
            places = ()
        self.resumed = state is not None
        self._timed = timed or len(files) > 1 or start is not None or end is not None
        self._first_places = places
        self.readers = [
            Reader(file, Place(*place), self._timed) for file, place in zip(files, places, strict=False)
        ]
        # Until when the lines of each file are known; empty before the first read.
        self._known: list[float] = []
        self._held: set[int] = set()  # the files of which lines were read that are later
        self._wanted = None if products is None else frozenset(products)
        self._wanted_bytes = frozenset(product.encode() for product in products or ())
        self._start, self._end = start or 0, math.inf if end is None else end - 1
        self._bounded = start is not None or end is not None
        self._file_of: dict[str, int] = {}  # where the last message of each product was
        self._files_of: set[tuple[str, int]] = set()
        self._breaks = Breaks()
        self._books: dict[str, tuple[OrderBookState, str | None]] = {}

    @property
    def state(self) -> State:
        """Where to resume, behind all that was given."""
        if self._refused:
            return self._refused
        if not self.begun:
            return self._what, False, self._first_places
        return self._what, True, tuple((r.place.offset, r.place.line, r.place.time) for r in self.readers)

    @property
    def products(self) -> set[str]:
        """The products that were found."""
        return set(self._file_of)

    @property
    def next_time(self) -> float:
        """When what comes next arrived, at the earliest; infinite behind the last line."""
        held = (self.readers[number].times[0] for number in self._held)
        return min(*held, *self._known, math.inf) if self._known else 0

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to come before the end."""
        return self.wrong is None and self.next_time > min(self._end, MAX_TIME)

    @property
    def failure(self) -> str | None:
        """Why what came to its end is no replay: there was nothing between start and end, or no book.

        That is where no snapshot came of any product, or none of a chosen one. Where it was resumed, all that
        may have been before.
        """
        if self.resumed or not self.ended:
            return None
        bare = self.products if self._wanted is None else self._wanted
        missing = sorted(bare - self.synced)
        if missing and (self._wanted is not None or not self.synced):
            return f"no snapshot of {', '.join(missing)}, so no book and no line"
        if not self.given and self._bounded:
            return "nothing was recorded between start and end"
        return None

    def read(self, until: float = math.inf) -> Messages:
        """The next messages of lines until a time, inclusive; perhaps none, though there are more.

        Raises `ValueError` with `file:line: what is wrong`, once all messages before that line were given.
        """
        if self.wrong is not None:
            raise ValueError(self.wrong)
        if self.begun:
            batch = self._read(min(until, self._end))
        else:
            batch = self._begin(self._read(min(self._start - 1, self._end)))
        self.given += len(batch)
        return batch

    def _begin(self, before: Messages) -> Messages:
        """Keep books of what came before the start; their snapshots, once it is reached."""
        for product_id, message in before:
            book, time = self._books.get(product_id) or (OrderBookState(), None)
            book.update(message)
            self._books[product_id] = book, message.time or time
        if self.wrong is not None or self.next_time < min(self._start, self._end + 1):
            return []
        self.begun = True
        snapshots: Messages = [
            (product_id, _snapshot(product_id, book, time, self._start))
            for product_id, (book, time) in self._books.items()
            if book.is_live and not self.ended and not self._breaks.had_stopped(product_id, self._start)
        ]
        self._books.clear()
        return snapshots

    def _read(self, until: float) -> Messages:
        times, numbers, lines = self._take(until)
        batch: Messages = []
        # The sort is stable, so each file's lines stay in their order.
        order = iter(range(len(lines)) if numbers[:1] == numbers[-1:] else _sorted(times))
        wanted, wanted_bytes, file_of = self._wanted, self._wanted_bytes, self._file_of
        breaks, moved, latest = self._breaks, self._breaks.moved, self._breaks.latest
        try:
            for index in order:
                line = lines[index]
                if len(line) > MAX_LINE:
                    raise too_long(line)
                if wanted is not None and (found := _PRODUCT.search(line)) and found[1] not in wanted_bytes:
                    continue
                message = decode_line(line)
                if type(message) is L2Update or isinstance(message, Message):  # the second takes 0.2 µs
                    product_id = message.product_id
                    if wanted is not None and product_id not in wanted:
                        continue
                    if file_of.get(product_id) != numbers[index]:
                        self._go_on_in(numbers[index], product_id)
                    if type(message) is Snapshot:
                        self.synced.add(product_id)
                    if (product_id in moved or type(message) is Status) and (gap := breaks.before(message)):
                        batch.append((product_id, gap))
                    latest[product_id] = message
                    batch.append((product_id, message))
        except BadFrame as error:
            for left in reversed([index, *order]):
                self.readers[numbers[left]].give_back(lines[left], times[left])
            self._fail(numbers[index], error)
        return batch

    def _take(self, until: float) -> tuple[list[int], list[int], list[bytes]]:
        """Take the next lines until a time: all that are known to come before any other.

        Answers their times, the numbers of their files, and themselves, file by file.
        """
        readers, known, held = self.readers, self._known, self._held
        if not known:
            known += [self._look(number) for number in range(len(readers))]
        while True:
            time = min(known)
            number = known.index(time)
            if number in held or time > until or time == math.inf or self.wrong is not None:
                break
            try:
                readers[number].fill(max(8_192, min(BATCH_BYTES, HELD_BYTES // (len(held) + 1))))
            except _UNREADABLE as error:
                self._fail(number, error)
                break
            known[number] = readers[number].known_until
            if readers[number].lines:
                held.add(number)
        times: list[int] = []
        numbers: list[int] = []
        lines: list[bytes] = []
        for other in sorted(held):
            reader = readers[other]
            last = min(until, time if other <= number else time - 1)
            if self._timed and reader.times[0] > last:
                continue
            count = bisect_right(reader.times, last) if self._timed else len(reader.lines)
            times += reader.times[:count]
            lines += reader.take(count)
            numbers += [other] * count
            if not reader.lines:
                held.remove(other)
        return times or [0] * len(lines), numbers, lines

    def _look(self, number: int) -> float:
        reader = self.readers[number]
        try:
            if self._timed:
                reader.look()
        except _UNREADABLE as error:
            self._fail(number, error)
        return reader.known_until

    def _go_on_in(self, number: int, product_id: str) -> None:
        if not product_id.isprintable():
            raise BadFrame(f"{product_id!r} is not a product")
        if (product_id, number) in self._files_of:
            other = self.readers[self._file_of[product_id]].name
            raise BadFrame(f"{product_id} is in {other} too, at the same time")
        if product_id in self._file_of:
            self._breaks.moved.add(product_id)
        self._files_of.add((product_id, number))
        self._file_of[product_id] = number

    def _fail(self, number: int, error: Exception) -> None:
        reader = self.readers[number]
        self.wrong = f"{reader.name}:{reader.line + 1}: {printable(error)}"


def check_span(start: int | None, end: int | None) -> None:
    """Raise `ValueError` where nothing can be between the times."""
    if start is not None and end is not None and end <= start:
        raise ValueError("the end is not behind the start")


def _difference(left: tuple[object, ...], what: tuple[object, ...]) -> str:
    """In what a replay that was left differs from another, and how."""
    kinds = zip(("recordings", "products", "start"), left, what, strict=True)
    kind, then, now = next((kind, then, now) for kind, then, now in kinds if then != now)
    if isinstance(then, tuple) and isinstance(now, tuple):
        before, after = set(then), set(now)
        if before == after:
            return f"{kind} (the same, in another order)"
        then = [name for name in then if name not in after][:3]
        now = [name for name in now if name not in before][:3]
    return f"{kind} ({_shown(then)}, not {_shown(now)})"


def _shown(what: object) -> str:
    if isinstance(what, int):
        return f"{datetime.fromtimestamp(what // 10**9, UTC):%Y-%m-%dT%H:%M:%SZ}"
    return printable(what)


def _sorted(times: list[int]) -> list[int]:
    return sorted(range(len(times)), key=times.__getitem__)


def _snapshot(product_id: str, book: OrderBookState, time: str | None, arrival: int) -> Snapshot:
    bids, asks = ([Level(*level) for level in side] for side in book.depth(sum(book.levels())))
    return Snapshot(product_id, bids, asks, time, arrival)
