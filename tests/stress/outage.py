"""Outage of the network: `python -m tests.stress.outage --products 400 --seconds 60`.

The products share connections, over wss. It prints how long it took until all of them were live again, and
how close together the connects and the requests came. It exits with 1 if that took too long, if they came
closer than the exchange allows, or if a line was wrong.
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
from tests.support.waiting import DEADLINE, wait_until

SOON = 10.0  # seconds until all are live again
LIMIT_RATE, LIMIT_BURST = 8.0, 20.0  # the exchange's: connects a second, and at once; of requests too


class Outage(NamedTuple):
    """The figures of an outage."""

    took: float  # seconds from when the network was back until all were live; infinite if they never were
    attempts: list[float]  # `time.monotonic()` of each connect that reached the exchange
    requests: list[float]  # and of each request
    wrong: list[str]
    stderr: str


def outage(products: int, seconds: float, patience: float, connections: int = 16) -> Outage:
    """Run so many products, take the network away for so long, and wait for them to come back."""
    listed = names(products)
    judged = Judged(listed)
    with (
        Exchange(listed, rate=2, levels=20, tls=True, on_sent=judged.sent) as exchange,
        judged.run(settings(exchange, CONNECTIONS=str(connections))) as process,
    ):

        def all_live(connection: int) -> bool:
            """Whether a line of each product came of this connection or a later one."""
            return all(judged.witnesses[product].printed_from(connection) for product in listed)

        wait_until(lambda: all_live(0))
        first = len(exchange.connections)
        exchange.away(seconds)
        wait_until(lambda: exchange.listening, seconds + DEADLINE)
        back, took = time.monotonic(), math.inf
        with suppress(TimeoutError):
            wait_until(lambda: all_live(first), patience)
            took = time.monotonic() - back
        exchange.pause()
        with suppress(TimeoutError):
            wait_until(lambda: all(map(judged.is_up_to_date, listed)))
        requests = [request.when for request in exchange.requests]
        (finished,) = end(process)
    late = [f"{name}: its last lines are missing" for name in listed if not judged.is_up_to_date(name)]
    return Outage(took, exchange.attempts, requests, judged.wrong() + late, finished.stderr)


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
    """Take the network away, print the figures, and exit with 1 if they are not good enough."""
    parser = argparse.ArgumentParser(prog="python -m tests.stress.outage", description=__doc__)
    parser.add_argument("--products", type=int, default=400, help="default: %(default)s")
    parser.add_argument("--connections", type=int, default=16, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=60, help="default: %(default)s")
    options = parser.parse_args()
    figures = outage(options.products, options.seconds, 3 * SOON, options.connections)
    sent = {"connects": figures.attempts, "requests": figures.requests}
    above = {what: excess(moments, LIMIT_RATE, LIMIT_BURST) for what, moments in sent.items()}
    print(f"{options.products} products, {options.connections} connections, away for {options.seconds:g} s")
    print(f"all were live again after {figures.took:.1f} s, of {SOON:g} s")
    for what, moments in sent.items():
        most, worst = busiest_second(moments), above[what]
        print(f"{what}: {len(moments)}, {most} in the busiest second, at most {worst:+.1f} above the limit")
    print(*figures.wrong[:20] or ["no line was wrong"], sep="\n")
    sys.exit(bool(figures.took > SOON or max(above.values()) > 0 or figures.wrong))


if __name__ == "__main__":
    main()
