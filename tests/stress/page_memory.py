"""Memory of the page: an hour's frames in minutes, `python -m tests.stress.page_memory`.

The frames are invented and come faster than the server would send them, on a clock that is as much faster.
Another product is chosen now and then. Prints the JavaScript heap after a collection of garbage, and the
number of elements and listeners, ten times on the way; exits with 1 where one of these is by a quarter more
in the last three tenths than in the three behind the first two, in which the histories fill up.
"""

import argparse
import sys
from typing import Any

from tests.support.browser import Browser, chromium
from tests.support.live import names
from tests.support.pushes import Pushes

FRAMES = 10  # a second, as the server sends them
FIRST, LAST = slice(2, 5), slice(7, 10)  # tenths
MOST_GROWTH = 1.25


def used(session: Any) -> tuple[float, int, int]:
    """MB of heap that are really in use, elements and listeners."""
    session.send("HeapProfiler.collectGarbage")
    session.send("HeapProfiler.collectGarbage")
    counters = session.send("Memory.getDOMCounters")
    heap = session.send("Runtime.getHeapUsage")
    return (
        (heap["usedSize"] + heap.get("backingStorageSize", 0)) / 1e6,
        counters["nodes"],
        counters["jsEventListeners"],
    )


def run(browser: Browser, products: int, minutes: float, rate: float) -> bool:
    """Measure; gives whether it stayed flat."""
    total = int(minutes * 60 * FRAMES)
    with Pushes(names(products), rate, 1 / FRAMES) as pushes, browser.tab(pushes.url) as tab:
        session = tab.page.context.new_cdp_session(tab.page)
        measured = []
        for tenth in range(1, 11):
            while pushes.sent < total * tenth // 10:
                tab.page.keyboard.press("ArrowDown")
                tab.page.wait_for_timeout(2_000)
            measured.append(used(session))
            heap, nodes, listeners = measured[-1]
            print(
                f"{pushes.sent:7} frames: heap {heap:.2f} MB, {nodes} nodes, {listeners} listeners",
                flush=True,
            )
    pairs = zip(zip(*measured[FIRST], strict=True), zip(*measured[LAST], strict=True), strict=True)
    grown: list[float] = [sum(after) / sum(before) for before, after in pairs]
    print("grown, heap, nodes, listeners:", *(f"{ratio:.3f}" for ratio in grown))
    return max(grown) <= MOST_GROWTH


def main() -> int:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--products", type=int, default=40)
    parser.add_argument("--minutes", type=float, default=60, help="of the page's clock")
    parser.add_argument("--rate", type=float, default=150, help="frames a second that are sent")
    options = parser.parse_args()
    with chromium() as browser:
        return 0 if run(browser, options.products, options.minutes, options.rate) else 1


if __name__ == "__main__":
    sys.exit(main())
