"""Picture of the page for the README: `python -m tests.acceptance.screenshot`.

The simulated exchange has run for a while, so that the charts are full; the picture is written to
`orderbook/page/screenshot.png`, or to the file that is named.
"""

import argparse
import sys
from pathlib import Path

from tests.exchange import Exchange
from tests.exchange.market import PRODUCTS
from tests.support.browser import chromium
from tests.support.live import settings
from tests.support.processes import ROOT, start

MORE = ("AAVE-USD", "BCH-USD", "COMP-USD", "LTC-EUR", "QNT-USD", "SOL-EUR", "SOL-USD", "ZEC-USD")
LARGEST = 300_000  # bytes


def main() -> int:
    """Take the picture; 1 where it is too large."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path, nargs="?", default=ROOT / "orderbook/page/screenshot.png")
    parser.add_argument("--seconds", type=float, default=110)
    parser.add_argument("--size", default="1280x640", help="in pixels")
    parser.add_argument("--light", action="store_true")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    with (
        chromium() as browser,
        Exchange([*PRODUCTS, *MORE], rate=20) as exchange,
        start(["dataflow:flow"], settings(exchange, PAGE="0", MIN_SPREAD="0.9")) as process,
        browser.tab(
            process.stderr.wait_for("page: ").partition("page: ")[2] + "/#BTC-EUR", width, height
        ) as tab,
    ):
        if options.light:
            tab.page.keyboard.press("t")
        tab.wait(lambda shown: not shown["banner"] and shown["bids"])
        tab.page.wait_for_timeout(options.seconds * 1e3)
        tab.page.screenshot(path=options.file, full_page=width < 1220)
    size = options.file.stat().st_size
    print(f"{options.file}: {size} bytes")
    return 0 if size < LARGEST else 1


if __name__ == "__main__":
    sys.exit(main())
