"""The async websocket generator: a session's messages, connection after connection."""

import asyncio
import gc
from collections.abc import AsyncGenerator

from orderbook.coinbase.messages import Message
from orderbook.feed.connection import Connection, next_break
from orderbook.feed.errors import FeedError
from orderbook.feed.renewal import Renewal
from orderbook.feed.session import Session
from orderbook.feed.websocket import Policy, longer, open_websocket


class Feed:
    """The messages of a session's products, for as long as they are asked for.

    All of it belongs to one event loop; `resync` may be called in its thread while the loop stands still.
    """

    def __init__(self, session: Session, policy: Policy) -> None:
        self.session = session  # of the present connection; a renewal brings its own
        self._policy = policy
        self._connection: Connection | None = None
        self._closing: asyncio.Task[None] | None = None
        self.repeats = False  # while messages are handed on that a renewal has kept

    def resync(self, product_id: str, since: float, why: str) -> None:
        """Subscribe a product anew whose book has been wrong `since` a time of the monotonic clock."""
        if self._connection:
            self._connection.resync(product_id, since, why)

    def resubscribe(self, product_id: str, since: float, why: str) -> None:
        """Subscribe a product anew for a snapshot that is wanted `since` a time of the monotonic clock."""
        if self._connection:
            self._connection.resubscribe(product_id, since, why)

    async def ws_agen(self) -> AsyncGenerator[tuple[Message, bytes]]:
        """Yield each message of the products, with the frame that it came in.

        After each connect a product's snapshot comes first; where its stream breaks off, a `Status` comes.
        Every `FeedError` is followed by the next attempt. Ends once the exchange has refused all products.
        """
        policy = self._policy
        delays, open_timeout = policy.reconnect_delays(), policy.open_timeout
        while not self.session.ended:
            await asyncio.sleep(self.session.idle_for(asyncio.get_running_loop().time()))
            delay, connection, renewal = 0.0, None, None
            latest = 0  # arrival of what was handed on last
            try:
                websocket = await open_websocket(policy, open_timeout)
                open_timeout = policy.open_timeout
                connection = self._connection = Connection(self.session, policy.requests, websocket)
                del websocket
                renewal = Renewal(self.session, policy)
                while True:
                    try:
                        message = await connection.receive()
                    except FeedError:
                        if not renewal.is_live:
                            raise
                    else:
                        if message is None:
                            break
                        latest = message[0].local_timestamp or 0
                        yield message
                        if not renewal.is_complete(message[0]):
                            continue
                    old = self.session
                    connection, messages = await self._take_over(renewal, connection)
                    renewal = Renewal(self.session, policy)
                    while old.breaks:
                        message = next_break(old)
                        latest = message[0].local_timestamp or 0
                        yield message
                    self.repeats = True
                    for message in messages:  # kept until now, so what came meanwhile was before them
                        message[0].local_timestamp = max(latest, message[0].local_timestamp or 0)
                        yield message
                    self.repeats = False
            except FeedError as error:
                if self.session.synced:
                    delays = policy.reconnect_delays()
                open_timeout, delay = longer(open_timeout, error), next(delays)
                self.session.disconnected(error)
                policy.troubles.report(self.session.product_ids, error, delay)
            finally:
                await self._disconnect(renewal)
                connection = renewal = None
            while self.session.breaks:
                yield next_break(self.session)
            _collect()
            await asyncio.sleep(delay)

    async def _take_over(
        self, renewal: Renewal, old: Connection
    ) -> tuple[Connection, list[tuple[Message, bytes]]]:
        """Go on with the connection that was made by a renewal; returns it, and what has come on it."""
        connection, messages = await renewal.take_over()
        renewed = self.session.hand_over(connection.session, asyncio.get_running_loop().time())
        self._policy.troubles.report(self.session.product_ids, renewed, 0.0)
        self.session, self._connection = connection.session, connection
        if self._closing:
            await self._closing
        self._closing = asyncio.create_task(_close(old))
        return connection, messages

    async def _disconnect(self, renewal: Renewal | None) -> None:
        """End all that there is at the same time, so within one `CLOSE_TIMEOUT`."""
        connection, self._connection = self._connection, None
        closing, self._closing = self._closing, None
        ends = [connection.close()] if connection else []
        ends += [renewal.stop()] if renewal else []
        await asyncio.gather(*ends, *([closing] if closing else []))


async def _close(connection: Connection) -> None:
    await connection.close()
    del connection
    _collect()


def _collect() -> None:
    # The library's connection and its error refer to each other, and nobody else does by now. Left to the
    # collector's own time, the buffers of hundreds would pile up, and leave memory full of holes.
    gc.collect()
