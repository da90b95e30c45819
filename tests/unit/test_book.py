"""Order book, beside the naive oracle.

    python -m pytest tests/unit/test_book.py --hypothesis-profile=long

tries 10,000 examples of each property in place of a few hundred. `python -m tests.stress.soak_book 100000000`
is the long form of the test of memory.
"""

import copy
import pickle
import tracemalloc
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderbook.book import CrossedBook, OrderBookState, OrderBookSummary, OversizedBook
from orderbook.coinbase.exchange import decode
from orderbook.coinbase.messages import (
    MAX_LEVELS,
    Change,
    Heartbeat,
    L2Update,
    Level,
    Message,
    Snapshot,
    Status,
)
from tests.stress import soak_book
from tests.support.oracle import Oracle, line

PRODUCT = "ABC-EUR"
LOCAL = 1_795_528_800_100_000_000  # in nanoseconds since 1970

# Few prices, some in several spellings, so that changes often meet the same level; "100" is in both
# lists, so a book may be locked without being crossed.
LOW = ("99.96", "99.97", "99.970", "99.98", "9998e-2", "99.99", "100")
HIGH = ("100.00", "100.01", "1.0001e2", "100.02", "100.03", "100.04")
SIZES = ("0", "0.00", "0E-8", "-0", "0.5", "1.25000000", "3e-8", "2", "7e1", "0.01", "12")


def levels(prices: tuple[str, ...]) -> st.SearchStrategy[list[tuple[str, str]]]:
    """Prices and sizes, with duplicates and zeros."""
    return st.lists(st.tuples(st.sampled_from(prices), st.sampled_from(SIZES)), max_size=6)


def snapshots(bids: tuple[str, ...], asks: tuple[str, ...]) -> st.SearchStrategy[bytes]:
    return st.builds(snapshot, levels(bids), levels(asks))


def updates(bids: tuple[str, ...], asks: tuple[str, ...]) -> st.SearchStrategy[bytes]:
    def shuffled(buys: list[tuple[str, str]], sells: list[tuple[str, str]]) -> st.SearchStrategy[bytes]:
        changes = [("buy", *level) for level in buys] + [("sell", *level) for level in sells]
        return st.permutations(changes).map(update)

    return st.tuples(levels(bids), levels(asks)).flatmap(lambda sides: shuffled(*sides))


