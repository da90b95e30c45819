"""How a run ends: told to by a signal, left by its reader, or by what nobody expected."""

import signal
import subprocess
from pathlib import Path

import pytest

from tests.exchange import Exchange
from tests.support.live import PAIR, all_live, all_said_goodbye, all_sent, end, expected, settings
from tests.support.processes import by_product, cluster, run, start

WORKERS = pytest.mark.parametrize("workers", ["1", "4"])
SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


@WORKERS
@SIGNALS
def test_signal(number: int, workers: str, tmp_path: Path) -> None:
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
@SIGNALS
@pytest.mark.parametrize("trouble", ["handshake_hangs", "connection_refused"])
def test_signal_while_connecting(trouble: str, number: int, workers: str) -> None:
    """A signal ends a run at once that waits for an exchange which does not answer, or is away."""
    with Exchange(PAIR) as exchange:
        if trouble == "handshake_hangs":
            exchange.fault(trouble, times=2)
        else:
            exchange.close_listener()
        with start(["dataflow:flow", "-w", workers], settings(exchange)) as process:
            if trouble == "handshake_hangs":
                exchange.wait(lambda: len(exchange.struck) == 2, 30)
            else:
                process.stderr.wait_for("next attempt")
            (finished,) = end(process, number=number)
    assert finished.stdout == ""


@WORKERS
def test_reader_goes_away(workers: str) -> None:
    """`| head -1`: when nobody reads on, the run ends by itself, quietly and with code 0."""
    with (
        Exchange(PAIR, rate=100) as exchange,
        subprocess.Popen(["head", "-1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as head,
        start(["dataflow:flow", "-w", workers], settings(exchange), stdout=head.stdin) as process,
    ):
        first, _ = head.communicate(timeout=30)
        finished = process.wait()
        exchange.wait(lambda: all_said_goodbye(exchange), 5)
    assert sum(map(len, by_product(first.decode()).values())) == 1
    assert finished.code == 0, finished.stderr
    assert all(" INFO " in line for line in finished.stderr.splitlines())


@WORKERS
def test_crash(workers: str) -> None:
    """The unexpected ends the run on all workers, with its traceback in the log and code 1."""
    with (
        Exchange(PAIR) as exchange,
        start(["tests.support.crashing:flow", "-w", workers], settings(exchange)) as process,
    ):
        exchange.wait(lambda: all_live(exchange), 30)
        exchange.fault("closed_1011", "ETH-EUR")
        finished = process.wait(10)
    assert finished.code == 1
    assert_crash_is_told(finished.stderr)


def test_crash_in_a_cluster() -> None:
    """The unexpected ends all processes with code 1, and the one that it happened in says what it was."""
    with (
        Exchange(PAIR) as exchange,
        cluster(["tests.support.crashing:flow", "-w", "2"], settings(exchange)) as (_stdout, processes),
    ):
        exchange.wait(lambda: all_live(exchange), 30)
        exchange.fault("closed_1011", "ETH-EUR")
        finished = [process.wait(10) for process in processes]
    assert [process.code for process in finished] == [1, 1]
    assert_crash_is_told("".join(process.stderr for process in finished))


def test_looked_at_and_not_run() -> None:
    """A dataflow that is only drawn, and never run, ends with the code of who draws it."""
    finished = run(["dataflow:flow"], module="bytewax.visualize")
    assert (finished.code, finished.stdout.startswith("flowchart")) == (0, True)


def assert_crash_is_told(stderr: str) -> None:
    """The product, and the traceback to where it happened."""
    told = stderr.index("unexpected, the run ends\nTraceback")
    assert "in the feed of ETH-EUR" in stderr
    assert "RuntimeError: crashed on purpose" in stderr[told:]
