"""Recorder: what is recorded is what came, line by line, whatever happens to disk and process."""

import re
import resource
import signal
from pathlib import Path

import pytest
from pytest import LogCaptureFixture as Log

from orderbook.coinbase.exchange import decode
from orderbook.recording.recorder import Recorder
from tests.exchange.market import Market
from tests.support.recordings import logged, text

MARKET = Market("BTC-USD", 1, levels=20, mid=600, spread_ticks=8, gap_ticks=4, clock=lambda: 0.0)
FRAMES = [MARKET.snapshot(), *(MARKET.update() for _ in range(20)), MARKET.heartbeat()]


def test_recorder_appends_frames_in_order(tmp_path: Path) -> None:
    """Each frame is a line, raw and in order; a frame after the close is not recorded, and no error."""
    for frames in (FRAMES[:10], FRAMES[10:]):
        recorder = Recorder(str(tmp_path), "BTC-USD")
        for frame in frames:
            recorder.write(frame)
        recorder.close()
        recorder.write(FRAMES[0])
        recorder.close()
    assert (tmp_path / "BTC-USD.jsonl").read_bytes() == text(FRAMES)


@pytest.mark.parametrize("whole", [FRAMES, []], ids=["lines", "no line"])
@pytest.mark.parametrize("size", [0, 1, 80, 200_000])  # the last is more than what is read at once
def test_opening_removes_a_truncated_line(tmp_path: Path, caplog: Log, whole: list[bytes], size: int) -> None:
    """A crash may truncate the last line; opening the file again removes that line alone, with a warning."""
    path = tmp_path / "BTC-USD.jsonl"
    path.write_bytes(text(whole) + b"[" * size)
    Recorder(str(tmp_path), "BTC-USD").close()
    assert path.read_bytes() == text(whole)
    assert [level for level, _ in logged(caplog)] == (["WARNING"] if size else [])
    assert all(str(path) in message and f" {size} " in message for _, message in logged(caplog))


def test_second_recorder_of_a_file_is_refused(tmp_path: Path) -> None:
    """A file has one recorder at a time, since two runs would mix their streams; the second is refused."""
    first = Recorder(str(tmp_path), "BTC-USD")
    first.write(FRAMES[0])
    with pytest.raises(OSError, match=re.escape(str(first.path))):
        Recorder(str(tmp_path), "BTC-USD")
    Recorder(str(tmp_path), "ETH-USD").close()
    first.write(FRAMES[1])
    first.close()
    Recorder(str(tmp_path), "BTC-USD").close()
    assert first.path.read_bytes() == text(FRAMES[:2])


def test_frame_with_newlines_stays_one_line(tmp_path: Path) -> None:
    """A frame with newlines, which are white space in JSON, is recorded as one line of the same meaning."""
    frame = FRAMES[0].replace(b",", b",\n").replace(b":[", b":\r\n[")
    recorder = Recorder(str(tmp_path), "BTC-USD")
    recorder.write(frame)
    recorder.close()
    recorded = recorder.path.read_bytes()
    assert recorded.count(b"\n") == 1
    assert decode(recorded) == decode(frame) == decode(FRAMES[0])


def test_full_disk_ends_a_recording_at_a_whole_line(tmp_path: Path, caplog: Log) -> None:
    """A disk that takes half a frame ends the recording at its last whole line, with one error in the log."""
    recorder = Recorder(str(tmp_path), "BTC-USD")
    recorder.write(FRAMES[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The kernel's own way to refuse a write in its middle, as a full disk does.
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(FRAMES[0]) + 20, hard))
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        for frame in FRAMES[1:4]:
            recorder.write(frame)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    recorder.write(FRAMES[4])
    assert recorder.path.read_bytes() == text(FRAMES[:1])
    [(level, message)] = logged(caplog)
    assert level == "ERROR"
    assert str(recorder.path) in message
