"""Moments at which faults happen, the table of faults, and the list of those that wait.

The table is filled by `faults`, which has what each does.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from websockets.asyncio.server import ServerConnection

from tests.exchange.connection import Connection
from tests.exchange.subscription import Request

if TYPE_CHECKING:
    from tests.exchange.venue import Venue

logger = logging.getLogger(__name__)

Act = Callable[[Any], Coroutine[Any, Any, Any]]
"""What a fault does: it gets its moment, and may answer a handshake with a response."""


@dataclass
class AtOnce:
    """Now, and for everyone. A fault that lasts, lasts for so many `seconds`."""

    venue: "Venue"
    seconds: float


@dataclass
class Handshake(AtOnce):
    """The next handshake of anyone, since its product isn't known yet."""

    socket: ServerConnection


@dataclass
class Accepted(AtOnce):
    """The next connection of anyone, before it has sent anything."""

    connection: Connection


@dataclass
class Subscribe(AtOnce):
    """The next subscribe that names the product, in place of the answer to it."""

    connection: Connection
    request: Request
    product: str

    def refuse(self, reason: str) -> None:
        """Send that the whole subscribe failed, and why."""
        self.venue.refuse(self.connection, reason)

    def accept(self) -> None:
        """Subscribe the connection to all that it asks for."""
        begun = self.venue.accept(self.connection, self.request)
        self.others = [product for product in begun if product != self.product]

    def acknowledge(self) -> None:
        """Send all that the connection is subscribed to."""
        self.venue.acknowledge(self.connection)

    def follow(self, updates: bool) -> None:
        """Send the product's heartbeats and trades from now on, and its `updates`, but no snapshot."""
        self.venue.follow(self.connection, self.product, updates)

    def begin(self, padding: int = 0) -> None:
        """Send the product's snapshot, with so many bytes of white space, and what follows it."""
        self.venue.begin(self.connection, [self.product], padding)

    def begin_others(self) -> None:
        """Send the snapshots of the subscribe's other products, and what follows them."""
        self.venue.begin(self.connection, self.others)

    def begin_all(self) -> None:
        """Send the snapshots of all, and what follows them."""
        self.begin()
        self.begin_others()


@dataclass
class Stream(AtOnce):
    """The newest connection that has the product's snapshot: now, or the next one to get it."""

    connection: Connection
    product: str

    def send(self, frame: bytes) -> None:
        """Send a frame to this connection alone."""
        self.venue.send(self.connection, self.product, frame)

    @property
    def bid_price(self) -> float:
        """The product's true best bid."""
        return self.venue.markets[self.product].best()[0]


Replaces = Literal["connection", "book"]
"""What a client should replace: the connection, or one product's book by a new subscription."""


@dataclass(frozen=True)
class Fault:
    """A named fault: its moment, and what it does there.

    After a fault for which a client `replaces` its connection or the product's book, no other is done to
    that one. `by_chance` faults may be drawn at random: a client gets over them by itself.
    """

    name: str
    moment: type[AtOnce]
    act: Act
    seconds: float
    replaces: Replaces | None
    by_chance: bool


FAULTS: dict[str, Fault] = {}
"""Every fault by its name."""


def fault(
    moment: type[AtOnce], seconds: float = 0.0, replaces: Replaces | None = None, by_chance: bool = True
) -> Callable[[Act], Act]:
    """Enter a function into the table of faults under its own name."""

    def enter(act: Act) -> Act:
        FAULTS[act.__name__] = Fault(act.__name__, moment, act, seconds, replaces, by_chance)
        return act

    return enter


class Struck(NamedTuple):
    """A fault that happened: `time.monotonic()`, its name, and to what, where that was known."""

    when: float
    name: str
    product: str | None
    connection: int | None


@dataclass
class Waiting:
    """A fault that waits for its moment, with a product or with any."""

    fault: Fault
    product: str | None
    seconds: float


