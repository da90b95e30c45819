"""Shutdown of a process: by a signal, by its reader, or by an unexpected exception."""

import signal
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.exchange import Exchange
from tests.support.live import PAIR, all_live, all_said_goodbye, all_sent, end, expected, settings
from tests.support.pipe import Pipe
from tests.support.ports import cluster_arguments
from tests.support.processes import by_product, cluster, run, start

WORKERS = pytest.mark.parametrize("workers", ["1", "4"])
WAITING = "tests.support.waiting_for_shutdown"
REPLAY = "dataflow:replay('tests/recordings')"


@pytest.mark.parametrize(
    ("arguments", "number", "code"),
    [
        ([], signal.SIGINT, 0),
        ([], signal.SIGTERM, 0),
        ([], signal.SIGHUP, 0),
        (["--default-code", "1"], signal.SIGTERM, 0),
        (["--resumable"], signal.SIGINT, 130),
        (["--resumable"], signal.SIGTERM, 143),
        (["--resumable"], signal.SIGHUP, 129),
        (["--resumable", "--request-at-exit", "1"], signal.SIGINT, 130),
    ],
)
def test_exit_code_after_a_signal(arguments: list[str], number: signal.Signals, code: int) -> None:
    """A live run that a signal ends exits with 0, a replay with 128 + the signal's number."""
    with start(arguments, module=WAITING) as process:
        process.stdout.wait_for("ready")
        process.interrupt(number)
        finished = process.wait()
    assert (finished.code, finished.lines) == (code, ["ready", "end", f"at exit: {code}"])
    assert finished.stderr.endswith(f"{number.name}: shutting down; a second SIGINT exits at once\n")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--end"], 0),
        (["--end", "--default-code", "1"], 1),
        (["--end", "--request-at-exit", "1"], 1),
        (["--request", "0", "--default-code", "1"], 0),
        (["--request", "1"], 1),
        (["--request", "1", "--abandon"], 1),
    ],
)
def test_exit_code_without_a_signal(arguments: list[str], code: int) -> None:
    """A run exits with the code that was requested, else with its default code; both after its last words."""
    finished = run(arguments, module=WAITING)
    assert (finished.code, finished.lines[:2], finished.stderr) == (code, ["ready", "end"], "")
    assert finished.lines[2].startswith("at exit: ") and len(finished.lines) == 3


@pytest.mark.parametrize("code", [0, 1])
def test_log_is_whole_after_the_exit(code: int) -> None:
    """All that was logged is on stderr after the exit, also what was logged right before it."""
    finished = run(["--end", "--log-at-exit", "1000", "--request-at-exit", str(code)], module=WAITING)
    assert finished.code == code
    lines = [line.partition("WARNING ")[2] for line in finished.stderr.splitlines()]
    assert lines == [f"line {n}" for n in range(1000)]


def test_abandoned_replay_exits_at_once() -> None:
    """A replay that abandons what remains exits before anything else happens, save its last words."""
    finished = run(["--resumable", "--request", "0", "--abandon"], module=WAITING)
    assert (finished.code, finished.lines) == (0, ["ready", "at exit: 0"])


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_second_sigint_exits_at_once(first: signal.Signals) -> None:
    """A SIGINT ends a run with code 130 that hangs in its shutdown; another SIGTERM does not."""
    with start(["--stuck"], module=WAITING) as process:
        process.stdout.wait_for("ready")
        process.interrupt(first)
        process.stderr.wait_for("shutting down")
        process.interrupt(signal.SIGTERM)
        process.stderr.wait_for("shutting down", count=2)
        process.interrupt(signal.SIGINT)
        finished = process.wait()
    assert (finished.code, finished.lines) == (130, ["ready"])


def test_stderr_that_takes_nothing() -> None:
    """A replay whose log can't be written exits with 0 all the same."""
    with open("/dev/full", "w") as full, start([REPLAY], {"PYTHONUNBUFFERED": ""}, stderr=full) as process:
        finished = process.wait()
    assert finished.code == 0
    assert finished.lines


