"""The book, beside the naive judge.

    python -m pytest tests/unit/test_book.py --hypothesis-profile=long

tries 10,000 examples of each property in place of a few hundred. `python -m tests.stress.soak_book 100000000`
is the long form of the test of memory.
"""

import copy
import pickle
import tracemalloc
from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderbook.book import CrossedBook, OrderBookState, OrderBookSummary
from orderbook.coinbase.messages import Heartbeat, Level, Snapshot, decode
from tests.stress import soak_book
from tests.support.oracle import Oracle, line

PRODUCT = "ABC-EUR"

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
    st.just(f'{{"type":"match","product_id":"{PRODUCT}","price":"100.02","size":"1"}}'.encode()),
)


def hear(book: OrderBookState, frame: bytes) -> None:
    """Take in a frame as the dataflow does."""
    message = decode(frame)
    if message is not None:
        book.update(message)


@given(st.lists(FRAMES, min_size=5, max_size=25), st.sampled_from([1, 2, 3, 100]))
def test_book_agrees_with_the_naive_judge(frames: list[bytes], kept: int) -> None:
    """After each message: same levels, same best, same summary, or the same reason for none.

    However few levels are kept near.
    """
    book, judge = OrderBookState(kept=kept), Oracle(PRODUCT)
    for frame in frames:
        hear(book, frame)
        judge.judge(frame)
        book.check()
        bids = sorted(judge.bids.items(), reverse=True)
        asks = sorted(judge.asks.items())
        assert book.depth(len(bids) + len(asks)) == (bids, asks)
        assert book.depth(2) == (bids[:2], asks[:2])
        best, top, summary = judge.best(), judge.top(), book.summarize()
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
    """Neither has a spread of a few ticks, where the difference of floats is mostly noise."""
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
    hear(book, snapshot([(bid, "1")], [(ask, "1")]))
    return book.spread()


def test_summary_prints_as_in_the_tutorial() -> None:
    """The text of a summary is the format of the output; others parse it."""
    book = OrderBookState()
    hear(book, snapshot([("60152.78", "0.01040000")], [("60173.35", "0.02238611")]))
    assert str(book.summarize()) == (
        "OrderBookSummary(bid_price=60152.78, bid_size=0.0104, ask_price=60173.35, "
        "ask_size=0.02238611, spread=20.57)"
    )


def test_what_a_book_tells_is_frozen() -> None:
    """Nobody downstream can change a summary or a crossed book under another's hands."""
    with pytest.raises(AttributeError):
        OrderBookSummary(1.0, 1.0, 2.0, 1.0, 1.0).spread = 0.0  # type: ignore[misc]
    with pytest.raises(AttributeError):
        CrossedBook(2.0, 1.0, 0.0).seconds = 9.0  # type: ignore[misc]


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def crossed_for(book: OrderBookState) -> float | None:
    """For how many seconds the book says that it is crossed, None where it says that it isn't."""
    summary = book.summarize()
    return summary.seconds if isinstance(summary, CrossedBook) else None


def test_crossed_book_says_for_how_long() -> None:
    """The time runs while a book is crossed, whatever comes meanwhile, and starts anew with each crossing."""
    clock = Clock()
    book = OrderBookState(clock)
    hear(book, snapshot([("99", "1")], [("101", "1")]))
    clock.now += 5
    assert crossed_for(book) is None
    hear(book, update([("buy", "102", "1")]))
    assert crossed_for(book) == 0
    clock.now += 1.5
    assert crossed_for(book) == 1.5
    book.update(Heartbeat(PRODUCT))
    clock.now += 1
    assert crossed_for(book) == 2.5
    hear(book, update([("buy", "103", "1"), ("sell", "100", "1")]))
    clock.now += 1
    assert crossed_for(book) == 3.5, "crossed all the time, if by other levels"
    hear(book, update([("buy", "103", "0"), ("buy", "102", "0"), ("sell", "100", "0")]))
    clock.now += 1
    assert crossed_for(book) is None
    hear(book, update([("buy", "102", "1")]))
    clock.now += 0.25
    assert crossed_for(book) == 0.25
    hear(book, snapshot([("102", "1")], [("101", "1")]))
    assert crossed_for(book) == 0, "another book, if a crossed one"
    clock.now += 1
    assert crossed_for(book) == 1
    hear(book, snapshot([("99", "1")], []))
    assert crossed_for(book) is None


def test_crossing_within_a_message_is_none() -> None:
    """A book that is crossed and uncrossed by one message goes on as crossed as it was: not at all."""
    book = OrderBookState()
    hear(book, snapshot([("99", "1")], [("101", "1")]))
    hear(book, update([("buy", "102", "1"), ("sell", "101", "0"), ("sell", "103", "2")]))
    assert book.summarize() == OrderBookSummary(102.0, 1.0, 103.0, 2.0, 1.0)