def snapshot(bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> bytes:
    """A snapshot as it comes over the wire."""
    sides = (",".join(f'["{price}","{size}"]' for price, size in side) for side in (bids, asks))
    return '{{"type":"snapshot","product_id":"{}","bids":[{}],"asks":[{}]}}'.format(PRODUCT, *sides).encode()


def update(changes: list[tuple[str, str, str]]) -> bytes:
    """An update as it comes over the wire."""
    listed = ",".join('["{}","{}","{}"]'.format(*change) for change in changes)
    return f'{{"type":"l2update","product_id":"{PRODUCT}","changes":[{listed}]}}'.encode()


# Tidy frames keep bids below asks, or lock them; wild ones put either anywhere, so the book crosses.
FRAMES = st.one_of(
    updates(LOW, HIGH),
    updates(LOW[:-1], HIGH),
    snapshots(LOW[:-1], HIGH),
    updates(LOW + HIGH, LOW + HIGH),
    snapshots(LOW + HIGH, LOW + HIGH),
    st.just(f'{{"type":"heartbeat","product_id":"{PRODUCT}"}}'.encode()),
    st.just(
        f'{{"type":"match","product_id":"{PRODUCT}","trade_id":1,"side":"buy","price":"100","size":"1"}}'.encode()
    ),
)


def apply(book: OrderBookState, frame: bytes) -> None:
    """Apply a frame's message, if it is one of a product."""
    message = decode(frame)
    if isinstance(message, Message):
        book.update(message)


@given(st.lists(FRAMES, min_size=5, max_size=25), st.sampled_from([1, 2, 3, 100]))
def test_book_agrees_with_the_naive_oracle(frames: list[bytes], kept: int) -> None:
    """A book has the oracle's levels and summary after each message, however few levels are near."""
    book, oracle = OrderBookState(kept=kept), Oracle(PRODUCT)
    for frame in frames:
        apply(book, frame)
        oracle.judge(frame)
        book.check()
        bids = sorted(oracle.bids.items(), reverse=True)
        asks = sorted(oracle.asks.items())
        for levels in (0, 1, 2, 5, len(bids) + len(asks)):
            assert book.depth(levels) == (bids[:levels], asks[:levels])
        assert book.levels() == (len(bids), len(asks))
        best, top, summary = oracle.best(), oracle.top(), book.summarize()
        if best is None:
            assert summary is None
            assert book.spread() is None
        elif top is None:
            assert isinstance(summary, CrossedBook)
            assert (summary.bid_price, summary.ask_price) == (best[0], best[2])
            assert book.spread() == float(Decimal(repr(best[2])) - Decimal(repr(best[0]))) <= 0
        else:
            assert isinstance(summary, OrderBookSummary)
            assert f"{(PRODUCT, summary)}" == line(PRODUCT, top)
            assert book.spread() == summary.spread > 0


@given(
    st.integers(1, 10**15 - 1),
    st.integers(1, 10**15 - 1) | st.integers(1, 100),
    st.integers(0, 10),
    st.integers(0, 10),
)
def test_spread_is_the_decimal_difference(one: int, other: int, places: int, more_places: int) -> None:
    """The spread of prices of up to 15 digits is the float nearest to their exact difference."""
    lowest, highest = sorted([Decimal(one).scaleb(-places), Decimal(other).scaleb(-more_places)])
    assert spread_of(f"{lowest:f}", f"{highest:f}") == float(highest - lowest)


@given(st.integers(1, 10**15 - 101), st.integers(1, 100), st.integers(0, 10))
def test_narrow_spread_has_no_noise(bid: int, ticks: int, places: int) -> None:
    """A spread of a few ticks is exact, where the difference of the floats is mostly noise."""
    prices = (Decimal(bid).scaleb(-places), Decimal(bid + ticks).scaleb(-places))
    assert spread_of(*(f"{price:f}" for price in prices)) == float(Decimal(ticks).scaleb(-places))


@pytest.mark.parametrize(
    ("bid", "ask", "spread"),
    [("65368.71", "65368.72", 0.01), ("60152.78", "60173.35", 20.57), ("0.1", "0.3", 0.2), ("1", "1", 0.0)],
)
def test_stated_spreads(bid: str, ask: str, spread: float) -> None:
    """65368.72 − 65368.71 is 0.01, not 0.010000000002037268."""
    assert spread_of(bid, ask) == spread


def spread_of(bid: str, ask: str) -> float | None:
    """The spread of a book of these two levels."""
    book = OrderBookState()
    apply(book, snapshot([(bid, "1")], [(ask, "1")]))
    return book.spread()


@given(
    snapshots(LOW[:-1], HIGH),
    st.lists(updates(LOW + HIGH, LOW + HIGH), max_size=3),
    st.sampled_from([0.0, 1e-5, 1e-4, 1.5e-4, 2e-4, 3e-4, 5e-4, 1.0]),
    st.sampled_from([1, 2, 3, 100]),
)
def test_levels_within_a_fraction_of_the_mid(
    whole: bytes, frames: list[bytes], fraction: float, kept: int
) -> None:
    """The best level and all within the fraction come, best first, and none that is clearly farther."""
    book = OrderBookState(kept=kept)
    for frame in (whole, *frames):
        apply(book, frame)
    bids, asks = book.depth(99)
    if isinstance(book.summarize(), CrossedBook):
        return
    if not bids or not asks:
        assert book.within(fraction) == ([], [])
        return
    mid = Fraction((Decimal(repr(bids[0][0])) + Decimal(repr(asks[0][0]))) / 2)
    reach = mid * Fraction(repr(fraction))
    for side, near in zip((bids, asks), book.within(fraction), strict=True):
        assert near == side[: len(near)], "not the best first"
        distances = [abs(Fraction(repr(price)) - mid) for price, _size in side]
        assert all(distance > reach for distance in distances[len(near) :])
        assert all(distance <= reach * Fraction("1.00001") for distance in distances[1 : len(near)])
        assert near


def test_summary_prints_as_in_the_tutorial() -> None:
    """The text of a summary is the format of the output; others parse it."""
    book = OrderBookState()
    apply(book, snapshot([("60152.78", "0.01040000")], [("60173.35", "0.02238611")]))
    assert str(book.summarize()) == (
        "OrderBookSummary(bid_price=60152.78, bid_size=0.0104, ask_price=60173.35, "
        "ask_size=0.02238611, spread=20.57)"
    )


def test_what_a_book_answers_is_frozen() -> None:
    """A summary and a crossed book can't be changed: several steps downstream hold the same one."""
    with pytest.raises(AttributeError):
        OrderBookSummary(1.0, 1.0, 2.0, 1.0, 1.0).spread = 0.0  # type: ignore[misc]
    with pytest.raises(AttributeError):
        CrossedBook(2.0, 1.0, 1).crossing = 9  # type: ignore[misc]


CROSSINGS: list[tuple[bytes, int | None]] = [
    (snapshot([("99", "1")], [("101", "1")]), None),
    (update([("buy", "102", "1")]), 1),
    (f'{{"type":"heartbeat","product_id":"{PRODUCT}"}}'.encode(), 1),
    (update([("buy", "103", "1"), ("sell", "100", "1")]), 1),  # crossed all the time, if by other levels
    (update([("buy", "103", "0"), ("buy", "102", "0"), ("sell", "100", "0")]), None),
    (update([("buy", "102", "1")]), 2),
    (snapshot([("102", "1")], [("101", "1")]), 3),  # another book, if a crossed one
    (update([("sell", "101", "0")]), None),  # one side only
    (update([("sell", "102.00", "1")]), 4),  # locked
    (snapshot([("99", "1")], []), None),
]


def test_a_crossed_book_bears_the_number_of_its_crossing() -> None:
    """The number stays while a book is crossed, and rises with each crossing and each crossed snapshot."""
    book = OrderBookState()
    for step, (frame, crossing) in enumerate(CROSSINGS):
        apply(book, frame)
        book.check()
        summary = book.summarize()
        assert (summary.crossing if isinstance(summary, CrossedBook) else None) == crossing, step


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_oversized_book(side: Literal["buy", "sell"]) -> None:
    """A book that grows beyond all bounds is dropped: it says so once, and lives again with a snapshot."""
    book = OrderBookState()
    whole = Snapshot(PRODUCT, [Level(1e6, 1)], [Level(1e6 + 1, 1)])
    book.update(whole)
    step = -0.01 if side == "buy" else 0.01
    prices = [1e6 + (side == "sell") + step * n for n in range(1, MAX_LEVELS + 1_000)]
    half = len(prices) // 2
    book.update(L2Update(PRODUCT, [Change(side, price, 1) for price in prices[:half]]))
    assert isinstance(book.summarize(), OrderBookSummary)
    levels = (1, len(prices) + 1)
    book.update(L2Update(PRODUCT, [Change(side, price, 1) for price in prices[half:]]))
    assert book.summarize() == OversizedBook(*(levels[::-1] if side == "buy" else levels))
    assert (book.levels(), book.spread()) == ((0, 0), None)
    book.check()
    book.update(L2Update(PRODUCT, [Change("buy", 1, 1), Change("sell", 2, 1)]))
    assert (book.summarize(), book.levels()) == (None, (0, 0))
    book.update(whole)
    assert book.summarize() == OrderBookSummary(1e6, 1.0, 1e6 + 1, 1.0, 1.0)


def test_crossing_within_a_message_is_none() -> None:
    """A book that one message crosses and uncrosses has a summary at the message's end, and no crossing."""
    book = OrderBookState()
    apply(book, snapshot([("99", "1")], [("101", "1")]))
    apply(book, update([("buy", "102", "1"), ("sell", "101", "0"), ("sell", "103", "2")]))
    assert book.summarize() == OrderBookSummary(102.0, 1.0, 103.0, 2.0, 1.0)
    apply(book, update([("buy", "103", "1")]))
    assert book.summarize() == CrossedBook(103.0, 103.0, 1)


def test_a_message_that_says_nothing_of_the_book_leaves_it_alone() -> None:
    """A heartbeat changes neither levels nor summary, nor does it make a book live."""
    book = OrderBookState()
    book.update(Heartbeat(PRODUCT))
    assert repr(book) == repr(OrderBookState())
    apply(book, snapshot([("99", "1")], [("101", "1")]))
    before = book.depth(9), book.summarize(), book.changes
    book.update(Heartbeat(PRODUCT))
    assert (book.depth(9), book.summarize(), book.changes) == before


def test_summary_bears_both_times() -> None:
    """A summary has the times of the message after which the book was so, though the top is as before."""
    book = OrderBookState()
    book.update(Snapshot(PRODUCT, [Level(99, 1)], [Level(101, 1)], "2026-11-24T14:00:00.000001Z", LOCAL))
    first = book.summarize()
    book.update(L2Update(PRODUCT, [Change("buy", 98, 1)], "2026-11-24T14:00:00.000002Z", LOCAL + 50))
    second = book.summarize()
    assert isinstance(first, OrderBookSummary) and isinstance(second, OrderBookSummary)
    assert first.top == second.top == (99.0, 1.0, 101.0, 1.0)
    assert (first.timestamp, first.local_timestamp) == (1_795_528_800_000_001_000, LOCAL)
    assert (second.timestamp, second.local_timestamp) == (1_795_528_800_000_002_000, LOCAL + 50)


def test_stream_that_breaks_off() -> None:
    """A status ends the book: no level, no summary, nothing from changes, until the next snapshot."""
    book = OrderBookState()
    apply(book, snapshot([("99", "1")], [("101", "1")]))
    assert book.is_live
    book.update(Status(PRODUCT, "stale: no frame for 5 s"))
    apply(book, update([("buy", "98", "1")]))
    assert (book.is_live, book.summarize(), book.levels()) == (False, None, (0, 0))
    apply(book, snapshot([("90", "1")], [("101", "1")]))
    assert book.is_live
    assert book.summarize() == OrderBookSummary(90.0, 1.0, 101.0, 1.0, 11.0)


def test_nothing_repeats_what_came_before_a_break() -> None:
    """A snapshot of an earlier time is new where the stream broke off before it."""
    for breaks_off in (False, True):
        book = OrderBookState()
        for time in ("2026-11-24T14:00:00.5Z", "2026-11-24T14:00:00.4Z"):
            if breaks_off:
                book.update(Status(PRODUCT, "closed: the run ended"))
            book.update(Snapshot(PRODUCT, [Level(99, 1)], [Level(101, 1)], time))
        assert book.repeats == (not breaks_off)


def test_nothing_repeats_what_came_in_the_year_1() -> None:
    """A snapshot whose time says nothing, after another such, is not taken for an older one."""
    book = OrderBookState()
    for _ in range(2):
        book.update(Snapshot(PRODUCT, [Level(99, 1)], [Level(101, 1)], "0001-01-01T00:00:00.000000Z"))
    assert not book.repeats


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (snapshot([], []), ["bytes", '{"type":"sn']),
        ({"type": "l2update"}, ["dict", "l2update"]),
        (None, ["NoneType", "None"]),
        ("\x1b[2J\n" * 1_000, ["str", r"\x1b[2J\n"]),
        (Level(1, 1), ["Level"]),
    ],
    ids=["frame", "dict", "none", "long and hostile", "level"],
)
def test_what_is_no_message_is_refused(value: Any, words: list[str]) -> None:
    """The error names the type and shows the value, short and escaped; the book stays as it was."""
    book = OrderBookState()
    apply(book, snapshot([("99", "1")], [("101", "1")]))
    with pytest.raises(TypeError) as caught:
        book.update(value)
    text = str(caught.value)
    assert all(word in text for word in words)
    assert len(text) < 150
    assert text.isprintable()
    assert book.summarize() == OrderBookSummary(99.0, 1.0, 101.0, 1.0, 2.0)


