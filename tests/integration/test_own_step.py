"""A step of one's own: the README's example, run as it stands."""

import re
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.exchange import Exchange
from tests.support.live import PAIR, all_live, expected, settings
from tests.support.oracle import lines
from tests.support.ports import metrics_port
from tests.support.processes import ROOT, run, start
from tests.support.recordings import RECORDINGS, frames_of
from tests.support.scrape import scrape
from tests.support.waiting import wait_until

FLOW = "imbalance:flow"


@pytest.fixture
def own_step(tmp_path: Path) -> dict[str, str]:
    """The example as a file, and the environment that has it found."""
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    [code] = [block for block in blocks if "live_books" in block]
    assert len(re.findall(".+", code)) <= 12
    (tmp_path / "imbalance.py").write_text(code)
    return {"PYTHONPATH": str(tmp_path)}


def imbalances(summaries: dict[str, list[str]]) -> dict[str, list[str]]:
    """What the example prints of each product, by the oracle's lines."""
    return {product: [_imbalance(line) for line in listed] for product, listed in summaries.items()}


def _imbalance(line: str) -> str:
    product, top = eval(line, {"OrderBookSummary": SimpleNamespace})
    return str((product, (top.bid_size - top.ask_size) / (top.bid_size + top.ask_size)))


def by_product(printed: Iterable[str]) -> dict[str, list[str]]:
    """The lines of each product, in order."""
    listed: dict[str, list[str]] = {}
    for line in printed:
        listed.setdefault(line.split("'")[1], []).append(line)
    return listed


def test_replayed(own_step: dict[str, str]) -> None:
    """On a recording a step of one's own gets each summary, and stdout has what its sink writes."""
    finished = run([f"{FLOW}('tests/recordings')"], own_step)
    assert finished.code == 0, finished.stderr
    assert by_product(finished.lines) == imbalances(lines(frames_of(RECORDINGS)))
    assert re.search(r"INFO replayed \d+ messages of 4 products from \S+ to \S+$", finished.stderr, re.M)


def test_live(own_step: dict[str, str], tmp_path: Path) -> None:
    """On the feed it is a run such as `dataflow:flow`: settings, recording, metrics, log, end by a signal."""
    record = tmp_path / "record"
    with metrics_port() as port, Exchange(PAIR, rate=0) as exchange:
        api = {"BYTEWAX_DATAFLOW_API_ENABLED": "1", "BYTEWAX_DATAFLOW_API_PORT": str(port)}
        env = settings(exchange, RECORD=str(record)) | api | own_step
        with start([FLOW], env) as process:
            wait_until(lambda: all_live(exchange))
            for product in PAIR:
                exchange.step(product, 30)
            wanted = imbalances(expected(exchange))
            for product, listed in wanted.items():
                process.stdout.wait_for(f"('{product}'", count=len(listed))
            assert all(scrape(port)["orderbook_live", product] for product in PAIR)
            process.interrupt()
            finished = process.wait()
    assert finished.code == 0, finished.stderr
    assert "INFO SIGINT: shutting down" in finished.stderr
    assert by_product(finished.lines) == wanted
    assert by_product(run([f"{FLOW}({str(record)!r})"], own_step).lines) == wanted
