"""Spools: what was appended is there, whatever ends the process or the disk."""

from pathlib import Path

import msgspec
import pytest
from pytest import LogCaptureFixture as Log

from orderbook.output.datasets import dataset
from orderbook.output.spool import Item, Spool, SpoolFolder
from tests.support.recordings import limited_files, logged


def begin(folder: Path) -> tuple[SpoolFolder, Spool]:
    """A spool that has no rows yet, in a folder of its own."""
    own = SpoolFolder.create(folder, "csv")
    return own, own.begin("trades", "BTC-USD", "2026-11-25", "000000", dataset("trades").columns)


def append(spool: Spool, number: int) -> list[Item]:
    """Append a frame of one item; answers what the frame has."""
    item: Item = (number, number + 1, [(str(number), "buy", 100.5, None)])
    spool.append([(msgspec.msgpack.encode(item), 1)])
    return [item]


def test_spool_truncated_anywhere(tmp_path: Path, caplog: Log) -> None:
    """A spool that a crash has truncated at any byte has all whole frames; what is left out is logged."""
    own, spool = begin(tmp_path)
    frames, ends = [], []
    for number in range(3):
        frames.append(append(spool, number))
        ends.append(spool.size)
    whole = spool.path.read_bytes()
    for length in range(len(whole) + 1):
        caplog.clear()
        spool.path.write_bytes(whole[:length])
        opened = Spool.open(spool.path)
        kept = [end for end in ends if end <= length]
        assert (list(opened.frames()) if opened else []) == frames[: len(kept)]
        if left_out := length - kept[-1] if kept else 0:
            text = f"{spool.path}: the last {left_out} bytes are left out, not whole"
            assert logged(caplog) == [("WARNING", text)]
    own.close()


def test_spool_with_a_wrong_byte(tmp_path: Path) -> None:
    """A frame with any byte that is not what was written is left out, and so is what follows it."""
    own, spool = begin(tmp_path)
    first = append(spool, 0)
    before = spool.size
    append(spool, 1)
    whole = spool.path.read_bytes()
    for at in range(before, len(whole)):
        spool.path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert list(spool.frames()) == [first]
    own.close()


def test_append_that_fails(tmp_path: Path) -> None:
    """Where the disk takes a part only, the spool is as before; the next append is whole."""
    own, spool = begin(tmp_path)
    first = append(spool, 0)
    whole = spool.path.read_bytes()
    for room in range(24):
        with limited_files(len(whole) + room), pytest.raises(OSError, match="File too large"):
            append(spool, 1)
        assert spool.path.read_bytes() == whole
    assert [first, append(spool, 2)] == list(spool.frames())
    own.close()


def test_folder_of_a_living_process(tmp_path: Path) -> None:
    """Spools are taken over once their process has given them up, by one process, and not before."""
    own, spool = begin(tmp_path)
    append(spool, 0)
    assert SpoolFolder.left_behind(tmp_path, "csv") == []
    own.close()
    assert SpoolFolder.left_behind(tmp_path, "parquet") == []
    [taken] = SpoolFolder.left_behind(tmp_path, "csv")
    assert SpoolFolder.left_behind(tmp_path, "csv") == []
    assert [found.content for found in taken.spools()] == [spool.content]
    spool.path.unlink()
    taken.close()
    assert list(tmp_path.iterdir()) == []


def test_spool_without_a_row(tmp_path: Path, caplog: Log) -> None:
    """A spool whose process ended in its first append is removed, and so is a file that it did not finish."""
    own, spool = begin(tmp_path)
    append(spool, 0)
    spool.path.write_bytes(spool.path.read_bytes()[:-1])
    spool.path.with_suffix(".tmp").write_bytes(b"half")
    own.close()
    [taken] = SpoolFolder.left_behind(tmp_path, "csv")
    assert taken.spools() == []
    assert [path.name for path in taken.path.iterdir()] == ["lock"]
    assert logged(caplog) == [("WARNING", f"{spool.path}: removed, it ends before its first row")]
    taken.close()
