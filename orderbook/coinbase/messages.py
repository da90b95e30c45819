"""Messages of a product, typed and checked, the same whichever feed they came from.

A frame is hostile until it has been decoded into one of these: every price is above 0, every size 0 or
above, both finite and at most 1e300, all in the one pass that also turns them into floats.
"""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

Price = Annotated[float, msgspec.Meta(gt=0, le=1e300)]
Size = Annotated[float, msgspec.Meta(ge=0, le=1e300)]

MAX_LEVELS = 200_000  # a side of a book; the deepest, BTC-USD's, has some 30,000
MAX_CHANGES = 50_000  # of an update; the largest seen has some 3,000


def seconds(time: str | None) -> float | None:
    """A message's time in seconds since 1970; None where it has none, or none that can be read."""
    try:
        return datetime.fromisoformat(time).timestamp() if time else None
    except ValueError:
        return None


class BadFrame(ValueError):
    """A frame that can't be trusted; the text names the place in the frame and the value there."""


# Levels and changes are invisible to the garbage collector (gc=False): they hold no containers, and a
# snapshot makes 45,000 of them at once. An item too many is refused: it may have a meaning that the book
# would miss.
class Level(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """A price and the size on offer there, as in `["2671.33","0.24000910"]`."""

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
    bids: Annotated[list[Level], msgspec.Meta(max_length=MAX_LEVELS)]
    asks: Annotated[list[Level], msgspec.Meta(max_length=MAX_LEVELS)]
    time: str | None = None


# {"type":"l2update","product_id":"ETH-USD","changes":[["buy","2631.25","0.001"]],"time":"…Z"}
class L2Update(msgspec.Struct, tag_field="type", tag="l2update"):
    """Changes since the last message; only the book at their end is one that existed."""

    product_id: str
    changes: Annotated[list[Change], msgspec.Meta(max_length=MAX_CHANGES)]
    time: str | None = None


# {"type":"heartbeat","last_trade_id":105211,"product_id":"BTC-USD","sequence":1322350,"time":"…Z"}
class Heartbeat(msgspec.Struct, tag_field="type", tag="heartbeat"):
    """A sign of life, once a second a product; tells a quiet market from a dead feed."""

    product_id: str
    time: str | None = None


Message = Snapshot | L2Update | Heartbeat
