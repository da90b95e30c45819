"""Naive rows: the rows of each dataset that a recording's lines must bring, by the plainest means.

It shares nothing with the code that it judges: `json`, a dict a side, `sorted`, decimals, fractions. A row is
a dict with the columns of its dataset, in their order.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from heapq import nlargest, nsmallest
from itertools import pairwise, takewhile
from typing import Any
from zlib import crc32

Row = dict[str, Any]
Levels = list[tuple[Decimal, Decimal]]  # best first

ALL = 10**6  # levels of a side, and more
HOUR, MINUTE = 3_600_000_000, 60_000_000  # in microseconds, as all times here
UNITS = {"ms": 1_000, "s": 1_000_000, "m": MINUTE}
COMMON = ["exchange", "symbol", "timestamp", "local_timestamp"]


def rows(lines: Iterable[bytes], names: Iterable[str], min_spread: str) -> dict[str, list[Row]]:
    """Rows by dataset, in the order of the lines; the lines are those of one product."""
    naive = Naive(list(names), Fraction(min_spread))
    for line in lines:
        naive.apply(line)
    return naive.rows


class Naive:
    """One product: its book, and the rows so far."""

    def __init__(self, names: list[str], min_spread: Fraction) -> None:
        self.rows: dict[str, list[Row]] = {name: [] for name in names}
        self.min_spread = min_spread
        self.book: dict[str, dict[Decimal, Decimal]] = {"bid": {}, "ask": {}}
        self.found: tuple[Decimal, Decimal] | None = None  # the best prices, which it takes long to look for
        self.live = False
        self.state = ""
        self.when: tuple[int | None, int | None] = None, None  # both times of the last change of the book
        self.quoted: Any = None  # the top of the last quote
        # A connection that repeats what the one before brought:
        self.newest: int | None = None  # the exchange's time of the last change
        self.repeated_until: int | None = None
        self.without_time = 0  # of the messages that repeat, in a row
        # By the name of a dataset of an interval:
        self.number: dict[str, int] = {}
        self.last_levels: dict[str, Any] = {}
        self.held: dict[str, Any] = {}  # when a book snapshot is due, its columns and times
        self.flow: dict[str, Decimal] = defaultdict(Decimal)
        self.flow_from: Any = None  # the top that the next one is compared with
        self.stretch: list[tuple[int | None, Fraction]] = []  # arrival and spread of each wide summary

    def apply(self, line: bytes) -> None:
        """Take a line, and add the rows that it must bring."""
        head, space, rest = line.partition(b" ")
        arrival = int(head) // 1_000 if space and head.isdigit() else None
        message = json.loads(rest if arrival is not None else line)
        kind = message["type"]
        time = microseconds(message.get("time"))
        self.times = both(time, arrival)
        self.message, self.kind = message, kind

        for name in self.rows:
            if "_snapshot_" in name or name.startswith("signals_"):
                self.interval(name)
        changed = self.change_book(time)
        self.incremental(changed)
        if kind == "match":
            taker = {"buy": "sell", "sell": "buy"}[message["side"]]
            price, size = float(message["price"]), float(message["size"])
            self.add("trades", self.times, id=str(message["trade_id"]), side=taker, price=price, amount=size)
        self.status()
        self.flows(changed)
        self.wide(changed)
        self.quote()

    def add(self, name: str, times: tuple[int | None, int | None], **columns: Any) -> None:
        """Add a row, if the dataset is wanted."""
        if name in self.rows:
            common = dict(zip(COMMON, ("coinbase", self.message["product_id"], *times), strict=True))
            self.rows[name].append(common | columns)

    # The book.

    def change_book(self, time: int | None) -> bool:
        """Bring the book up to date; return whether the message is one that changes it."""
        if self.kind == "disconnect":
            self.book, self.live = {"bid": {}, "ask": {}}, False
            self.newest = self.repeated_until = None
            return True
        if self.kind == "snapshot":
            self.book = {side: decimals(self.message[f"{side}s"]) for side in ("bid", "ask")}
            self.live = True
            newest = self.newest if self.repeated_until is None else self.repeated_until
            is_older = newest is not None and time is not None and 0 <= newest - time < MINUTE
            self.repeated_until = newest if is_older else None
            self.without_time = 0
            self.newest = time
        elif self.kind == "l2update" and self.live:
            for side, price, size in self.message["changes"]:
                levels = self.book[{"buy": "bid", "sell": "ask"}[side]]
                levels.pop(Decimal(price), None)
                if Decimal(size):
                    levels[Decimal(price)] = Decimal(size)
            if self.repeated_until is not None:
                says_nothing = time is None or self.repeated_until - time >= MINUTE
                self.without_time = self.without_time + 1 if says_nothing else 0
                if self.without_time == 2 or (time is not None and time > self.repeated_until):
                    self.repeated_until = None
            self.newest = self.newest if time is None else time
        else:
            return False
        self.when = self.times
        self.found = None
        return True

    def best(self) -> tuple[Decimal, Decimal] | None:
        """The best bid and ask; None without both sides."""
        if not self.book["bid"] or not self.book["ask"]:
            return None
        self.found = self.found or (max(self.book["bid"]), min(self.book["ask"]))
        return self.found

    def top(self) -> tuple[Decimal, Decimal, Decimal, Decimal] | None:
        """Bid price and size, ask price and size; None for a book crossed, locked or without both sides."""
        if (best := self.best()) is None or best[0] >= best[1]:
            return None
        bid, ask = best
        return bid, self.book["bid"][bid], ask, self.book["ask"][ask]

    def sides(self, count: int) -> tuple[Levels, Levels]:
        """So many of the bids and of the asks, best first."""
        return nlargest(count, self.book["bid"].items()), nsmallest(count, self.book["ask"].items())

    # Rows of what a message has changed.

    def quote(self) -> None:
        if not self.live:
            self.quoted = None
        top = self.top()
        if top is None or self.repeated_until is not None or top == self.quoted:
            return
        self.quoted = top
        bid, bid_size, ask, ask_size = map(float, top)
        columns = {"ask_amount": ask_size, "ask_price": ask, "bid_price": bid, "bid_amount": bid_size}
        self.add("quotes", self.times, **columns)

    def incremental(self, changed: bool) -> None:
        if not self.live or not changed or "incremental_book_L2" not in self.rows:
            return
        if self.kind == "snapshot":
            bids, asks = self.sides(ALL)
            levels = [("bid", *level) for level in bids] + [("ask", *level) for level in asks]
        else:
            sides = {"buy": "bid", "sell": "ask"}
            levels = [(sides[side], price, size) for side, price, size in self.message["changes"]]
        for side, price, size in levels:
            columns = {"side": side, "price": float(price), "amount": float(size)}
            self.add("incremental_book_L2", self.times, is_snapshot=self.kind == "snapshot", **columns)

    def status(self) -> None:
        best = self.best()
        if self.kind == "disconnect":
            event, reason = self.message["reason"].split(": ", 1)
        elif not self.live:
            return
        elif best is not None and best[0] >= best[1]:
            event, reason = "crossed", f"best bid {float(best[0])}, best ask {float(best[1])}"
        else:
            event, reason = "live", "snapshot" if self.kind == "snapshot" else "crossed no more"
        if event != self.state or self.kind == "disconnect":
            self.add("status", self.times, event=event, reason=reason)
        self.state = event

    def wide(self, changed: bool) -> None:
        """A stretch is judged when it ends: from its list of arrivals and spreads."""
        top, arrival = self.top(), self.times[1]
        if not changed or self.repeated_until is not None:
            return
        if top is not None and Fraction(top[2] - top[0]) / Fraction(top[2]) > self.min_spread:
            self.stretch.append((arrival, 10_000 * Fraction(top[2] - top[0]) / Fraction(top[2])))
            return
        if not self.stretch:
            return
        stretch, self.stretch = self.stretch, []
        spreads = [bps for _at, bps in stretch]
        columns: Row = {"began": None, "ended": None, "seconds": None, "updates": len(stretch)}
        mean = sum(spreads, Fraction()) / len(spreads)
        known = [at for at in (*(at for at, _bps in stretch), arrival) if at is not None]
        if known:
            began, ended = known[0], max(known)
            columns |= {"began": began, "ended": ended, "seconds": (ended - began) / 1e6}
            # Each spread lasts until the next; times never go back, and one that is not known is the last.
            clock, starts = began, []
            for at, _bps in (*stretch, (arrival, None)):
                clock = max(clock, at or clock)
                starts.append(clock)
            if ended > began:
                lasted = [later - sooner for sooner, later in pairwise(starts)]
                area = sum((bps * span for bps, span in zip(spreads, lasted, strict=True)), Fraction())
                mean = area / (ended - began)
        self.add("wide_spreads", self.times, **columns, max_bps=float(max(spreads)), mean_bps=float(mean))

    def flows(self, changed: bool) -> None:
        """The flow of a change of the top goes to the interval that is under way."""
        if self.kind == "snapshot" or not self.live:
            self.flow_from = None
        if not changed or (top := self.top()) is None:
            return
        if self.flow_from is not None and self.repeated_until is None:
            (bid, bid_size, ask, ask_size), (old_bid, old_bid_size, old_ask, old_ask_size) = (
                top,
                self.flow_from,
            )
            flow = bid_size * (bid >= old_bid) - old_bid_size * (bid <= old_bid)
            flow += old_ask_size * (ask >= old_ask) - ask_size * (ask <= old_ask)
            for name in self.rows:
                self.flow[name] += flow
        self.flow_from = top

    # Rows of the intervals, of the book before the message.

    def interval(self, name: str) -> None:
        length = name.rpartition("_")[2]
        unit = length.lstrip("0123456789")
        span = int(length.removesuffix(unit)) * UNITS[unit]
        self.release(name, span)
        if not self.live:
            self.last_levels.pop(name, None)
        arrival = self.times[1]
        if arrival is None:
            return
        number, under_way = arrival // span, self.number.get(name)
        was_set_back = under_way is not None and arrival < under_way * span - MINUTE
        if under_way is not None and number <= under_way and not was_set_back:
            return
        self.release(name, span, at_once=True)
        self.number[name] = number
        flow = self.flow.pop(name, 0)
        if under_way is None or self.top() is None or self.repeated_until is not None:
            return
        if name.startswith("signals_"):
            self.add(name, self.when, **self.signals(), ofi=float(flow))
            return
        count = int(name.split("_")[2])
        bids, asks = ([*side, *[(None, None)] * (count - len(side))] for side in self.sides(count))
        columns = {}
        for level in range(count):
            for side, (price, size) in (("asks", asks[level]), ("bids", bids[level])):
                columns[f"{side}[{level}].price"] = None if price is None else float(price)
                columns[f"{side}[{level}].amount"] = None if size is None else float(size)
        turn = crc32(self.message["product_id"].encode()) % 16
        self.held[name] = (under_way + 1) * span + min(span, 1_000_000) * turn // 32, columns, self.when
        self.release(name, span)

    def release(self, name: str, span: int, at_once: bool = False) -> None:
        """Add a book snapshot where its product's turn has come, or something new begins."""
        due, columns, when = self.held.get(name, (0, None, None))
        arrival = self.times[1]
        waits = arrival is None or due - span - MINUTE <= arrival < due
        if columns is None or (waits and not at_once and self.kind not in ("snapshot", "disconnect")):
            return
        del self.held[name]
        if columns != self.last_levels.get(name):
            self.last_levels[name] = columns
            self.add(name, when, **columns)

    def signals(self) -> Row:
        """All signals but the flow; exact until they become floats."""
        bids, asks = self.sides(ALL)
        (bid, bid_size), (ask, ask_size) = bids[0], asks[0]
        mid = (bid + ask) / 2
        row: Row = {"mid": mid, "spread": ask - bid}
        row["spread_bps"] = Fraction(ask - bid) / Fraction(mid) * 10_000
        row["weighted_mid"] = Fraction(ask * bid_size + bid * ask_size) / Fraction(bid_size + ask_size)
        for count in (1, 5, 25):
            bid_sum, ask_sum = (sum(Fraction(size) for _price, size in side[:count]) for side in (bids, asks))
            row[f"imbalance_{count}"] = (bid_sum - ask_sum) / (bid_sum + ask_sum)
        for bps in (10, 50, 100):
            for side, levels in (("bid", bids), ("ask", asks)):
                row[f"{side}_depth_{bps}bps"] = depth(levels, mid, bps)
        for amount in (10_000, 100_000):
            for side, levels in (("buy", asks), ("sell", bids)):
                average = average_price(levels, Fraction(amount))
                bps_away = None if average is None else abs(average / Fraction(mid) - 1) * 10_000
                row[f"{side}_slippage_bps_{amount}"] = bps_away
        return {name: None if value is None else float(value) for name, value in row.items()}