@pytest.mark.parametrize(
    ("bids", "asks", "shown"),
    [
        (None, None, "no snapshot yet"),
        (
            [("60152.78", "0.0104"), ("60152", "1"), ("60151", "1")],
            [("60173.35", "0.02238611")],
            "bid 60152.78 × 0.0104, ask 60173.35 × 0.02238611, 3 bids, 1 asks",
        ),
        ([("99", "1")], [], "bid 99.0 × 1.0, ask none, 1 bids, 0 asks"),
        ([("99", "1")], [("98", "2")], "crossed, bid 99.0 × 1.0, ask 98.0 × 2.0, 1 bids, 1 asks"),
    ],
    ids=["none", "both sides", "one side", "crossed"],
)
def test_repr_shows_the_top(
    bids: list[tuple[str, str]] | None, asks: list[tuple[str, str]] | None, shown: str
) -> None:
    """In a notebook a book shows its best bid and ask, whether it is crossed, and how many levels it has."""
    book = OrderBookState()
    if bids is not None and asks is not None:
        apply(book, snapshot(bids, asks))
    assert repr(book) == f"OrderBookState({shown})"


def by_pickle(book: OrderBookState) -> OrderBookState:
    return pickle.loads(pickle.dumps(book))  # type: ignore[no-any-return]


