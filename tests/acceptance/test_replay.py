"""Replays as a user runs them, in a process of their own, whose lines are judged by the naive oracle."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.oracle import lines
from tests.support.pipe import Pipe
from tests.support.processes import Finished, by_product, run, start
from tests.support.recordings import ARRIVAL, RECORDINGS, frames_of, market, text, write

WORKERS = pytest.mark.parametrize("workers", ["1", "4"])
WITHIN = 3.0  # seconds for an end that takes less than one, on a machine that may be busy
BAD = b'{"type":"l2update","product_id":"AAA-EUR","changes":[["buy","12.31","-7"]]}'

Lines = dict[str, list[str]]


def replay(path: Path | str, min_spread: float | None = -1, workers: str = "1") -> Finished:
    """Replay a recording to its end."""
    threshold = "" if min_spread is None else f", min_spread={min_spread}"
    return run([f"dataflow:replay({str(path)!r}{threshold})", "-w", workers])


def above(expected: Lines, min_spread: float) -> Lines:
    """Those lines whose spread is above this fraction of the ask price, products without any left out."""

    def passes(line: str) -> bool:
        ask, spread = (float(number) for number in re.findall(r"(?:ask_price|spread)=([^,)]+)", line))
        return spread / ask > min_spread

    passing = {product: [line for line in every if passes(line)] for product, every in expected.items()}
    return {product: every for product, every in passing.items() if every}


def warnings(finished: Finished) -> list[str]:
    """What was logged beyond INFO."""
    return [line for line in finished.stderr.splitlines() if " INFO " not in line]


@pytest.fixture(scope="module")
def expected_of_capture(capture: Path) -> Lines:
    """The lines of the real capture, for all spreads."""
    return lines(frames_of([capture]))


@WORKERS
def test_capture(capture: Path, expected_of_capture: Lines, workers: str) -> None:
    """A minute of the real feed gives the oracle's line for each snapshot and update, and nothing else."""
    finished = replay(capture, workers=workers)
    assert finished.code == 0
    assert len(finished.lines) == 1_900
    assert finished.by_product == expected_of_capture
    assert warnings(finished) == []


def test_capture_at_a_tenth_of_a_basis_point(capture: Path, expected_of_capture: Lines) -> None:
    """A threshold of 0.1 bp keeps the 34 wider spreads of that minute, and no other."""
    printed = replay(capture, 0.00001).by_product
    assert printed == above(expected_of_capture, 0.00001)
    assert {product: len(every) for product, every in printed.items()} == {"ETH-USD": 30, "BTC-USD": 4}


def test_capture_at_the_default(capture: Path) -> None:
    """At the default threshold that minute prints nothing; the log says that its books are live."""
    finished = replay(capture, None)
    assert (finished.code, finished.stdout) == (0, "")
    assert all(f"INFO {product}: live" in finished.stderr for product in ("BTC-USD", "ETH-USD"))


@WORKERS
def test_recordings(workers: str) -> None:
    """The project's recordings give the oracle's line for each snapshot and update, and nothing else."""
    finished = replay("tests/recordings", workers=workers)
    assert finished.code == 0
    assert finished.by_product == lines(frames_of(RECORDINGS))
    assert warnings(finished) == []


@WORKERS
def test_recordings_at_the_default(workers: str) -> None:
    """A replay without arguments prints those lines of the project's recordings that are above 1 bp."""
    expected = lines(frames_of(RECORDINGS))
    finished = run(["dataflow:replay", "-w", workers])
    assert finished.code == 0
    assert finished.by_product == above(expected, 0.0001)
    assert 0 < len(finished.lines) < sum(map(len, expected.values()))


@WORKERS
def test_bad_line(tmp_path: Path, workers: str) -> None:
    """A bad line ends the replay with `file:line` and exit code 1, once the lines before it are printed."""
    good = market("AAA-EUR", updates=500)
    path = write(tmp_path / "AAA-EUR.jsonl", text([*good, BAD, *good]))
    finished = replay(path, workers=workers)
    assert finished.code == 1
    assert finished.by_product == lines(good)
    (warning,) = warnings(finished)
    assert f"ERROR {path}:{len(good) + 1}: " in warning
    assert "-7" in warning


CYCLE, REPEATS = market("AAA-EUR", updates=2_000), 120


