"""The feed, against the simulated exchange: what is handed on, and what is given up and why."""

import asyncio
import gc
import logging
import time
from contextlib import aclosing
from itertools import pairwise
from statistics import median

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from orderbook.coinbase.messages import Snapshot
from orderbook.feed.client import (
    Closed,
    Doubt,
    FeedError,
    FeedSettings,
    NotAProduct,
    Refused,
    Rejected,
    Stale,
    Unreachable,
    ws_agen,
)
from orderbook.feed.limiter import Pacer
from tests.exchange import Exchange
from tests.exchange.lies import LIES
from tests.support.client import PRODUCT, assert_true, handed_on, hear_all, hearing, live_on, quick, until


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        (None, None),
        ("ack_late", 0.3),
        ("ack_missing", None),
        ("ack_after_snapshot", None),
        ("snapshot_late", 0.3),
        ("snapshot_again", None),
        ("snapshot_over_1_mib", None),
        ("unknown_type", None),
        ("update_repeated", None),
        ("burst", None),
        ("slow_link", 0.3),
        ("time_jumps", None),
        ("time_year_one", None),
    ],
)
def test_hands_on_what_was_sent(fault: str | None, seconds: float | None) -> None:
    """All of the book is handed on, in order and once, the snapshot first; oddities cost no connection."""

    async def scenario() -> None:
        with Exchange([PRODUCT], rate=400) as exchange:
            if fault:
                exchange.fault(fault, seconds=seconds)
            async with hearing(exchange.url) as heard:
                await until(lambda: len(heard.messages) > 50)
                await hear_all(exchange, heard)
                assert type(heard.messages[0][1]) is Snapshot
                assert heard.troubles == []
                assert len(exchange.connections) == 1
                assert heard.metrics.frames >= len(heard.frames)
                assert len(exchange.struck) == (1 if fault else 0)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("fault", "error", "reason"),
    [
        ("http_403", Unreachable, "HTTP 403"),
        ("http_429", Unreachable, "HTTP 429"),
        ("http_503", Unreachable, "HTTP 503"),
        ("dropped_at_once", Closed, "closed"),
        ("another_error", Refused, "Internal error"),
        ("dropped_in_mid_frame", Closed, "closed"),
        ("closed_1001", Closed, "1001"),
        ("closed_1006", Closed, "closed"),
        ("closed_1011", Closed, "1011"),
        ("error_in_mid_stream", Refused, "Internal error"),
        ("snapshot_over_64_mib", Closed, "1009"),
        *((lie, Rejected, "frame rejected") for lie in LIES),
    ],
)
def test_gives_up_and_connects_anew(
    fault: str, error: type[FeedError], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Trouble costs one connection and one warning that says what it was; nothing untrue is handed on."""

    async def scenario() -> None:
        with Exchange([PRODUCT], rate=100) as exchange:
            exchange.fault(fault)
            async with hearing(exchange.url) as heard:
                await until(lambda: live_on(exchange, attempt=2))
                await hear_all(exchange, heard)
            assert [type(trouble) for trouble in heard.troubles] == [error]
            assert heard.metrics.rejected == (error is Rejected)
            assert heard.metrics.resyncs == {error.reason: 1}
            assert len(exchange.attempts) == 2
        (warning,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert warning.getMessage().startswith(f"{PRODUCT}: ")
        assert reason in warning.getMessage()

    asyncio.run(scenario())


def test_exchange_goes_and_comes() -> None:
    """Connections dropped and connects refused for a while: tried again until it is back."""

    async def scenario() -> None:
        with Exchange([PRODUCT], rate=100) as exchange:
            async with hearing(exchange.url) as heard:
                await until(lambda: len(heard.messages) > 10)
                exchange.close_listener(drop=True)
                await until(lambda: sum(isinstance(t, Unreachable) for t in heard.troubles) > 3)
                exchange.open_listener()
                await until(lambda: live_on(exchange, attempt=2))
                await hear_all(exchange, heard)
                assert len(handed_on(exchange)) == 2

    asyncio.run(scenario())


@pytest.mark.parametrize("faults", [("closed_1001", "http_503"), ("closed_1006",), ("price_nan",)])
def test_leaves_nothing_behind(faults: tuple[str, ...], caplog: pytest.LogCaptureFixture) -> None:
    """What was held for a connection that was given up is let go of at once, not when it so happens."""
    caplog.set_level(logging.CRITICAL, logger="orderbook.feed")  # a record would hold what it is about

    def held() -> int:
        return sum(type(thing) is ClientConnection for thing in gc.get_objects())

    async def scenario() -> None:
        gc.collect()  # what earlier tests have left
        before = held()
        with Exchange([PRODUCT], rate=100) as exchange:
            settings = FeedSettings(exchange.url, retry_delays=quick)
            snapshots = 0
            async with aclosing(ws_agen(PRODUCT, settings, Pacer(rate=1_000))) as messages:
                async for _product, message in messages:
                    if type(message) is Snapshot:
                        snapshots += 1
                        if snapshots == 5:
                            break
                        for fault in faults:
                            exchange.fault(fault)
                assert held() - before == 1

    gc.disable()
    try:
        asyncio.run(scenario())
    finally:
        gc.enable()


def test_says_goodbye() -> None:
    """A feed that is listened to no more closes its connection in good order."""

    async def scenario() -> None:
        with Exchange([PRODUCT]) as exchange:
            async with hearing(exchange.url) as heard:
                await until(lambda: heard.messages)
            (connection,) = exchange.connections
            await until(lambda: connection.close_code)
            assert (connection.close_code, connection.closed_by_client) == (1000, True)

    asyncio.run(scenario())


def test_unknown_product_is_final() -> None:
    """An exchange that does not know the product is not asked twice."""

    async def scenario() -> None:
        with Exchange([PRODUCT]) as exchange:
            async with hearing(exchange.url, "BTC-XXX") as heard:
                await until(heard.task.done)
                with pytest.raises(NotAProduct, match="BTC-XXX is not a valid product"):
                    await heard.task
                assert len(exchange.attempts) == 1

    asyncio.run(scenario())


def test_known_product_stays_known() -> None:
    """A product that has had a snapshot is asked for again, whatever the exchange says of it later."""

    async def scenario() -> None:
        with Exchange([PRODUCT], rate=100) as exchange:
            async with hearing(exchange.url) as heard:
                await until(lambda: heard.messages)
                exchange.fault("unknown_product", times=2)
                exchange.fault("closed_1001")
                await until(lambda: live_on(exchange, attempt=4))
                await hear_all(exchange, heard)
                assert [type(trouble) for trouble in heard.troubles] == [Closed, NotAProduct, NotAProduct]

    asyncio.run(scenario())


def test_crossed_book(caplog: pytest.LogCaptureFixture) -> None:
    """The connection on which a book came to be crossed is replaced at its next frame: at once, and once."""

    async def scenario() -> None:
        with Exchange([PRODUCT], rate=0) as exchange:
            async with hearing(exchange.url) as heard:
                await until(lambda: heard.messages)
                heard.doubt = Doubt(time.monotonic(), "crossed for 2 s")
                await until(lambda: live_on(exchange, attempt=2), timeout=1.5)
                exchange.step(PRODUCT, 5)
                await hear_all(exchange, heard)
                assert len(exchange.attempts) == 2
                assert heard.metrics.resyncs == {"crossed": 1}
        (warning,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert warning.getMessage().startswith(f"{PRODUCT}: crossed for 2 s")

    asyncio.run(scenario())


def test_book_of_an_earlier_connection() -> None:
    """What is told late of a book is no reason to leave the connection that was made since."""

    async def scenario() -> None:
        told_late = time.monotonic()
        with Exchange([PRODUCT], rate=100) as exchange:
            async with hearing(exchange.url) as heard:
                heard.doubt = Doubt(told_late, "crossed for 2 s")
                await until(lambda: len(heard.messages) > 20)
                await hear_all(exchange, heard)
                assert heard.troubles == []

    asyncio.run(scenario())


def test_book_that_is_crossed_again() -> None:
    """A book that is often crossed, as in an auction, costs one connection each `resync_every` seconds."""

    async def scenario() -> None:
        with Exchange([PRODUCT], rate=100) as exchange:
            async with hearing(exchange.url, resync_every=0.7) as heard:
                for attempt in range(1, 5):
                    await until(lambda attempt=attempt: live_on(exchange, attempt))
                    heard.doubt = Doubt(time.monotonic(), "crossed for 2 s")
            _at_once, *rare = [later - sooner for sooner, later in pairwise(exchange.attempts)]
            assert all(0.5 < wait < 0.7 + 1 for wait in rare)  # each 0.7, less what the one before was late

    asyncio.run(scenario())


def test_refresh(caplog: pytest.LogCaptureFixture) -> None:
    """A connection is renewed each `refresh` seconds, no two products at a time, and nobody is alarmed."""

    async def scenario() -> None:
        with Exchange([PRODUCT, "ETH-EUR"], rate=100) as exchange:
            async with (
                hearing(exchange.url, phase=0.0, refresh=1.0) as first,
                hearing(exchange.url, "ETH-EUR", phase=0.5, refresh=1.0) as second,
            ):
                await until(lambda: len(exchange.connections) >= 9)
                assert_true(exchange, first)
            for product, phase in ((PRODUCT, 0.0), ("ETH-EUR", 0.5)):
                made = [c.connected for c in exchange.connections if c.products == [product]]
                # Each is due on the second, or half a second after it; some may be late.
                assert median((moment - phase) % 1 for moment in made[1:]) < 0.4
                assert 0.6 < median(later - sooner for sooner, later in pairwise(made[1:])) < 1.4
            assert set(first.metrics.resyncs) == set(second.metrics.resyncs) == {"refresh"}
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []

    asyncio.run(scenario())


@pytest.mark.parametrize("address", ["ws://127.0.0.1:99999/", "http://[x", f"ws://{'x' * 80}/"])
def test_sent_elsewhere(address: str) -> None:
    """A redirect to an address that is none is retried, as any other failure to connect."""

    async def main() -> None:
        def redirect(connection: ServerConnection, request: Request) -> Response:
            response = connection.respond(302, "")
            response.headers["Location"] = address
            return response

        async with serve(lambda _: asyncio.sleep(0), "127.0.0.1", 0, process_request=redirect) as server:
            port = server.sockets[0].getsockname()[1]
            async with hearing(f"ws://127.0.0.1:{port}") as heard:
                await until(lambda: len(heard.troubles) >= 3)
                assert {type(trouble) for trouble in heard.troubles} == {Unreachable}

    asyncio.run(main())


def test_no_time_at_all() -> None:
    """A connection may be stale at once; it is given up like any other."""

    async def main(url: str) -> None:
        async with hearing(url, stale_after=1e-12) as heard:
            await until(lambda: len(heard.troubles) >= 3)
            assert {type(trouble) for trouble in heard.troubles} == {Stale}

    with Exchange([PRODUCT], rate=0, levels=30) as exchange:
        asyncio.run(main(exchange.url))
