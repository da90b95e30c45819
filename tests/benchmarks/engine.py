"""Contenders that go through Bytewax, and the floor: the cost of the engine and of decoding alone.

Each takes a file of frames and returns a function that runs it once.
"""

import re
from pathlib import Path
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import run_main

from dataflow import replay
from orderbook.coinbase.messages import Message
from orderbook.recording.source import RecordingSource
from orderbook.shutdown import Shutdown
from tests.benchmarks import tutorial
from tests.benchmarks.child import Run, stdout_of
from tests.benchmarks.frames import Top

LINE = re.compile(
    r"\('([^']+)', \w+\(bid_price=(\S+), bid_size=(\S+), ask_price=(\S+), ask_size=(\S+), spread="
)


def ours(path: Path, min_spread: float = 0.0001) -> Run:
    """This dataflow, as `replay` builds it."""
    return lambda: run(replay(str(path), min_spread))


def ours_every_line(path: Path) -> Run:
    """The same with a threshold that lets every summary pass, so each becomes a line."""
    return ours(path, -1)


def tutorials_way(path: Path) -> Run:
    """The tutorial's way."""
    return lambda: run(tutorial.dataflow(tutorial.File(path)))


def floor(path: Path) -> Run:
    """Our source and decoder, a stateful step that does nothing, a sink that does nothing."""
    return lambda: run(_floor(path))


def run(flow: Dataflow, **options: Any) -> None:
    """Run a dataflow to its end, in this process and thread."""
    run_main(flow, **options)  # type: ignore[no-untyped-call]


def tops(contender: Run) -> list[Top]:
    """The tops of books that a run prints on stdout."""
    matches = (LINE.match(line) for line in stdout_of(contender))
    return [(m[1], (float(m[2]), float(m[3]), float(m[4]), float(m[5]))) for m in matches if m]


def _floor(path: Path) -> Dataflow:
    flow = Dataflow("floor")
    messages = op.input("input", flow, RecordingSource(str(path), Shutdown()))
    op.output("out", op.stateful_map("nothing", messages, _nothing), _Nowhere())
    return flow


def _nothing(state: bool | None, message: Message) -> tuple[bool, None]:
    return True, None


class _Nowhere(DynamicSink[object]):
    def build(self, step_id: str, worker_index: int, worker_count: int) -> "_NowherePartition":
        return _NowherePartition()


class _NowherePartition(StatelessSinkPartition[object]):
    def write_batch(self, items: list[object]) -> None:
        pass
