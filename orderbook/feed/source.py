"""The Bytewax source of the live feed: a partition a product."""

import logging
import threading
from collections.abc import Callable, Generator, Sequence
from datetime import UTC, datetime, timedelta

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from orderbook.coinbase.messages import Message
from orderbook.feed.client import Feed
from orderbook.feed.limiter import Limiter
from orderbook.feed.session import Session
from orderbook.feed.silence import Timeouts
from orderbook.feed.stats import FeedStats
from orderbook.feed.troubles import Troubles
from orderbook.feed.websocket import Policy, reconnect_delays
from orderbook.feed.worker import Worker
from orderbook.recording.recorder import Recorder
from orderbook.recording.writer import Writer
from orderbook.shutdown import Shutdown, logged

log = logging.getLogger(__name__)

DRIVER_INTERVAL = timedelta(milliseconds=1)  # between two polls of the partition that runs the event loop
OTHERS_INTERVAL = timedelta(milliseconds=100)  # of one that only waits for its end


class CoinbaseSource(FixedPartitionedSource[tuple[str, Message], None]):
    """The live feed of these products, over at most so many connections (at least one a worker).

    `record` is a folder to record into. `stats` has the counts of each product of this process. Nothing
    is kept for recovery: each connection starts from the exchange's own snapshots. `hint` is logged once
    where the exchange can't be reached.
    """

    def __init__(
        self,
        product_ids: Sequence[str],
        url: str,
        timeouts: Timeouts,
        shutdown: Shutdown,
        *,
        connections: int = 16,
        record: str | None = None,
        hint: str = "",
        reconnect_delays: Callable[[], Generator[float]] = reconnect_delays,
    ) -> None:
        self.stats: dict[str, FeedStats] = {}
        self._product_ids = list(product_ids)
        self._timeouts = timeouts
        self._connections = connections
        self._writer = Writer(record) if record is not None else None
        self._shutdown = shutdown
        troubles = Troubles(self.stats, hint)
        self._policy = Policy(url, Limiter(), Limiter(), troubles, reconnect_delays=reconnect_delays)
        self._workers: dict[str, Worker] = {}  # by product
        self._of_this_thread = threading.local()  # a worker is a thread

    def list_parts(self) -> list[str]:
        return self._product_ids

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "CoinbasePartition":
        if not hasattr(self._of_this_thread, "worker"):
            self._of_this_thread.worker = Worker(self._open_feeds, self._writer)
        worker = self._workers[for_part] = self._of_this_thread.worker
        stats = self.stats[for_part] = FeedStats()
        worker.join(for_part, stats, self._open_recorder(for_part))
        return CoinbasePartition(for_part, worker, self._shutdown)

    def resync(self, product_id: str, since: float, why: str) -> None:
        """Have a product subscribed anew; to be called by the worker that has the product's partition."""
        self._workers[product_id].resync(product_id, since, why)

    def close(self) -> None:
        """Write out what is to be recorded, where the engine has not closed the partitions."""
        if self._writer:
            self._writer.close()

    def _open_feeds(self, product_ids: Sequence[str]) -> list[Feed]:
        """Feeds for a worker's products, on its share of the connections."""
        share = max(1, self._connections * len(product_ids) // len(self._product_ids))
        count = min(share, len(product_ids))
        feeds = []
        for number in range(count):
            shared = product_ids[number::count]
            # Renewals are spread over the connections of a worker, and over those of several workers.
            offset = (number + self._product_ids.index(shared[0]) / len(self._product_ids)) / count
            feeds.append(Feed(Session(shared, self.stats, self._timeouts, offset), self._policy))
        return feeds

    def _open_recorder(self, product_id: str) -> Recorder | None:
        if self._writer is None:
            return None
        try:
            return self._writer.open(product_id)
        except OSError as error:
            log.error("%s can't be recorded: %s", product_id, error)
            self._shutdown.request(1)
            return None


class CoinbasePartition(StatefulSourcePartition[tuple[str, Message], None]):
    """A product's messages; at its end where the exchange refuses the product.

    One partition of a worker, the driver, gives the messages of all its worker's products.
    """

    def __init__(
        self,
        product_id: str,
        worker: Worker,
        shutdown: Shutdown,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._product_id = product_id
        self._worker = worker
        self._shutdown = shutdown
        self._clock = clock
        self._polled = clock()

    @logged
    def next_batch(self) -> list[tuple[str, Message]]:
        """What came in since the last poll, in order; never waits."""
        self._polled = self._clock()
        self._shutdown.check()
        return self._worker.poll(self._product_id)

    def next_awake(self) -> datetime:
        """When to poll again, counted from the begin of the last poll.

        The engine compares it with a clock that it read before that poll: counted from the poll's end, it
        would wait once more for as long as the poll took.
        """
        drives = self._worker.drives(self._product_id)
        return self._polled + (DRIVER_INTERVAL if drives else OTHERS_INTERVAL)

    def snapshot(self) -> None:
        """Nothing: there is no place in the feed to come back to."""

    def close(self) -> None:
        """Leave the worker; the last of its partitions to leave closes all its connections."""
        self._worker.leave(self._product_id)