def test_locked_book_counts_as_crossed() -> None:
    """A best bid equal to the best ask leaves no spread to tell."""
    clock = Clock()
    book = OrderBookState(clock)
    hear(book, snapshot([("100", "1")], [("100.00", "1")]))
    clock.now += 3
    assert book.summarize() == CrossedBook(100.0, 100.0, 3.0)


def by_pickle(book: OrderBookState) -> OrderBookState:
    return pickle.loads(pickle.dumps(book))  # type: ignore[no-any-return]


@pytest.mark.parametrize("copy_of", [copy.deepcopy, by_pickle])
def test_copies_are_independent(copy_of: Callable[[OrderBookState], OrderBookState]) -> None:
    """What recovery keeps is the book of that moment: no change of either reaches the other."""
    book = OrderBookState()
    hear(book, snapshot([("99", "1"), ("98", "2")], [("101", "1"), ("102", "2")]))
    hear(book, update([("buy", "98", "0"), ("sell", "103", "3")]))
    before = ([(99.0, 1.0)], [(101.0, 1.0), (102.0, 2.0), (103.0, 3.0)])
    twin = copy_of(book)
    assert twin.depth(9) == before
    assert twin.summarize() == book.summarize()
    hear(twin, update([("buy", "99", "0"), ("buy", "97", "4"), ("sell", "101", "7")]))
    assert book.depth(9) == before
    after = twin.depth(9)
    hear(book, update([("buy", "97", "5"), ("sell", "102", "0"), ("sell", "100", "1")]))
    assert twin.depth(9) == after == ([(97.0, 4.0)], [(101.0, 7.0), (102.0, 2.0), (103.0, 3.0)])
    hear(book, snapshot([("1", "1")], [("2", "1")]))
    assert twin.depth(9) == after
    twin.check()


@given(st.lists(st.tuples(st.integers(0, 5), FRAMES | st.sampled_from(["copy", "drop"])), max_size=40))
def test_copies_of_copies_are_independent(steps: list[tuple[int, bytes | str]]) -> None:
    """Books copied, changed and dropped in any order: each has what it was told, and nothing else."""
    pairs = [(OrderBookState(kept=2), Oracle(PRODUCT))]
    for number, step in steps:
        book, judge = pairs[number % len(pairs)]
        if isinstance(step, bytes):
            hear(book, step)
            judge.judge(step)
        elif step == "copy":
            pairs.append(copy.deepcopy((book, judge)))
        elif len(pairs) > 1:
            pairs.remove((book, judge))
    for book, judge in pairs:
        book.check()
        assert book.depth(99) == (sorted(judge.bids.items(), reverse=True), sorted(judge.asks.items()))


def test_a_copy_that_is_dropped_costs_nothing() -> None:
    """The engine copies every book at each epoch's end: big ones must not make the feed wait."""
    book = OrderBookState()
    bids = [Level(60_000 - n / 100, 1.0 + n) for n in range(22_500)]
    asks = [Level(60_001 + n / 100, 1.0 + n) for n in range(22_500)]
    book.update(Snapshot(PRODUCT, bids, asks))

    def needed(keep: bool) -> int:
        """Bytes that a copy and the update after it need, together."""
        tracemalloc.start()
        try:
            twin = copy.deepcopy(book)
            if not keep:
                del twin
            hear(book, update([("buy", "60000.5", "1")]))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert needed(keep=True) > 1_000_000
    assert needed(keep=False) < 10_000
    assert needed(keep=False) < 10_000


def test_memory_is_bounded_by_the_live_levels() -> None:
    """While the price moves on and on, the book holds its live levels and no others."""
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
    """Not even where one comes and goes again and again, and never is the best."""
    book = OrderBookState()
    hear(book, snapshot([("99", "1")], [("101", "1")]))
    for n in range(10_000):
        hear(book, update([("buy", f"{90 - n % 7}", "1")]))
        hear(book, update([("buy", f"{90 - n % 7}", "0")] * 2))
        assert book.levels() == (1, 1)
    book.check()
    assert book.spread() == 2


def test_a_market_that_walks_through_a_deep_book() -> None:
    """In a book far deeper than what is kept near, the best is right through all levels and back."""
    book, judge = OrderBookState(kept=10), Oracle(PRODUCT)
    levels = [(f"{price}", "1") for price in range(1_000, 0, -1)]
    for frame in [
        snapshot(levels, [("2000", "1")]),
        *(update([("buy", price, "0")]) for price, _size in levels[:-1]),
        *(update([("buy", price, "2")]) for price, _size in reversed(levels)),
        *(update([("buy", price, "0"), ("buy", "0.5", "1")]) for price, _size in levels),
    ]:
        hear(book, frame)
        top = judge.judge(frame)
        assert top is not None
        assert f"{(PRODUCT, book.summarize())}" == line(PRODUCT, top)
        book.check()
