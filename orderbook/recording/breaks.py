"""Breaks of products' streams, where one recording ends and another goes on."""

from orderbook.coinbase.messages import L2Update, Message, Snapshot, Status, arrival

# Nanoseconds without a message, after which a recording had stopped: a heartbeat comes each second.
STOPPED_AFTER = 60 * 10**9


class Breaks:
    """The breaks of all products; `latest` has the last message of each, which the reader keeps up.

    A product is in `moved` while it goes on in another file, and nothing of its book has come from there.
    """

    def __init__(self) -> None:
        self.latest: dict[str, Message] = {}
        self.moved: set[str] = set()

    def before(self, message: Message) -> Status | None:
        """The gap before a message: where another file begins with a snapshot, as a new recording does.

        What goes on with changes is the same recording, cut in two. A gap, also one that was recorded, begins
        with the last message before it, and not when the next one came.
        """
        if isinstance(message, Status):
            if message.event == "gap":
                self._date(message)
        elif isinstance(message, Snapshot | L2Update):
            self.moved.discard(message.product_id)
            if isinstance(message, Snapshot):
                gap = Status(message.product_id, "gap: another recording goes on", message.local_timestamp)
                self._date(gap)
                return gap
        return None

    def _date(self, gap: Status) -> None:
        if (last := self.latest.get(gap.product_id)) is not None:
            gap.local_timestamp, gap.time = last.local_timestamp, last.time

    def had_stopped(self, product_id: str, at: int) -> bool:
        """Whether the recording of a product had stopped by this time, in nanoseconds since 1970."""
        last = arrival(self.latest[product_id])
        return last is not None and at - last > STOPPED_AFTER
