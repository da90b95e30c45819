"""What a user may set: the variables of the environment, their defaults, and what they must be.

An argument beats its variable. A value that is wrong is a `SystemExit` of one line that names it,
which is how a dataflow's factory ends a run before it starts.
"""

import math
import os
import re
import tempfile
from collections.abc import Iterable

from websockets.exceptions import InvalidURI
from websockets.uri import parse_uri

DEFAULTS = {
    "ORDERBOOK_PRODUCTS": "BTC-USD,ETH-USD,BTC-EUR,ETH-EUR",
    "ORDERBOOK_MIN_SPREAD": "0.0001",  # a fraction of the ask price: 1 basis point
    "ORDERBOOK_FEED_URL": "wss://ws-feed.exchange.coinbase.com",
    "ORDERBOOK_RECORD": "",  # a folder; empty: no recording
    "ORDERBOOK_STALE_AFTER": "5",  # seconds, as are all below
    "ORDERBOOK_CROSSED_AFTER": "2",
    "ORDERBOOK_REFRESH": "3600",
}


def products(argument: str | Iterable[str] | None = None) -> list[str]:
    """The products; each becomes a file name when recorded, so its form is strict, and none is twice."""
    if isinstance(argument, Iterable) and not isinstance(argument, str):
        argument = ",".join(map(str, argument))
    name, value = "ORDERBOOK_PRODUCTS", _value("ORDERBOOK_PRODUCTS", argument)
    product_ids = [product_id.strip() for product_id in value.split(",")]
    for product_id in product_ids:
        if not re.fullmatch("[A-Z0-9]+-[A-Z0-9]+", product_id):
            raise _wrong(name, product_id, "a product such as BTC-USD")
        if product_ids.count(product_id) > 1:
            raise _wrong(name, value, f"a list without repeats: {product_id}")
    return product_ids


def min_spread(argument: float | str | None = None) -> float:
    """The fraction of the ask price above which a summary is told."""
    name, value = "ORDERBOOK_MIN_SPREAD", _value("ORDERBOOK_MIN_SPREAD", argument)
    number = _number(value)
    if not math.isfinite(number):
        raise _wrong(name, value, "a finite number")
    return number


def seconds(name: str) -> float:
    """One of the settings that are a time in seconds, above 0."""
    value = _value(name)
    number = _number(value)
    if not (math.isfinite(number) and number > 0):
        raise _wrong(name, value, "a number of seconds above 0")
    return number


def feed_url(argument: str | None = None) -> str:
    """The feed's address."""
    value = _value("ORDERBOOK_FEED_URL", argument)
    try:
        parse_uri(value).host.encode("idna")
    except (InvalidURI, ValueError):  # ValueError: a port that is none, a host that can't be encoded
        raise _wrong("ORDERBOOK_FEED_URL", value, "a ws:// or wss:// address") from None
    return value


def record_folder(argument: str | None = None) -> str | None:
    """The folder to record into, made where it is missing; None for no recording."""
    value = _value("ORDERBOOK_RECORD", argument)
    if not value:
        return None
    try:
        os.makedirs(value, exist_ok=True)
        tempfile.TemporaryFile(dir=value).close()
    except (OSError, ValueError) as error:
        raise _wrong("ORDERBOOK_RECORD", value, f"a folder to record into: {error}") from None
    return value


def _value(name: str, argument: object = None) -> str:
    return os.environ.get(name, DEFAULTS[name]) if argument is None else str(argument)


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return math.nan


def _wrong(name: str, value: str, what: str) -> SystemExit:
    return SystemExit(f"{name}: {value!r} is not {what}")
