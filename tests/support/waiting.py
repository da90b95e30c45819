"""Wait for a condition, with a deadline: `TimeoutError` instead of a test that hangs."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

DEADLINE = 30.0  # seconds; ample on a busy machine, since no test should ever see it pass
INTERVAL = 0.005  # seconds between two looks at a condition


def wait_until(condition: Callable[[], T], timeout: float = DEADLINE) -> T:
    """Ask until the answer is true, and return it; `TimeoutError` after so many seconds."""
    deadline = time.monotonic() + timeout
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so within {timeout} s")
        time.sleep(INTERVAL)
    return answer


async def until(condition: Callable[[], T], timeout: float = DEADLINE) -> T:
    """Wait until the answer is true, while the event loop runs on; returns it, or raises `TimeoutError`."""
    async with asyncio.timeout(timeout):
        while not (answer := condition()):
            await asyncio.sleep(INTERVAL)
    return answer