@pytest.mark.parametrize("copy_of", [copy.deepcopy, by_pickle])
def test_copies_are_independent(copy_of: Callable[[OrderBookState], OrderBookState]) -> None:
    """What recovery keeps is the book of that moment: no change of either reaches the other."""
    book = OrderBookState()
    apply(book, snapshot([("99", "1"), ("98", "2")], [("101", "1"), ("102", "2")]))
    apply(book, update([("buy", "98", "0"), ("sell", "103", "3")]))
    before = ([(99.0, 1.0)], [(101.0, 1.0), (102.0, 2.0), (103.0, 3.0)])
    twin = copy_of(book)
    assert twin.depth(9) == before
    assert twin.summarize() == book.summarize()
    apply(twin, update([("buy", "99", "0"), ("buy", "97", "4"), ("sell", "101", "7")]))
    assert book.depth(9) == before
    after = twin.depth(9)
    apply(book, update([("buy", "97", "5"), ("sell", "102", "0"), ("sell", "100", "1")]))
    assert twin.depth(9) == after == ([(97.0, 4.0)], [(101.0, 7.0), (102.0, 2.0), (103.0, 3.0)])
    apply(book, snapshot([("1", "1")], [("2", "1")]))
    assert twin.depth(9) == after
    twin.check()


@given(st.lists(st.tuples(st.integers(0, 5), FRAMES | st.sampled_from(["copy", "drop"])), max_size=40))
def test_copies_of_copies_are_independent(steps: list[tuple[int, bytes | str]]) -> None:
    """Books copied, changed and dropped in any order: each has what was applied to it, and nothing else."""
    pairs = [(OrderBookState(kept=2), Oracle(PRODUCT))]
    for number, step in steps:
        book, oracle = pairs[number % len(pairs)]
        if isinstance(step, bytes):
            apply(book, step)
            oracle.judge(step)
        elif step == "copy":
            pairs.append(copy.deepcopy((book, oracle)))
        elif len(pairs) > 1:
            pairs.remove((book, oracle))
    for book, oracle in pairs:
        book.check()
        assert book.depth(99) == (sorted(oracle.bids.items(), reverse=True), sorted(oracle.asks.items()))


