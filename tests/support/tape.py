"""Judge of the trades in a product's stream: their ids, their order, and the updates that cover them.

It holds for the real feed, and shares nothing with the code that it judges.
"""

from typing import Any

from tests.support.oracle import Oracle, decoded

Message = dict[str, Any]


class Tape:
    """The trades of one subscription to a product's book, trades and heartbeats, judged as they come.

    The next update of a product covers the trades before it. R1: it names the level that was traded. R2: of
    the better levels on its side it names all that there were. R3: of the levels on the other side, at the
    price of the trade or through it, it names all that there were.
    """

    def __init__(self, product_id: str) -> None:
        self.oracle = Oracle(product_id)
        self.trades: list[tuple[int, str, float, float]] = []  # id, the maker's side, price, size
        self.heartbeats = self.covering = 0  # how many, and how many updates covered trades
        self._last: Message = {}
        self._sequence = 0
        self._uncovered: list[Message] = []

    def judge(self, frame: bytes) -> None:
        """Apply a frame; `ValueError` where it does not fit to those before it."""
        message = decoded(frame)
        kind = message["type"]
        if "sequence" in message:
            expect(message["sequence"] > self._sequence + 1, f"comes after {self._sequence}", message)
            self._sequence = message["sequence"]
        if kind == "last_match":
            expect(not self._last, f"comes after {self._last}", message)
            self._last = message
        elif kind == "match":
            self._add(message)
        elif kind == "heartbeat":
            expect(message["last_trade_id"] == self._last["trade_id"], f"comes after {self._last}", message)
            self.heartbeats += 1
        elif kind == "l2update":
            for trade in self._uncovered:
                self._judge_cover(trade, message)
            self.covering += bool(self._uncovered)
            self._uncovered.clear()
        self.oracle.judge(frame)

    def _add(self, trade: Message) -> None:
        expect(trade["trade_id"] == self._last["trade_id"] + 1, f"comes after {self._last}", trade)
        expect(trade["time"] >= self._last["time"], f"is older than {self._last}", trade)
        price, size = float(trade["price"]), float(trade["size"])
        expect(trade["price"] == f"{price:.8f}".rstrip("0").rstrip("."), "has a padded price", trade)
        expect(size > 0, "has no size", trade)
        self.trades.append((trade["trade_id"], trade["side"], price, size))
        self._uncovered.append(trade)
        self._last = trade

    def _judge_cover(self, trade: Message, update: Message) -> None:
        bids, asks = self.oracle.bids, self.oracle.asks
        side, price = trade["side"], float(trade["price"])
        named = {(its_side, float(its_price)) for its_side, its_price, _size in update["changes"]}
        if side == "buy":
            better = {("buy", bid) for bid in bids if bid > price}
            through = {("sell", ask) for ask in asks if ask <= price}
        else:
            better = {("sell", ask) for ask in asks if ask < price}
            through = {("buy", bid) for bid in bids if bid >= price}
        for rule, levels in (("R1", {(side, price)}), ("R2", better), ("R3", through)):
            expect(levels <= named, f"is not covered, by {rule}: {levels - named}", trade)
        expect(trade["time"] <= update["time"], f"is younger than {update}", trade)


def expect(holds: bool, what: str, message: Message) -> None:
    """Raise `ValueError` of a message for which something does not hold."""
    if not holds:
        raise ValueError(f"{message} {what}"[:1_000])