@pytest.fixture(scope="module")
def long_recording(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A recording that takes seconds to replay."""
    path = tmp_path_factory.mktemp("long") / "AAA-EUR.jsonl"
    path.write_bytes(text(CYCLE) * REPEATS)
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def expected_of_long_recording() -> list[str]:
    """The lines of the long recording: they begin anew with each of its snapshots."""
    return lines(CYCLE)["AAA-EUR"] * REPEATS


@WORKERS
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal(
    long_recording: Path, expected_of_long_recording: list[str], number: int, workers: str
) -> None:
    """A signal ends a replay at once with 128 + its number; the log has the line it came to.

    No line is torn, and none is missing before the end.
    """
    expected = expected_of_long_recording
    with start([f"dataflow:replay('{long_recording}', min_spread=-1)", "-w", workers]) as process:
        process.stdout.wait_for(count=1_000)
        process.interrupt(number)
        finished = process.wait(WITHIN)
    assert finished.code == 128 + number
    assert warnings(finished) == []
    assert finished.by_product["AAA-EUR"] == expected[: len(finished.lines)]
    assert 1_000 <= len(finished.lines) < len(expected), "it had come to its own end"
    assert re.search(rf"not to the end: the last lines were {long_recording}:\d+, ", finished.stderr)
    assert f"{len(finished.lines)} lines" in finished.stderr.splitlines()[-1]


@WORKERS
def test_signal_while_nobody_reads(long_recording: Path, workers: str) -> None:
    """A signal ends a replay whose reader stands still; what the reader takes later is whole lines."""
    pipe = Pipe()
    arguments = [f"dataflow:replay('{long_recording}', min_spread=-1)", "-w", workers]
    with start(arguments, stdout=pipe.writer) as process:
        pipe.wait_until_full()
        process.interrupt(signal.SIGTERM)
        finished = process.wait(WITHIN)
    assert finished.code == 128 + signal.SIGTERM
    assert warnings(finished) == []
    pipe.read_all()
    assert len(by_product(pipe.close().decode())["AAA-EUR"]) > 100


@WORKERS
def test_reader_goes_away(long_recording: Path, workers: str) -> None:
    """A reader that goes away, as `head -1` does, ends the replay quietly, with code 0."""
    pipe = Pipe()
    arguments = [f"dataflow:replay('{long_recording}', min_spread=-1)", "-w", workers]
    with start(arguments, stdout=pipe.writer) as process:
        assert os.read(pipe.reader, 12) == b"('AAA-EUR', "
        pipe.close()
        finished = process.wait()
    assert finished.code == 0
    assert warnings(finished) == []


def test_stdout_to_a_file(tmp_path: Path) -> None:
    """A stdout that is a file gets the same lines as a pipe, behind what is in it."""
    frames, output = market("AAA-EUR"), tmp_path / "output"
    path = write(tmp_path / "AAA-EUR.jsonl", text(frames))
    with output.open("wb") as file:
        file.write(b"before\n")
        file.flush()
        finished = run([f"dataflow:replay('{path}', min_spread=-1)", "-w", "4"], stdout=file)
    assert finished.code == 0
    assert output.read_text().splitlines() == ["before", *lines(frames)["AAA-EUR"]]


@WORKERS
def test_full_disk(tmp_path: Path, workers: str) -> None:
    """A stdout that takes no more ends the replay with exit code 1 and the reason in the log."""
    path = write(tmp_path / "AAA-EUR.jsonl", text(market("AAA-EUR")))
    with open("/dev/full", "wb") as full:
        finished = run([f"dataflow:replay('{path}', min_spread=-1)", "-w", workers], stdout=full)
    assert finished.code == 1
    assert "Traceback" not in finished.stderr
    (error,) = warnings(finished)
    assert "ERROR stdout: " in error


def test_recording_without_a_snapshot(tmp_path: Path) -> None:
    """A replay without any snapshot prints nothing, and ends with exit code 1 and the products in the log."""
    _snapshot, *updates = market("AAA-EUR")
    finished = replay(write(tmp_path / "AAA-EUR.jsonl", text(updates)))
    assert (finished.code, finished.stdout) == (1, "")
    assert finished.stderr.count("AAA-EUR: changes before the first snapshot are dropped") == 1
    assert "ERROR no snapshot of AAA-EUR" in finished.stderr.splitlines()[-1]


def test_signal_while_it_waits_for_an_arrival(tmp_path: Path) -> None:
    """At a speed, a signal ends a replay at once, also where nothing is due for an hour."""
    frames = market("AAA-EUR", updates=1)
    lines_of = [b"%d %b\n" % (ARRIVAL + n * 3600 * 10**9, frame) for n, frame in enumerate(frames)]
    path = write(tmp_path / "a.jsonl", b"".join(lines_of))
    with start([f"dataflow:replay('{path}', min_spread=-1, speed=1)"]) as process:
        process.stdout.wait_for(count=1)
        process.interrupt(signal.SIGTERM)
        finished = process.wait(WITHIN)
    assert finished.code == 128 + signal.SIGTERM
    assert finished.by_product["AAA-EUR"] == lines(frames)["AAA-EUR"][:1]


def test_product_that_is_in_no_file() -> None:
    """A chosen product of which nothing was recorded ends the replay with code 1 and one line."""
    finished = run(["dataflow:replay(products='BTC-EUR,XXX-EUR', min_spread=-1)"])
    assert finished.code == 1
    assert finished.by_product.keys() == {"BTC-EUR"}
    [line] = warnings(finished)
    assert "no snapshot of XXX-EUR" in line
