"""Replays as a user runs them: the whole dataflow in a process of its own, judged by the naive oracle."""

import gzip
import os
import re
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.exchange.market import Market
from tests.support.oracle import lines
from tests.support.processes import ROOT, Finished, by_product, run, start
from tests.support.pipe import Pipe

RECORDINGS = sorted((ROOT / "tests/recordings").glob("*.jsonl*"))
WORKERS = pytest.mark.parametrize("workers", ["1", "4"])
WITHIN = 3.0  # seconds for an end that takes less than one, on a machine that may be busy
BAD = b'{"type":"l2update","product_id":"AAA-EUR","changes":[["buy","12.31","-7"]]}'

Lines = dict[str, list[str]]


def replay(path: Path | str, min_spread: float | None = -1, workers: str = "1", **settings: str) -> Finished:
    """Replay a recording to its end; `settings` are of the environment."""
    threshold = "" if min_spread is None else f", min_spread={min_spread}"
    return run([f"dataflow:replay({str(path)!r}{threshold})", "-w", workers], settings)


def frames_of(paths: Iterable[Path]) -> list[bytes]:
    """All lines of these recordings."""
    opened = (gzip.open(path) if path.suffix == ".gz" else path.open("rb") for path in paths)
    frames: list[bytes] = []
    for file in opened:
        with file:
            frames += file
    return frames


def above(expected: Lines, min_spread: float) -> Lines:
    """Those lines whose spread is above this fraction of the ask price, products without any left out."""

    def passes(line: str) -> bool:
        ask, spread = (float(number) for number in re.findall(r"(?:ask_price|spread)=([^,)]+)", line))
        return spread / ask > min_spread

    passing = {product: [line for line in every if passes(line)] for product, every in expected.items()}
    return {product: every for product, every in passing.items() if every}


def recorded(product_id: str, updates: int = 60) -> list[bytes]:
    """Lines of a recording of a small market: a snapshot, short updates, a heartbeat; each time the same."""
    market = Market(product_id, 7, levels=30, mid=800, spread_ticks=80, gap_ticks=9, clock=lambda: 0.0)
    frames = [market.snapshot(), *(market.update(4) for _ in range(updates)), market.heartbeat()]
    return [frame + b"\n" for frame in frames]


def warnings(finished: Finished) -> list[str]:
    """What was logged beyond INFO."""
    return [line for line in finished.stderr.splitlines() if " INFO " not in line]


@pytest.fixture(scope="module")
def expected_of_capture(capture: Path) -> Lines:
    """What must come of the real capture, for all spreads."""
    return lines(frames_of([capture]))


@WORKERS
def test_capture(capture: Path, expected_of_capture: Lines, workers: str) -> None:
    """A minute of the real feed: the oracle's line for each snapshot and update, and nothing else."""
    finished = replay(capture, workers=workers)
    assert finished.code == 0
    assert len(finished.lines) == 1_900
    assert finished.by_product == expected_of_capture
    assert warnings(finished) == []


def test_capture_at_a_tenth_of_a_basis_point(capture: Path, expected_of_capture: Lines) -> None:
    """The threshold keeps the wide spreads of that minute, and no other."""
    printed = replay(capture, 0.00001).by_product
    assert printed == above(expected_of_capture, 0.00001)
    assert {product: len(every) for product, every in printed.items()} == {"ETH-USD": 30, "BTC-USD": 4}


def test_capture_at_the_default(capture: Path) -> None:
    """None of its spreads reached a basis point; stderr tells all the same that the books are live."""
    finished = replay(capture, None)
    assert (finished.code, finished.stdout) == (0, "")
    assert all(f"INFO {product}: live" in finished.stderr for product in ("BTC-USD", "ETH-USD"))


def test_there_are_recordings() -> None:
    """The project brings recordings of its own, so a replay needs neither network nor capture."""
    assert RECORDINGS


@WORKERS
@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.name)
def test_recording(path: Path, workers: str) -> None:
    """Each recording gives the oracle's line for each snapshot and update, and nothing else."""
    finished = replay(path, workers=workers)
    assert finished.code == 0
    assert finished.by_product == lines(frames_of([path]))
    assert warnings(finished) == []


@WORKERS
def test_recordings_at_the_default(workers: str) -> None:
    """The replay without arguments: some lines of the recordings are above 1 bp, and some are not."""
    expected = lines(frames_of(RECORDINGS))
    finished = run(["dataflow:replay", "-w", workers])
    assert finished.code == 0
    assert finished.by_product == above(expected, 0.0001)
    assert 0 < len(finished.lines) < sum(map(len, expected.values()))


@WORKERS
@pytest.mark.parametrize("name", ["mixed.jsonl", "mixed.jsonl.gz"])
def test_mixed_products(tmp_path: Path, name: str, workers: str) -> None:
    """A file may mix products, and be compressed: each product's lines are its own."""
    streams = [recorded(product) for product in ("AAA-EUR", "BBB-EUR", "CCC-EUR")]
    mixed = [line for together in zip(*streams, strict=True) for line in together]
    content = b"".join(mixed)
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    assert replay(path, workers=workers).by_product == lines(mixed)


