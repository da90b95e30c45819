"""Faults of the simulated exchange, each a function that does to the wire what its docstring says.

On a connection that products share, a fault of a stream happens to one product, or to the connection as a
whole. The exchange's true books and its record of frames stay right throughout. Frames that must not be
trusted are in `lies`; they are faults too.
"""

import asyncio
from collections.abc import AsyncIterator

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response

from tests.exchange.connection import Connection
from tests.exchange.lies import LIES, Lie, lie
from tests.exchange.subscription import LEVEL2, MATCHES, Request
from tests.exchange.trouble import FAULTS, Accepted, Act, AtOnce, Fault, Handshake, Stream, Subscribe, fault
from tests.exchange.venue import Venue

YEAR_ONE = -62_135_596_800.0
"""The first second of the year 1, in seconds since 1970."""


# Connecting


@fault(AtOnce, seconds=1)
async def connection_refused(now: AtOnce) -> None:
    """The listening socket is closed for a while; open connections go on."""
    now.venue.listener.close()
    await asyncio.sleep(now.seconds)
    await now.venue.listener.open()


def http(status: int) -> None:
    """Enter the fault of a handshake that is answered with a status."""

    async def act(handshake: Handshake) -> Response:
        return handshake.socket.respond(status, f"{status}\n")

    act.__name__ = f"http_{status}"
    act.__doc__ = f"The handshake is answered with status {status}."
    fault(Handshake)(act)


for status in (403, 429, 503):
    http(status)


@fault(Handshake)
async def redirect(handshake: Handshake) -> Response:
    """The handshake is answered with a redirect to the same address."""
    response = handshake.socket.respond(302, "moved\n")
    response.headers["Location"] = "/"
    return response


@fault(Handshake, seconds=3)
async def handshake_late(handshake: Handshake) -> None:
    """The handshake is answered late."""
    await asyncio.sleep(handshake.seconds)


@fault(Handshake)
async def handshake_hangs(handshake: Handshake) -> None:
    """The handshake is never answered."""
    await handshake.socket.wait_closed()


@fault(Accepted)
async def dropped_at_once(accepted: Accepted) -> None:
    """The TCP connection is aborted as soon as the handshake is over."""
    accepted.connection.socket.transport.abort()


# Subscribing


@fault(Subscribe, seconds=2)
async def ack_late(subscribe: Subscribe) -> None:
    """The acknowledgement, and all that follows it, comes late."""
    subscribe.accept()
    await asyncio.sleep(subscribe.seconds)
    subscribe.acknowledge()
    subscribe.begin_all()


@fault(Subscribe)
async def ack_missing(subscribe: Subscribe) -> None:
    """The snapshots and all that follows come without an acknowledgement."""
    subscribe.accept()
    subscribe.begin_all()


@fault(Subscribe)
async def ack_after_snapshot(subscribe: Subscribe) -> None:
    """The acknowledgement comes after the snapshots."""
    subscribe.accept()
    subscribe.begin_all()
    subscribe.acknowledge()


@fault(Subscribe, by_chance=False)
async def unknown_product(subscribe: Subscribe) -> None:
    """The whole subscribe fails: the product is not a valid one."""
    subscribe.refuse(f"{subscribe.product} is not a valid product")


@fault(Subscribe)
async def another_error(subscribe: Subscribe) -> None:
    """The whole subscribe fails for a reason that may pass."""
    subscribe.refuse("Internal error")


@fault(Subscribe, seconds=3)
async def snapshot_late(subscribe: Subscribe) -> None:
    """The product's updates, trades and heartbeats come at once, its snapshot later."""
    subscribe.accept()
    subscribe.acknowledge()
    subscribe.follow(updates=True)
    subscribe.begin_others()
    await asyncio.sleep(subscribe.seconds)
    subscribe.begin()


@fault(Subscribe)
async def snapshot_never(subscribe: Subscribe) -> None:
    """The product's heartbeats and trades come, but neither its snapshot nor an update does."""
    subscribe.accept()
    subscribe.acknowledge()
    subscribe.follow(updates=False)
    subscribe.begin_others()


@fault(Subscribe, seconds=7)
async def snapshot_slow(subscribe: Subscribe) -> None:
    """Bytes of the product's snapshot come all the time, but it takes long until it is whole."""
    subscribe.accept()
    subscribe.acknowledge()
    connection, venue = subscribe.connection, subscribe.venue
    if connection.backlog is not None:  # a slow link is slow as it is
        subscribe.begin_all()
        return
    connection.backlog = []
    subscribe.begin_all()
    waiting = sum(len(frame) for _product, frame in connection.backlog)
    piece = max(1, int(waiting * PIECES_EVERY / subscribe.seconds))
    await drain(venue, connection, piece, asyncio.get_running_loop().time() + subscribe.seconds)