def test_engine_that_stands_still() -> None:
    """A live run whose partitions are not polled ends by a signal all the same, with its last words."""
    with start(["--unpolled"], module=WAITING) as process:
        process.stdout.wait_for("ready")
        process.interrupt(signal.SIGTERM)
        finished = process.wait(10.0)
    assert (finished.code, finished.lines) == (0, ["ready", "at exit: 0"])
    assert finished.stderr.endswith("the engine stands still: exit without it\n")


def test_ignored_sighup_stays_ignored() -> None:
    """Under `nohup` a run outlives its terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # inherited by what is started
    try:
        process = start([], module=WAITING)
    finally:
        signal.signal(signal.SIGHUP, before)
    with process:
        process.stdout.wait_for("ready")
        process.interrupt(signal.SIGHUP)
        process.interrupt(signal.SIGTERM)
        finished = process.wait()
    assert finished.code == 0
    assert "SIGHUP" not in finished.stderr and "SIGTERM" in finished.stderr


def test_process_that_waits_for_its_cluster() -> None:
    """A process whose cluster is not complete takes signals too, and the second SIGINT ends it."""
    with (
        cluster_arguments(2) as arguments,
        start(["dataflow:replay", *arguments[1]]) as process,
    ):
        process.stderr.wait_for("error connecting to worker 0")
        process.interrupt()
        process.stderr.wait_for("SIGINT: shutting down")
        process.interrupt()
        assert process.wait().code == 130


@pytest.mark.parametrize(
    ("workers", "number"), [("1", signal.SIGINT), ("4", signal.SIGTERM), ("2", signal.SIGHUP)]
)
def test_busy_run(number: int, workers: str, tmp_path: Path) -> None:
    """A signal ends a busy run at once: lines and recordings whole, connections closed in good order."""
    with (
        Exchange(rate=200, levels=300) as exchange,
        start(["dataflow:flow", "-w", workers], settings(exchange, RECORD=str(tmp_path))) as process,
    ):
        exchange.wait(lambda: all_sent(exchange, 100), 30)
        process.stdout.wait_for("ETH-EUR", count=50)
        (finished,) = end(process, number=number)
        exchange.wait(lambda: all_said_goodbye(exchange), 5)
        assert len(exchange.connections) == 4
        wanted = expected(exchange)
    printed = finished.by_product
    assert set(printed) == set(wanted)
    assert all(listed == wanted[product][: len(listed)] for product, listed in printed.items())
    recordings = list(tmp_path.iterdir())
    assert len(recordings) == 4
    assert all(recording.read_bytes().endswith(b"}\n") for recording in recordings)


@WORKERS
def test_while_the_exchange_does_not_answer(workers: str) -> None:
    """A signal ends a run at once whose connections are being opened."""
    with Exchange(PAIR) as exchange:
        exchange.fault("handshake_hangs", times=2)
        with start(["dataflow:flow", "-w", workers], settings(exchange)) as process:
            exchange.wait(lambda: len(exchange.struck) == 2, 30)
            (finished,) = end(process)
    assert finished.stdout == ""


@WORKERS
def test_while_the_exchange_is_away(workers: str) -> None:
    """A signal ends a run at once that waits for its next attempt to connect."""
    with Exchange(PAIR) as exchange:
        exchange.close_listener()
        with start(["dataflow:flow", "-w", workers], settings(exchange)) as process:
            process.stderr.wait_for("next attempt")
            (finished,) = end(process)
    assert finished.stdout == ""


@WORKERS
def test_reader_goes_away(workers: str) -> None:
    """`| head -1`: when nobody reads on, the run ends by itself, quietly and with code 0."""
    with (
        Exchange(PAIR, rate=100) as exchange,
        closing(Pipe()) as pipe,
        start(["dataflow:flow", "-w", workers], settings(exchange), stdout=pipe.writer) as process,
    ):
        exchange.wait(lambda: all_live(exchange), 30)  # what is still being opened says no goodbye
        first = subprocess.run(["head", "-1"], stdin=pipe.reader, stdout=subprocess.PIPE, timeout=30).stdout
        pipe.close_reader()
        finished = process.wait()
        exchange.wait(lambda: all_said_goodbye(exchange), 5)
    assert sum(map(len, by_product(first.decode()).values())) == 1
    assert finished.code == 0, finished.stderr
    assert all(" INFO " in line for line in finished.stderr.splitlines())


@WORKERS
def test_unexpected_exception(workers: str) -> None:
    """An unexpected exception ends the run on all workers, with its traceback in the log and code 1."""
    with (
        Exchange(PAIR) as exchange,
        start(["tests.support.crashing:flow", "-w", workers], settings(exchange)) as process,
    ):
        exchange.wait(lambda: all_live(exchange), 30)
        exchange.fault("closed_1011", "ETH-EUR")
        finished = process.wait()
    assert finished.code == 1
    assert_traceback_is_logged(finished.stderr)


def test_unexpected_exception_in_a_cluster() -> None:
    """It ends all processes of a cluster with code 1, and is in the log of the one in which it happened."""
    with (
        Exchange(PAIR) as exchange,
        cluster(["tests.support.crashing:flow", "-w", "2"], settings(exchange)) as (_stdout, processes),
    ):
        exchange.wait(lambda: all_live(exchange), 30)
        exchange.fault("closed_1011", "ETH-EUR")
        finished = [process.wait() for process in processes]
    assert [process.code for process in finished] == [1, 1]
    assert_traceback_is_logged("".join(process.stderr for process in finished))


@pytest.mark.parametrize("stopped", [["stdout"], ["stderr"], ["stdout", "stderr"]], ids="+".join)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_readers_that_stopped(stopped: list[str], number: int) -> None:
    """While nobody reads stdout or stderr or both, the run goes on, and a signal ends it at once."""
    full = Pipe()
    full.fill()
    stdout, stderr = (full.writer if name in stopped else subprocess.PIPE for name in ("stdout", "stderr"))
    try:
        with (
            Exchange(PAIR, rate=100) as exchange,
            start(["dataflow:flow"], settings(exchange), stdout=stdout, stderr=stderr) as process,
        ):
            exchange.wait(lambda: all_sent(exchange, 100), 30)
            if "stdout" not in stopped:
                process.stdout.wait_for("ETH-EUR", count=100)
            (finished,) = end(process, number=number)
            exchange.wait(lambda: all_said_goodbye(exchange), 5)
            assert len(exchange.connections) == 2
    finally:
        full.close()
    if "stderr" not in stopped:
        assert f"{signal.Signals(number).name}: shutting down" in finished.stderr
        assert "are given up" in finished.stderr


def test_replay_that_fails_while_stderr_is_not_read(tmp_path: Path) -> None:
    """A run that ends by itself does not wait for a reader of stderr that stopped; its exit code is right."""
    full = Pipe()
    full.fill()
    (tmp_path / "BTC-USD.jsonl").write_text("no recording\n")
    try:
        with start([f"dataflow:replay({str(tmp_path)!r})"], stderr=full.writer) as process:
            assert process.wait().code == 1
    finally:
        full.close()


def test_dataflow_that_is_only_drawn() -> None:
    """A dataflow that another program builds and never runs leaves that program's exit code alone."""
    finished = run(["dataflow:flow"], module="bytewax.visualize")
    assert (finished.code, finished.stdout.startswith("flowchart")) == (0, True)


def assert_traceback_is_logged(stderr: str) -> None:
    """The log has the product, and the traceback to the line that raised."""
    logged = stderr.index("unexpected, the run ends\nTraceback")
    assert "in the feed of ETH-EUR" in stderr
    assert "RuntimeError: crashed on purpose" in stderr[logged:]