def test_threshold_is_strict_and_an_argument_beats_its_variable(tmp_path: Path) -> None:
    """A spread of exactly the threshold does not pass; the variable counts where no argument is given."""
    path = tmp_path / "AAA-EUR.jsonl"
    path.write_bytes(
        b'{"type":"snapshot","product_id":"AAA-EUR","asks":[["100","1"]],"bids":[["99","1"]]}\n'
        b'{"type":"l2update","product_id":"AAA-EUR","changes":[["buy","99","0"],["buy","98.99","1"]]}\n'
    )
    (wider,) = replay(path, 0.01).lines
    assert wider.endswith("bid_price=98.99, bid_size=1.0, ask_price=100.0, ask_size=1.0, spread=1.01))")
    assert replay(path, None, ORDERBOOK_MIN_SPREAD="0.01").lines == [wider]
    assert len(replay(path, 0.001, ORDERBOOK_MIN_SPREAD="0.01").lines) == 2


@pytest.mark.parametrize("value", ["abc", "nan", "inf", ""])
def test_bad_threshold(value: str) -> None:
    """A threshold that is no finite number ends the run before it starts, with one line that names it."""
    assert_refused(
        run(["dataflow:replay"], {"ORDERBOOK_MIN_SPREAD": value}), "ORDERBOOK_MIN_SPREAD", repr(value)
    )


@pytest.mark.parametrize("name", ["missing", "missing.jsonl", "notes.txt", "empty"])
def test_bad_path(tmp_path: Path, name: str) -> None:
    """So does a path with nothing to replay."""
    (tmp_path / "notes.txt").write_bytes(b"".join(recorded("AAA-EUR")))
    (tmp_path / "empty").mkdir()
    assert_refused(replay(tmp_path / name), str(tmp_path / name))


def assert_refused(finished: Finished, *names: str) -> None:
    """Exit code 1, one line on stderr with these names in it, nothing on stdout."""
    assert (finished.code, finished.stdout) == (1, "")
    (said,) = finished.stderr.splitlines()
    assert all(name in said for name in names)


@WORKERS
def test_bad_line(tmp_path: Path, workers: str) -> None:
    """A bad line ends the replay with `file:line` and exit code 1; the lines before it stand."""
    good = recorded("AAA-EUR", updates=500)
    path = tmp_path / "AAA-EUR.jsonl"
    path.write_bytes(b"".join([*good, BAD + b"\n", *good]))
    finished = replay(path, workers=workers)
    assert finished.code == 1
    assert finished.by_product == lines(good)
    (warning,) = warnings(finished)
    assert f"ERROR {path}:{len(good) + 1}: " in warning
    assert "-7" in warning


CYCLE, REPEATS = recorded("AAA-EUR", updates=2_000), 120


@pytest.fixture(scope="module")
def long_recording(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A recording that takes some seconds to replay."""
    path = tmp_path_factory.mktemp("long") / "AAA-EUR.jsonl"
    path.write_bytes(b"".join(CYCLE) * REPEATS)
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def expected_of_long_recording() -> list[str]:
    """Its lines: as it begins anew with each snapshot, so do they."""
    return lines(CYCLE)["AAA-EUR"] * REPEATS


@WORKERS
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal(
    long_recording: Path, expected_of_long_recording: list[str], number: int, workers: str
) -> None:
    """A signal in the middle ends a replay at once with 128 + its number, and the log says where.

    Nothing is torn, and nothing is missing before the end.
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
    """So it ends where a pager holds its output up, and what a reader takes later is whole lines."""
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
    """`| head -1`: the run ends by itself, quietly and with code 0."""
    pipe = Pipe()
    arguments = [f"dataflow:replay('{long_recording}', min_spread=-1)", "-w", workers]
    with start(arguments, stdout=pipe.writer) as process:
        assert os.read(pipe.reader, 12) == b"('AAA-EUR', "
        pipe.close()
        finished = process.wait()
    assert finished.code == 0
    assert warnings(finished) == []


def test_stdout_to_a_file(tmp_path: Path) -> None:
    """A file gets what a pipe gets, appended where the shell says so."""
    recording = recorded("AAA-EUR")
    path, output = tmp_path / "AAA-EUR.jsonl", tmp_path / "output"
    path.write_bytes(b"".join(recording))
    with output.open("wb") as file:
        file.write(b"before\n")
        file.flush()
        finished = run([f"dataflow:replay('{path}', min_spread=-1)", "-w", "4"], stdout=file)
    assert finished.code == 0
    assert output.read_text().splitlines() == ["before", *lines(recording)["AAA-EUR"]]


@WORKERS
def test_full_disk(tmp_path: Path, workers: str) -> None:
    """An output that takes no more ends the run with exit code 1 and says why."""
    path = tmp_path / "AAA-EUR.jsonl"
    path.write_bytes(b"".join(recorded("AAA-EUR")))
    with open("/dev/full", "wb") as full:
        finished = run([f"dataflow:replay('{path}', min_spread=-1)", "-w", workers], stdout=full)
    assert finished.code == 1
    assert "Traceback" not in finished.stderr
    assert all("ERROR stdout: " in line for line in warnings(finished))
    assert warnings(finished)


def test_recording_without_a_snapshot(tmp_path: Path) -> None:
    """A recording that begins without a snapshot has no line: its replay has failed, and says of what."""
    market = Market("AAA-EUR", 1, levels=20, mid=1_000, spread_ticks=3, gap_ticks=9)
    tmp_path.joinpath("a.jsonl").write_bytes(b"".join(market.update() + b"\n" for _ in range(5)))
    finished = run([f"dataflow:replay({str(tmp_path)!r}, min_spread=-1)"])
    assert (finished.code, finished.stdout) == (1, "")
    assert finished.stderr.count("AAA-EUR: changes before the first snapshot are dropped") == 1
    assert "ERROR no snapshot of AAA-EUR" in finished.stderr.splitlines()[-1]
