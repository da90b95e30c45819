"""Settings of a run: the variables of the environment, their defaults, and what their values must be.

An argument of `live` or `replay` beats its variable. A mistake is a `SystemExit` of one line that names the
setting and shows its value, escaped: raised in a factory, it ends the run before it starts, with code 1.
"""

import dataclasses
import inspect
import math
import os
import re
import socket
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from websockets.exceptions import InvalidURI
from websockets.uri import parse_uri

P = ParamSpec("P")
T = TypeVar("T")

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


def _folder(text: str) -> str | None:
    if not text:
        return None
    try:
        os.makedirs(text, exist_ok=True)
        tempfile.TemporaryFile(dir=text).close()
    except (OSError, ValueError) as error:
        raise ValueError(f"{text!r} is not a folder to record into: {error}") from None
    return text


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _setting(variable: str, default: str | None, read: Callable[[str], T]) -> T:
    field: T = dataclasses.field(metadata={"variable": variable, "default": default, "read": read})
    return field


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReplaySettings:
    """What a replay takes from its arguments and the environment."""

    min_spread: float = _setting("ORDERBOOK_MIN_SPREAD", "0.0001", _fraction)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LiveSettings(ReplaySettings):
    """What a live run takes from its arguments and the environment; all times are in seconds."""

    products: tuple[str, ...] = _setting("ORDERBOOK_PRODUCTS", "BTC-USD,ETH-USD,BTC-EUR,ETH-EUR", _products)
    url: str | None = _setting("ORDERBOOK_FEED_URL", None, _url)  # None: the feed's own address
    connections: int = _setting("ORDERBOOK_CONNECTIONS", "16", _count)
    record: str | None = _setting("ORDERBOOK_RECORD", None, _folder)
    stale_after: float = _setting("ORDERBOOK_STALE_AFTER", "5", _seconds(0.1, 3600))
    crossed_after: float = _setting("ORDERBOOK_CROSSED_AFTER", "2", _seconds(0.1, 3600))
    refresh: float = _setting("ORDERBOOK_REFRESH", "3600", _seconds(1, 1e9))


VARIABLES = [field.metadata["variable"] for field in dataclasses.fields(LiveSettings)]


def live(environment: Mapping[str, str] = os.environ, /, **arguments: object) -> LiveSettings:
    """The settings of a live run; an argument that is None is left to its variable."""
    return LiveSettings(**_values(LiveSettings, environment, arguments))


def replay(environment: Mapping[str, str] = os.environ, /, **arguments: object) -> ReplaySettings:
    """The settings of a replay; an argument that is None is left to its variable."""
    return ReplaySettings(**_values(ReplaySettings, environment, arguments))


def _values(
    settings: type[ReplaySettings], environment: Mapping[str, str], arguments: dict[str, object]
) -> dict[str, Any]:
    for name in environment:
        if name.startswith("ORDERBOOK_") and name not in VARIABLES:
            [nearest] = get_close_matches(name, VARIABLES, n=1, cutoff=0)
            raise SystemExit(f"{name!r} is not a setting; the nearest is {nearest}")
    values = {}
    for field in dataclasses.fields(settings):
        name, value = field.name, arguments.get(field.name)
        if value is None:
            name = field.metadata["variable"]
            value = environment.get(name, field.metadata["default"])
        elif isinstance(value, Iterable) and not isinstance(value, str):
            value = ",".join(map(str, value))
        try:
            values[field.name] = None if value is None else field.metadata["read"](str(value))
        except ValueError as error:
            raise SystemExit(f"{name}: {error}") from None
    return values


def no_other_arguments(factory: Callable[P, T]) -> Callable[P, T]:
    """Refuse an argument that a factory does not have with one line: the engine would print a traceback."""
    signature = inspect.signature(factory)

    @wraps(factory)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            takes = ", ".join(signature.parameters)
            raise SystemExit(f"{factory.__name__}: {error}; it takes {takes}") from None
        return factory(*args, **kwargs)

    return wrapper


def check_engine(
    arguments: Sequence[str] = sys.argv[1:], environment: Mapping[str, str] = os.environ
) -> None:
    """Refuse what the engine would pass over in silence, or with a traceback; reads its own settings.

    That is a number of workers below 1; and, where its API is on, a port for `/metrics` or a folder for its
    `dataflow.json` that it could not open.
    """
    parser = ArgumentParser(add_help=False)
    parser.add_argument("-w", "--workers-per-process", default=environment.get("BYTEWAX_WORKERS_PER_PROCESS"))
    workers = parser.parse_known_args(arguments)[0].workers_per_process
    if workers is not None and int(workers) < 1:
        raise SystemExit(f"workers: {workers!r} is not a whole number from 1")
    if "BYTEWAX_DATAFLOW_API_ENABLED" in environment:  # even as 0
        _check_metrics_port(environment.get("BYTEWAX_DATAFLOW_API_PORT", "3030"))
        _check_cache(environment.get("BYTEWAX_DATAFLOW_API_CACHE_PATH", "."))


def _check_metrics_port(text: str) -> None:
    """The engine serves on all interfaces. Each process of a cluster needs a port of its own."""
    name = "BYTEWAX_DATAFLOW_API_PORT"
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) > 65_535:
        raise SystemExit(f"{name}: {text!r} is not a port")
    try:
        socket.create_server(("", int(text))).close()
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise SystemExit(f"{name}: {text!r} is not a port that is free: {why}") from None


def _check_cache(folder: str) -> None:
    try:
        open(os.path.join(folder, "dataflow.json"), "a").close()
    except OSError as error:
        what = f"{folder!r} is not a folder to write dataflow.json into: {error.strerror}"
        raise SystemExit(f"BYTEWAX_DATAFLOW_API_CACHE_PATH: {what}") from None
