"""Rules of one connection and its products, without I/O.

Frames and times of the monotonic clock come in; messages, requests and errors go out:

    connected() ─▶ next_request() ─▶ receive(frame) ─▶ message … ─▶ disconnected(error) ─▶ connected() …
                        ▲ ╰──────────▶ check(), when `deadline` has passed ──╯
                        ╰─ resync(product)     `renewal` has passed ─▶ successor() … hand_over()

What can't be trusted is not repaired. An error that is raised is about the connection, which is to be
replaced. Where it is about one product alone, that product is unsubscribed and subscribed anew on the same
connection, and its messages are dropped until its new snapshot; what follows where that does not help is in
`product`. Each stream that breaks off is in `breaks`, to be handed on.
"""

import logging
import math
from collections import deque
from collections.abc import Iterable, Mapping

from orderbook.coinbase import exchange
from orderbook.coinbase.exchange import Error, Subscriptions
from orderbook.coinbase.messages import BadFrame, L2Update, Message, Snapshot, Status, Trade
from orderbook.feed.errors import Closed, Crossed, FeedError, Refresh, Refused, Rejected, Stale
from orderbook.feed.product import RESYNC_WINDOW, Product
from orderbook.feed.silence import Silence, Timeouts
from orderbook.feed.stats import FeedStats

log = logging.getLogger(__name__)

SUBSCRIBE_CHUNK = 30  # products a request; should it be too big, the refusal splits it


