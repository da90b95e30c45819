"""Latency of the page: exchange's send to changed page, `python -m tests.benchmarks.page_latency`.

400 products at 20 updates a second each, over wss; Chromium shows one of them and all that are in sight. An
update counts as shown once the page has the time of it, or of a later one, in the chosen book; all clocks are
this machine's. The exchange, the dataflow and Chromium are processes of their own. Prints the quantiles over
all updates of the product, and exits with 1 where the p99 is 300 ms or more.
"""

import argparse
import bisect
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from tests.support.browser import chromium
from tests.support.live import end, names
from tests.support.processes import start

MOST = 0.3  # seconds
APART = 0.025  # half of the time between two updates of a product: they are told apart by their times
OBSERVE = """() => {
  window.shown = [];
  const dated = document.querySelector("#book .dated dd");
  new MutationObserver(() => window.shown.push([dated.dataset.time, Date.now()]))
    .observe(dated, { attributes: true, attributeFilter: ["data-time"] });
}"""


def sent_at(log: Path, product: str) -> list[float]:
    """When the exchange sent each update of a product, in seconds since 1970."""
    offset = time.time() - time.monotonic()
    lines = (line.split() for line in log.read_text().splitlines() if line.startswith(f"{product} "))
    return [float(when) + offset for _product, when, kind in lines if kind == "l2update"]


def measure(listed: Sequence[str], span: float, log: Path) -> list[float]:
    """Seconds from the send of each update of the first product to the page that shows it, ascending."""
    options = ["--port", "0", "--products", ",".join(listed), "--changes", "10", "--prepared", "100"]
    with start([*options, "--tls", "--log", str(log)], module="tests.exchange") as exchange:
        command = exchange.stderr.wait_for("python -m bytewax.run").split()
        env = dict(word.split("=", 1) for word in command if word.startswith(("SSL_", "ORDERBOOK_")))
        env |= {"ORDERBOOK_PAGE": "0", "ORDERBOOK_MIN_SPREAD": "0.9"}
        with (
            chromium() as browser,
            start(["dataflow:flow"], env) as process,
            browser.tab(process.stderr.wait_for("page: ").partition("page: ")[2]) as tab,
        ):
            tab.wait(lambda shown: shown["live"] == f"{len(listed)} of {len(listed)}" and shown["bids"])
            tab.page.wait_for_timeout(3_000)
            tab.page.evaluate(OBSERVE)
            tab.page.wait_for_timeout(span * 1e3)
            seen = tab.page.evaluate("window.shown")
            end(process)
    shown = [(datetime.fromisoformat(dated).timestamp(), at / 1e3) for dated, at in seen if dated]
    dates = [dated for dated, _at in shown]
    return sorted(
        shown[bisect.bisect_left(dates, sent - APART)][1] - sent
        for sent in sent_at(log, listed[0])
        if dates[0] + APART < sent < dates[-1]
    )


def main() -> int:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--products", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lags = measure(names(options.products), options.seconds, Path(folder, "sent"))
    shares = [lags[min(len(lags) - 1, int(share * len(lags)))] for share in (0.5, 0.9, 0.99, 1)]
    p50, p90, p99, most = (f"{share * 1e3:.0f}" for share in shares)
    print(f"{options.products} products, {len(lags)} updates of one, from the exchange's send to the page:")
    print(f"p50 {p50}, p90 {p90}, p99 {p99}, max {most} ms")
    return 0 if shares[2] < MOST else 1


if __name__ == "__main__":
    sys.exit(main())
