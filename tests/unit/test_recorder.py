"""Recorder of a product: what is recorded is what came, or the gap is logged and a snapshot follows it."""

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest import LogCaptureFixture as Log

from orderbook.recording.backlog import Backlog
from orderbook.recording.recorder import RETRY_DELAY, SNAPSHOT_INTERVAL, Recorder
from tests.support.clock import Clock
from tests.support.recordings import ARRIVAL, gap, limited_files, logged, market, text

SNAPSHOT, *UPDATES = FRAMES = market("BTC-USD", updates=20)
GAP = gap("BTC-USD")


class Recorded:
    """A recorder whose both threads are the test."""

    def __init__(self, folder: Path, limit: int = 2**20) -> None:
        self.clock = Clock(1000.0)
        self.limit, self.backlog = limit, Backlog(limit)
        self.recorder = Recorder(str(folder), "BTC-USD", self.backlog, clock=self.clock)
        self.path = self.recorder.path

    def give(self, *frames: bytes) -> None:
        """Give it these frames."""
        for frame in frames:
            self.recorder.write(frame, ARRIVAL, frame is SNAPSHOT)

    def record(self, *frames: bytes) -> None:
        """Give it these frames, and have them written."""
        self.give(*frames)
        self.recorder.write_out()

    def end(self) -> bytes:
        """Have it end; what is recorded."""
        self.recorder.end()
        self.recorder.write_out()
        assert self.recorder.ended
        assert self.backlog.reserve(self.limit), "not all room was given back"
        self.backlog.release(self.limit)
        return self.path.read_bytes() if self.path.exists() else b""


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[Recorded]:
    """A recorder in a folder of its own."""
    recorded = Recorded(tmp_path / "today")
    yield recorded
    recorded.end()


def test_frames_until_the_end(recorded: Recorded) -> None:
    """All frames that come before the end are recorded, in order, and no later one; a folder is made."""
    recorded.record(*FRAMES[:5])
    recorded.give(*FRAMES[5:9])
    recorded.recorder.end()
    recorded.give(*FRAMES[9:])
    assert recorded.end() == text(FRAMES[:9])
    assert recorded.recorder.unwritten == 0


def test_file_of_an_earlier_run(tmp_path: Path, caplog: Log) -> None:
    """A line says where another run goes on; a truncated one is removed with a warning: file and bytes."""
    (tmp_path / "BTC-USD.jsonl").write_bytes(text(FRAMES) + text(UPDATES)[:30])
    recorded = Recorded(tmp_path)
    [(level, message)] = logged(caplog)
    assert level == "WARNING"
    assert str(recorded.path) in message and " 30 bytes" in message
    recorded.give(SNAPSHOT, UPDATES[0])
    other = gap("BTC-USD", "another run has recorded this far")
    assert recorded.end() == text([*FRAMES, other, SNAPSHOT, UPDATES[0]])


def rename(path: Path) -> None:
    path.rename(path.with_suffix(".1"))


def truncate(path: Path) -> None:
    os.truncate(path, 0)


def remove_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


@pytest.mark.parametrize("harm", [rename, truncate, remove_folder])
def test_lost_file_is_begun_anew(recorded: Recorded, caplog: Log, harm: Callable[[Path], None]) -> None:
    """A recording whose file is gone or truncated asks for a snapshot, and begins the file with it."""
    caplog.set_level(logging.INFO)
    recorded.record(*FRAMES[:5])
    harm(recorded.path)
    recorded.give(*FRAMES[5:7])  # still on their way
    with pytest.raises(OSError):
        recorded.recorder.check()
    assert recorded.recorder.is_interrupted
    recorded.record(*FRAMES[7:9])
    recorded.clock.now += 1
    recorded.recorder.try_again()
    assert recorded.recorder.take_request() == recorded.clock.now
    assert recorded.recorder.take_request() is None
    recorded.record(*FRAMES[9:10])
    assert recorded.path.read_bytes() == b""
    recorded.clock.now += 1
    recorded.record(SNAPSHOT, *UPDATES[:3])
    assert not recorded.recorder.is_interrupted
    assert logged(caplog) == [("INFO", f"{recorded.path}: goes on after 2.0 s, 5 frames are missing")]
    assert recorded.end() == text([GAP, SNAPSHOT, *UPDATES[:3]])


def test_snapshot_that_comes_by_itself(recorded: Recorded) -> None:
    """An interrupted recording goes on with the next snapshot, also with one that nobody asked for."""
    recorded.record(*FRAMES[:5])
    rename(recorded.path)
    with pytest.raises(OSError):
        recorded.recorder.check()
    recorded.give(*FRAMES[5:7])
    recorded.record(SNAPSHOT, UPDATES[0])
    recorded.recorder.try_again()  # as it was to be, before the snapshot came
    assert recorded.recorder.take_request() is None
    recorded.record(UPDATES[1])
    assert recorded.end() == text([GAP, SNAPSHOT, *UPDATES[:2]])


