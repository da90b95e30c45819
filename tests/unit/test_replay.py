"""Replays in this process, whose lines are judged by the naive oracle."""

import io
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from bytewax.testing import cluster_main

import dataflow
from tests.support.oracle import lines
from tests.support.processes import by_product
from tests.support.recordings import RECORDINGS, frames_of, market, text, write


def replay(path: Path, workers: int = 1) -> dict[str, list[str]]:
    """The lines of each product."""
    with redirect_stdout(io.StringIO()) as stdout:
        flow = dataflow.replay(str(path), min_spread=-1)
        cluster_main(flow, [], 0, worker_count_per_proc=workers)  # type: ignore[no-untyped-call]
    return by_product(stdout.getvalue())


def test_there_are_recordings() -> None:
    """The project brings recordings of its own, so a replay needs neither network nor capture."""
    assert RECORDINGS


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.name)
def test_recording(path: Path) -> None:
    """Each recording gives the oracle's line for each snapshot and update, and no other."""
    assert replay(path) == lines(frames_of([path]))


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("name", ["mixed.jsonl", "mixed.jsonl.gz"])
def test_mixed_products(tmp_path: Path, name: str, workers: int) -> None:
    """A file may mix products, compressed or not: each product has its own lines, in order."""
    streams = [market(product) for product in ("AAA-EUR", "BBB-EUR", "CCC-EUR")]
    mixed = [frame for together in zip(*streams, strict=True) for frame in together]
    assert replay(write(tmp_path / name, text(mixed)), workers) == lines(mixed)


def test_nothing_to_replay(tmp_path: Path) -> None:
    """A path without a recording ends the run before it starts, with one line that names the path."""
    path = write(tmp_path / "notes.txt", text(market("AAA-EUR")))
    with pytest.raises(SystemExit, match=rf"^replay: '{path}' .*recording.*$"):
        dataflow.replay(str(path))
