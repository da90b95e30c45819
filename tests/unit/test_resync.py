"""Way back from a book to its feed: when a crossed book has its product subscribed anew."""

import pytest

from orderbook.book import CrossedBook, OversizedBook
from orderbook.feed.resync import ResyncSink
from orderbook.feed.silence import Timeouts
from orderbook.feed.source import CoinbaseSource
from orderbook.shutdown import Shutdown
from tests.support.clock import Clock

PRODUCTS = ["ETH-EUR", "BTC-EUR", "BTC-GBP"]
CROSSED_AFTER = 2.0

Step = tuple[float, list[int]]
"""The time, and the numbers of the crossings in a batch."""

Resync = tuple[float, float]
"""The time at which a product is subscribed anew, and since when it was crossed."""


class NotingSource(CoinbaseSource):
    """A source that notes what it is asked to subscribe anew."""

    def __init__(self) -> None:
        super().__init__(PRODUCTS, "ws://127.0.0.1", Timeouts(), Shutdown())
        self.asked: list[tuple[str, float, str]] = []

    def resync(self, product_id: str, since: float, why: str) -> None:
        self.asked.append((product_id, since, why))


TABLE: dict[str, tuple[list[Step], list[Resync]]] = {
    "a book that is crossed for a moment is left alone": ([(0, [1]), (1.9, [1])], []),
    "one that stays crossed for as long as allowed is not": ([(0, [1]), (1, [1]), (2, [1])], [(2, 0)]),
    "it is reported for as long as it lasts": ([(0, [1]), (2, [1]), (2.5, [1])], [(2, 0), (2.5, 0)]),
    "another crossing begins anew": ([(0, [1]), (1.5, [2]), (3.4, [2]), (3.5, [2])], [(3.5, 1.5)]),
    "the last book of a batch counts": ([(0, [1]), (2, [1, 1, 2]), (3.9, [2]), (4, [2])], [(4, 2)]),
    "a crossing is reported by its number, not by the time between": ([(0, [7]), (100, [7])], [(100, 0)]),
    "a first batch may have several": ([(5, [1, 2, 3]), (7, [3])], [(7, 5)]),
}


@pytest.mark.parametrize("name", TABLE)
def test_crossing(name: str) -> None:
    """A product is subscribed anew when its book has stayed crossed for as long as it may, and not before."""
    steps, resyncs = TABLE[name]
    source, clock = NotingSource(), Clock()
    partition = ResyncSink(source, CROSSED_AFTER, clock).build_part("resync", "BTC-EUR", None)
    asked: list[Resync] = []
    for clock.now, crossings in steps:
        partition.write_batch([CrossedBook(102.5, 101.25, crossing) for crossing in crossings])
        asked += [(clock.now, since) for _, since, _ in source.asked]
        assert {product for product, _, _ in source.asked} <= {"BTC-EUR"}
        source.asked.clear()
    assert asked == resyncs


def test_reason() -> None:
    """The reason has the seconds and the prices, to be read in the log."""
    source, clock = NotingSource(), Clock()
    partition = ResyncSink(source, CROSSED_AFTER, clock).build_part("resync", "BTC-EUR", None)
    for clock.now in (10.0, 12.5):
        partition.write_batch([CrossedBook(102.5, 101.25, 1)])
    assert source.asked == [("BTC-EUR", 10.0, "crossed for 2.5 s, best bid 102.5, best ask 101.25")]


def test_oversized_book() -> None:
    """A product whose book has grown beyond all bounds is subscribed anew at once, once."""
    source, clock = NotingSource(), Clock()
    partition = ResyncSink(source, CROSSED_AFTER, clock).build_part("resync", "BTC-EUR", None)
    clock.now = 7.0
    partition.write_batch([CrossedBook(2, 1, 1), OversizedBook(200_001, 3)])
    assert source.asked == [("BTC-EUR", 7.0, "its book has grown to 200001 bids and 3 asks")]


def test_products_have_times_of_their_own() -> None:
    """A product's crossing doesn't count for another one."""
    source, clock = NotingSource(), Clock()
    sink = ResyncSink(source, CROSSED_AFTER, clock)
    first, second = (sink.build_part("resync", product, None) for product in ("BTC-EUR", "ETH-EUR"))
    first.write_batch([CrossedBook(2, 1, 1)])
    clock.now = 3.0
    second.write_batch([CrossedBook(2, 1, 1)])
    first.write_batch([CrossedBook(2, 1, 1)])
    assert [(product, since) for product, since, _ in source.asked] == [("BTC-EUR", 0.0)]


def test_parts_are_those_of_the_source() -> None:
    """The sink has exactly the source's parts; the index of each is its place in the sorted list."""
    source = NotingSource()
    sink = ResyncSink(source, CROSSED_AFTER)
    assert sink.list_parts() == source.list_parts() == PRODUCTS
    assert [sink.part_fn(product) for product in sorted(PRODUCTS)] == [0, 1, 2]
