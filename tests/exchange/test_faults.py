"""Test what each fault of the simulated exchange does to the wire of a plain client.

Faults of a subscribe are in `test_shared`.
"""

import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.exchange import Exchange
from tests.exchange.client import DEADLINE, PRODUCT, client, reader, receive, subscribe, type_of
from tests.exchange.faults import BY_CHANCE
from tests.exchange.lies import LIES
from tests.exchange.trouble import FAULTS
from tests.support.oracle import Oracle
from tests.support.tape import Tape

OTHER = "BBB-EUR"


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    """An exchange of two small products whose markets move only by `step`."""
    with Exchange([PRODUCT, OTHER], rate=0, levels=50) as exchange:
        yield exchange


def end(exchange: Exchange) -> int | None:
    """How the exchange ends the next connection: its close code, if it sends one."""
    with client(exchange) as connection, pytest.raises(ConnectionClosed) as closed:
        subscribe(connection, PRODUCT)
        while True:
            receive(connection)
    return closed.value.rcvd.code if closed.value.rcvd else None


@pytest.mark.parametrize("status", [403, 429, 503])
def test_http_status(exchange: Exchange, status: int) -> None:
    """As many handshakes as asked for are answered with the status, the next one as usual."""
    exchange.fault(f"http_{status}", times=2)
    for _ in range(2):
        with pytest.raises(InvalidStatus) as refused, connect(exchange.url):
            pass
        assert refused.value.response.status_code == status
    with reader(exchange):
        pass


def test_handshake_hangs(exchange: Exchange) -> None:
    """A handshake is not answered: the client waits until it gives up."""
    exchange.fault("handshake_hangs")
    attempts = len(exchange.attempts)
    with pytest.raises(TimeoutError), connect(exchange.url, open_timeout=0.2):
        pass
    assert len(exchange.attempts) == attempts + 1


def test_handshake_late(exchange: Exchange) -> None:
    """A handshake is answered late."""
    exchange.fault("handshake_late", seconds=0.3)
    began = time.monotonic()
    with reader(exchange):
        assert time.monotonic() - began > 0.3


def test_redirect(exchange: Exchange) -> None:
    """A handshake is answered with a redirect to the same address."""
    exchange.fault("redirect")
    plain = HTTPConnection(exchange.url.removeprefix("ws://"), timeout=DEADLINE)
    with closing(plain):
        headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        plain.request("GET", "/", headers=headers | {"Sec-WebSocket-Key": "MTIzNDU2Nzg5MDEyMzQ1Ng=="})
        response = plain.getresponse()
        assert (response.status, response.headers["Location"]) == (302, "/")


def test_connection_refused(exchange: Exchange) -> None:
    """Connects are refused for a while; open connections go on."""
    with reader(exchange) as (connection, _):
        exchange.fault("connection_refused", seconds=0.3)
        with pytest.raises(ConnectionRefusedError), connect(exchange.url):
            pass
        exchange.step(PRODUCT)
        assert type_of(receive(connection)) == "l2update"
        exchange.wait(lambda: exchange.listening, DEADLINE)
        with reader(exchange):
            pass


def test_away(exchange: Exchange) -> None:
    """All connections are lost, and connects are refused for a while."""
    with reader(exchange) as (connection, _):
        exchange.away(0.3)
        with pytest.raises(ConnectionClosed):
            receive(connection)
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
        ("closed_and_open", 1001),
        ("closed_1006", None),
        ("closed_1011", 1011),
    ],
)
def test_lost_connections(exchange: Exchange, name: str, code: int | None) -> None:
    """The connection ends as the fault is named, and no other connection does."""
    with reader(exchange, OTHER) as (connection, _):
        exchange.fault(name, PRODUCT)
        assert end(exchange) == code
        exchange.step(OTHER)
        assert type_of(receive(connection)) == "l2update"


@pytest.mark.parametrize(
    "name", ["reserved_bits", "unknown_opcode", "masked", "half_a_close_code", "not_deflated"]
)
def test_broken_protocol(exchange: Exchange, name: str) -> None:
    """A client finds the protocol broken, and the exchange never closes the TCP connection."""
    exchange.fault(name, PRODUCT)
    with client(exchange) as connection, pytest.raises(ConnectionClosed) as closed:
        subscribe(connection, PRODUCT)
        while True:
            receive(connection)
    assert closed.value.sent and closed.value.sent.code == 1002
    assert closed.value.rcvd is None