def depth(levels: Levels, mid: Decimal, bps: int) -> Fraction:
    """The value of the levels within so many basis points of the mid."""
    near = takewhile(lambda level: abs(level[0] - mid) * 10_000 <= mid * bps, levels)
    return sum((Fraction(price) * Fraction(size) for price, size in near), Fraction())


def decimals(levels: list[list[str]]) -> dict[Decimal, Decimal]:
    """Sizes by price; of a price that is there twice the later one."""
    sizes = {Decimal(price): Decimal(size) for price, size in levels}
    return {price: size for price, size in sizes.items() if size}


def average_price(levels: Levels, amount: Fraction) -> Fraction | None:
    """The average price of levels taken, best first, for an amount; None where they are not worth it."""
    left, taken = amount, Fraction()
    for price, size in levels:
        value = min(left, Fraction(price) * Fraction(size))
        left, taken = left - value, taken + value / Fraction(price)
        if not left:
            return amount / taken
    return None


def microseconds(time: str | None) -> int | None:
    """A time since 1970; None where it is missing, not readable, or before."""
    try:
        moment = datetime.strptime(time or "", "%Y-%m-%dT%H:%M:%S.%fZ")
    except ValueError:
        return None
    since = (moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return since if since >= 0 else None


def both(time: int | None, arrival: int | None) -> tuple[int | None, int | None]:
    """The exchange's time and ours; each is the other where it is not known or absurd."""
    if time is None or (arrival is not None and abs(time - arrival) > HOUR):
        time = arrival
    return time, time if arrival is None else arrival
