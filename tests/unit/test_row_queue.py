"""Queue of rows between the workers of a process and a thread."""

import threading

import pytest

from orderbook.output.datasets import Rows, dataset
from orderbook.output.queue import OWN_VALUES, RowQueue
from orderbook.shutdown import Shutdown
from tests.support.waiting import DEADLINE, wait_until

SIZE = 4 + OWN_VALUES  # of a row of quotes


def quotes(number: int, count: int = 1) -> Rows:
    return Rows(dataset("quotes"), "BTC-USD", number, number, [(1.0, 2.0, 3.0, 4.0)] * count)


def numbers(queue: RowQueue) -> list[int | None]:
    """The numbers of all that waits, which is taken."""
    return [rows.timestamp for rows in iter(queue.take, None)]


def test_oldest_rows_are_dropped() -> None:
    """Without room the oldest rows are dropped, as few as make room, and counted."""
    queue = RowQueue(10 * SIZE, Shutdown(), waits=False)
    queue.put([quotes(n) for n in range(8)])
    queue.put([quotes(8, count=4)])
    assert (queue.rows, queue.dropped) == ({"quotes": 12}, {"quotes": 2})
    assert numbers(queue) == [*range(2, 9)]
    assert not queue


def test_rows_beyond_the_limit() -> None:
    """Rows of one message that are more than the limit take the place of all others."""
    queue = RowQueue(10 * SIZE, Shutdown(), waits=False)
    queue.put([quotes(1), quotes(2, count=11), quotes(3, count=12)])
    assert queue.dropped == {"quotes": 12}
    assert numbers(queue) == [3]


@pytest.fixture
def waiting() -> tuple[RowQueue, Shutdown, threading.Thread]:
    """A full queue, its shutdown, and a thread that waits to put more."""
    shutdown = Shutdown()
    queue = RowQueue(10 * SIZE, shutdown, waits=True)
    queue.put([quotes(n) for n in range(10)])
    thread = threading.Thread(target=queue.put, args=[[quotes(n) for n in range(10, 30)]], daemon=True)
    thread.start()
    return queue, shutdown, thread


def test_room_is_waited_for(waiting: tuple[RowQueue, Shutdown, threading.Thread]) -> None:
    """With `waits` rows wait for room, and none is dropped."""
    queue, _, thread = waiting
    taken: list[int | None] = []

    def take() -> bool:
        taken.extend(numbers(queue))
        return len(taken) == 30

    wait_until(take)
    thread.join(DEADLINE)
    assert taken == [*range(30)]
    assert (queue.rows, queue.dropped) == ({"quotes": 30}, {})


def test_room_is_not_waited_for_at_the_end(waiting: tuple[RowQueue, Shutdown, threading.Thread]) -> None:
    """A requested shutdown ends the wait; what has no room is counted."""
    queue, shutdown, thread = waiting
    assert queue.rows == {"quotes": 10}
    shutdown.request(0)
    thread.join(DEADLINE)
    assert (queue.rows, queue.dropped) == ({"quotes": 30}, {"quotes": 20})
