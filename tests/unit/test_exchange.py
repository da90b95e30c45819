"""What `decode` makes of a frame, good or bad; `python -m tests.stress.fuzz` is the long form."""

import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderbook.coinbase.exchange import (
    MAX_SIZE,
    Channel,
    Error,
    Subscriptions,
    decode,
    subscribe,
    unsubscribe,
)
from orderbook.coinbase.messages import (
    MAX_CHANGES,
    MAX_LEVELS,
    BadFrame,
    Change,
    Heartbeat,
    L2Update,
    LastTrade,
    Level,
    Message,
    Snapshot,
    Trade,
    both_times,
)
from tests.stress.fuzz import LONGEST_TEXT, LONGEST_TIME, fuzz
from tests.support.processes import ROOT
from tests.support.waiting import DEADLINE

ROUNDS = 5_000  # of the fuzz test
TIME = "2026-09-30T02:03:12.699555Z"


def update(changes: str) -> bytes:
    """An update with these changes, as they stand in JSON."""
    return f'{{"type":"l2update","product_id":"ABC-EUR","changes":[{changes}]}}'.encode()


KNOWN: dict[str, tuple[bytes, Message | Subscriptions | Error]] = {
    "snapshot": (
        b'{"type":"snapshot","product_id":"ABC-EUR","asks":[["12.34","0.50000000"],["12.40","7"]],'
        b'"bids":[["12.30","1.25000000"]],"time":"2026-09-30T02:03:12.699555Z"}',
        Snapshot("ABC-EUR", [Level(12.3, 1.25)], [Level(12.34, 0.5), Level(12.4, 7.0)], TIME),
    ),
    "update": (
        b'{"type":"l2update","product_id":"ABC-EUR","changes":[["buy","12.31","0.00000001"],'
        b'["sell","12.34","0.00000000"]],"time":"2026-09-30T02:03:12.699555Z"}',
        L2Update("ABC-EUR", [Change("buy", 12.31, 1e-8), Change("sell", 12.34, 0.0)], TIME),
    ),
    "heartbeat": (
        b'{"type":"heartbeat","last_trade_id":77,"product_id":"ABC-EUR","sequence":9001,'
        b'"time":"2026-09-30T02:03:12.699555Z"}',
        Heartbeat("ABC-EUR", TIME, 77),
    ),
    "trade": (
        b'{"type":"match","trade_id":1052119289,"maker_order_id":"15bc13f2","taker_order_id":"13d7d08f",'
        b'"side":"sell","size":"0.2","price":"63514.6","product_id":"ABC-EUR","sequence":132235026010,'
        b'"time":"2026-09-30T02:03:12.699555Z"}',
        Trade("ABC-EUR", 1052119289, "sell", 63514.6, 0.2, TIME),
    ),
    "last trade before a subscription": (
        b'{"type":"last_match","trade_id":7,"side":"buy","size":"1","price":"2","product_id":"ABC-EUR"}',
        LastTrade("ABC-EUR", 7, "buy", 2.0, 1.0),
    ),
    "ack": (
        b'{"type":"subscriptions","channels":[{"name":"level2_50","product_ids":["ABC-EUR"],'
        b'"account_ids":null}]}',
        Subscriptions([Channel("level2_50", ["ABC-EUR"])]),
    ),
    "error": (
        b'{"type":"error","message":"Failed to subscribe","reason":"ABC-XXX is not a valid product"}',
        Error("Failed to subscribe", "ABC-XXX is not a valid product"),
    ),
    "error without a reason": (b'{"type":"error","message":"Slow down"}', Error("Slow down", "")),
    "time of year 1": (
        b'{"type":"l2update","product_id":"ABC-EUR","changes":[],"time":"0001-01-01T00:00:00.000000Z"}',
        L2Update("ABC-EUR", [], "0001-01-01T00:00:00.000000Z"),
    ),
    "snapshot without a time": (
        b'{"type":"snapshot","product_id":"ABC-EUR","asks":[],"bids":[]}',
        Snapshot("ABC-EUR", [], [], None),
    ),
    "update without a time": (update(""), L2Update("ABC-EUR", [], None)),
    "heartbeat without a time": (
        b'{"type":"heartbeat","product_id":"ABC-EUR"}',
        Heartbeat("ABC-EUR", None),
    ),
    "type last, white space, a field that is new": (
        b' {"product_id": "ABC-EUR",\t"colour": {"a": [1]},\r\n"type": "heartbeat"}\n',
        Heartbeat("ABC-EUR", None),
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_types_become_typed_messages(name: str) -> None:
    """A frame of a known type becomes its message, with each field in its place and numbers as floats."""
    frame, message = KNOWN[name]
    decoded = decode(frame)
    assert type(decoded) is type(message)
    assert decoded == message


UNUSUAL = {
    "a field that is new": b'{"type":"l2update","product_id":"A","changes":[],"time":"1:2","x":{"time":1}}',
    "no time": b'{"type":"l2update","product_id":"ABC-EUR","changes":[]}',
    "a colon in the product": b'{"type":"l2update","product_id":"A:C-EUR","changes":[],"time":"1:2"}',
    "an escaped key": b'{"type":"l2update","product\\u005fid":"ABC-EUR","changes":[],"time":"1:2"}',
    "beyond ASCII": '{"type":"l2update","product_id":"ÄBC-EUR","changes":[],"time":"1:2"}'.encode(),
    "a key in two objects": b'{"type":"ticker","product_id":"ABC-EUR","maker":{"type":1},"taker":{"type":1}}',
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_frames_that_are_not_spelled_as_usual_are_taken(name: str) -> None:
    """A frame may have new fields, escapes and letters of any script, and a key in several objects."""
    assert (decode(UNUSUAL[name]) is None) == (name == "a key in two objects")


TWICE = {
    "size": b'{"type":"l2update","product_id":"ABC-EUR","changes":[],"changes":[],"time":"1:2"}',
    "product": b'{"type":"heartbeat","product_id":"ABC-EUR","product_id":"DEF-EUR"}',
    "type": b'{"type":"heartbeat","type":"ticker","product_id":"ABC-EUR"}',
    "time, with fewer colons": b'{"type":"l2update","product_id":"A","changes":[],"time":"1:2:3","time":"1"}',
    "time, with more colons": b'{"type":"l2update","product_id":"A","changes":[],"time":"1","time":"1:2:3"}',
    "hidden by escaped colons": (
        b'{"type":"l2update","product_id":"A","changes":[],"changes":[],"time":"1\\u003a2"}'
    ),
    "spelled in two ways": b'{"type":"heartbeat","product_id":"A","product\\u005fid":"B"}',
    "in a field that nobody reads": b'{"type":"heartbeat","product_id":"A","x":[{"y":1,"z":2,"y":1}]}',
    "in a type that is not known": b'{"type":"ticker","size":"1","size":"2"}',
    "in a channel": b'{"type":"subscriptions","channels":[{"name":"level2","name":"heartbeat"}]}',
    "in a trade": (
        b'{"type":"match","trade_id":1,"maker_order_id":"a","taker_order_id":"b","side":"buy","size":"1",'
        b'"price":"2","product_id":"A","price":"3","time":"1:2"}'
    ),
    "in a trade, one that nobody reads": (
        b'{"type":"match","trade_id":1,"maker_order_id":"a","taker_order_id":"b","side":"buy","size":"1",'
        b'"price":"2","product_id":"A","sequence":1,"sequence":2,"time":"1:2"}'
    ),
    "in a heartbeat": b'{"type":"heartbeat","product_id":"A","sequence":1,"product_id":"A","time":"1:2"}',
    "in a snapshot": b'{"type":"snapshot","product_id":"A","bids":[],"asks":[],"bids":[],"time":"1:2"}',
}


@pytest.mark.parametrize("name", TWICE)
def test_a_key_twice_in_one_object_is_refused(name: str) -> None:
    """Of two values nobody knows which one is meant, however the key is spelled and wherever it is."""
    with pytest.raises(BadFrame, match="is there twice"):
        decode(TWICE[name])


@pytest.mark.parametrize("text", [b"\xff", b"\xc3", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"])
@pytest.mark.parametrize(
    "frame",
    [
        b'{"type":"l2update","product_id":"A","changes":[],"time":"1:2","x":"@"}',
        b'{"type":"l2update","product_id":"A","changes":[],"time":"1:2@"}',
        b'{"type":"snapshot","product_id":"@","bids":[],"asks":[],"time":"1:2"}',
        b'{"type":"heartbeat","product_id":"A","@":1}',
        b'{"type":"ticker","x":["@"]}',
        b'{"type":"subscriptions","channels":[{"name":"level2","x":"@"}]}',
    ],
)
def test_bytes_that_are_not_utf_8_are_refused(frame: bytes, text: bytes) -> None:
    """A frame that is not UTF-8 throughout can't be trusted, in fields that nobody reads too."""
    with pytest.raises(BadFrame, match="utf-8"):
        decode(frame.replace(b"@", text))


MANY: dict[str, tuple[bytes, int]] = {
    "changes": (b'{"type":"l2update","product_id":"A","changes":[@],"time":"1:2"}', MAX_CHANGES),
    "bids": (b'{"type":"snapshot","product_id":"A","bids":[@],"asks":[],"time":"1:2"}', MAX_LEVELS),
    "asks": (b'{"type":"snapshot","product_id":"A","bids":[],"asks":[@],"time":"1:2"}', MAX_LEVELS),
}


@pytest.mark.parametrize("name", MANY)
def test_bounds(name: str) -> None:
    """A message has no more levels or changes than a book that can be kept."""
    frame, most = MANY[name]
    item = b'["buy",1,1]' if name == "changes" else b"[1,1]"
    assert decode(frame.replace(b"@", b",".join([item] * most)))
    with pytest.raises(BadFrame, match=f"length <= {most} - at `\\$.{name}`"):
        decode(frame.replace(b"@", b",".join([item] * (most + 1))))


BOMBS = {
    "keys": (
        b'{"type":"ticker",' + b",".join(b'"%x":0' % number for number in range(420_000)) + b',"0":1}',
        "is there twice",
    ),
    "arrays": (b'{"type":"ticker","x":[' + b"[[]]," * 800_000 + b"0]}", "arrays and objects"),
    "arrays in the place of a price": (update('["buy",[' + "[[]]," * 800_000 + '0],"1"]'), "changes"),
    "digits": (b'{"type":"ticker","x":' + b"1" * 4_000_000 + b"}", "digits"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_holds_nobody_up(name: str) -> None:
    """A frame of the largest size, made to be slow, is refused within a second of processor time.

    The slowest known takes 0.3 s, as measured on a busy machine.
    """
    frame, text = BOMBS[name]
    assert len(frame) < MAX_SIZE
    began = time.thread_time()
    with pytest.raises(BadFrame, match=text):
        decode(frame)
    assert time.thread_time() - began < LONGEST_TIME


OUT_OF_MEMORY = """
import resource
from orderbook.coinbase.exchange import decode
from orderbook.coinbase.messages import BadFrame
frame = b'{"type":"snapshot","product_id":"A","asks":[],"bids":[' + b"[1,1]," * 190_000 + b"[1,1]]}"
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 4_000_000, -1))
try:
    decode(frame)
except BadFrame as error:
    print(error)
"""


def test_a_frame_for_which_there_is_no_memory_is_refused() -> None:
    """Where a frame needs more memory than there is, it is refused, and the run goes on."""
    finished = subprocess.run(
        [sys.executable, "-c", OUT_OF_MEMORY], cwd=ROOT, capture_output=True, timeout=DEADLINE
    )
    assert finished.stdout.startswith(b"MemoryError: b'{"), finished.stderr


@pytest.mark.parametrize("kind", ["ticker", "status", "one of tomorrow", ""])
def test_unknown_types_are_passed_over(kind: str) -> None:
    """The exchange adds types: one that is not known is no error, whatever else is in it."""
    assert decode(json.dumps({"type": kind, "product_id": 5, "changes": [["buy", "-1"]]}).encode()) is None


UPDATE, SNAPSHOT = KNOWN["update"][0], KNOWN["snapshot"][0]

# What is wrong: the frame, then what the text must name: the place in the frame, and what stands there.
BAD: dict[str, tuple[bytes, str, str]] = {
    **{
        f"price {price}": (update(f'["buy",{price},"1"]'), "changes[0][1]", price.strip('"'))
        for price in (
            *('"NaN"', '"nan"', '"inf"', '"Infinity"', '"-inf"', '"0"', '"0.00"', '"-0"', '"-12.5"'),
            *('"1e301"', '"1e400"', '"0.-10000"', '"1_0"', '" 1"', '"0x10"', '"12,5"', '""', '"1.2.3"'),
            *("0", "-12.5", "1e+301", "1e400", "true", "[]", "{}"),
        )
    },
    **{
        f"size {size}": (update(f'["buy","2","1"],["sell","1",{size}]'), "changes[1][2]", size.strip('"'))
        for size in ('"NaN"', '"inf"', '"-1"', '"-1e-8"', '"1e301"', '"1e400"', '"0.-10000"', "-1", "1e400")
    },
    "price null": (update('["buy",null,"1"]'), "changes[0][1]", "null"),
    "bare NaN": (update('["buy",NaN,"1"]'), "byte", "NaN"),
    "snapshot price": (SNAPSHOT.replace(b"12.30", b"-12.30"), "bids[0][0]", "-12.30"),
    "snapshot size": (SNAPSHOT.replace(b'"7"', b'"0.-10000"'), "asks[1][1]", "0.-10000"),
    "side": (update('["hold","1","1"]'), "changes[0][0]", "hold"),
    "side number": (update('[1,"1","1"]'), "changes[0][0]", "1"),
    "two items": (update('["buy","1"]'), "changes[0]", '["buy","1"]'),
    # Who adds an item to a change may have given it a meaning that a book must not miss.
    "four items": (update('["buy","1","1","odd"]'), "array", "odd"),
    "level of three items": (SNAPSHOT.replace(b'"7"', b'"7","odd"'), "array", "odd"),
    "level of one item": (SNAPSHOT.replace(b',"7"', b""), "asks[1]", "12.40"),
    "change is no array": (update('{"side":"buy"}'), "changes[0]", '{"side":"buy"}'),
    "no changes": (b'{"type":"l2update","product_id":"ABC-EUR"}', "changes", "ABC-EUR"),
    "no product": (b'{"type":"heartbeat"}', "product_id", "heartbeat"),
    "no message": (b'{"type":"error","reason":"because"}', "message", "because"),
    "no bids": (b'{"type":"snapshot","product_id":"ABC-EUR","asks":[]}', "bids", "ABC-EUR"),
    "product null": (b'{"type":"heartbeat","product_id":null}', "product_id", "null"),
    "time number": (b'{"type":"heartbeat","product_id":"ABC-EUR","time":5}', "time", "5"),
    "no type": (b'{"product_id":"ABC-EUR"}', "type", "ABC-EUR"),
    "type number": (b'{"type":5}', "type", "5"),
    "type null": (b'{"type":null}', "type", "null"),
    "array": (b'["snapshot"]', "array", "snapshot"),
    "string": (b'"snapshot"', "str", "snapshot"),
    "number": (b"17", "int", "17"),
    "null": (b"null", "null", "null"),
    "empty": (b"", "truncated", "b''"),
    "white space": (b" \n", "truncated", "b' \\n'"),
    "not JSON": (b"<html>", "byte 0", "<html>"),
    "not UTF-8": (UPDATE.replace(b"ABC", b"\xff\xfe"), "utf-8", "\\xff"),
    "half a surrogate pair": (UPDATE.replace(b"ABC", b"\\ud800"), "", "ud800"),
    "doubled": (UPDATE * 2, "byte", "l2update"),
    "doubled, a line each": (UPDATE + b"\n" + UPDATE, "byte", "l2update"),
    "bad number, then cut": (update('["buy","-1","1"]')[:-1], "", "-1"),
    "bad number, then more": (update('["buy","-1","1"]') + b"x", "", "-1"),
    "bad number, field twice": (update('["buy","-1","1"]')[:-1] + b',"changes":[]}', "", "-1"),
    "bad number, not UTF-8 after": (update('["buy","-1","1"]')[:-1] + b',"x":"\xff"}', "", "-1"),
    "unknown type, cut": (b'{"type":"ticker","size":', "", "ticker"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_frames_name_place_and_value(name: str) -> None:
    """A frame that can't be trusted is a `BadFrame` that says where it is wrong, and what stands there."""
    frame, place, value = BAD[name]
    with pytest.raises(BadFrame) as caught:
        decode(frame)
    text = str(caught.value)
    assert place in text
    assert value in text


@pytest.mark.parametrize("depth", [2_000, 100_000])
@pytest.mark.parametrize(
    "around", ['{"type":"heartbeat","product_id":"A","x":@}', '{"type":"ticker","x":@}', "@"]
)
@pytest.mark.parametrize("pair", ["[]", '{"a":}'])
def test_nesting_without_end_is_refused(around: str, pair: str, depth: int) -> None:
    """Nesting that would exhaust the stack is a `BadFrame`, in a field that nobody reads too."""
    nested = pair[:-1] * depth + "1" + pair[-1] * depth
    with pytest.raises(BadFrame):
        decode(around.replace("@", nested).encode())


@pytest.mark.parametrize("place", ['["buy",@,"1"]', '["buy","1",@]', "@"])
def test_nesting_in_the_place_of_a_number_is_refused(place: str) -> None:
    """The text is made without descending into what is nested."""
    with pytest.raises(BadFrame):
        decode(update(place.replace("@", "[" * 2_000 + "]" * 2_000)))


@pytest.mark.parametrize("name", ["update", "snapshot", "heartbeat", "ack", "error", "a bad one", "unknown"])
def test_a_frame_cut_anywhere_is_refused(name: str) -> None:
    """A frame that lost its end is never taken for a whole one, wherever it was cut."""
    others = {"a bad one": update('["buy","-1","1"]'), "unknown": b'{"type":"ticker","size":"0.1"}'}
    frame = others[name] if name in others else KNOWN[name][0]
    for end in range(len(frame)):
        with pytest.raises(BadFrame):
            decode(frame[:end])


@pytest.mark.parametrize("zero", ["0", "0.00", "0E-8", "0e0", "-0", "-0.0", "0.00000000"])
def test_zero_in_any_spelling_is_a_size_of_0(zero: str) -> None:
    """A size of zero, which deletes, is 0 however it is spelled, as a string or a number."""
    message = decode(update(f'["buy","1","{zero}"],["sell","2",{zero}]'))
    assert isinstance(message, L2Update)
    assert [change.size for change in message.changes] == [0, 0]


@st.composite
def decimals(draw: st.DrawFn) -> str:
    """A number at or above 0 of up to 17 digits, as the exchange may spell it."""
    digits = draw(st.text("0123456789", min_size=1, max_size=17))
    point = draw(st.integers(0, len(digits)))
    whole = digits[:point].lstrip("0") or "0"  # JSON knows no leading zeros
    exponent = draw(st.just("") | st.builds("{}{}".format, st.sampled_from("eE"), st.integers(-30, 30)))
    return whole + (f".{digits[point:]}" if digits[point:] else "") + exponent


@settings(max_examples=100)
@given(st.lists(st.tuples(decimals(), decimals()), max_size=4))
def test_numbers_are_exactly_what_they_spell(levels: list[tuple[str, str]]) -> None:
    """A string or number becomes the very float that Python's `float` makes of its text."""
    levels = [(price, size) for price, size in levels if float(price)]
    expected = [Level(float(price), float(size)) for price, size in levels]
    quoted = ",".join(f'["{price}","{size}"]' for price, size in levels)
    bare = ",".join(f"[{price},{size}]" for price, size in levels)
    message = decode(f'{{"type":"snapshot","product_id":"A","bids":[{quoted}],"asks":[{bare}]}}'.encode())
    assert isinstance(message, Snapshot)
    assert message.bids == expected
    assert message.asks == expected


LONG = "x" * 1_000_000


LONG_FRAMES = {
    "side": update(f'["{LONG}","1","1"]'),
    "price": update(f'["buy","{LONG}","1"]'),
    "price of many digits": update(f'["buy",{"1" * 100_000},"1"]'),
    "price that is an array": update(f'["buy",[{"1," * 100_000}1],"1"]'),
    "many changes": update('["buy","1","1"],' * 30_000 + '["buy","1","-1"]'),
    "type of a cut frame": f'{{"type":"{LONG}"'.encode(),
    "product in an array": f'{{"type":"heartbeat","product_id":["{LONG}"]}}'.encode(),
    "field": f'{{"{LONG}":1}}'.encode(),
    "time of a cut frame": f'{{"type":"heartbeat","product_id":"A","time":"{LONG}"'.encode(),
    "not JSON": LONG.encode(),
    "not UTF-8": b"\xff" * 1_000_000,
}


@pytest.mark.parametrize("name", LONG_FRAMES)
def test_a_long_frame_has_a_short_text(name: str) -> None:
    """However long the frame, what is said of it fits a log's line, and is said within a second."""
    began = time.thread_time()
    with pytest.raises(BadFrame) as caught:
        decode(LONG_FRAMES[name])
    assert time.thread_time() - began < LONGEST_TIME
    assert 0 < len(str(caught.value)) < LONGEST_TEXT


def test_hostile_frames_give_a_message_none_or_bad_frame() -> None:
    """Nothing else ever comes of a frame, and no number out of bounds gets through."""
    counts, wrong = fuzz(ROUNDS, seed=20_260_930)
    assert not wrong, "\n".join([f"{len(wrong)} of {ROUNDS} frames", *wrong[:5]])
    assert counts["BadFrame"] > ROUNDS / 3, "hardly a frame was bad"
    assert counts["L2Update"] > ROUNDS / 100, "hardly a frame was good"


def test_requests() -> None:
    """A subscribe asks for books, trades and heartbeats; an unsubscribe ends the books alone."""
    assert json.loads(subscribe(["ABC-EUR", "DEF-EUR"])) == {
        "type": "subscribe",
        "product_ids": ["ABC-EUR", "DEF-EUR"],
        "channels": ["level2_batch", "matches", "heartbeat"],
    }
    assert json.loads(unsubscribe(["ABC-EUR"])) == {
        "type": "unsubscribe",
        "product_ids": ["ABC-EUR"],
        "channels": ["level2_batch"],
    }


def test_acknowledgement_lists_books() -> None:
    """The books that are subscribed to are those of the level2 channels, under whatever name."""
    channels = [
        Channel("level2_50", ["A-B"]),
        Channel("level2_batch", ["C-D"]),
        Channel("heartbeat", ["E-F"]),
    ]
    assert Subscriptions(channels).books() == {"A-B", "C-D"}
    assert Subscriptions().books() == frozenset()


@pytest.mark.parametrize(
    ("reason", "named", "unknown"),
    [
        ("BTC-XXX is not a valid product", ["BTC-XXX"], True),
        ("BTC-USD and ETH-USD are in maintenance", ["BTC-USD", "ETH-USD"], False),
        ("Internal error", [], False),
        ("", [], False),
    ],
)
def test_error_names_products(reason: str, named: list[str], unknown: bool) -> None:
    """The products that a refusal names, and whether they don't exist."""
    error = Error("Failed to subscribe", reason)
    assert (error.product_ids(), error.is_unknown_product) == (named, unknown)


def test_side_of_a_trade() -> None:
    """The exchange says the maker's side; a trade's own is that of the taker."""
    assert [Trade("A", 1, side, 1.0, 1.0).side for side in ("buy", "sell")] == ["sell", "buy"]


LOCAL = 1_790_000_000_123_456_789
SENT = LOCAL // 1_000 * 1_000 - 20_000_000


def spelled(nanoseconds: int) -> str:
    """A time as the exchange spells it."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=nanoseconds // 1_000)
    return moment.isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("time", "local_timestamp", "both"),
    [
        (spelled(SENT), LOCAL, (SENT, LOCAL)),
        (spelled(SENT), None, (SENT, SENT)),
        (spelled(LOCAL + 3_599 * 10**9), LOCAL, (LOCAL // 1_000 * 1_000 + 3_599 * 10**9, LOCAL)),
        (spelled(LOCAL + 3_601 * 10**9), LOCAL, (LOCAL, LOCAL)),
        ("0001-01-01T00:00:00.000000Z", LOCAL, (LOCAL, LOCAL)),
        ("0001-01-01T00:00:00.000000Z", None, (None, None)),
        ("2026-11-24T14:00:00.123456789Z", None, (1_795_528_800_123_456_000,) * 2),
        ("2026-11-24T14:00:00", LOCAL, (LOCAL, LOCAL)),  # of no zone
        ("yesterday", LOCAL, (LOCAL, LOCAL)),
        (None, LOCAL, (LOCAL, LOCAL)),
        (None, None, (None, None)),
    ],
)
def test_both_times(
    time: str | None, local_timestamp: int | None, both: tuple[int | None, int | None]
) -> None:
    """The exchange's time to the microsecond and ours; each stands for the other where that can't be true."""
    assert both_times(time, local_timestamp) == both


@pytest.mark.parametrize("number", ["-1", "9007199254740992", "1" * 400, "true", '"x"', "1.5"])
def test_ids_of_trades_are_bounded(number: str) -> None:
    """An id that can't be true is refused: it would hide all trades that follow it."""
    trade = f'{{"type":"match","product_id":"A","trade_id":{number},"side":"buy","price":"1","size":"1"}}'
    for frame in (trade, f'{{"type":"heartbeat","product_id":"A","last_trade_id":{number}}}'):
        with pytest.raises(BadFrame):
            decode(frame.encode())
