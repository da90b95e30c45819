"""Renewal of a connection: the old one goes on until a new one has come as far."""

import asyncio
import math

from orderbook.coinbase.messages import L2Update, Message, Snapshot, seconds
from orderbook.feed.connection import Connection
from orderbook.feed.errors import FeedError, Refused
from orderbook.feed.session import Session
from orderbook.feed.websocket import Policy, longer, open_websocket

CATCH_UP = 2.0  # seconds that the old connection has to bring what the new one's snapshots contain


class Renewal:
    """The next connection of a session, made when it is time, while the present one goes on.

    Made in the event loop that it belongs to. What comes on the new connection is kept. It takes over once
    all products that are live are live there too, and the present one has brought what their snapshots
    contain, so that no update is missing. A quiet product brings nothing, so that is waited for `CATCH_UP`
    seconds at most. Of what came on both, `OrderBookState.update` knows by the times what the book has had.
    """

    def __init__(self, session: Session, policy: Policy) -> None:
        self._session = session
        self._policy = policy
        self._connection: Connection | None = None
        self._kept: list[tuple[Message, bytes]] = []
        self._snapshots: dict[str, float] = {}  # their times, in seconds since 1970
        self._reached: dict[str, float] = {}  # by the present connection
        self._all_live_at = math.inf
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run())

    @property
    def is_live(self) -> bool:
        """Whether all products that are live are live on the new connection too."""
        return self._connection is not None and self._session.live <= self._connection.session.live

    def is_complete(self, message: Message) -> bool:
        """Whether the new connection can take over, after this message of the present one."""
        if self._task.done():
            self._task.result()  # raises the unexpected
        if self._connection is None:
            return False
        if isinstance(message, Snapshot | L2Update):  # a trade comes before the update that covers it
            reached = self._reached.get(message.product_id, 0.0)
            self._reached[message.product_id] = max(reached, seconds(message.time) or 0.0)
        if not self.is_live:
            return False
        now = self._loop.time()
        self._all_live_at = min(self._all_live_at, now)
        return now >= self._all_live_at + CATCH_UP or all(
            self._reached.get(product_id, 0.0) >= self._snapshots[product_id]
            for product_id in self._session.live
        )

    async def take_over(self) -> tuple[Connection, list[tuple[Message, bytes]]]:
        """The new connection, and what has come on it, in order; to be called when it is complete."""
        assert self._connection
        self._task.cancel()
        await asyncio.wait([self._task])
        return self._connection, self._kept

    async def stop(self) -> None:
        """Give it up: the present connection has ended."""
        self._task.cancel()
        try:
            await asyncio.wait([self._task])
        finally:
            await self._drop()

    async def _run(self) -> None:
        policy, session = self._policy, self._session
        delays, open_timeout = policy.reconnect_delays(), policy.open_timeout
        while True:
            await asyncio.sleep(session.renewal - self._loop.time())
            try:
                websocket = await open_websocket(policy, open_timeout)
                await self._receive(Connection(session.successor(), policy.requests, websocket))
            except FeedError as error:
                await self._drop()
                open_timeout, delay = longer(open_timeout, error), next(delays)
                said = type(error)(f"{error}; the connection that was to be renewed goes on")
                policy.troubles.report(session.product_ids, said, delay)
                session.renewal = self._loop.time() + delay

    async def _receive(self, connection: Connection) -> None:
        self._connection = connection
        while received := await connection.receive():
            message = received[0]
            if type(message) is Snapshot:
                self._snapshots[message.product_id] = seconds(message.time) or 0.0
            self._kept.append(received)
        raise Refused("the exchange refuses all products")

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        self._kept, self._snapshots, self._reached, self._all_live_at = [], {}, {}, math.inf
        if connection:
            await connection.close()
