"""The contenders that go through Bytewax, and the floor: what the engine and the decoding alone cost.

Each answers, for a file of frames, with a function that runs it once.
"""

import re
from pathlib import Path

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import run_main

from dataflow import replay
from orderbook.coinbase.messages import Message
from orderbook.recording.source import RecordingSource
from orderbook.shutdown import Ending
from tests.benchmarks import tutorial
from tests.benchmarks.child import Run, stdout_of
from tests.benchmarks.frames import Told

LINE = re.compile(
    r"\('([^']+)', \w+\(bid_price=(\S+), bid_size=(\S+), ask_price=(\S+), ask_size=(\S+), spread="
)


def ours(path: Path, min_spread: float = 0.0001) -> Run:
    """This dataflow, as `replay` builds it."""
    return lambda: run_main(replay(str(path), min_spread))


def ours_every_line(path: Path) -> Run:
    """The same with a threshold that lets every summary pass, so each becomes a line."""
    return ours(path, -1)


def tutorials_way(path: Path) -> Run:
    """The tutorial's way."""
    return lambda: run_main(tutorial.dataflow(tutorial.File(path)))


def floor(path: Path) -> Run:
    """Our source and decoder, a stateful step that does nothing, a sink that does nothing."""
    return lambda: run_main(_floor(path))


def told(run: Run) -> list[Told]:
    """What a run tells on stdout."""
    matches = (LINE.match(line) for line in stdout_of(run))
    return [(m[1], (float(m[2]), float(m[3]), float(m[4]), float(m[5]))) for m in matches if m]


def _floor(path: Path) -> Dataflow:
    flow = Dataflow("floor")
    messages = op.input("input", flow, RecordingSource(str(path), Ending()))
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
