"""What a client asks for, and what the exchange answers before any market data.

A subscribe is met whole or not at all: one product that isn't listed voids it.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass

CHANNELS = {"level2_batch": "level2_50", "heartbeat": "heartbeat", "matches": "matches"}
"""The channels by the names they are subscribed with, and what the acknowledgement calls them."""


class Refused(ValueError):
    """A subscribe that can't be met, and why."""


@dataclass(frozen=True)
class Subscription:
    """A subscribe that can be met."""

    products: Sequence[str]
    channels: Sequence[str]

    @property
    def level2(self) -> bool:
        """Whether it asks for the books."""
        return "level2_batch" in self.channels

    @property
    def heartbeat(self) -> bool:
        """Whether it asks for heartbeats."""
        return "heartbeat" in self.channels

    def acknowledgement(self) -> str:
        """The message that says what was subscribed to, the channels by their old names."""
        # {"type":"subscriptions","channels":[{"name":"level2_50","product_ids":["ABC-EUR"],…}]}
        channels = [
            {"name": CHANNELS[channel], "product_ids": list(self.products), "account_ids": None}
            for channel in self.channels
        ]
        return json.dumps({"type": "subscriptions", "channels": channels}, separators=(",", ":"))


def understood(message: str | bytes, listed: Collection[str]) -> Subscription:
    """The subscription that a client's message asks for; `Refused` if it can't be met."""
    try:
        wish = json.loads(message)
        kind, products, channels = wish["type"], wish["product_ids"], wish["channels"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Refused("Malformed message") from None
    if kind != "subscribe":
        raise Refused("Type has to be subscribe")
    if not (isinstance(products, list) and isinstance(channels, list) and products and channels):
        raise Refused("No products or no channels")
    for product in products:
        if not isinstance(product, str) or product not in listed:
            raise Refused(f"{product} is not a valid product")
    for channel in channels:
        if not isinstance(channel, str) or channel not in CHANNELS:
            raise Refused(f"{channel} is not a valid channel")
    return Subscription(products, channels)


def refusal(reason: str) -> str:
    """The message that says why a subscribe failed."""
    # {"type":"error","message":"Failed to subscribe","reason":"ABC-XXX is not a valid product"}
    error = {"type": "error", "message": "Failed to subscribe", "reason": reason}
    return json.dumps(error, separators=(",", ":"))
