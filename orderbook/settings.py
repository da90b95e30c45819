"""Settings of a run: the variables of the environment, their defaults, and what their values must be.

An argument of `live` or `replay` beats its variable. A mistake is a `SystemExit` of one line that names the
setting and shows its value, escaped: raised in a factory, it ends the run before it starts, with code 1.
"""

import dataclasses
import inspect
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import wraps
from typing import Any, Literal, TypeVar, TypeVarTuple

from websockets.exceptions import InvalidURI
from websockets.uri import parse_uri

from orderbook.output.datasets import Dataset, dataset
from orderbook.output.kafka import servers
from orderbook.recording.line import time_of_text

S = TypeVar("S", bound="OutputSettings")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_FIRST = ("path", "products")  # the argument that may stand without its name is the first that there is

# Each function reads the value of one setting from its text; `ValueError` tells what is wrong with it.


def _products(text: str) -> tuple[str, ...]:
    product_ids = []
    for product in map(str.strip, text.split(",")):
        # A product becomes a file name when recorded, so its form is strict.
        if not re.fullmatch("[A-Za-z0-9]+-[A-Za-z0-9]+", product):
            raise ValueError(f"{product!r} is not a product such as BTC-USD")
        if product.upper() in product_ids:
            raise ValueError(f"{text!r} has {product.upper()} twice")
        product_ids.append(product.upper())
    return tuple(product_ids)


def _fraction(text: str) -> float:
    number = _number(text)
    if not (math.isfinite(number) and number < 1):
        raise ValueError(f"{text!r} is not a finite number below 1 (0.0001 is one basis point)")
    return number


