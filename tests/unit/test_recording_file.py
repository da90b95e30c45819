"""File of a recording: whole lines of what came, whatever happens to disk and process."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from orderbook.coinbase.exchange import decode
from orderbook.printable import printable
from orderbook.recording.file import Changed, RecordingFile, lock
from tests.support.recordings import limited_files, market

FRAMES = market("BTC-USD", updates=20)


def joined(lines: list[bytes]) -> bytes:
    """The lines as they stand in a file."""
    return b"".join(line + b"\n" for line in lines)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the recording is, in a folder of its own."""
    folder = tmp_path / "today"
    folder.mkdir()
    return folder / "BTC-USD.jsonl"


def test_frames_are_appended_in_order(path: Path) -> None:
    """Each frame is a line, raw and in order, behind those of an earlier recording."""
    for frames in (FRAMES[:10], FRAMES[10:]):
        file = RecordingFile(path)
        left = list(frames)
        file.append(left)
        assert left == []
        file.close()
    assert path.read_bytes() == joined(FRAMES)


def test_more_frames_than_one_write_takes(path: Path) -> None:
    """Frames of several MiB, as they wait after a stall, are appended whole and in order."""
    file = RecordingFile(path)
    file.append(FRAMES * 2_000)
    file.check()
    file.close()
    assert path.read_bytes() == joined(FRAMES * 2_000)


def test_frame_with_newlines_stays_one_line(path: Path) -> None:
    """A frame with newlines, which are white space in JSON, is recorded as one line of the same meaning."""
    frame = FRAMES[0].replace(b",", b",\n").replace(b":[", b":\r\n[")
    file = RecordingFile(path)
    file.append([frame])
    file.close()
    recorded = path.read_bytes()
    assert recorded.count(b"\n") == 1
    assert decode(recorded) == decode(frame) == decode(FRAMES[0])


@pytest.mark.parametrize("whole", [FRAMES, []], ids=["lines", "no line"])
@pytest.mark.parametrize("size", [0, 1, 80, 200_000])  # the last is more than what is read at once
def test_opening_removes_a_truncated_line(path: Path, whole: list[bytes], size: int) -> None:
    """A crash may truncate the last line; opening the file again removes that line alone."""
    path.write_bytes(joined(whole) + b"[" * size)
    file = RecordingFile(path)
    file.close()
    assert path.read_bytes() == joined(whole)
    assert file.truncated == size


def test_second_recorder_of_a_file_is_refused(path: Path) -> None:
    """A file has one recorder at a time, since two runs would mix their streams; the second is refused."""
    first = RecordingFile(path)
    first.append(FRAMES[:1])
    with pytest.raises(OSError, match=f"^{re.escape(str(path))} is being recorded to already$"):
        RecordingFile(path)
    RecordingFile(path.with_name("ETH-USD.jsonl")).close()
    first.append(FRAMES[1:2])
    first.close()
    RecordingFile(path).close()
    assert path.read_bytes() == joined(FRAMES[:2])


def test_lock_that_can_not_be_had_says_why(path: Path) -> None:
    """A file that can't be locked is refused with the true reason, and not as one that has a recorder."""
    unlockable = os.open(path.parent, os.O_PATH)
    try:
        with pytest.raises(OSError, match=r"can't be locked: Bad file descriptor$"):
            lock(unlockable, path)
    finally:
        os.close(unlockable)


def test_full_disk_leaves_whole_lines(path: Path) -> None:
    """A disk that takes a part of a frame keeps the whole lines before it; the rest stays to be written."""
    file, left = RecordingFile(path), list(FRAMES)
    size = len(joined(FRAMES[:5]))
    with limited_files(size + 20), pytest.raises(OSError, match="File too large"):
        file.append(left)
    assert path.read_bytes() == joined(FRAMES[:5])
    assert left == FRAMES[5:]
    file.append(left)
    file.close()
    assert path.read_bytes() == joined(FRAMES)


def test_truncated_file_on_a_full_disk_is_not_lengthened(path: Path) -> None:
    """Where another program has truncated the file, no bytes that nobody wrote appear in it."""
    file = RecordingFile(path)
    file.append(FRAMES[:10])
    os.truncate(path, 0)
    with limited_files(len(FRAMES[10]) + 20), pytest.raises(OSError, match="File too large"):
        file.append(FRAMES[10:])
    file.close()
    assert path.read_bytes() == joined(FRAMES[10:11])


def replace(path: Path) -> None:
    path.rename(path.with_suffix(".1"))
    path.touch()


def copy_and_truncate(path: Path) -> None:
    shutil.copy(path, path.with_suffix(".1"))
    os.truncate(path, 0)


HARMS: dict[str, Callable[[Path], object]] = {
    "removed": lambda path: path.unlink(),
    "renamed": lambda path: path.rename(path.with_suffix(".1")),
    "folder removed": lambda path: shutil.rmtree(path.parent),
    "folder renamed": lambda path: path.parent.rename(path.parent.with_suffix(".1")),
    "replaced": replace,
    "copied and truncated": copy_and_truncate,
    "appended to": lambda path: path.write_bytes(path.read_bytes() + b"\n"),
}


@pytest.mark.parametrize("harm", HARMS)
def test_change_by_another_program_is_seen(path: Path, harm: str) -> None:
    """A file that is gone, another or not as it was left is seen as such, and an intact one is not."""
    file = RecordingFile(path)
    file.append(FRAMES[:10])
    file.check()
    HARMS[harm](path)
    with pytest.raises(Changed):
        file.check()
    file.close()


def test_check_of_the_room_leaves_no_trace(path: Path) -> None:
    """Whether the disk has room is tried out, and the file is afterwards as it was, whatever the answer."""
    file = RecordingFile(path)
    file.append(FRAMES[:10])
    size = path.stat().st_size
    file.check_room(200_000)
    with limited_files(size + 1_000), pytest.raises(OSError, match="File too large"):
        file.check_room(200_000)
    file.check()
    file.close()
    assert path.read_bytes() == joined(FRAMES[:10])


@pytest.mark.parametrize(
    ("name", "shown"),
    [("BTC-USD", "BTC-USD"), ("Bücher", "Bücher"), ("a\x1b[2J\nb", "a\\x1b[2J\\nb"), ("\udcff", "\\udcff")],
)
def test_printable(name: str, shown: str) -> None:
    """What may come from outside is one line without control characters, and else as it is."""
    assert printable(name) == shown
