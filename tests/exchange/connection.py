"""What the exchange keeps of a connection and of each frame that it sent on it."""

from dataclasses import dataclass, field
from typing import NamedTuple

from websockets.asyncio.server import ServerConnection


class Sent(NamedTuple):
    """A frame as it was sent: `time.monotonic()` just before, the connection's number, the frame."""

    when: float
    connection: int
    frame: bytes


@dataclass(eq=False)
class Connection:
    """One connection that finished its handshake, numbered from 0 in order of connecting.

    `connected` is `time.monotonic()`. It hears the updates of the products in `streaming`, has
    had the snapshot of those in `live`, and hears the heartbeats of those in `heartbeats`.
    `close_code` is the client's own (1006 if it left without a word), None while it is open;
    `closed_by_client` says that the client's close frame came before any of ours. After a
    fault it may be `muted`, or `spoilt` (a client should leave it), or its frames go into a
    `backlog` that a slow link works off.
    """

    number: int
    socket: ServerConnection
    connected: float
    products: list[str] = field(default_factory=list)
    streaming: set[str] = field(default_factory=set)
    live: set[str] = field(default_factory=set)
    heartbeats: set[str] = field(default_factory=set)
    close_code: int | None = None
    closed_by_client: bool = False
    muted: bool = False
    spoilt: bool = False
    backlog: list[tuple[str, bytes]] | None = None

    @property
    def open(self) -> bool:
        """Whether it is open, as far as the exchange can tell."""
        return self.close_code is None
