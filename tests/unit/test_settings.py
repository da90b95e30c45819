"""Settings: what each takes, what beats what, and the line that ends a run over a mistake."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orderbook import settings
from orderbook.output.datasets import dataset
from orderbook.settings import LiveSettings, ReplaySettings
from tests.support.refused import refused

OUTPUTS: dict[str, Any] = {
    "format": "text",
    "on": "update",
    "data": None,
    "data_format": "parquet",
    "kafka": None,
    "datasets": tuple(map(dataset, ("quotes", "trades", "book_snapshot_25_1s", "status"))),
    "page": None,
}
WHOLE: dict[str, Any] = {"products": None, "speed": None, "start": None, "end": None}
DEFAULTS = LiveSettings(
    products=("BTC-USD", "ETH-USD", "BTC-EUR", "ETH-EUR"),
    min_spread=0.0001,
    url=None,
    connections=16,
    record=None,
    stale_after=5.0,
    crossed_after=2.0,
    refresh=3600.0,
    **OUTPUTS,
)


def live(environment: Mapping[str, str], **arguments: object) -> LiveSettings:
    """The settings of a live run."""
    return settings.read(LiveSettings, arguments, environment)


def replay(environment: Mapping[str, str], **arguments: object) -> ReplaySettings:
    """The settings of a replay."""
    return settings.read(ReplaySettings, arguments, environment)


def test_defaults() -> None:
    """An empty environment gives the documented defaults."""
    assert live({}) == DEFAULTS
    assert replay({}) == ReplaySettings(min_spread=0.0001, path="tests/recordings", **WHOLE, **OUTPUTS)


@pytest.mark.parametrize(
    ("variable", "field", "text", "value"),
    [
        ("ORDERBOOK_PRODUCTS", "products", "BTC-EUR", ("BTC-EUR",)),
        ("ORDERBOOK_PRODUCTS", "products", " btc-eur , Eth-EUR,00-1INCH", ("BTC-EUR", "ETH-EUR", "00-1INCH")),
        ("ORDERBOOK_MIN_SPREAD", "min_spread", "-1", -1.0),
        ("ORDERBOOK_MIN_SPREAD", "min_spread", "0", 0.0),
        ("ORDERBOOK_MIN_SPREAD", "min_spread", "0.999", 0.999),
        ("ORDERBOOK_FEED_URL", "url", "ws://127.0.0.1:8765", "ws://127.0.0.1:8765"),
        ("ORDERBOOK_FEED_URL", "url", "wss://example.org/feed", "wss://example.org/feed"),
        ("ORDERBOOK_CONNECTIONS", "connections", "1", 1),
        ("ORDERBOOK_CONNECTIONS", "connections", "400", 400),
        ("ORDERBOOK_RECORD", "record", "", None),
        ("ORDERBOOK_STALE_AFTER", "stale_after", "0.5", 0.5),
        ("ORDERBOOK_CROSSED_AFTER", "crossed_after", "3600", 3600.0),
        ("ORDERBOOK_REFRESH", "refresh", "1", 1.0),
        ("ORDERBOOK_REFRESH", "refresh", "1e9", 1e9),
        ("ORDERBOOK_FORMAT", "format", "json", "json"),
        ("ORDERBOOK_ON", "on", "change", "change"),
        ("ORDERBOOK_DATA", "data", "", None),
        ("ORDERBOOK_DATA_FORMAT", "data_format", "csv", "csv"),
        ("ORDERBOOK_KAFKA", "kafka", "localhost:9092,b:1", "localhost:9092,b:1"),
        ("ORDERBOOK_DATASETS", "datasets", "trades, signals_1s", (dataset("trades"), dataset("signals_1s"))),
        ("ORDERBOOK_PAGE", "page", "8080", ("127.0.0.1", 8080)),
        ("ORDERBOOK_PAGE", "page", "0", ("127.0.0.1", 0)),
        ("ORDERBOOK_PAGE", "page", " 0.0.0.0:80 ", ("0.0.0.0", 80)),
        ("ORDERBOOK_PAGE", "page", "box.example:65535", ("box.example", 65_535)),
        ("ORDERBOOK_PAGE", "page", "[::1]:8080", ("::1", 8080)),
    ],
)
def test_value(variable: str, field: str, text: str, value: object) -> None:
    """A variable sets its field and no other; an argument with the same text sets the same, and beats it."""
    from_variable = live({variable: text})
    assert getattr(from_variable, field) == value
    others = {name: value for name, value in vars(from_variable).items() if name != field}
    assert others.items() <= vars(DEFAULTS).items()
    assert live({variable: "="}, **{field: text}) == from_variable


def test_arguments_of_other_types() -> None:
    """An argument may be a number, and the products a list; None leaves a setting to its variable."""
    taken = live(
        {"ORDERBOOK_REFRESH": "60"},
        products=["BTC-EUR", "eth-eur"],
        min_spread=0.5,
        connections=3,
        stale_after=1,
        refresh=None,
    )
    assert (taken.products, taken.min_spread, taken.connections) == (("BTC-EUR", "ETH-EUR"), 0.5, 3)
    assert (taken.stale_after, taken.refresh) == (1.0, 60.0)


def test_folder_is_made(tmp_path: Path) -> None:
    """The folder to record into is made where it is missing."""
    folder = tmp_path / "of/today"
    assert live({"ORDERBOOK_RECORD": str(folder)}).record == str(folder)
    assert folder.is_dir() and list(folder.iterdir()) == []


def test_no_folder_is_made_where_another_setting_is_wrong(tmp_path: Path) -> None:
    """A run that does not begin leaves nothing behind."""
    folders = {"ORDERBOOK_DATA": str(tmp_path / "data"), "ORDERBOOK_RECORD": str(tmp_path / "today")}
    refused(live, folders | {"ORDERBOOK_REFRESH": "soon"})
    assert list(tmp_path.iterdir()) == []


def test_replay_reads_its_own_settings_only() -> None:
    """A replay takes its threshold, and is not ended by a setting that it does not read."""
    environment = {"ORDERBOOK_MIN_SPREAD": "0.01", "ORDERBOOK_PRODUCTS": "?"}
    assert replay(environment) == ReplaySettings(min_spread=0.01, path="tests/recordings", **WHOLE, **OUTPUTS)
    assert replay(environment, min_spread=0.02).min_spread == 0.02


def test_arguments_of_a_replay() -> None:
    """A replay takes several paths, products, a speed, and times: UTC where they name no zone."""
    chosen = replay(
        {},
        path=["a", "b"],
        products="btc-usd",
        speed=10,
        start="2026-11-24",
        end="2026-11-24T01:00:00.5+01:00",
    )
    assert (chosen.path, chosen.products, chosen.speed) == ("a,b", ("BTC-USD",), 10.0)
    assert chosen.start is not None
    assert chosen.end is not None
    assert (chosen.start, chosen.end - chosen.start) == (1_795_478_400 * 10**9, 500_000_000)


@pytest.mark.parametrize(
    ("argument", "value"),
    [("speed", 0), ("speed", "nan"), ("speed", -1), ("start", "noon\n"), ("end", ""), ("products", "?")],
)
def test_wrong_argument_of_a_replay(argument: str, value: object) -> None:
    """A wrong argument ends the replay before it starts, with one line that has its name and value."""
    line = refused(replay, {}, **{argument: value})
    assert line.startswith(f"{argument}: ") and repr(str(value)) in line


@pytest.mark.parametrize(
    ("variable", "field", "text", "what"),
    [
        ("ORDERBOOK_PRODUCTS", "products", "", "is not a product such as BTC-USD"),
        ("ORDERBOOK_PRODUCTS", "products", "../../x", "is not a product such as BTC-USD"),
        ("ORDERBOOK_PRODUCTS", "products", "BTC\n-EUR", "is not a product such as BTC-USD"),
        ("ORDERBOOK_PRODUCTS", "products", "BTC-EUR,ETH-EUR,btc-eur", "has BTC-EUR twice"),
        ("ORDERBOOK_MIN_SPREAD", "min_spread", "wide", "is not a finite number below 1"),
        ("ORDERBOOK_MIN_SPREAD", "min_spread", "nan", "is not a finite number below 1"),
        ("ORDERBOOK_MIN_SPREAD", "min_spread", "-inf", "is not a finite number below 1"),
        ("ORDERBOOK_MIN_SPREAD", "min_spread", "", "is not a finite number below 1"),
        ("ORDERBOOK_MIN_SPREAD", "min_spread", "1", "is not a finite number below 1"),
        ("ORDERBOOK_MIN_SPREAD", "min_spread", "25", "is not a finite number below 1"),
        ("ORDERBOOK_FEED_URL", "url", "https://127.0.0.1", "is not a ws:// or wss:// address"),
        ("ORDERBOOK_FEED_URL", "url", "ws://127.0.0.1:port", "is not a ws:// or wss:// address"),
        ("ORDERBOOK_FEED_URL", "url", "ws://" + "a" * 64, "is not a ws:// or wss:// address"),
        ("ORDERBOOK_FEED_URL", "url", "", "is not a ws:// or wss:// address"),
        ("ORDERBOOK_CONNECTIONS", "connections", "0", "is not a whole number from 1 to 9999"),
        ("ORDERBOOK_CONNECTIONS", "connections", "-4", "is not a whole number from 1 to 9999"),
        ("ORDERBOOK_CONNECTIONS", "connections", "1.5", "is not a whole number from 1 to 9999"),
        ("ORDERBOOK_CONNECTIONS", "connections", "10000", "is not a whole number from 1 to 9999"),
        ("ORDERBOOK_CONNECTIONS", "connections", "many", "is not a whole number from 1 to 9999"),
        ("ORDERBOOK_RECORD", "record", "dataflow.py", "is not a folder to write into: .*File exists"),
        ("ORDERBOOK_RECORD", "record", "/proc/nowhere", "is not a folder to write into: .*No such file"),
        ("ORDERBOOK_RECORD", "record", "\0", "is not a folder to write into: embedded null byte"),
        ("ORDERBOOK_STALE_AFTER", "stale_after", "soon", "is not a number of seconds from 0.1 to 3600"),
        ("ORDERBOOK_STALE_AFTER", "stale_after", "0", "is not a number of seconds from 0.1 to 3600"),
        ("ORDERBOOK_CROSSED_AFTER", "crossed_after", "-1", "is not a number of seconds from 0.1 to 3600"),
        ("ORDERBOOK_CROSSED_AFTER", "crossed_after", "nan", "is not a number of seconds from 0.1 to 3600"),
        ("ORDERBOOK_CROSSED_AFTER", "crossed_after", "3601", "is not a number of seconds from 0.1 to 3600"),
        ("ORDERBOOK_REFRESH", "refresh", "1e-308", "is not a number of seconds from 1 to 1e\\+09"),
        ("ORDERBOOK_REFRESH", "refresh", "2e9", "is not a number of seconds from 1 to 1e\\+09"),
        ("ORDERBOOK_REFRESH", "refresh", "inf", "is not a number of seconds from 1 to 1e\\+09"),
        ("ORDERBOOK_REFRESH", "refresh", "", "is not a number of seconds from 1 to 1e\\+09"),
        ("ORDERBOOK_FORMAT", "format", "JSON", "is not one of text, json"),
        ("ORDERBOOK_ON", "on", "", "is not one of update, change"),
        ("ORDERBOOK_DATA", "data", "dataflow.py", "is not a folder to write into: .*File exists"),
        ("ORDERBOOK_DATA_FORMAT", "data_format", "arrow", "is not one of parquet, csv"),
        ("ORDERBOOK_KAFKA", "kafka", "localhost", "is not a server such as localhost:9092"),
        ("ORDERBOOK_DATASETS", "datasets", "quote", "is not a dataset such as quotes, "),
        ("ORDERBOOK_DATASETS", "datasets", "", "is not a dataset such as quotes, "),
        ("ORDERBOOK_DATASETS", "datasets", "trades,trades", "has trades twice"),
        ("ORDERBOOK_PAGE", "page", "", "is not a port, nor host:port such as 127.0.0.1:8080"),
        ("ORDERBOOK_PAGE", "page", "page", "is not a port, nor host:port such as 127.0.0.1:8080"),
        ("ORDERBOOK_PAGE", "page", "-1", "is not a port, nor host:port such as 127.0.0.1:8080"),
        ("ORDERBOOK_PAGE", "page", "65536", "is not a port, nor host:port such as 127.0.0.1:8080"),
        ("ORDERBOOK_PAGE", "page", ":8080", "is not a port, nor host:port such as 127.0.0.1:8080"),
        ("ORDERBOOK_PAGE", "page", "::1:8080", "is not a port, nor host:port such as 127.0.0.1:8080"),
        ("ORDERBOOK_PAGE", "page", "http://box:80", "is not a port, nor host:port such as 127.0.0.1:8080"),
        ("ORDERBOOK_PAGE", "page", "a b:80", "is not a port, nor host:port such as 127.0.0.1:8080"),
        ("ORDERBOOK_PAGE", "page", "٣٠٣٠", "is not a port, nor host:port such as 127.0.0.1:8080"),
        ("ORDERBOOK_PAGE", "page", "box:", "is not a port, nor host:port such as 127.0.0.1:8080"),
    ],
)
def test_wrong_value(variable: str, field: str, text: str, what: str) -> None:
    """A wrong value ends the run with one line: what was set, its value escaped, and what it must be."""
    for name, environment, arguments in [(variable, {variable: text}, {}), (field, {}, {field: text})]:
        line = refused(live, environment, **arguments)
        assert re.match(f"{name}: {re.escape(repr(text))} {what}", line), line


def test_unknown_variable() -> None:
    """An unknown `ORDERBOOK_` variable ends a live run and a replay, with the nearest name that is known."""
    for read in (live, replay):
        line = refused(read, {"PATH": "", "ORDERBOOK_PRODUCT": "BTC-EUR"})
        assert line == "'ORDERBOOK_PRODUCT' is not a setting; the nearest is ORDERBOOK_PRODUCTS"


@settings.factory_of(ReplaySettings)
def factory(chosen: ReplaySettings) -> ReplaySettings:
    """A factory such as `replay`."""
    return chosen


def test_arguments_of_a_factory() -> None:
    """Each setting is an argument, the first of which may stand without its name."""
    chosen = factory("today", min_spread=0.5)
    assert (chosen.path, chosen.min_spread) == ("today", 0.5)
    line = refused(factory, refresh="5")
    assert line.startswith(
        "factory: got an unexpected keyword argument 'refresh'; it takes path, min_spread,"
    )
    assert refused(factory, *range(99)).startswith("factory: too many positional arguments; it takes path, ")


def test_a_factory_with_other_parameters() -> None:
    """Parameters before the settings are the function's own, and come first."""

    @settings.factory_of(ReplaySettings)
    def books(dataflow: str, chosen: ReplaySettings) -> tuple[str, str]:
        return dataflow, chosen.path

    assert books("own") == ("own", "tests/recordings")
    assert books("own", "today") == books(path="today", dataflow="own") == ("own", "today")
    assert refused(books).startswith(
        "books: missing a required argument: 'dataflow'; it takes dataflow, path,"
    )


