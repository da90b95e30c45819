"""Books of recordings, without a dataflow."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from orderbook.book import OrderBookSummary
from orderbook.recording.books import books
from tests.support.oracle import lines
from tests.support.processes import ROOT
from tests.support.recordings import ARRIVAL, RECORDINGS, frames_of, market, text, write


def test_book_after_each_message() -> None:
    """The books of the project's recordings are the oracle's after each snapshot and update, in one order."""
    printed: dict[str, list[str]] = {}
    arrivals = []
    for product, _time, arrival, book in books("tests/recordings"):
        arrivals.append(arrival)
        if isinstance(summary := book.summarize(), OrderBookSummary):
            printed.setdefault(product, []).append(f"('{product}', {summary!r})")
    assert printed == lines(frames_of(RECORDINGS))
    assert arrivals == sorted(filter(None, arrivals))


def test_bad_line_and_bad_path(tmp_path: Path) -> None:
    """A bad line is an error with file and line, once the books before it were given; so is a bad path."""
    path = write(tmp_path / "a.jsonl", text([*market("AAA-EUR", updates=3), b"{no"]))
    given = []
    with pytest.raises(ValueError, match=r"a\.jsonl:6: "):
        given += [arrival for _product, _time, arrival, _book in books(str(path))]
        raise AssertionError("not reached")
    with pytest.raises(ValueError, match="nowhere"):
        next(books("nowhere"))


def test_start_and_products(tmp_path: Path) -> None:
    """The books may begin at a time, and be of some products only."""
    path = write(tmp_path / "a.jsonl", text([*market("AAA-EUR"), *market("BBB-EUR")]))
    for chosen in ("BBB-EUR", ["BBB-EUR"]):
        assert {product for product, *_ in books([str(path)], products=chosen)} == {"BBB-EUR"}
    assert next(books(str(path), start="2026-09-21T14:13:20"))[2] == ARRIVAL


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        ({"start": "2026-11-24"}, "nothing was recorded between"),
        ({"start": "2026-11-24", "end": "2026-11-24"}, "the end is not behind the start"),
        ({"products": "CCC-EUR"}, "no snapshot of CCC-EUR"),
    ],
)
def test_nothing_to_give(tmp_path: Path, arguments: dict[str, str], wrong: str) -> None:
    """Where there can be no book, it is an error, and no empty loop."""
    path = write(tmp_path / "a.jsonl", text(market("AAA-EUR")))
    with pytest.raises(ValueError, match=wrong):
        list(books(str(path), **arguments))


def test_example_of_the_readme() -> None:
    """The README's DataFrame is made in five lines, and has a row for each book."""
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    [code] = [block for block in blocks if "pl.DataFrame" in block]
    assert len(re.findall(".+", code)) <= 5
    environment = os.environ | {"POLARS_MAX_THREADS": "1"}
    command = [sys.executable, "-c", f"{code}print(len(frame))"]
    printed = subprocess.run(command, cwd=ROOT, env=environment, stdout=-1, text=True, check=True, timeout=60)
    assert printed.stdout.splitlines()[-1] == str(sum(1 for _ in books("tests/recordings")))
