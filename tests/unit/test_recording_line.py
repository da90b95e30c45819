"""Lines of recordings: what was encoded comes back, with the time at which it came."""

import pytest

from orderbook.coinbase.exchange import Subscriptions
from orderbook.coinbase.messages import BadFrame, Heartbeat, L2Update, Status
from orderbook.recording.line import count_frames, decode_line, encode, encode_status

ARRIVAL = 1_790_000_000_123_456_789
FRAME = b'{"type":"l2update","product_id":"A-B","changes":[],"time":"2026-09-30T02:03:12.699555Z"}'


def test_frame_with_its_arrival() -> None:
    """A frame comes back as its message, with the nanosecond at which it arrived."""
    line = encode(FRAME, ARRIVAL)
    assert line == b"1790000000123456789 " + FRAME
    assert decode_line(line + b"\n") == L2Update("A-B", [], "2026-09-30T02:03:12.699555Z", ARRIVAL)


def test_frame_without_a_time() -> None:
    """A line of an old recording is a frame alone; nobody knows when it came, whatever it says."""
    assert decode_line(b'{"type":"heartbeat","product_id":"A-B","local_timestamp":5}\n') == Heartbeat("A-B")
    assert decode_line(b'{"type":"heartbeat","product_id":"A-B"}') == Heartbeat("A-B")


def test_status() -> None:
    """Where a stream breaks off the line says so: product, reason, and when."""
    line = encode_status("A-B", 'stale: no frame for 5 s, "é"', ARRIVAL)
    assert line.startswith(b'1790000000123456789 {"type":"disconnect","product_id":"A-B","reason":"stale: no')
    status = decode_line(line)
    assert status == Status("A-B", 'stale: no frame for 5 s, "é"', ARRIVAL)
    assert status.event == "stale"


def test_other_frames() -> None:
    """An acknowledgement has no time of its own, and a type that is not known is passed over."""
    assert isinstance(decode_line(encode(b'{"type":"subscriptions","channels":[]}', ARRIVAL)), Subscriptions)
    assert decode_line(encode(b'{"type":"ticker"}', ARRIVAL)) is None


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"17",
        b"-17 " + FRAME,
        b"1.7 " + FRAME,
        b"0x17 " + FRAME,
        b"17  17 " + FRAME,
        b"12345678901234567890 " + FRAME,
        b"\xd9\xa1 " + FRAME,
        encode(b'{"type":"disconnect","product_id":"A-B","reason":"tired"}', ARRIVAL),
        encode(b'{"type":"disconnect","product_id":"A-B"}', ARRIVAL),
        encode(b'{"type":"disconnect","reason":"stale: x","product_id":5}', ARRIVAL),
        encode(b'{"type":"disconnect","product_id":"A-B","reason":"stale: \xff"}', ARRIVAL),
    ],
)
def test_bad_lines(line: bytes) -> None:
    """What is neither a frame, nor one with a time, nor a status is refused, with the line in the error."""
    with pytest.raises(BadFrame) as raised:
        decode_line(line)
    assert str(raised.value).isprintable()
    assert repr(line.rpartition(b" ")[2][-8:])[2:-1] in str(raised.value)


def test_frames_are_counted() -> None:
    """A status is no frame of the exchange."""
    lines = [encode(FRAME, ARRIVAL), encode_status("A-B", "gap: x", ARRIVAL), encode(FRAME, 5)]
    assert count_frames(lines) == 2
