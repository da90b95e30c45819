"""Replays with recovery, ended before their end and started again: no line is lost, none is wrong."""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.stress.kill import DURATION, attempt, check, kill_and_resume, record
from tests.support.live import end
from tests.support.pipe import Pipe
from tests.support.processes import ROOT, run, start

Recordings = tuple[Path, dict[str, list[str]]]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    """A folder of recordings, and the lines that they must bring."""
    folder = tmp_path_factory.mktemp("recordings")
    return folder, record(folder, seed=1)


def replay(folder: Path, recovery: Path) -> list[str]:
    """The arguments of a replay with recovery."""
    return [f"dataflow:replay({str(folder)!r}, min_spread=-1)", "-r", str(recovery), "-s", "1", "-b", "0"]


@pytest.mark.parametrize("seed", [4, 9, 23])
def test_killed(seed: int, recordings: Recordings) -> None:
    """A replay that is killed at any moment and resumed, by any number of workers, loses no line."""
    folder, expected = recordings
    print(kill_and_resume(folder, expected, seed, kills=1))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ended_by_a_signal(number: int, recordings: Recordings, tmp_path: Path) -> None:
    """A replay that a signal ends in the middle exits with 128 + its number; resumed, it misses no line."""
    folder, expected = recordings
    size = sum(len(line) + 1 for listed in expected.values() for line in listed)
    run([str(tmp_path), "2"], module="bytewax.recovery")
    code, begun = attempt(replay(folder, tmp_path), size, Random(number).uniform(0, DURATION / 2), number)
    assert code == 128 + number
    assert 0 < len(begun) < size
    code, resumed = attempt(replay(folder, tmp_path), size)
    assert code == 0
    print(check(expected, [begun, resumed]))


def test_ended_while_nobody_reads(recordings: Recordings, tmp_path: Path) -> None:
    """A signal ends a replay whose reader stands still; resumed, it prints what the reader did not get."""
    folder, expected = recordings
    run([str(tmp_path), "2"], module="bytewax.recovery")
    pipe = Pipe()
    with start(replay(folder, tmp_path), stdout=pipe.writer) as process:
        pipe.wait_until_full()
        end(process, code=130)
    pipe.read_all()
    begun = pipe.close().decode()
    resumed = run(replay(folder, tmp_path))
    assert resumed.code == 0
    check(expected, [begun, resumed.stdout])


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recording and with the recovery folder of a replay that has come to its end."""
    folder = tmp_path_factory.mktemp("used")
    for name in ("recordings", "recovery"):
        folder.joinpath(name).mkdir()
    shutil.copy(ROOT / "tests/recordings/BTC-EUR.jsonl", folder / "recordings")
    run([str(folder / "recovery"), "2"], module="bytewax.recovery")
    assert run(replay(folder / "recordings", folder / "recovery")).lines
    return folder


def test_at_its_end(used: Path) -> None:
    """A replay that has come to its end prints nothing when it is resumed."""
    again = run(replay(used / "recordings", used / "recovery"))
    assert (again.code, again.stdout) == (0, "")


def truncate(part: Path) -> None:
    part.write_bytes(part.read_bytes()[:5_000])


@pytest.mark.parametrize("workers", ["1", "4"])
@pytest.mark.parametrize(
    ("harm", "complaint"),
    [
        (lambda folder: shutil.rmtree(folder / "recovery"), "does not exist"),
        (lambda folder: [part.unlink() for part in folder.glob("recovery/*")], "No recovery partitions"),
        (lambda folder: Path(folder, "recovery/part-0.sqlite3").unlink(), "Missing recovery partitions"),
        (lambda folder: truncate(folder / "recovery/part-0.sqlite3"), "DatabaseCorrupt"),
        (
            lambda folder: Path(folder, "recordings/BTC-EUR.jsonl").rename(folder / "recordings/x.jsonl"),
            "BTC-EUR.jsonl",
        ),
    ],
    ids=["missing", "empty", "a part is lost", "a part is corrupt", "of other files"],
)
def test_recovery_folder_of_no_use(
    harm: Callable[[Path], object], complaint: str, workers: str, used: Path, tmp_path: Path
) -> None:
    """A recovery folder that can't be used ends the run with code 1, neither silent nor hanging."""
    folder = tmp_path / "copy"
    shutil.copytree(used, folder)
    harm(folder)
    finished = run([*replay(folder / "recordings", folder / "recovery"), "-w", workers])
    assert finished.code == 1
    assert finished.stdout == ""
    assert complaint in finished.stderr
