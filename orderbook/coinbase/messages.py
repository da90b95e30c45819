"""What the exchange says: its messages, typed, and `decode`, which makes them of a frame's bytes.

A frame is hostile until `decode` has checked it: every price is above 0, every size 0 or above, both
finite and at most 1e300, all in the one pass that also turns them into floats.
"""

import re
from typing import Annotated, Literal

import msgspec

Price = Annotated[float, msgspec.Meta(gt=0, le=1e300)]
Size = Annotated[float, msgspec.Meta(ge=0, le=1e300)]


class BadFrame(ValueError):
    """A frame that can't be trusted; the text says where it is wrong, and what stands there."""


# Levels and changes are kept out of the garbage collector's sight (gc=False): they hold no
# containers, and a snapshot makes 45,000 of them at once. An item too many is refused: it may have a
# meaning that the book would miss.
class Level(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """A price and the size that is on offer there, as in `["2671.33","0.24000910"]`."""

    price: Price
    size: Size


class Change(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """The new size at a price, 0 where the level is gone, as in `["buy","2631.25","0.00100000"]`."""

    side: Literal["buy", "sell"]
    price: Price
    size: Size


# {"type":"snapshot","product_id":"ETH-USD","asks":[["2671.33","0.2"]],"bids":[["2671.32","2.6"]],
#  "time":"2026-09-30T02:03:12.699555Z"}
class Snapshot(msgspec.Struct, tag_field="type", tag="snapshot"):
    """A whole book; it replaces whatever was known of the product, whenever it comes."""

    product_id: str
    bids: list[Level]
    asks: list[Level]
    time: str | None = None


# {"type":"l2update","product_id":"ETH-USD","changes":[["buy","2631.25","0.001"]],"time":"…Z"}
class L2Update(msgspec.Struct, tag_field="type", tag="l2update"):
    """Changes since the last message; only the book at their end is one that existed."""

    product_id: str
    changes: list[Change]
    time: str | None = None


# {"type":"heartbeat","last_trade_id":105211,"product_id":"BTC-USD","sequence":1322350,"time":"…Z"}
class Heartbeat(msgspec.Struct, tag_field="type", tag="heartbeat"):
    """A sign of life, once a second a product; tells a quiet market from a dead feed."""

    product_id: str
    time: str | None = None


# {"type":"subscriptions","channels":[{"name":"level2_50","product_ids":["BTC-USD"]}]}
class Subscriptions(msgspec.Struct, tag_field="type", tag="subscriptions"):
    """The acknowledgement of a subscribe; its place among the other messages is not promised.

    Nothing in it matters: what counts is that a snapshot comes.
    """


# {"type":"error","message":"Failed to subscribe","reason":"BTC-XXX is not a valid product"}
class Error(msgspec.Struct, tag_field="type", tag="error"):
    """A request that the exchange refuses, and why."""

    message: str
    reason: str = ""


BookMessage = Snapshot | L2Update | Heartbeat  # those of a product
Message = BookMessage | Subscriptions | Error


class _Typed(msgspec.Struct):
    type: str


# strict=False takes numbers that are spelled as strings, as the exchange spells them.
_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message, strict=False)
_type_decoder = msgspec.json.Decoder(_Typed)
_KNOWN_TYPES = {kind.__struct_config__.tag for kind in (Snapshot, L2Update, Heartbeat, Subscriptions, Error)}


_UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


def decode(frame: bytes) -> Message | None:
    """Make a message of a frame; None for a type that we don't know (the exchange adds some).

    Costs about 0.15 µs a change. Raises `BadFrame` for anything else that is not one of the
    messages above: not JSON, nested without end, a field missing or of a wrong type, a number out
    of bounds.
    """
    try:
        return _decoder.decode(frame)
    except _UNREADABLE as error:
        wrong = str(error)
    try:
        if _type_decoder.decode(frame).type not in _KNOWN_TYPES:
            return None
    except _UNREADABLE as error:
        wrong = str(error)
    raise BadFrame(_explain(frame, wrong))


def _explain(frame: bytes, error: str) -> str:
    """Say what is wrong, and the value that is: msgspec names its place in the JSON only."""
    value: object = frame
    place = re.search(r" - at `\$(.*)`$", error)
    try:
        if place:
            value = msgspec.json.decode(frame)
            for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", place[1]):
                value = value[name] if name else value[int(index)]  # type: ignore[index]
        shown = repr(value)
    except (*_UNREADABLE, LookupError, TypeError, ValueError):  # wrong in more than one way
        shown = repr(frame[:200])
    return f"{_short(error)}: {_short(shown)}"


def _short(text: str) -> str:
    return text if len(text) <= 160 else f"{text[:100]}…{text[-50:]}"