def test_an_error_inside_a_factory_is_not_hidden() -> None:
    """A `TypeError` of the factory's own code stays one, with its traceback."""

    @settings.factory_of(ReplaySettings)
    def broken(chosen: ReplaySettings) -> None:
        raise TypeError("of its own")

    with pytest.raises(TypeError, match="of its own"):
        broken()


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("wss://example.org:8443/feed/v2", "wss://example.org:8443/feed/v2"),
        ("wss://user:hidden@example.org:8443/feed?key=hidden#hidden", "wss://example.org:8443/feed"),
        ("wss://hidden@example.org?key=hidden@hidden", "wss://…"),
        ("wss://example.org?key=hidden", "wss://example.org"),
        ("http://user:hidden@hidden@[::1]:3128", "http://[::1]:3128"),
        ("wss://user:hid/den@example.org", "wss://…"),
        ("wss://user:hid?den@example.org", "wss://…"),
        ("wss://user:hid#den@example.org", "wss://…"),
        ("wss://user://hidden@example.org", "wss://…"),
        ("user:hidden@example.org/feed", "example.org/feed"),
        ("user:hid://den@example.org", "…"),
        ("wss:/user:hidden@example.org", "…"),
        ("wss:user:hidden@example.org", "example.org"),
        ("", ""),
        ("wss://user:hidden@ex\x1b[2J\nample\u202e.org", r"wss://ex\x1b[2J\nample\u202e.org"),
        ("wss://" + "a" * 1_000, "wss://" + "a" * 194),
    ],
)
def test_shown(url: str, text: str) -> None:
    """A URL is printed escaped, short and without what is secret in it, even if it is wrong."""
    assert settings.shown(url) == text
    assert "hid" not in text


def test_a_wrong_url_is_named_without_its_secrets() -> None:
    """The line about a wrong address of the feed shows neither user nor password nor query."""
    line = refused(live, {"ORDERBOOK_FEED_URL": "https://user:hidden@example.org/feed?key=hidden"})
    assert line == "ORDERBOOK_FEED_URL: 'https://example.org/feed' is not a ws:// or wss:// address"
