"""Writer of recordings: a disk that is slow, hangs or is full holds up nobody but the recordings."""

import logging
from pathlib import Path

from pytest import LogCaptureFixture as Log

from orderbook.recording.recorder import Recorder
from orderbook.recording.writer import ATTEMPT_INTERVAL, CHECK_INTERVAL, SLOW, Writer
from tests.support.clock import Clock
from tests.support.recordings import ARRIVAL, HangingDisk, gap, limited_files, logged, market, text
from tests.support.waiting import DEADLINE, wait_until

PRODUCTS = ("BTC-USD", "ETH-USD", "BTC-EUR", "ETH-EUR")
SNAPSHOT, *UPDATES = FRAMES = market("BTC-USD", updates=20)
INTERVAL = 0.01


def record(recorder: Recorder, *frames: bytes) -> None:
    """Give a recorder these frames, and wait until they are in its file."""
    expected = recorder.path.read_bytes() + text(frames)
    for frame in frames:
        if b"disconnect" not in frame:  # it makes that itself
            recorder.write(frame, ARRIVAL, frame is SNAPSHOT)
    wait_until(lambda: recorder.path.read_bytes() == expected)


def test_recordings_of_a_process(tmp_path: Path) -> None:
    """Each product's frames are in its own file, in order; a writer whose recordings are over begins anew."""
    writer = Writer(str(tmp_path), interval=INTERVAL)
    for part in (FRAMES[:9], FRAMES[9:]):
        recorders = [writer.open(product) for product in PRODUCTS]
        for frame in part:
            for recorder in recorders:
                recorder.write(frame, ARRIVAL, frame is SNAPSHOT)
        writer.close(recorders[:1], DEADLINE)
        writer.close(timeout=DEADLINE)
    for recorder in recorders:
        another = gap(recorder.product_id, "another run has recorded this far")
        assert recorder.path.read_bytes() == text([*FRAMES[:9], another, *FRAMES[9:]])


def test_hanging_disk(tmp_path: Path, caplog: Log) -> None:
    """Frames that come while the disk hangs wait in memory; that it hangs is logged once."""
    disk, clock = HangingDisk(), Clock()
    writer = Writer(str(tmp_path), open_file=disk.open, interval=INTERVAL, clock=clock)
    recorder = writer.open("BTC-USD")
    recorder.write(SNAPSHOT, ARRIVAL, True)
    assert disk.reached.wait(DEADLINE)
    for update in UPDATES:
        recorder.write(update, ARRIVAL, False)
    writer.watch()
    assert logged(caplog) == []
    clock.now += SLOW + 1
    writer.watch()
    writer.watch()
    disk.goes_on.set()
    wait_until(lambda: recorder.path.read_bytes() == text(FRAMES))
    writer.close(timeout=DEADLINE)
    assert logged(caplog) == [("WARNING", "the disk has not answered for 6 s; what comes waits in memory")]


def test_close_does_not_wait_for_a_disk_that_hangs(tmp_path: Path, caplog: Log) -> None:
    """The end of a run waits for no disk for long; what is not recorded is logged, once."""
    disk = HangingDisk()
    writer = Writer(str(tmp_path), open_file=disk.open, interval=INTERVAL)
    recorder = writer.open("BTC-USD")
    recorder.write(SNAPSHOT, ARRIVAL, True)
    assert disk.reached.wait(DEADLINE)
    recorder.write(UPDATES[0], ARRIVAL, False)
    writer.close([recorder], timeout=0.01)
    writer.close()  # as at the exit of the process
    [thread] = disk.threads
    assert thread.daemon, "the interpreter would wait for it"
    assert logged(caplog) == [
        ("ERROR", f"recordings end without the last that came: {recorder.path} (2 frames)")
    ]
    disk.goes_on.set()
    thread.join(DEADLINE)


def test_interruptions_of_all_are_one_line(tmp_path: Path, caplog: Log) -> None:
    """One cause that interrupts all recordings is logged once; they go on one by one, not all at once."""
    caplog.set_level(logging.INFO)
    clock, folder = Clock(), tmp_path / "today"
    writer = Writer(str(folder), interval=INTERVAL, clock=clock)
    recorders = [writer.open(product) for product in PRODUCTS]
    for recorder in recorders:
        record(recorder, SNAPSHOT, UPDATES[0])
    folder.rename(tmp_path / "yesterday")
    assert not any(recorder.is_interrupted for recorder in recorders)
    clock.now += CHECK_INTERVAL
    wait_until(lambda: all(recorder.is_interrupted for recorder in recorders))
    for remaining in range(len(recorders), 0, -1):
        [requested] = wait_until(lambda: [recorder for recorder in recorders if recorder.take_request()])
        record(requested, gap(requested.product_id), SNAPSHOT)
        assert not any(recorder.take_request() for recorder in recorders)
        assert sum(recorder.is_interrupted for recorder in recorders) == remaining - 1
        clock.now += ATTEMPT_INTERVAL
    writer.close(timeout=DEADLINE)
    [(level, interrupted), *resumed] = logged(caplog)
    names = ", ".join(str(recorder.path) for recorder in recorders[:3])
    assert level == "WARNING"
    assert interrupted == f"{names} and 1 more: the recording is interrupted: it was removed or renamed"
    assert len(resumed) == len(recorders)


def test_full_disk(tmp_path: Path, caplog: Log) -> None:
    """A disk that is full is an ERROR with file and reason; at the end it is logged how much is missing."""
    writer = Writer(str(tmp_path), interval=INTERVAL)
    recorder = writer.open("BTC-USD")
    record(recorder, SNAPSHOT)
    with limited_files(recorder.path.stat().st_size):
        recorder.write(UPDATES[0], ARRIVAL, False)
        wait_until(lambda: recorder.is_interrupted)
        recorder.write(UPDATES[1], ARRIVAL, False)
        writer.close(timeout=DEADLINE)
    assert recorder.path.read_bytes() == text([SNAPSHOT])
    assert logged(caplog) == [
        ("ERROR", f"{recorder.path}: the recording is interrupted: File too large"),
        ("ERROR", f"recordings end without the last that came: {recorder.path} (2 frames)"),
    ]