def test_full_disk(recorded: Recorded, caplog: Log) -> None:
    """A disk that stays full is tried every few seconds, without a word or a request, until it has room.

    What is recorded before and after it are whole lines, and the rest begins with a snapshot.
    """
    caplog.set_level(logging.INFO)
    recorded.record(*FRAMES[:5])
    with limited_files(recorded.path.stat().st_size + 200):
        recorded.give(*FRAMES[5:9])
        with pytest.raises(OSError, match="File too large"):
            recorded.recorder.write_out()
        before = recorded.path.read_bytes()
        for _ in range(10):
            recorded.recorder.try_again()
            assert recorded.recorder.due == recorded.clock.now + RETRY_DELAY
            recorded.clock.now = recorded.recorder.due
            recorded.record(SNAPSHOT, UPDATES[0])  # another connection's, which the disk doesn't take either
            assert recorded.recorder.is_interrupted
            assert recorded.recorder.take_request() is None
    recorded.recorder.try_again()
    assert recorded.recorder.take_request() == recorded.clock.now
    recorded.record(SNAPSHOT, *UPDATES[:3])
    first, *others = recorded.end().removeprefix(before).split(text([SNAPSHOT]))
    assert set(first.splitlines(True)) == {text([GAP])}  # some are taken while no snapshot is
    assert others == [text(UPDATES[:3])]
    whole = before.count(b"\n")
    assert before == text(FRAMES[:whole])
    missing = 9 - whole + 20
    assert logged(caplog) == [
        ("INFO", f"{recorded.path}: goes on after 30.0 s, {missing} frames are missing")
    ]


def test_each_reason_is_raised_once(recorded: Recorded) -> None:
    """A reason that is not the last one is raised too: it may need another hand."""
    recorded.record(*FRAMES[:5])
    with limited_files(10), pytest.raises(OSError, match="File too large"):
        recorded.record(*FRAMES[5:9])
    shutil.rmtree(recorded.path.parent)
    recorded.path.parent.write_text("in the way of the folder")
    with pytest.raises(OSError, match="File exists"):
        recorded.recorder.try_again()
    recorded.recorder.try_again()


def test_snapshots_are_asked_for_seldom(recorded: Recorded) -> None:
    """After a request, the next is due later than the feed would replace the connection for it."""
    recorded.record(*FRAMES[:5])
    for _ in range(3):
        assert recorded.recorder.due <= recorded.clock.now
        rename(recorded.path)
        with pytest.raises(OSError):
            recorded.recorder.check()
        recorded.recorder.try_again()
        assert recorded.recorder.take_request() == recorded.clock.now
        recorded.record(SNAPSHOT)
        assert recorded.recorder.due == recorded.clock.now + SNAPSHOT_INTERVAL
        recorded.clock.now += SNAPSHOT_INTERVAL


def test_full_backlog(tmp_path: Path, caplog: Log) -> None:
    """Frames beyond what may wait are dropped, up to a snapshot that there is room for; it is logged once."""
    caplog.set_level(logging.INFO)
    recorded = Recorded(tmp_path, limit=len(text([*FRAMES[:6], GAP, SNAPSHOT])))
    recorded.give(*FRAMES, *UPDATES, SNAPSHOT)
    assert recorded.recorder.is_interrupted
    recorded.recorder.write_out()
    first = recorded.path.read_bytes()
    assert 6 <= first.count(b"\n") < len(FRAMES) and text(FRAMES).startswith(first)
    recorded.record(*UPDATES[:2])
    assert recorded.path.read_bytes() == first
    assert recorded.backlog.has_room
    recorded.recorder.try_again()
    assert recorded.recorder.take_request() is not None
    recorded.record(SNAPSHOT, *UPDATES[:2])
    assert recorded.end() == first + text([GAP, SNAPSHOT, *UPDATES[:2]])
    missing = len(FRAMES) + len(UPDATES) + 1 - first.count(b"\n") + 2
    levels, messages = zip(*logged(caplog), strict=True)
    assert levels == ("ERROR", "INFO")
    assert messages[0].startswith("the disk is too slow: ")
    assert messages[1] == f"{recorded.path}: goes on after 0.0 s, {missing} frames are missing"


def test_end_of_an_interrupted_recording(recorded: Recorded) -> None:
    """A recording that ends interrupted knows how many frames it lacks, and is not begun anew."""
    recorded.record(*FRAMES[:5])
    rename(recorded.path)
    with pytest.raises(OSError):
        recorded.recorder.check()
    recorded.give(*FRAMES[5:9])
    assert recorded.end() == b""
    recorded.recorder.try_again()  # as the writer may, in its last round
    assert not recorded.path.exists()
    assert recorded.recorder.unwritten == 4