def _seconds(least: float, most: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        number = _number(text)
        if not least <= number <= most:
            raise ValueError(f"{text!r} is not a number of seconds from {least:g} to {most:g}")
        return number

    return read


def _speed(text: str) -> float:
    number = _number(text)
    if not 1e-3 <= number <= 1e6:
        raise ValueError(f"{text!r} is not a number from 0.001 to 1000000 (1 is real time)")
    return number


def _count(text: str) -> int:
    if not re.fullmatch("0*[1-9][0-9]{0,3}", text.strip()):
        raise ValueError(f"{text!r} is not a whole number from 1 to 9999")
    return int(text)


def _url(text: str) -> str | None:
    try:
        parse_uri(text).host.encode("idna")
    except (InvalidURI, ValueError):  # ValueError: a port that is none, a host that can't be encoded
        raise ValueError(f"'{shown(text)}' is not a ws:// or wss:// address") from None
    return text


def shown(url: str) -> str:
    """A URL as it may be printed: escaped, without user, password, query and fragment.

    It may be no URL at all. An @ behind the host may end a password that has a / or ? in it, so then nothing
    but the scheme is shown.
    """
    rest = re.sub(r"^[\w+.-]+://", "", url)
    host = re.split("[/?#]", rest, maxsplit=1)[0]
    place = "…" if "@" in rest[len(host) :] else re.split("[?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    return repr(url.removesuffix(rest) + place)[1:-1][:200]


def is_port(text: str) -> bool:
    """Whether a text is the number of a port."""
    return re.fullmatch("[0-9]{1,5}", text) is not None and int(text) <= 65_535


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.strip().rpartition(":")
    if not colon:
        host = "127.0.0.1"
    elif host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    if not is_port(port) or not re.fullmatch(r"[\w.:%-]+", host, re.A):
        raise ValueError(f"{text!r} is not a port, nor host:port such as 127.0.0.1:8080")
    return host, int(port)


def _folder(text: str) -> str | None:
    if not text:
        return None
    try:
        os.makedirs(text, exist_ok=True)
        tempfile.TemporaryFile(dir=text).close()
    except (OSError, ValueError) as error:
        raise ValueError(f"{text!r} is not a folder to write into: {error}") from None
    return text


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _datasets(text: str) -> tuple[Dataset, ...]:
    names = [name.strip() for name in text.split(",")]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{text!r} has {twice[0]} twice")
    return tuple(map(dataset, names))


def _one_of(*names: str) -> Callable[[str], Any]:
    def read(text: str) -> str:
        if text not in names:
            raise ValueError(f"{text!r} is not one of {', '.join(names)}")
        return text

    return read


def _setting(variable: str | None, default: str | None, read: Callable[[str], T]) -> T:
    """A setting; one without a variable is an argument only."""
    field: T = dataclasses.field(metadata={"variable": variable, "default": default, "read": read})
    return field


_DATASETS = "quotes,trades,book_snapshot_25_1s,status"


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutputSettings:
    """What is printed, and which rows go where."""

    min_spread: float = _setting("ORDERBOOK_MIN_SPREAD", "0.0001", _fraction)
    format: str = _setting("ORDERBOOK_FORMAT", "text", _one_of("text", "json"))
    on: str = _setting("ORDERBOOK_ON", "update", _one_of("update", "change"))
    data: str | None = _setting("ORDERBOOK_DATA", None, _folder)
    data_format: Literal["parquet", "csv"] = _setting(
        "ORDERBOOK_DATA_FORMAT", "parquet", _one_of("parquet", "csv")
    )
    kafka: str | None = _setting("ORDERBOOK_KAFKA", None, servers)
    datasets: tuple[Dataset, ...] = _setting("ORDERBOOK_DATASETS", _DATASETS, _datasets)
    # Host and port; 0: any free one.
    page: tuple[str, int] | None = _setting("ORDERBOOK_PAGE", None, _address)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReplaySettings(OutputSettings):
    """What a replay takes from its arguments and the environment."""

    path: str = _setting(None, "tests/recordings", str)
    products: tuple[str, ...] | None = _setting(None, None, _products)  # None: all
    speed: float | None = _setting(None, None, _speed)  # None: as fast as it goes
    start: int | None = _setting(None, None, time_of_text)  # in nanoseconds since 1970
    end: int | None = _setting(None, None, time_of_text)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LiveSettings(OutputSettings):
    """What a live run takes from its arguments and the environment; all times are in seconds."""

    products: tuple[str, ...] = _setting("ORDERBOOK_PRODUCTS", "BTC-USD,ETH-USD,BTC-EUR,ETH-EUR", _products)
    url: str | None = _setting("ORDERBOOK_FEED_URL", None, _url)  # None: the feed's own address
    connections: int = _setting("ORDERBOOK_CONNECTIONS", "16", _count)
    record: str | None = _setting("ORDERBOOK_RECORD", None, _folder)
    stale_after: float = _setting("ORDERBOOK_STALE_AFTER", "5", _seconds(0.1, 3600))
    crossed_after: float = _setting("ORDERBOOK_CROSSED_AFTER", "2", _seconds(0.1, 3600))
    refresh: float = _setting("ORDERBOOK_REFRESH", "3600", _seconds(1, 1e9))


VARIABLES = [
    variable for field in dataclasses.fields(LiveSettings) if (variable := field.metadata["variable"])
]


def read(kind: type[S], arguments: Mapping[str, object], environment: Mapping[str, str] = os.environ) -> S:
    """The settings of a kind; an argument beats its variable, and one that is None is left to it."""
    for name in environment:
        if name.startswith("ORDERBOOK_") and name not in VARIABLES:
            [nearest] = get_close_matches(name, VARIABLES, n=1, cutoff=0)
            raise SystemExit(f"{name!r} is not a setting; the nearest is {nearest}")
    values: dict[str, Any] = {}
    for field in sorted(dataclasses.fields(kind), key=lambda field: field.metadata["read"] is _folder):
        name, value = field.name, arguments.get(field.name)
        if value is None:
            name = field.metadata["variable"] or name
            value = environment.get(name, field.metadata["default"])
        elif isinstance(value, Iterable) and not isinstance(value, str):
            value = ",".join(map(str, value))
        try:
            values[field.name] = None if value is None else field.metadata["read"](str(value))
        except ValueError as error:
            raise SystemExit(f"{name}: {error}") from None
    return kind(**values)


def factory_of(kind: type[S]) -> Callable[[Callable[[*Ts, S], T]], Callable[..., T]]:
    """Have a function whose last parameter is settings be called with arguments, each of which is a setting.

    What is no setting, and none of its other parameters, ends the run with one line: the engine would print
    a traceback.
    """
    names = [field.name for field in dataclasses.fields(kind)]
    first = next(name for name in _FIRST if name in names)
    fields = sorted(dataclasses.fields(kind), key=lambda field: field.name != first)
    of_settings = [
        inspect.Parameter(f.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None) for f in fields
    ]

    def decorate(function: Callable[[*Ts, S], T]) -> Callable[..., T]:
        *others, _ = inspect.signature(function).parameters.values()
        signature = inspect.Signature([*others, *of_settings])

        @wraps(function)
        def wrapper(*args: object, **kwargs: object) -> T:
            try:
                arguments = signature.bind(*args, **kwargs).arguments
            except TypeError as error:
                takes = ", ".join(signature.parameters)
                raise SystemExit(f"{function.__name__}: {error}; it takes {takes}") from None
            values: Any = [arguments.pop(parameter.name) for parameter in others]
            return function(*values, read(kind, arguments))

        wrapper.__signature__ = signature  # type: ignore[attr-defined]
        return wrapper

    return decorate
