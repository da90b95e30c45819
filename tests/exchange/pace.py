"""Pace of what happens by itself, kept over all the time there is: what was late is made up for."""

import asyncio
from collections.abc import Callable, Sequence

AT_ONCE = 64
"""Actions made in one go by a task that is late, before others get their turn."""


async def evenly(rate: float, products: Sequence[str], action: Callable[[str], None]) -> None:
    """Do something `rate` times a second for each product, in even steps."""
    loop = asyncio.get_running_loop()
    pace = rate * len(products)
    start, done = loop.time(), 0
    while True:
        due = int((loop.time() - start) * pace)
        for turn in range(done, min(due, done + AT_ONCE)):
            action(products[turn % len(products)])
        done = min(due, done + AT_ONCE)
        await asyncio.sleep(max(0.0, start + (done + 1) / pace - loop.time()))


async def at_ticks(tick: float, rate: float, action: Callable[[int], None]) -> None:
    """Do something each `tick` seconds, with how many updates are due at `rate` a second."""
    loop = asyncio.get_running_loop()
    start, ticks, done = loop.time(), 0, 0
    while True:
        ticks += 1
        await asyncio.sleep(max(0.0, start + ticks * tick - loop.time()))
        due = int(ticks * tick * rate + 1e-6)
        action(due - done)
        done = due
