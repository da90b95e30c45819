"""Each fault of the simulated exchange, as a plain client sees it on the wire."""

import json
import time
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.exchange import Exchange
from tests.exchange.client import DEADLINE, PRODUCT, client, heard, kind, reader, subscribe
from tests.exchange.faults import BY_CHANCE
from tests.exchange.lies import LIES
from tests.exchange.trouble import FAULTS
from tests.support.oracle import Oracle

OTHER = "BBB-EUR"


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    """An exchange of two small products whose markets move only when told."""
    with Exchange([PRODUCT, OTHER], rate=0, levels=50) as exchange:
        yield exchange


def end(exchange: Exchange) -> int | None:
    """How the exchange ends the next connection: its close code, if it says one."""
    with client(exchange) as connection, pytest.raises(ConnectionClosed) as closed:
        subscribe(connection, PRODUCT)
        while True:
            heard(connection)
    return closed.value.rcvd.code if closed.value.rcvd else None


@pytest.mark.parametrize("status", [403, 429, 503])
def test_http_status(exchange: Exchange, status: int) -> None:
    """As many handshakes as asked for are answered with it, the next one is as usual."""
    exchange.fault(f"http_{status}", times=2)
    for _ in range(2):
        with pytest.raises(InvalidStatus) as refused, connect(exchange.url):
            pass
        assert refused.value.response.status_code == status
    with reader(exchange):
        pass


def test_handshake_hangs(exchange: Exchange) -> None:
    """The client waits for an answer until it gives up."""
    exchange.fault("handshake_hangs")
    attempts = len(exchange.attempts)
    with pytest.raises(TimeoutError), connect(exchange.url, open_timeout=0.2):
        pass
    assert len(exchange.attempts) == attempts + 1


def test_connection_refused(exchange: Exchange) -> None:
    """Nobody listens for a while; an open connection doesn't notice."""
    with reader(exchange) as (connection, _):
        exchange.fault("connection_refused", seconds=0.3)
        with pytest.raises(ConnectionRefusedError), connect(exchange.url):
            pass
        exchange.step(PRODUCT)
        assert kind(heard(connection)) == "l2update"
        exchange.wait(lambda: exchange.listening, DEADLINE)
        with reader(exchange):
            pass


def test_away(exchange: Exchange) -> None:
    """All connections are lost and nobody listens for a while."""
    with reader(exchange) as (connection, _):
        exchange.away(0.3)
        with pytest.raises(ConnectionClosed):
            heard(connection)
        with pytest.raises(ConnectionRefusedError), connect(exchange.url):
            pass
        exchange.wait(lambda: exchange.listening, DEADLINE)
        with reader(exchange):
            pass


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("dropped_at_once", None),
        ("dropped_in_mid_frame", None),
        ("closed_1001", 1001),
        ("closed_1006", None),
        ("closed_1011", 1011),
    ],
)
def test_lost_connections(exchange: Exchange, name: str, code: int | None) -> None:
    """The connection ends that way, and no other."""
    with reader(exchange, OTHER) as (connection, _):
        exchange.fault(name, PRODUCT)
        assert end(exchange) == code
        exchange.step(OTHER)
        assert kind(heard(connection)) == "l2update"


def test_times(exchange: Exchange) -> None:
    """A fault that ends the connection happens to one connection after the other."""
    with reader(exchange) as (connection, _):
        exchange.fault("closed_1011", PRODUCT, times=3)
        with pytest.raises(ConnectionClosed):
            heard(connection)
        assert [end(exchange) for _ in range(2)] == [1011, 1011]
        with reader(exchange):
            assert [struck.name for struck in exchange.struck[-3:]] == ["closed_1011"] * 3


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("ack_late", ["subscriptions", "snapshot"]),
        ("ack_missing", ["snapshot", "l2update"]),
        ("ack_after_snapshot", ["snapshot", "subscriptions"]),
        ("snapshot_late", ["subscriptions", "l2update", "snapshot", "l2update"]),
        ("snapshot_never", ["subscriptions", "heartbeat", "heartbeat"]),
        ("unknown_product", ["error"]),
        ("another_error", ["error"]),
    ],
)
def test_subscribes(exchange: Exchange, name: str, kinds: list[str]) -> None:
    """What comes first, when the market moves twice right after the subscribe and once again later."""
    exchange.fault(name, PRODUCT, seconds=0.3)
    with client(exchange) as connection:
        start = time.monotonic()
        struck = len(exchange.struck)
        subscribe(connection, PRODUCT, heartbeat=name == "snapshot_never")
        exchange.wait(lambda: len(exchange.struck) > struck, DEADLINE)
        frames = []
        for expected in kinds:
            if expected == "l2update" or name == "snapshot_never":
                exchange.step(PRODUCT)
            frames.append(heard(connection))
        assert [kind(frame) for frame in frames] == kinds
        if name.endswith("late"):
            assert time.monotonic() - start > 0.3
        if name == "unknown_product":
            assert json.loads(frames[0])["reason"] == f"{PRODUCT} is not a valid product"


@pytest.mark.parametrize(("name", "size"), [("snapshot_over_1_mib", 2**20), ("snapshot_over_64_mib", 2**26)])
def test_great_snapshots(exchange: Exchange, name: str, size: int) -> None:
    """Too much for a client that takes less; else the book as it is."""
    exchange.fault(name, PRODUCT, times=2)
    with connect(exchange.url, max_size=size) as connection:
        subscribe(connection, PRODUCT)
        heard(connection)
        with pytest.raises(ConnectionClosed) as closed:
            heard(connection)
        assert closed.value.sent is not None and closed.value.sent.code == 1009
    with reader(exchange):  # which looks at the book
        assert len(exchange.sent[PRODUCT][-1].frame) > size