@pytest.fixture(scope="module")
def deep() -> OrderBookState:
    """A book of 45,000 levels, for tests that leave it as it is."""
    bids = [Level(60_000 - n / 100, 1.0 + n) for n in range(22_500)]
    asks = [Level(60_001 + n / 100, 1.0 + n) for n in range(22_500)]
    book = OrderBookState()
    book.update(Snapshot(PRODUCT, bids, asks))
    return book


def needed(work: Callable[[], object]) -> int:
    """Bytes that Python gives out at most for some work, beyond what it had given out before."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_copy_of_a_deep_book_costs_nothing_at_once(deep: OrderBookState) -> None:
    """An epoch's end, where the engine copies every book, copies no levels, whether the copy is kept or not.

    The levels are copied once, by the next update, and not again by the one after it.
    """
    twin = copy.deepcopy(deep)
    copies: list[OrderBookState] = []
    assert needed(lambda: copies.append(copy.deepcopy(twin))) < 10_000
    change = L2Update(PRODUCT, [Change("buy", 60_000.5, 1.0)])
    assert needed(lambda: twin.update(change)) > 1_000_000
    assert needed(lambda: twin.update(change)) < 10_000


def test_the_best_levels_of_a_deep_book_cost_no_pass_over_all(deep: OrderBookState) -> None:
    """The best ten levels are answered from those that are near, without a copy or a sort of all."""
    answers: list[object] = []
    assert needed(lambda: answers.append(deep.depth(10))) < 20_000
    assert answers == [
        ([(60_000 - n / 100, 1.0 + n) for n in range(10)], [(60_001 + n / 100, 1.0 + n) for n in range(10)])
    ]


def test_memory_is_bounded_by_the_live_levels() -> None:
    """While the price moves on and on, a book holds its live levels and no others."""
    book = OrderBookState()
    book.update(soak_book.snapshot())
    first, most = book.summarize(), 0
    for message in soak_book.updates(300_000):
        book.update(message)
        most = max(most, *book.levels())
    book.check()
    last = book.summarize()
    assert isinstance(first, OrderBookSummary)
    assert isinstance(last, OrderBookSummary)
    assert last.bid_price > first.ask_price + 5, "the price hardly moved"
    assert soak_book.LEVELS / 2 < most <= soak_book.LEVELS


def test_a_level_that_comes_and_goes_leaves_nothing() -> None:
    """A level that is set and deleted again and again, and never is the best, takes no memory."""
    book = OrderBookState()
    apply(book, snapshot([("99", "1")], [("101", "1")]))
    for n in range(10_000):
        apply(book, update([("buy", f"{90 - n % 7}", "1")]))
        apply(book, update([("buy", f"{90 - n % 7}", "0")] * 2))
        assert book.levels() == (1, 1)
    book.check()
    assert book.spread() == 2


def test_a_market_that_walks_through_a_deep_book() -> None:
    """In a book far deeper than what is kept near, the best is right through all levels and back."""
    book, oracle = OrderBookState(kept=10), Oracle(PRODUCT)
    levels = [(f"{price}", "1") for price in range(1_000, 0, -1)]
    for frame in [
        snapshot(levels, [("2000", "1")]),
        *(update([("buy", price, "0")]) for price, _size in levels[:-1]),
        *(update([("buy", price, "2")]) for price, _size in reversed(levels)),
        *(update([("buy", price, "0"), ("buy", "0.5", "1")]) for price, _size in levels),
    ]:
        apply(book, frame)
        top = oracle.judge(frame)
        assert top is not None
        assert f"{(PRODUCT, book.summarize())}" == line(PRODUCT, top)
        book.check()
