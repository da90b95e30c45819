"""The Exchange feed: its address, its requests, and `decode`, which turns its frames into messages."""

import json
import re
from collections.abc import Sequence
from typing import Any, get_args

import msgspec

from orderbook.coinbase.messages import (
    MAX_LEVELS,
    BadFrame,
    Heartbeat,
    L2Update,
    LastTrade,
    Message,
    Snapshot,
    Trade,
)

URL = "wss://ws-feed.exchange.coinbase.com"
MAX_SIZE = 2**22  # bytes of a frame; BTC-USD's snapshot, the largest, has 1.1 to 1.3 MB


class Channel(msgspec.Struct):
    """A channel of an acknowledgement, and the products that the connection is subscribed to on it."""

    name: str
    product_ids: list[str] = []


# {"type":"subscriptions","channels":[{"name":"level2_50","product_ids":["BTC-USD"],"account_ids":null}]}
class Subscriptions(msgspec.Struct, tag_field="type", tag="subscriptions"):
    """The acknowledgement of a request: all that the connection is subscribed to now.

    Its place among the other messages is documented nowhere.
    """

    channels: list[Channel] = []

    def books(self) -> frozenset[str]:
        """The products whose books the connection is subscribed to.

        The channel `level2_batch` comes back under its old name, `level2_50`.
        """
        return frozenset(
            product_id
            for channel in self.channels
            if channel.name.startswith("level2")
            for product_id in channel.product_ids
        )


# {"type":"error","message":"Failed to subscribe","reason":"BTC-XXX is not a valid product"}
class Error(msgspec.Struct, tag_field="type", tag="error"):
    """A request that the exchange refuses, and why; it doesn't say which request."""

    message: str
    reason: str = ""

    def product_ids(self) -> list[str]:
        """The products that the reason names."""
        return re.findall(r"\b[A-Z0-9]+-[A-Z0-9]+\b", self.reason)

    @property
    def is_unknown_product(self) -> bool:
        """Whether the reason is that a product does not exist, which no further attempt changes."""
        return "is not a valid product" in self.reason


def subscribe(product_ids: Sequence[str]) -> str:
    """The request for books, trades and heartbeats; one product that doesn't exist voids all of it."""
    return _request("subscribe", product_ids, "level2_batch", "matches", "heartbeat")


def unsubscribe(product_ids: Sequence[str]) -> str:
    """The request to end the books' updates; trades and heartbeats go on.

    A subscribe after it brings a snapshot.
    """
    return _request("unsubscribe", product_ids, "level2_batch")


def _request(kind: str, product_ids: Sequence[str], *channels: str) -> str:
    return json.dumps({"type": kind, "product_ids": list(product_ids), "channels": channels})


_KINDS = Snapshot | L2Update | Trade | LastTrade | Heartbeat | Subscriptions | Error
# strict=False takes numbers that are spelled as strings, as the exchange spells them.
_decoder: msgspec.json.Decoder[Message | Subscriptions | Error] = msgspec.json.Decoder(_KINDS, strict=False)
_KNOWN_TYPES = {kind.__struct_config__.tag for kind in get_args(_KINDS)}


class _Typed(msgspec.Struct):
    type: str


_type_decoder = msgspec.json.Decoder(_Typed)
_UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError, MemoryError)
_Items = dict[str, msgspec.Raw] | list[msgspec.Raw]
_MAX_NESTED = 2 * MAX_LEVELS + 1_000  # in a frame that is not spelled as usual; it may be a snapshot
_BACKSLASH = ord("\\")  # a number is looked for in a sixth of the time that bytes take
# How many keys such a message has, with its type and time, and those of them that are not read.
_TRADE_KEYS = 10, (b'"maker_order_id":', b'"taker_order_id":', b'"sequence":')
_USUAL_KEYS: dict[type, tuple[int, tuple[bytes, ...]]] = {
    Snapshot: (5, ()),
    L2Update: (4, ()),
    Trade: _TRADE_KEYS,
    LastTrade: _TRADE_KEYS,
    Heartbeat: (5, (b'"sequence":',)),
}


def decode(frame: bytes) -> Message | Subscriptions | Error | None:
    """Decode a frame; None for a type that we don't know, since the exchange adds some.

    Costs about 0.15 µs a change, and 10 ms a MB for a frame that is not spelled as usual. Raises `BadFrame`
    for anything else that is not one of the messages above: not JSON, nested without end, a field missing
    or of a wrong type, a number out of bounds, too many levels or changes; and for a frame of whatever type
    that is not UTF-8 or has a key twice in one object.
    """
    message = None
    try:
        message = _decoder.decode(frame)
    except _UNREADABLE as error:
        if wrong := _wrong_unless_unknown(frame, error):
            raise BadFrame(_explain(frame, wrong)) from None
    if not _has_usual_keys(frame, message):
        _check_text(frame)
    return message


def _wrong_unless_unknown(frame: bytes, error: Exception) -> str | None:
    """What is wrong with a frame that can't be decoded; None where its type is one that we don't know."""
    try:
        if _type_decoder.decode(frame).type not in _KNOWN_TYPES:
            return None
    except _UNREADABLE as other:
        error = other
    return str(error) or type(error).__name__


def _has_usual_keys(frame: bytes, message: Message | Subscriptions | Error | None) -> bool:
    """Whether a message has each of its keys, and so none of them twice, nor any other; and is UTF-8.

    What was read is. A colon follows each key, and two are in the time: to count them takes 0.3 µs, or 0.3 ms
    for a snapshot.
    """
    usual = _USUAL_KEYS.get(type(message))
    if usual is None or _BACKSLASH in frame:  # the time may have its colons escaped
        return False
    keys, unread = usual
    if unread and not (frame.isascii() and all(frame.count(key) == 1 for key in unread)):
        return False
    if type(message) is Heartbeat and message.last_trade_id is None:
        return False
    time: str | None = message.time  # type: ignore[union-attr]
    return time is not None and frame.count(b":") - time.count(":") == keys


def _check_text(frame: bytes) -> None:
    """Raise `BadFrame` for what msgspec passes over: bytes that are not UTF-8, and a key twice."""
    try:
        if frame.count(b"[") + frame.count(b"{") > _MAX_NESTED:
            raise ValueError(f"more than {_MAX_NESTED} arrays and objects")
        json.loads(frame.decode(), object_pairs_hook=_check_keys)
    except (ValueError, RecursionError, MemoryError) as error:
        raise BadFrame(_explain(frame, str(error) or type(error).__name__)) from None


def _check_keys(pairs: list[tuple[str, object]]) -> None:
    if len(dict(pairs)) == len(pairs):
        return
    seen: set[str] = set()
    for key, _value in pairs:
        if key in seen:
            raise ValueError(f"the key {_short(repr(key))} is there twice")
        seen.add(key)


def _explain(frame: bytes, error: str) -> str:
    """What is wrong, and the value that is: msgspec names its place in the JSON only."""
    value = frame
    try:
        if place := re.search(r" - at `\$(.*)`$", error):
            for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", place[1]):
                items: Any = msgspec.json.decode(value, type=_Items)
                value = bytes(items[name] if name else items[int(index)])
    except (*_UNREADABLE, LookupError, TypeError, ValueError):  # wrong in more than one way
        value = frame
    return f"{_short(error)}: {_short(repr(value[:200]))}"


def _short(text: str) -> str:
    return text if len(text) <= 160 else f"{text[:100]}…{text[-50:]}"
