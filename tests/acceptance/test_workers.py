"""Several workers and several processes: they print what one would, in whole lines, and end as one."""

import os
import signal
from pathlib import Path

import pytest

from tests.exchange import Exchange
from tests.support.live import (
    PAIR,
    all_live,
    all_said_goodbye,
    all_sent,
    await_lines,
    end,
    expected,
    settings,
)
from tests.support.ports import engines_own_ports
from tests.support.processes import ROOT, Running, by_product, cluster, run, start

RECORDINGS = ["dataflow:replay('tests/recordings', min_spread=-1)"]


@pytest.fixture(scope="module")
def one_worker() -> dict[str, list[str]]:
    """The lines of the recordings, from one worker."""
    return run(RECORDINGS).by_product


@pytest.mark.parametrize("workers", ["2", "3", "4", "7"])
def test_workers_replay(workers: str, one_worker: dict[str, list[str]]) -> None:
    """More workers print the same lines, in the same order within a product."""
    finished = run([*RECORDINGS, "-w", workers])
    assert finished.code == 0, finished.stderr
    assert finished.by_product == one_worker


@pytest.mark.parametrize("workers", ["1", "2"])
def test_processes_replay(workers: str, one_worker: dict[str, list[str]]) -> None:
    """Two processes that write into one pipe print the same lines, each of them whole."""
    env = {"PYTHONUNBUFFERED": "1"}
    with cluster([*RECORDINGS, "-w", workers], env) as (stdout, processes):
        finished = [process.wait() for process in processes]
    assert [process.code for process in finished] == [0, 0], finished
    assert by_product(stdout.rest()) == one_worker


def test_engines_own_cluster_replays(one_worker: dict[str, list[str]]) -> None:
    """A cluster that the engine's own `python -m bytewax.testing` starts prints the same lines."""
    with engines_own_ports():
        finished = run([*RECORDINGS, "-p", "2", "-w", "2"], module="bytewax.testing")
    assert finished.code == 0, finished.stderr
    assert finished.by_product == one_worker


def test_no_line_is_torn(tmp_path: Path) -> None:
    """Two processes of two workers that all write at full speed into one pipe tear no line."""
    recording = Path(ROOT, "tests/recordings/BTC-EUR.jsonl").read_bytes()
    recording = recording.replace(b'"time":', b'"at":')  # a time that comes again would bring no line
    tops = sum(recording.count(kind) for kind in (b'"type":"snapshot"', b'"type":"l2update"'))
    products = [f"BTC-{letter}" for letter in "ABCDEFGH"]
    for product in products:
        Path(tmp_path, f"{product}.jsonl").write_bytes(recording.replace(b"BTC-EUR", product.encode()) * 10)
    flow = f"dataflow:replay({str(tmp_path)!r}, min_spread=-1)"
    with cluster([flow, "-w", "2"], {"PYTHONUNBUFFERED": "1"}) as (stdout, processes):
        finished = [process.wait() for process in processes]
    assert [process.code for process in finished] == [0, 0], finished
    lines = by_product(stdout.rest())
    assert {product: len(listed) for product, listed in lines.items()} == dict.fromkeys(products, 10 * tops)
    assert len({line.replace(product, "") for product in products for line in lines[product]}) <= tops


@pytest.mark.parametrize(("workers", "number"), [("1", signal.SIGINT), ("2", signal.SIGTERM)])
def test_processes_live(workers: str, number: int) -> None:
    """Live, two processes print each line that one would, and a signal to both ends both at once."""
    with (
        Exchange(rate=60, levels=200) as exchange,
        cluster(["dataflow:flow", "-w", workers], settings(exchange)) as (stdout, processes),
    ):
        exchange.wait(lambda: all_sent(exchange, 60), 30)
        exchange.pause()
        wanted = expected(exchange)
        await_lines(stdout, wanted)
        end(*processes, number=number)
        assert by_product(stdout.rest()) == wanted
        exchange.wait(lambda: all_said_goodbye(exchange), 5)


def test_busy_processes_end() -> None:
    """A signal to both processes of a busy cluster ends both at once; what they wrote is whole."""
    with (
        Exchange(rate=300, levels=200) as exchange,
        cluster(["dataflow:flow", "-w", "2"], settings(exchange)) as (stdout, processes),
    ):
        exchange.wait(lambda: all_sent(exchange, 100), 30)
        end(*processes)
        exchange.wait(lambda: all_said_goodbye(exchange), 5)
        wanted = expected(exchange)
        printed = by_product(stdout.rest())
    assert all(listed == wanted[product][: len(listed)] for product, listed in printed.items())


def test_processes_end_while_connecting() -> None:
    """A signal to both processes of a cluster ends both at once while the exchange does not answer."""
    with Exchange(PAIR) as exchange:
        exchange.fault("handshake_hangs", times=2)
        with cluster(["dataflow:flow"], settings(exchange)) as (_stdout, processes):
            exchange.wait(lambda: len(exchange.struck) == 2, 30)
            end(*processes)


def test_engines_own_cluster_live() -> None:
    """A cluster of `python -m bytewax.testing` prints each line live, and ends when its processes do."""
    with (
        engines_own_ports(),
        Exchange(rate=60, levels=200) as exchange,
        start(
            ["dataflow:flow", "-p", "2", "-w", "2"], settings(exchange), module="bytewax.testing"
        ) as process,
    ):
        exchange.wait(lambda: all_live(exchange), 30)
        exchange.wait(lambda: all_sent(exchange, 60), 30)
        exchange.pause()
        wanted = expected(exchange)
        await_lines(process.stdout, wanted)
        for pid in children(process):
            os.kill(pid, signal.SIGTERM)
        finished = process.wait()
        assert finished.code == 0, finished.stderr  # it is so only where both end with 0
        assert finished.by_product == wanted
        exchange.wait(lambda: all_said_goodbye(exchange), 5)


def children(process: Running) -> list[int]:
    """The processes that a process has started."""
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