class Session:
    """The rules of the connections, one after another, that carry these products.

    `offset`, from 0 to 1, is when within each span of `timeouts.refresh` the connection is renewed;
    sessions of different offsets are never renewed together. `stats` has the counts of each product.
    """

    def __init__(
        self,
        product_ids: Iterable[str],
        stats: Mapping[str, FeedStats],
        timeouts: Timeouts,
        offset: float = 0.0,
    ) -> None:
        self._products = {product_id: Product(product_id, stats[product_id]) for product_id in product_ids}
        self._timeouts = timeouts
        self._offset = offset
        self.breaks: deque[Status] = deque()
        self._reset(0.0)

    def _reset(self, now: float) -> None:
        self.synced = False  # whether a snapshot came on this connection
        self._connected_at = now
        self._silence = Silence(self._timeouts, now)
        refresh = self._timeouts.refresh
        self.renewal = now + refresh * (1 - (now / refresh - self._offset) % 1)
        self._to_unsubscribe: list[str] = []
        self._to_subscribe: list[list[str]] = []
        self._pending: list[str] = []  # of the one subscribe that is not answered yet
        self._unacknowledged = 0  # requests

    @property
    def product_ids(self) -> list[str]:
        """The products that the exchange has not refused for good."""
        return list(self._products)

    @property
    def ended(self) -> bool:
        """Whether it has refused all of them."""
        return not self._products

    def refuses(self, product_id: str) -> bool:
        """Whether it has refused this one."""
        return product_id not in self._products

    def idle_for(self, now: float) -> float:
        """Seconds for which no connection is needed: all products are left alone."""
        dues = [product.due for product in self._products.values()]
        return max(0.0, min(dues) - now) if max(dues) < math.inf else 0.0

    def connected(self, now: float) -> None:
        """A connection was made: all its products are to be subscribed."""
        self._reset(now)
        self._subscribe([each.product_id for each in self._products.values() if each.connected(now)])

    def disconnected(self, error: FeedError) -> None:
        """The connection was given up, or could not be made: no product is live."""
        self.synced = False
        for product in self._products.values():
            self._break(product, error.event, error)
            product.stats.resyncs[error.reason] += 1

    def _break(self, product: Product, event: str, why: object) -> None:
        if product.stats.live:
            product.stats.live = False
            self.breaks.append(Status(product.product_id, f"{event}: {why}"))

    @property
    def has_request(self) -> bool:
        """Whether `next_request` has one."""
        return bool(self._to_unsubscribe or (self._to_subscribe and not self._pending))

    def next_request(self, now: float) -> str | None:
        """The next request, to be sent at once; one subscribe at a time, so an error is its answer."""
        if not self._subscribed:
            self._silence.start(now)
        if self._to_unsubscribe:
            product_ids, self._to_unsubscribe = self._to_unsubscribe, []
            self._unacknowledged += 1
            return exchange.unsubscribe(product_ids)
        if not self.has_request:
            return None
        self._pending = self._to_subscribe.pop(0)
        self._unacknowledged += 1
        for product_id in self._pending:
            self._products[product_id].asked = now
        return exchange.subscribe(self._pending)

    @property
    def _subscribed(self) -> bool:
        return any(product.subscribed for product in self._products.values())

    def _subscribe(self, product_ids: list[str], chunk: int = SUBSCRIBE_CHUNK) -> None:
        self._to_subscribe += [product_ids[at : at + chunk] for at in range(0, len(product_ids), chunk)]

    def receive(self, frame: bytes, now: float) -> Message | None:
        """The message of a frame that is to be handed on, if any. Costs about 1 µs beside decoding.

        Raises `Rejected` at a frame that can't be trusted, `Refused` at an error that answers no subscribe.
        """
        self._silence.frame(now)
        try:
            message = exchange.decode(frame)
        except BadFrame as error:
            raise Rejected(f"frame rejected: {error}") from None
        if isinstance(message, Subscriptions):
            self._receive_subscriptions(message, now)
        elif isinstance(message, Error):
            self._receive_error(message, now)
        elif message is not None:
            return self._receive_message(message, len(frame), now)
        return None

    def _receive_message(self, message: Message, size: int, now: float) -> Message | None:
        product = self._products.get(message.product_id)
        if product is None:
            raise Rejected(f"frame rejected: it is of product {message.product_id[:100]!r}")
        stats = product.stats
        stats.frames += 1
        stats.bytes += size
        stats.last_frame = now
        if type(message) is L2Update:
            stats.updates += stats.live
        elif type(message) is Snapshot and product.subscribed:
            stats.snapshots += 1
            stats.live = self.synced = product.exists = True
            product.snapshot_at = now
            self._silence.snapshot(now)
            if product.product_id in self._pending:
                self._pending = []
        return message if stats.live or isinstance(message, Trade) else None

    def _receive_subscriptions(self, subscriptions: Subscriptions, now: float) -> None:
        listed = subscriptions.books()
        if strange := sorted(listed - self._products.keys()):
            raise Rejected(f"frame rejected: it acknowledges {strange[0][:100]!r}, which was not asked for")
        if listed.issuperset(self._pending):
            self._pending = []
        self._unacknowledged = max(0, self._unacknowledged - 1)
        if self._unacknowledged:  # it may have been sent before the exchange knew of a request
            return
        for product in self._products.values():
            if product.product_id in listed:
                product.listed = product.subscribed  # it may be unsubscribed by now
            elif product.listed:
                self._resync(product, Closed("the exchange has ended the subscription"), now, False)

    def _receive_error(self, error: Error, now: float) -> None:
        """Find the products at fault: those that the error names, or by asking for half as many."""
        refused = Refused(f"the exchange answers {error.message[:100]!r}, {error.reason[:100]!r}")
        asked, self._pending = self._pending, []
        self._unacknowledged = max(0, self._unacknowledged - 1)
        if not asked:
            raise refused
        named = [product_id for product_id in asked if product_id in error.product_ids()]
        faulty = asked if len(asked) == 1 else named
        others = [product_id for product_id in asked if product_id not in faulty]
        for product_id in others:
            self._products[product_id].asked = math.inf
        self._subscribe(others, chunk=SUBSCRIBE_CHUNK if faulty else (len(others) + 1) // 2)
        for product_id in faulty:
            product = self._products[product_id]
            if product_id in named and error.is_unknown_product and not product.exists:
                log.error("%s: %s; this product ends here", product_id, refused)
                self.breaks.append(Status(product_id, f"{refused.event}: {refused}"))
                product.stats.resyncs[refused.reason] += 1
                del self._products[product_id]
            else:
                self._resync(product, refused, now, False)

    @property
    def deadline(self) -> float:
        """When `check` is to be called, at the latest. O(n) in the number of products."""
        dues = map(self._silence.due_of, self._products.values())
        return min([self._silence.due if self._subscribed else math.inf, *dues])

    def check(self, now: float, last_partial: float = -math.inf) -> None:
        """Judge what should have come by now; raises `Stale`. O(n) in the number of products.

        `last_partial` is when bytes came last that completed no frame.
        """
        timeouts, silence = self._timeouts, self._silence
        silence.last_partial = last_partial
        if self._subscribed and now >= silence.due:
            raise Stale(f"no frame for {timeouts.stale_after:g} s")
        no_snapshot, errors = Stale(f"no snapshot within {timeouts.snapshot_timeout:g} s"), []
        for product in self._products.values():
            try:
                if not product.subscribed:
                    if product.due <= now:
                        product.due = math.inf
                        self._subscribe([product.product_id])
                elif not product.stats.live:
                    if now >= silence.snapshot_due(product):
                        if not self.synced:
                            raise no_snapshot
                        self._resync(product, no_snapshot, now)
                elif now >= silence.product_due(product):
                    self._resync(product, Stale(f"no frame of it for {timeouts.stale_after:g} s"), now)
            except FeedError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def resync(self, product_id: str, since: float, why: str, now: float) -> None:
        """Subscribe a product anew whose book has been wrong since some time; `why` completes its log line.

        Does nothing where its snapshot came since: then another book is meant. Raises `Crossed` where the
        connection is to be replaced.
        """
        product = self._products.get(product_id)
        if product and product.stats.live and product.snapshot_at <= since:
            self._resync(product, Crossed(why), now)

    def resubscribe(self, product_id: str, since: float, why: str) -> None:
        """Subscribe a product anew whose book is right, for a snapshot that is wanted `since` some time."""
        product = self._products.get(product_id)
        if product and product.stats.live and product.snapshot_at <= since:
            self._end_subscription(product, "resync", why)
            self._subscribe([product_id])
            log.info("%s: %s; subscribed anew", product_id, why)

    def _end_subscription(self, product: Product, event: str, why: object, subscribed: bool = True) -> None:
        self._break(product, event, why)
        product.listed, product.asked = False, math.inf
        self._pending = [other for other in self._pending if other != product.product_id]
        if subscribed:
            self._to_unsubscribe.append(product.product_id)

    def _resync(self, product: Product, error: FeedError, now: float, subscribed: bool = True) -> None:
        product_id, times = product.product_id, product.resync(now, subscribed)
        if times == 2:
            self._break(product, error.event, error)
            raise type(error)(f"{product_id}: {error}")
        self._end_subscription(product, error.event, error, subscribed)
        product.stats.resyncs[error.reason] += 1
        if times == 1:
            self._subscribe([product_id])
            log.warning("%s: %s; subscribed anew", product_id, error)
        else:
            product.leave_alone(now)
            log.warning("%s: %s, again; left alone for %g s", product_id, error, RESYNC_WINDOW)

    def successor(self) -> "Session":
        """A session for a connection that is made while this one goes on, with counts of its own."""
        stats = {product_id: FeedStats() for product_id in self._products}
        successor = Session(self._products, stats, self._timeouts, self._offset)
        for product_id, product in successor._products.items():
            product.follow(self._products[product_id])
        return successor

    @property
    def live(self) -> set[str]:
        """The products that are live."""
        return {product_id for product_id, product in self._products.items() if product.stats.live}

    def hand_over(self, successor: "Session", now: float) -> Refresh:
        """Have the successor go on in this one's place; returns what is to be logged."""
        for product_id, product in self._products.items():
            product.stats.live = False
            if other := successor._products.get(product_id):
                product.stats.resyncs[Refresh.reason] += 1
                other.succeed(product)
        self._products = {}
        age, refresh = now - self._connected_at, self._timeouts.refresh
        turn = f"its turn comes {self._offset * refresh:.0f} s into each {refresh:g} s"
        return Refresh(f"renewed after {age:.0f} s: {turn}")