def test_unsubscribed_in_mid_stream(exchange: Exchange) -> None:
    """An acknowledgement comes that no longer lists the product, and nothing more of it."""
    with reader(exchange) as (connection, _):
        exchange.fault("unsubscribed_in_mid_stream", PRODUCT)
        exchange.step(PRODUCT)
        assert json.loads(receive(connection)) == {"type": "subscriptions", "channels": []}
        with pytest.raises(TimeoutError):
            connection.recv(timeout=0.3)


def test_times(exchange: Exchange) -> None:
    """A fault that ends the connection happens to one connection after the other."""
    with reader(exchange) as (connection, _):
        exchange.fault("closed_1011", PRODUCT, times=3)
        with pytest.raises(ConnectionClosed):
            receive(connection)
        assert [end(exchange) for _ in range(2)] == [1011, 1011]
        with reader(exchange):
            assert [struck.name for struck in exchange.struck[-3:]] == ["closed_1011"] * 3


@pytest.mark.parametrize(("name", "size"), [("snapshot_over_1_mib", 2**20), ("snapshot_over_4_mib", 2**22)])
def test_great_snapshots(exchange: Exchange, name: str, size: int) -> None:
    """A client that takes less closes with 1009; one that takes more gets the true book."""
    exchange.fault(name, PRODUCT, times=2)
    with connect(exchange.url, max_size=size) as connection:
        subscribe(connection, PRODUCT)
        receive(connection)
        with pytest.raises(ConnectionClosed) as closed:
            receive(connection)
        assert closed.value.sent is not None and closed.value.sent.code == 1009
    with reader(exchange):  # which looks at the book
        assert len(exchange.sent[PRODUCT][-1].frame) > size


def test_silence_without_heartbeats(exchange: Exchange) -> None:
    """No frame comes any more, and the connection stays open."""
    with reader(exchange) as (connection, _):
        exchange.fault("silence_without_heartbeats", PRODUCT)
        exchange.step(PRODUCT, 3)
        with pytest.raises(TimeoutError):
            connection.recv(timeout=0.3)
        assert exchange.connections[-1].open


def test_silence_with_heartbeats() -> None:
    """The product's market stands still for as long as asked for, heartbeats and the other's go on."""
    with Exchange([PRODUCT, OTHER], rate=50, levels=20) as exchange, client(exchange) as connection:
        subscribe(connection, PRODUCT, OTHER, heartbeat=True)
        exchange.wait(lambda: exchange.live(PRODUCT), DEADLINE)
        exchange.fault("silence_with_heartbeats", PRODUCT, seconds=1.5)
        start = exchange.struck[-1].when
        exchange.wait(lambda: time.monotonic() - start > 1.4, DEADLINE)
        types = {
            product: {type_of(sent.frame) for sent in exchange.sent[product] if sent.when > start + 0.05}
            for product in (PRODUCT, OTHER)
        }
        assert types[PRODUCT] == {"heartbeat"} and "l2update" in types[OTHER]
        exchange.sent[PRODUCT].clear()
        exchange.wait(lambda: len(exchange.sent[PRODUCT]) > 10, DEADLINE)


@pytest.mark.parametrize("name", LIES)
def test_lies(exchange: Exchange, name: str) -> None:
    """One frame comes that must not be trusted, and the stream goes on as before."""
    with reader(exchange) as (connection, oracle):
        exchange.fault(name, PRODUCT)
        with pytest.raises(ValueError):
            oracle.apply(receive(connection))
        exchange.step(PRODUCT)
        oracle.apply(receive(connection))
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
    """The frames of the fault come, after which the book is the true one."""
    with reader(exchange) as (connection, oracle):
        exchange.fault(name, PRODUCT)
        frames = [receive(connection) for _ in kinds]
        for frame in frames:
            oracle.apply(frame)
        assert [type_of(frame) for frame in frames] == kinds
        assert (oracle.bids, oracle.asks) == exchange.book(PRODUCT)
        if name == "update_repeated":
            assert frames[0] == frames[1]
        if name == "time_jumps":
            assert json.loads(frames[0])["time"] > json.loads(frames[1])["time"]
        if name == "time_year_one":
            assert json.loads(frames[0])["time"] == "0001-01-01T00:00:00.000000Z"


