"""The network goes away and comes back: `python -m tests.stress.outage --products 400 --seconds 60`.

It prints how long it took until every product was live again, and how closely the connects came. It
exits with 1 if that was too long, if they came closer than the exchange allows, or if a line was wrong.
"""

import argparse
import math
import sys
import time
from bisect import bisect_right
from contextlib import suppress
from typing import NamedTuple

from tests.exchange import Exchange
from tests.support.judged import Judged
from tests.support.live import end, names, settings
from tests.support.processes import DEADLINE

FEW, SOON_FOR_FEW, SOON = 4, 15.0, 70.0  # products, and seconds until so many, or more, are live again
LIMIT_RATE, LIMIT_BURST = 8.0, 20.0  # the exchange's: connects a second, and at once


class Outage(NamedTuple):
    """How it went."""

    took: float  # seconds from when the network was back until all were live; infinite if they never were
    attempts: list[float]  # `time.monotonic()` of each connect that reached the exchange
    wrong: list[str]
    stderr: str


def outage(products: int, seconds: float, patience: float) -> Outage:
    """Run so many products, take the network away for so long, and wait for them to come back."""
    listed = names(products)
    judged = Judged(listed)
    with (
        Exchange(listed, rate=2, levels=20, on_sent=judged.sent) as exchange,
        judged.run(settings(exchange)) as process,
    ):

        def await_all(deadline: float) -> None:
            for name in listed:
                exchange.wait(lambda name=name: is_live(exchange, judged, name), deadline - time.monotonic())

        await_all(time.monotonic() + DEADLINE + products / 7)
        exchange.away(seconds)
        exchange.wait(lambda: exchange.listening, seconds + DEADLINE)
        back, took = time.monotonic(), math.inf
        with suppress(TimeoutError):
            await_all(back + patience)
            took = time.monotonic() - back
        exchange.pause()
        with suppress(TimeoutError):
            exchange.wait(lambda: all(map(judged.is_up_to_date, listed)), DEADLINE)
        (finished,) = end(process)
    late = [f"{name}: its last lines are missing" for name in listed if not judged.is_up_to_date(name)]
    return Outage(took, exchange.attempts, judged.wrong() + late, finished.stderr)


def is_live(exchange: Exchange, judged: Judged, product: str) -> bool:
    """Whether a product has a connection, and a line of it was printed."""
    return any(judged.witnesses[product].last_printed(c.number) for c in exchange.live(product))


def excess(moments: list[float], rate: float, burst: float) -> float:
    """How many moments too many the worst span of time has: above `burst`, and `rate` a second of it."""
    worst, fewest = -math.inf, math.inf
    for before, moment in enumerate(moments):
        fewest = min(fewest, before - rate * moment)
        worst = max(worst, before + 1 - rate * moment - fewest)
    return worst - burst


def busiest_second(moments: list[float]) -> int:
    """The most moments that there are in any one second."""
    return max(bisect_right(moments, moment + 1.0) - place for place, moment in enumerate(moments))


def main() -> None:
    """Take the network away, tell the figures, and exit with 1 if they are not good enough."""
    parser = argparse.ArgumentParser(prog="python -m tests.stress.outage", description=__doc__)
    parser.add_argument("--products", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    limit = SOON_FOR_FEW if options.products <= FEW else SOON
    figures = outage(options.products, options.seconds, patience=2 * limit)
    above = excess(figures.attempts, LIMIT_RATE, LIMIT_BURST)
    print(f"{options.products} products, away for {options.seconds:g} s")
    print(f"all were live again after {figures.took:.1f} s, of {limit:g} s")
    print(f"connects: {len(figures.attempts)}, {busiest_second(figures.attempts)} in the busiest second")
    print(f"the worst span of time: {above:+.1f} connects, where the exchange's limit is 0")
    print(*figures.wrong[:20] or ["no line was wrong"], sep="\n")
    sys.exit(bool(figures.took > limit or above > 0 or figures.wrong))


if __name__ == "__main__":
    main()
