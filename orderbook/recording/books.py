"""Books of recordings, one change after another, without a dataflow."""

from collections.abc import Collection, Iterator, Sequence

from orderbook.book import OrderBookState
from orderbook.coinbase.messages import L2Update, Snapshot, both_times
from orderbook.recording.line import time_of_text
from orderbook.recording.paths import files_at
from orderbook.recording.recordings import Recordings, check_span


def books(
    paths: str | Sequence[str],
    products: str | Collection[str] | None = None,
    start: str | None = None,
    end: str | None = None,
) -> Iterator[tuple[str, int | None, int | None, OrderBookState]]:
    """Each product's book after each of its snapshots and updates, in one order by arrival.

    Yields product, the exchange's time and ours in nanoseconds since 1970 (see `both_times`), and the book.
    That is one object, which changes with the next of them: read from it what is to be kept. The arguments
    are as those of a replay. Raises `ValueError` where there is nothing to read at a path, at a bad line,
    with `file:line: what is wrong`, and at the end where a replay would have failed.
    """
    if isinstance(products, str):
        products = [product.strip() for product in products.split(",")]
    first, last = (None if time is None else time_of_text(time) for time in (start, end))
    check_span(first, last)
    recordings = Recordings(files_at(paths), products, first, last)
    kept: dict[str, OrderBookState] = {}
    while not recordings.ended:
        for product_id, message in recordings.read():
            book = kept.setdefault(product_id, OrderBookState())
            book.update(message)
            if book.is_live and isinstance(message, Snapshot | L2Update):
                yield product_id, *both_times(message.time, message.local_timestamp), book
    if failure := recordings.failure:
        raise ValueError(failure)
