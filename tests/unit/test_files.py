"""Output into files, as the dataflow uses it: beside it, for all workers, from its begin to its end."""

import logging
import time
from pathlib import Path

from pytest import LogCaptureFixture as Log

from orderbook.output.files import CLOSE_TIMEOUT, FileSink
from orderbook.output.spooler import Limits
from orderbook.shutdown import Shutdown
from tests.support.clock import Clock
from tests.support.recordings import limited_files, logged
from tests.support.rows import files, ids, spooler, spools, trades
from tests.support.waiting import wait_until


def test_workers_share_files(tmp_path: Path) -> None:
    """Rows of all workers are in the files when the last of these ends, each product's in order."""
    sink = FileSink(str(tmp_path), "csv", Shutdown(), waits=False)
    first, second = (sink.build("files", worker, 2) for worker in range(2))
    for at in range(0, 100, 10):
        first.write_batch(trades(at, 10))
        second.write_batch(trades(1_000 + at, 10, symbol="ETH-USD"))
    first.close()
    second.write_batch(trades(1_100, 10, symbol="ETH-USD"))
    second.close()
    assert ids(tmp_path) == [str(number) for number in (*range(100), *range(1_000, 1_110))]
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
    assert (sink.rows, sink.dropped) == ({"trades": 210}, {})


def test_next_run_finishes_files(tmp_path: Path) -> None:
    """A run finishes what an earlier one has left behind, also where it has no row itself."""
    crashed, backlog = spooler(tmp_path, limits=Limits(flush_interval=0))
    backlog.add(trades(0, 2))
    crashed.turn()
    crashed.close()  # as the kernel does: it only unlocks
    FileSink(str(tmp_path), "csv", Shutdown(), waits=False).build("files", 0, 1).close()
    assert ids(tmp_path) == ["0", "1"]


def test_live_run_does_not_wait(tmp_path: Path, caplog: Log) -> None:
    """With a disk that takes nothing a live run goes on and ends, and says how many rows are lost."""
    folder = tmp_path / "data"
    folder.write_text("a file is in its place")
    sink = FileSink(str(folder), "csv", Shutdown(), waits=False, limits=Limits(memory=10_000))
    partition = sink.build("files", 0, 1)
    for at in range(1_000):
        partition.write_batch(trades(at, 1))
    before = sink.dropped.total()
    assert 0 < before < 1_000
    began = time.monotonic()
    partition.close()
    assert time.monotonic() - began < CLOSE_TIMEOUT / 2
    assert sink.dropped == {"trades": 1_000}
    assert ("ERROR", f"the last {1_000 - before} rows are not written: Not a directory") in logged(caplog)


def test_live_run_goes_on_by_itself(tmp_path: Path, caplog: Log) -> None:
    """When the disk takes rows again, those that wait are written without anybody's help."""
    clock, folder = Clock(), tmp_path / "data"
    folder.write_text("a file is in its place")
    sink = FileSink(str(folder), "csv", Shutdown(), waits=False, limits=Limits(flush_interval=0), clock=clock)
    partition = sink.build("files", 0, 1)
    partition.write_batch(trades(0, 2))
    wait_until(lambda: logged(caplog))
    folder.unlink()
    clock.now += 3
    wait_until(lambda: sink.rows == {"trades": 2})
    assert len(spools(folder)) == 1
    partition.close()
    assert ids(folder) == ["0", "1"]


def test_replay_waits(tmp_path: Path) -> None:
    """A replay that is faster than the disk drops nothing, however little memory there is."""
    limits = Limits(memory=2_000, size=20_000)
    sink = FileSink(str(tmp_path), "csv", Shutdown(resumable=True), waits=True, limits=limits)
    partition = sink.build("files", 0, 1)
    for at in range(0, 5_000, 10):
        partition.write_batch(trades(at, 1, each=10))
    partition.close()
    assert ids(tmp_path) == [str(number) for number in range(5_000)]
    assert sink.dropped == {}


def test_replay_that_is_shut_down_waits_no_more(tmp_path: Path, caplog: Log) -> None:
    """A replay that waits for a full disk can be ended, and says what is lost."""
    caplog.set_level(logging.INFO)
    shutdown = Shutdown()
    sink = FileSink(str(tmp_path), "csv", shutdown, waits=True, limits=Limits(memory=1_000))
    partition = sink.build("files", 0, 1)
    with limited_files(0):
        partition.write_batch(trades(0, 1, each=100))
        wait_until(lambda: logged(caplog))
        shutdown.request(130)
        began = time.monotonic()
        partition.write_batch(trades(0, 10, each=100))
        partition.close()
        assert time.monotonic() - began < CLOSE_TIMEOUT / 2
    assert shutdown.code == 130
    assert sink.dropped == {"trades": 1_100}
    assert files(tmp_path) == []
    assert logged(caplog)[-1] == ("ERROR", "the last 100 rows are not written: File too large")
