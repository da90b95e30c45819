"""Requests of a client, and the answers to them that are not market data.

A request is met whole or not at all: one product that isn't listed voids it.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LEVEL2 = "level2_batch"
"""The channel of the books."""

HEARTBEAT = "heartbeat"
"""The channel of a message once a second."""

MATCHES = "matches"
"""The channel of the trades."""

CHANNELS = {LEVEL2: "level2_50", HEARTBEAT: HEARTBEAT, MATCHES: MATCHES}
"""The channels by the names they are subscribed with, and what the acknowledgement calls them."""


class Refused(ValueError):
    """A request that can't be met, and why."""


@dataclass(frozen=True)
class Request:
    """A request that can be met: `type` is `subscribe` or `unsubscribe`.

    An unsubscribe without products means all that the connection is subscribed to on its channels.
    """

    type: str
    products: Sequence[str]
    channels: Sequence[str]


def parse(decoded: Any, listed: Collection[str], most_products: int | None = None) -> Request:
    """Check a client's request; `Refused` if it can't be met."""
    try:
        kind, channels = decoded["type"], decoded["channels"]
        products = decoded.get("product_ids", []) if kind == "unsubscribe" else decoded["product_ids"]
    except (KeyError, TypeError):
        raise Refused("Malformed message") from None
    if kind not in ("subscribe", "unsubscribe"):
        raise Refused("Type has to be subscribe or unsubscribe")
    if not isinstance(products, list) or not isinstance(channels, list) or not channels:
        raise Refused("No products or no channels")
    if kind == "subscribe" and not products:
        raise Refused("No products or no channels")
    if most_products is not None and len(products) > most_products:
        raise Refused("Message too big: break up your subscription messages")
    for product in products:
        if not isinstance(product, str) or product not in listed:
            raise Refused(f"{product} is not a valid product")
    for channel in channels:
        if not isinstance(channel, str) or channel not in CHANNELS:
            raise Refused(f"{channel} is not a valid channel")
    return Request(kind, products, channels)


def acknowledgement(subscribed: Mapping[str, Iterable[str]]) -> bytes:
    """The message that lists what a connection is subscribed to now, the channels by their old names."""
    # {"type":"subscriptions","channels":[{"name":"level2_50","product_ids":["ABC-EUR"],…}]}
    channels = [
        {"name": CHANNELS[channel], "product_ids": list(products), "account_ids": None}
        for channel, products in subscribed.items()
    ]
    return json.dumps({"type": "subscriptions", "channels": channels}, separators=(",", ":")).encode()


def refusal(reason: str) -> bytes:
    """The message that gives the reason why a request failed."""
    # {"type":"error","message":"Failed to subscribe","reason":"ABC-XXX is not a valid product"}
    error = {"type": "error", "message": "Failed to subscribe", "reason": reason}
    return json.dumps(error, separators=(",", ":")).encode()