def test_silence_without_heartbeats(exchange: Exchange) -> None:
    """Nothing comes any more, and the connection stays open."""
    with reader(exchange) as (connection, _):
        exchange.fault("silence_without_heartbeats", PRODUCT)
        exchange.step(PRODUCT, 3)
        with pytest.raises(TimeoutError):
            connection.recv(timeout=0.3)
        assert exchange.connections[-1].open


def test_silence_with_heartbeats() -> None:
    """The product's market stands still for as long as asked for, the other's goes on."""
    with Exchange([PRODUCT, OTHER], rate=50, levels=20) as exchange, client(exchange) as connection:
        subscribe(connection, PRODUCT, OTHER, heartbeat=True)
        exchange.wait(lambda: exchange.live(PRODUCT), DEADLINE)
        exchange.fault("silence_with_heartbeats", PRODUCT, seconds=1.5)
        start = exchange.struck[-1].when
        exchange.wait(lambda: time.monotonic() - start > 1.4, DEADLINE)
        heard_of = {
            product: {kind(sent.frame) for sent in exchange.sent[product] if sent.when > start + 0.05}
            for product in (PRODUCT, OTHER)
        }
        assert heard_of[PRODUCT] == {"heartbeat"} and "l2update" in heard_of[OTHER]
        exchange.sent[PRODUCT].clear()
        exchange.wait(lambda: len(exchange.sent[PRODUCT]) > 10, DEADLINE)


@pytest.mark.parametrize("name", LIES)
def test_lies(exchange: Exchange, name: str) -> None:
    """One frame that must not be trusted, then the stream as if nothing had been."""
    with reader(exchange) as (connection, oracle):
        exchange.fault(name, PRODUCT)
        with pytest.raises(ValueError):
            oracle.apply(heard(connection))
        exchange.step(PRODUCT)
        oracle.apply(heard(connection))
        assert (oracle.bids, oracle.asks) == exchange.book(PRODUCT)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("snapshot_again", ["snapshot", "l2update", "snapshot"]),
        ("unknown_type", ["l2forecast"]),
        ("update_repeated", ["l2update"] * 2),
        ("burst", ["l2update"] * 1_000),
        ("time_jumps", ["l2update"] * 2),
        ("time_year_one", ["l2update"]),
        ("error_in_mid_stream", ["error"]),
    ],
)
def test_odd_streams(exchange: Exchange, name: str, kinds: list[str]) -> None:
    """What comes, after which the book is right."""
    with reader(exchange) as (connection, oracle):
        exchange.fault(name, PRODUCT)
        frames: list[bytes] = []
        while len(frames) < len(kinds):
            frame = heard(connection)
            oracle.apply(frame)
            if kind(frame) != "match":
                frames.append(frame)
        assert [kind(frame) for frame in frames] == kinds
        assert (oracle.bids, oracle.asks) == exchange.book(PRODUCT)
        if name == "update_repeated":
            assert frames[0] == frames[1]
        if name == "time_jumps":
            assert json.loads(frames[0])["time"] > json.loads(frames[1])["time"]
        if name == "time_year_one":
            assert json.loads(frames[0])["time"] == "0001-01-01T00:00:00.000000Z"


def test_slow_link(exchange: Exchange) -> None:
    """Everything comes, in order, but takes its time."""
    with reader(exchange) as (connection, oracle):
        exchange.fault("slow_link", PRODUCT, seconds=0.5)
        start = time.monotonic()
        exchange.step(PRODUCT, 30)
        updates = 0
        while updates < 30:
            frame = heard(connection)
            oracle.apply(frame)
            updates += kind(frame) == "l2update"
        assert time.monotonic() - start > 0.3
        assert (oracle.bids, oracle.asks) == exchange.book(PRODUCT)


def test_update_lost(exchange: Exchange) -> None:
    """The newest reader's book is crossed from then on, everyone else's is right."""
    with reader(exchange) as (first, right), reader(exchange) as (second, wrong):
        exchange.fault("update_lost", PRODUCT)
        assert right.apply(heard(first))
        for _ in range(50):
            frame = heard(first)
            assert heard(second) == frame
            right.apply(frame)
            assert wrong.apply(frame) is None
            exchange.step(PRODUCT)
        assert crossed(wrong) and not crossed(right)


def crossed(oracle: Oracle) -> bool:
    """Whether the best bid is above the best ask."""
    best = oracle.best()
    return best is not None and best[0] > best[2]


def test_by_chance() -> None:
    """A fault now and then, of the given ones, the same for the same seed, until calm is asked for."""
    names = ["unknown_type", "update_repeated", "snapshot_again"]
    seen = []
    for _ in range(2):
        with (
            Exchange(
                [PRODUCT, OTHER], levels=20, fault_seed=7, fault_names=names, fault_interval=0.02
            ) as exchange,
            client(exchange) as connection,
        ):
            subscribe(connection, PRODUCT, OTHER)
            exchange.wait(lambda: len(exchange.struck) >= 10, DEADLINE)
            exchange.calm()
            count = len(exchange.struck)
            seen.append([(struck.name, struck.product) for struck in exchange.struck[:10]])
            exchange.sent[PRODUCT].clear()
            exchange.wait(lambda: len(exchange.sent[PRODUCT]) > 5, DEADLINE)
            assert len(exchange.struck) == count
    assert seen[0] == seen[1]


def test_the_table() -> None:
    """Every fault stands under its own name and says what it does."""
    assert all(name == fault.name for name, fault in FAULTS.items())
    assert set(LIES) | {"update_lost", "http_429"} <= set(BY_CHANCE) < set(FAULTS)
    with Exchange([PRODUCT], rate=0) as exchange, pytest.raises(ValueError):
        exchange.fault("burst", "ELSE-WHERE")
