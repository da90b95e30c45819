"""Rows of the datasets that are wanted, made from a product's messages and its book.

    message ──▶ due: rows of the intervals that have passed, of the book as it stands
       │
       ▼
    the book takes the message
       │
       ▼
    rows: of what the message has changed

Intervals go by arrival, so a replay gives the very rows of the live run. What each dataset's rows are made
of is in `makers` and `intervals`.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any, Self

import msgspec

from orderbook.book import OrderBookState, Step, Summary
from orderbook.coinbase.messages import Message
from orderbook.output.datasets import Dataset, Rows
from orderbook.output.intervals import EachInterval
from orderbook.output.makers import Maker, maker


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What a message brings: the summary of its book, and rows."""

    summary: Summary
    rows: Sequence[Rows]


class BookAndRows:
    """The book of one product, and what the rows of its datasets need to know of before."""

    def __init__(self, datasets: Sequence[Dataset], min_spread: float) -> None:
        self.book: OrderBookState | None = None
        self._take([maker(dataset, min_spread) for dataset in datasets])

    def _take(self, makers: list[Maker]) -> None:
        self._makers = makers
        self._intervals = [each for each in makers if isinstance(each, EachInterval)]

    def update(self, step: Step, message: Message) -> Answer:
        """Take a step of the book, and make the rows that its message brings."""
        rows: list[Rows] = []
        for interval in self._intervals:
            rows += interval.due(message, self.book)
        self.book, summary = step(self.book, message)
        for each in self._makers:
            rows += each.rows(message, self.book, summary)
        return Answer(summary, rows)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A copy whose book is one; the makers have nothing in them that changes in place."""
        twin = copy.copy(self)
        twin.book = copy.deepcopy(self.book, memo)
        twin._take([copy.copy(each) for each in self._makers])
        return twin


def with_rows(
    step: Step, datasets: Sequence[Dataset], min_spread: float
) -> Callable[[BookAndRows | None, Message], tuple[BookAndRows, Answer]]:
    """The step that keeps a book, as one that makes the rows of these datasets beside."""

    def answer(state: BookAndRows | None, message: Message) -> tuple[BookAndRows, Answer]:
        state = state or BookAndRows(datasets, min_spread)
        return state, state.update(step, message)

    return answer


def rows_of(product_answer: tuple[str, Answer]) -> Sequence[Rows]:
    """The rows that a message of a product has brought."""
    return product_answer[1].rows


def summary_of(product_answer: tuple[str, Answer]) -> tuple[str, Summary]:
    """A product and the summary that its message has brought."""
    return product_answer[0], product_answer[1].summary