def test_slow_link(exchange: Exchange) -> None:
    """Every frame comes, in order, over longer than it would take."""
    with reader(exchange) as (connection, oracle):
        exchange.fault("slow_link", PRODUCT, seconds=0.5)
        start = time.monotonic()
        exchange.step(PRODUCT, 30)
        for _ in range(30):
            oracle.apply(receive(connection))
        assert time.monotonic() - start > 0.3
        assert (oracle.bids, oracle.asks) == exchange.book(PRODUCT)


@contextmanager
def trader(exchange: Exchange, heartbeat: bool = False) -> Iterator[tuple[ClientConnection, Tape]]:
    """A client that has had the product's snapshot and last trade, and a judge that knows of them."""
    with client(exchange) as connection:
        subscribe(connection, PRODUCT, matches=True, heartbeat=heartbeat)
        assert type_of(receive(connection)) == "subscriptions"
        tape = Tape(PRODUCT)
        for _ in range(2):
            tape.judge(receive(connection))
        yield connection, tape


def judge_until(connection: ClientConnection, tape: Tape, kind: str) -> None:
    """Judge the frames that come, up to the first of a kind."""
    found = ""
    while found != kind:
        frame = receive(connection)
        tape.judge(frame)
        found = type_of(frame)


@pytest.mark.parametrize("kind", ["match", "heartbeat"])
def test_trade_lost(exchange: Exchange, kind: str) -> None:
    """The newest reader alone misses a trade, as the next one or a heartbeat tells; its book is right."""
    beats = kind == "heartbeat"
    with trader(exchange, beats) as (first, whole), trader(exchange, beats) as (second, holed):
        exchange.fault("trade_lost", PRODUCT)
        judge_until(first, whole, "l2update")
        judge_until(second, holed, "l2update")
        assert whole.trades == exchange.trades(PRODUCT)[-1:] and not holed.trades
        assert (holed.oracle.bids, holed.oracle.asks) == exchange.book(PRODUCT)
        if kind == "match":
            exchange.step(PRODUCT, 100)
        judge_until(first, whole, kind)
        with pytest.raises(ValueError, match=f"'type': '{kind}'.*comes after"):
            judge_until(second, holed, kind)


def test_trade_repeated(exchange: Exchange) -> None:
    """A trade comes twice, the same to the byte, then the update that covers it."""
    with trader(exchange) as (connection, tape):
        exchange.fault("trade_repeated", PRODUCT)
        frames = [receive(connection) for _ in range(3)]
        assert [type_of(frame) for frame in frames] == ["match", "match", "l2update"]
        assert frames[0] == frames[1]
        tape.judge(frames[0])
        tape.judge(frames[2])
        assert tape.trades == exchange.trades(PRODUCT)[-1:]


def test_update_lost(exchange: Exchange) -> None:
    """The newest reader's book stays crossed, every other's is the true one."""
    with reader(exchange) as (first, right), reader(exchange) as (second, wrong):
        exchange.fault("update_lost", PRODUCT)
        assert right.apply(receive(first))
        for _ in range(50):
            frame = receive(first)
            assert receive(second) == frame
            right.apply(frame)
            assert wrong.apply(frame) is None
            exchange.step(PRODUCT)
        assert crossed(wrong) and not crossed(right)


def crossed(oracle: Oracle) -> bool:
    """Whether the best bid is above the best ask."""
    best = oracle.best()
    return best is not None and best[0] > best[2]


def test_by_chance() -> None:
    """Faults by chance are of the given names, the same for the same seed, and end with `calm`."""
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
    """Every fault is in the table under its own name; one of a product that isn't listed is refused."""
    assert all(name == fault.name for name, fault in FAULTS.items())
    assert set(LIES) | {"update_lost", "http_429"} <= set(BY_CHANCE) < set(FAULTS)
    with Exchange([PRODUCT], rate=0) as exchange, pytest.raises(ValueError):
        exchange.fault("burst", "ELSE-WHERE")