class Trouble:
    """The faults that wait and those that happened."""

    def __init__(self, venue: "Venue") -> None:
        self.waiting: list[Waiting] = []
        self.struck: list[Struck] = []
        self._venue = venue

    def expect(self, fault: Fault, product: str | None, seconds: float | None) -> None:
        """Let a fault happen: at once if its moment is there, else when it comes."""
        wait = Waiting(fault, product, fault.seconds if seconds is None else seconds)
        if fault.moment is AtOnce:
            self._note(wait, product, None)
            self._venue.spawn(fault.act(AtOnce(self._venue, wait.seconds)))
            return
        if fault.moment is Stream:
            for candidate in [product] if product else self._venue.markets:
                connection = self._venue.newest(candidate)
                if connection and not self._is_broken(connection, candidate):
                    self._disturb(wait, connection, candidate)
                    return
        self.waiting.append(wait)

    async def at_handshake(self, socket: ServerConnection) -> Any:
        """Do what waits for a handshake; return the response to give, if any."""
        if wait := self._take(Handshake):
            self._note(wait, None, None)
            return await wait.fault.act(Handshake(self._venue, wait.seconds, socket))
        return None

    async def at_accepted(self, connection: Connection) -> None:
        """Do what waits for a connection."""
        if wait := self._take(Accepted):
            self._note(wait, None, connection)
            await wait.fault.act(Accepted(self._venue, wait.seconds, connection))

    def at_subscribe(self, connection: Connection, request: Request) -> bool:
        """Do what waits for a subscribe; return whether it took the place of the answer."""
        for product in request.products:
            if wait := self._take(Subscribe, product):
                self._note(wait, product, connection)
                moment = Subscribe(self._venue, wait.seconds, connection, request, product)
                self._venue.spawn(wait.fault.act(moment))
                return True
        return False

    def at_stream(self, connection: Connection, product: str) -> None:
        """Do what waits for a stream, up to a fault for which the client replaces it."""
        while not self._is_broken(connection, product) and (wait := self._take(Stream, product)):
            self._disturb(wait, connection, product)

    def _is_broken(self, connection: Connection, product: str) -> bool:
        return connection.broken or product in connection.broken_books

    def _disturb(self, wait: Waiting, connection: Connection, product: str) -> None:
        if wait.fault.replaces == "connection":
            connection.broken = True
        elif wait.fault.replaces == "book":
            connection.broken_books.add(product)
        self._note(wait, product, connection)
        moment = Stream(self._venue, wait.seconds, connection, product)
        self._venue.spawn(wait.fault.act(moment))

    def _take(self, moment: type[AtOnce], product: str | None = None) -> Waiting | None:
        for wait in self.waiting:
            if wait.fault.moment is moment and product in (wait.product or product, None):
                self.waiting.remove(wait)
                return wait
        return None

    def _note(self, wait: Waiting, product: str | None, connection: Connection | None) -> None:
        number = connection.number if connection else None
        self.struck.append(Struck(time.monotonic(), wait.fault.name, product, number))
        whom = [product] if product else []
        whom += [] if number is None else [f"connection {number}"]
        logger.info("fault %s: %s", wait.fault.name, ", ".join(whom) or "whoever connects")


async def by_chance(venue: "Venue", seed: int, names: Sequence[str], interval: float) -> None:
    """Let one of the faults happen to a product each `interval` seconds, from the first subscription on.

    For one that needs a new connection the product's is dropped. While a fault waits for a product, no
    other happens to that one.
    """
    random = Random(seed)
    while not any(map(venue.newest, venue.markets)):  # else who subscribes late would have other faults
        await asyncio.sleep(interval)
    while True:
        await asyncio.sleep(interval)
        name, product = random.choice(names), random.choice(list(venue.markets))
        if any(wait.product == product for wait in venue.trouble.waiting):
            continue
        venue.trouble.expect(FAULTS[name], product, None)
        if FAULTS[name].moment not in (AtOnce, Stream):
            venue.trouble.expect(FAULTS["closed_1006"], product, None)