@fault(Subscribe)
async def snapshot_over_1_mib(subscribe: Subscribe) -> None:
    """The product's snapshot has 1 MiB of white space in it: valid, and to be taken."""
    subscribe.accept()
    subscribe.acknowledge()
    subscribe.begin(padding=2**20)
    subscribe.begin_others()


@fault(Subscribe, by_chance=False)
async def snapshot_over_4_mib(subscribe: Subscribe) -> None:
    """The product's snapshot has 4 MiB of white space in it: too much."""
    subscribe.accept()
    subscribe.acknowledge()
    subscribe.begin(padding=2**22)
    subscribe.begin_others()


# Losing the connection


@fault(Stream, replaces="connection")
async def dropped_in_mid_frame(stream: Stream) -> None:
    """The TCP connection ends in the middle of a websocket frame."""
    socket = stream.connection.socket
    if stream.connection.backlog is None:  # a slow link is in the middle of one as it is
        socket.protocol.send_text(lie(stream.product, stream.bid_price))
        frame = b"".join(socket.protocol.data_to_send())
        socket.transport.write(frame[: len(frame) // 2])
    socket.transport.close()


@fault(Stream, replaces="connection")
async def closed_1001(stream: Stream) -> None:
    """The connection is closed with 1001, going away."""
    await stream.connection.socket.close(1001)


@fault(Stream, replaces="connection")
async def closed_1006(stream: Stream) -> None:
    """The TCP connection is aborted without a close frame."""
    stream.connection.socket.transport.abort()


@fault(Stream, replaces="connection")
async def closed_1011(stream: Stream) -> None:
    """The connection is closed with 1011, internal error."""
    await stream.connection.socket.close(1011)


@fault(Stream, replaces="connection")
async def closed_and_open(stream: Stream) -> None:
    """A close frame comes, and the TCP connection stays open for ever."""
    write(stream, b"\x88\x05\x03\xe9bye")


def broken(name: str, frame: bytes, doc: str) -> None:
    """Enter the fault of a frame that breaks the protocol, after which nothing comes any more."""

    async def act(stream: Stream) -> None:
        write(stream, frame)

    act.__name__, act.__doc__ = name, doc
    fault(Stream, replaces="connection")(act)


def write(stream: Stream, data: bytes) -> None:
    """Write bytes to the socket, and nothing after them."""
    if stream.connection.backlog is None:  # else a frame may be under way
        stream.connection.socket.transport.write(data)
    stream.connection.muted = True


broken("reserved_bits", b"\xf1\x01x", "A frame has reserved bits set, and the socket stays open.")
broken("unknown_opcode", b"\x83\x01x", "A frame has an opcode that there isn't, and the socket stays open.")
broken("masked", b"\x81\x81\0\0\0\0x", "A frame is masked, as only a client's may be; the socket stays open.")
broken("half_a_close_code", b"\x88\x01x", "A close frame has half a code, and the socket stays open.")
broken("not_deflated", b"\xc1\x02\xff\xff", "A frame can't be inflated, and the socket stays open.")


@fault(Stream, replaces="connection")
async def silence_without_heartbeats(stream: Stream) -> None:
    """Nothing more is ever sent on the connection, which stays open."""
    stream.connection.muted = True


@fault(Stream, replaces="book")
async def product_silent(stream: Stream) -> None:
    """Nothing more is sent of the product until it is subscribed anew; the connection's others go on."""
    stream.connection.silent.add(stream.product)


@fault(Stream, replaces="book")
async def unsubscribed_in_mid_stream(stream: Stream) -> None:
    """The exchange ends the subscription by itself; its acknowledgement no longer lists the product."""
    stream.venue.unsubscribe(stream.connection, Request("unsubscribe", [stream.product], [LEVEL2]))


# A stream that is odd but right


@fault(Stream, seconds=8)
async def silence_with_heartbeats(stream: Stream) -> None:
    """The market stands still for a while; heartbeats go on."""
    stream.venue.quiet[stream.product] += 1
    await asyncio.sleep(stream.seconds)
    stream.venue.quiet[stream.product] -= 1


@fault(Stream)
async def snapshot_again(stream: Stream) -> None:
    """Two more snapshots come in mid-stream, an update between them."""
    venue, product = stream.venue, stream.product
    stream.send(venue.markets[product].snapshot())
    venue.step(product)
    stream.send(venue.markets[product].snapshot())


@fault(Stream)
async def unknown_type(stream: Stream) -> None:
    """A frame of an unknown type, with changes in it that never happened."""
    stream.send(lie(stream.product, stream.bid_price).replace(b"l2update", b"l2forecast"))


@fault(Stream)
async def update_repeated(stream: Stream) -> None:
    """An update comes twice."""
    update = stream.venue.markets[stream.product].update()
    stream.venue.publish(stream.product, update)
    stream.send(update)


@fault(Stream)
async def trade_repeated(stream: Stream) -> None:
    """A trade comes twice, then the update that covers it, to all who subscribed to them."""
    market = stream.venue.markets[stream.product]
    for match in [market.match()] * 2:
        stream.venue.publish(stream.product, match, MATCHES)
    stream.venue.publish(stream.product, market.update())


@fault(Stream)
async def burst(stream: Stream) -> None:
    """1,000 updates come at once, to all who stream the product."""
    for _ in range(1_000):
        stream.venue.step(stream.product)


@fault(Stream)
async def time_jumps(stream: Stream) -> None:
    """Updates of an hour ahead and of an hour ago, to all who stream the product."""
    market = stream.venue.markets[stream.product]
    for shift in (3_600.0, -3_600.0):
        stream.venue.publish(stream.product, market.update(at=market.clock() + shift))


@fault(Stream)
async def time_year_one(stream: Stream) -> None:
    """An update of the first second of the year 1, to all who stream the product."""
    update = stream.venue.markets[stream.product].update(at=YEAR_ONE)
    stream.venue.publish(stream.product, update)


@fault(Stream, seconds=3)
async def slow_link(stream: Stream) -> None:
    """For a while frames trickle, 64 bytes each 10 ms, in fragments; then what piled up follows."""
    connection = stream.connection
    if connection.backlog is None:
        connection.backlog = []
        end = asyncio.get_running_loop().time() + stream.seconds
        await drain(stream.venue, connection, 64, end)


PIECES_EVERY = 0.01  # seconds


async def drain(venue: Venue, connection: Connection, piece: int, end: float) -> None:
    """Send a connection's backlog in pieces of so many bytes; from the `end` on, as fast as it goes."""
    loop, backlog = asyncio.get_running_loop(), connection.backlog
    assert backlog is not None

    async def trickle(frame: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(frame), piece):
            if loop.time() >= end:
                yield frame[start:]
                return
            yield frame[start : start + piece]
            await asyncio.sleep(PIECES_EVERY)

    try:
        while backlog or loop.time() < end:
            if not backlog:
                await asyncio.sleep(PIECES_EVERY)
                continue
            product, frame = backlog.pop(0)
            venue.note(connection, product, frame)
            await connection.socket.send(trickle(frame), text=True)
    except ConnectionClosed:
        pass
    finally:
        connection.backlog = None


# A stream that is not the market's


@fault(Stream, replaces="book")
async def update_lost(stream: Stream) -> None:
    """The first of the two updates of a leap is lost, which leaves this client's book crossed."""
    first, second = stream.venue.markets[stream.product].leap()
    stream.venue.publish(stream.product, first, without=stream.connection)
    stream.venue.publish(stream.product, second)


@fault(Stream)
async def trade_lost(stream: Stream) -> None:
    """A trade is lost, but not the update that covers it; the next trade's id and heartbeat tell."""
    market = stream.venue.markets[stream.product]
    stream.venue.publish(stream.product, market.match(), MATCHES, without=stream.connection)
    stream.venue.publish(stream.product, market.update())


@fault(Stream, replaces="connection")
async def error_in_mid_stream(stream: Stream) -> None:
    """An error message comes in mid-stream."""
    stream.venue.refuse(stream.connection, "Internal error")


def untrustworthy(frame: Lie) -> Act:
    """The fault that is one frame which must not be trusted."""

    async def act(stream: Stream) -> None:
        stream.send(frame(stream.product, stream.bid_price))

    act.__doc__ = frame.__doc__
    return act


for name, frame in LIES.items():
    FAULTS[name] = Fault(
        name, Stream, untrustworthy(frame), seconds=0.0, replaces="connection", by_chance=True
    )

BY_CHANCE = tuple(name for name, fault in FAULTS.items() if fault.by_chance)
"""The faults that a client can get over by itself."""
