"""Line of a recording: `<arrival in ns> <frame>`, or a frame alone, as in recordings of before.

Where a product's stream breaks off, the line has the feed's own `Status` in the place of a frame.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from orderbook.coinbase.exchange import MAX_SIZE, Error, Subscriptions, decode
from orderbook.coinbase.messages import BadFrame, L2Update, Message, Status, both_times

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_DIGITS = 19  # of nanoseconds since 1970, until the year 2286
_STATUS = b'{"type":"disconnect"'
MAX_LINE = MAX_SIZE + _MOST_DIGITS + 2  # bytes, with the newline
_TIME = re.compile(rb'"time"\s*:\s*"([^"\\]*)"')
_status_decoder = msgspec.json.Decoder(Status)


def time_of_text(text: str) -> int:
    """A time of arrival in nanoseconds since 1970, of ISO 8601; UTC where it names no zone."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a time such as 2026-11-24T12:30:00 or 2026-11-24") from None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return (time - _EPOCH) // timedelta(microseconds=1) * 1_000


def too_long(line: bytes) -> BadFrame:
    """What is wrong with a line of more than `MAX_LINE` bytes, of which nobody has the rest."""
    return BadFrame(f"longer than {MAX_LINE} bytes: {line[:200]!r}")


def encode(frame: bytes, arrival: int) -> bytes:
    """The line of a frame that arrived at a time, in nanoseconds since 1970."""
    return b"%d %b" % (arrival, frame)


def status_frame(product_id: str, reason: str) -> bytes:
    """What stands in the place of a frame where a product's stream breaks off, and says why."""
    return msgspec.json.encode(Status(product_id, reason))


def encode_status(product_id: str, reason: str, arrival: int) -> bytes:
    """The line that says why a product's stream breaks off."""
    return encode(status_frame(product_id, reason), arrival)


def count_frames(lines: Iterable[bytes]) -> int:
    """How many of these lines have a frame of the exchange."""
    return sum(_STATUS not in line[: _MOST_DIGITS + 1 + len(_STATUS)] for line in lines)


def decode_line(line: bytes) -> Message | Subscriptions | Error | None:
    """The message of a line, with its arrival, or None; as `decode`, of which it takes 0.3 µs more.

    Raises `BadFrame` as `decode` does.
    """
    arrival = None
    if not line.startswith(b"{"):
        head, space, frame = line.partition(b" ")
        if space and head.isdigit() and len(head) <= _MOST_DIGITS:
            arrival, line = int(head), frame
    message = decode(line)
    if type(message) is L2Update or isinstance(message, Message):  # the second takes 0.3 µs
        message.local_timestamp = arrival
    elif message is None and line.startswith(_STATUS):
        message = _decode_status(line)
        message.local_timestamp = arrival
    return message


def time_of_line(line: bytes) -> int | None:
    """A line's arrival, else the exchange's time in its frame, in nanoseconds since 1970; None without both.

    Takes 0.2 µs, more for a frame alone; decodes nothing.
    """
    space = line.find(b" ", 0, _MOST_DIGITS + 1)
    if space > 0 and (head := line[:space]).isdigit():
        return int(head)
    found = _TIME.search(line)
    return both_times(found[1].decode(errors="replace"), None)[1] if found else None


def times_of_lines(lines: Sequence[bytes]) -> list[int | None]:
    """`time_of_line` of each, in half the time where all have arrivals of as many digits as today's."""
    heads = [line[: _MOST_DIGITS + 1] for line in lines]
    together, blanks = b"".join(heads), b" " * len(heads)
    # As many blanks as heads, one at the end of each, and digits else.
    if (
        together[_MOST_DIGITS :: _MOST_DIGITS + 1] == blanks
        and together.count(b" ") == len(heads)
        and len(together) == len(heads) * (_MOST_DIGITS + 1)
        and together.replace(b" ", b"").isdigit()
    ):
        return list(map(int, heads))
    return list(map(time_of_line, lines))


def _decode_status(line: bytes) -> Status:
    try:
        return _status_decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadFrame(f"{error}: {line[:200]!r}") from None
