"""Live runs as a user starts them, against the simulated exchange."""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dataflow import OFFLINE_HINT
from tests.exchange import Exchange
from tests.support.live import PAIR, all_live, all_sent, await_lines, end, expected, settings
from tests.support.pipe import Pipe
from tests.support.processes import ROOT, Lines, by_product, cluster, run, start
from tests.support.recordings import frames_of
from tests.support.waiting import wait_until

WORKERS = pytest.mark.parametrize("workers", ["1", "4"])
CROSSING = ("BTC-USD", "ETH-USD", "BTC-EUR", "ETH-EUR", "A-EUR", "B-EUR")


@pytest.mark.parametrize(("workers", "tls", "connections"), [("1", True, "2"), ("4", False, "16")])
def test_prints_and_records_what_the_exchange_sends(
    workers: str, tls: bool, connections: str, tmp_path: Path
) -> None:
    """Every summary of four products is printed, in order and right, and so it is when replayed."""
    with Exchange(rate=60, tls=tls) as exchange:
        env = settings(exchange, RECORD=str(tmp_path), CONNECTIONS=connections)
        with start(["dataflow:flow", "-w", workers], env) as process:
            exchange.wait(lambda: all_sent(exchange, 60), 30)
            exchange.pause()
            wanted = expected(exchange)
            await_lines(process.stdout, wanted)
            (finished,) = end(process)
        transcript = {product: [sent.frame for sent in exchange.sent[product]] for product in wanted}
        assert len(exchange.connections) == min(4, int(connections))
    assert finished.by_product == wanted
    for product, frames in transcript.items():
        recorded = frames_of([Path(tmp_path, f"{product}.jsonl")])
        assert recorded == frames[: len(recorded)]
        # Heartbeats went on to the end, so the last of them may not have been received.
        assert all(json.loads(frame)["type"] == "heartbeat" for frame in frames[len(recorded) :])
    replayed = run([f"dataflow:replay({str(tmp_path)!r}, min_spread=-1)", "-w", workers])
    assert replayed.code == 0, replayed.stderr
    assert replayed.by_product == wanted


def test_reader_of_stdout_that_pauses(tmp_path: Path) -> None:
    """While nobody reads stdout all is recorded; then stale lines are dropped, the others whole and right.

    Lines and dropped lines add up to all of them.
    """
    pipe = Pipe()
    with Exchange(PAIR, rate=200) as exchange:
        env = settings(exchange, RECORD=str(tmp_path), STALE_AFTER="2")
        with start(["dataflow:flow"], env, stdout=pipe.writer) as process:
            process.stderr.wait_for("WARNING stdout is not read: lines that have waited for 2 s are dropped")
            sent = {product: len(exchange.sent[product]) for product in PAIR}
            wait_until(lambda: all(recorded(tmp_path, product) >= sent[product] - 1 for product in PAIR))
            stdout = Lines(open(os.dup(pipe.reader), "rb"))
            pipe.close()
            dropped = process.stderr.wait_for("lines are of the present again")
            present = {product: len(listed) for product, listed in expected(exchange).items()}
            exchange.wait(lambda: all_sent(exchange, max(present.values()) + 100), 30)
            exchange.pause()
            wanted = expected(exchange)
            for product in PAIR:
                stdout.wait_for(wanted[product][-1])
            end(process)
        assert len(exchange.connections) == 2, "the exchange has seen a slow reader"
    printed = by_product(stdout.rest())
    for product, listed in printed.items():
        rest = iter(wanted[product])
        assert all(line in rest for line in listed), "not in order, or doubled"
        assert listed[-100:] == wanted[product][-100:]
    missing = sum(map(len, wanted.values())) - sum(map(len, printed.values()))
    assert f": {missing:,} lines were dropped" in dropped


def recorded(folder: Path, product: str) -> int:
    """How many frames of a product are recorded."""
    return (folder / f"{product}.jsonl").read_bytes().count(b"\n")


@WORKERS
def test_folder_of_recordings_is_renamed(workers: str, tmp_path: Path) -> None:
    """Recordings whose folder is gone are begun anew in one of that name, and what both give is all lines."""
    today, yesterday = tmp_path / "today", tmp_path / "yesterday"
    with (
        Exchange(PAIR, rate=0) as exchange,
        start(["dataflow:flow", "-w", workers], settings(exchange, RECORD=str(today))) as process,
    ):
        exchange.wait(lambda: all_live(exchange), 30)
        for product in PAIR:
            exchange.step(product, 20)
        before = expected(exchange)
        for product, every in before.items():
            path = today / f"{product}.jsonl"
            wait_until(lambda path=path, every=every: path.read_bytes().count(b"changes") >= len(every) - 1)  # type: ignore[misc]
        today.rename(yesterday)
        process.stderr.wait_for("the recording is interrupted: it was removed or renamed")
        process.stderr.wait_for(": goes on after", count=len(PAIR))
        exchange.wait(lambda: all_live(exchange), 30)
        for product in PAIR:
            exchange.step(product, 20)
        wanted = expected(exchange)
        await_lines(process.stdout, wanted)
        (finished,) = end(process)
        assert len(exchange.connections) == len(PAIR)
    assert finished.by_product == wanted
    replayed = [run([f"dataflow:replay('{folder}', min_spread=-1)"]) for folder in (yesterday, today)]
    assert [replay.code for replay in replayed] == [0, 0]
    assert replayed[0].by_product == before
    assert {p: before[p] + replayed[1].by_product[p] for p in before} == wanted


def test_default_threshold() -> None:
    """Without a setting, only spreads above one basis point are printed: here some, and not all."""
    with Exchange(PAIR, rate=100) as exchange:
        env = settings(exchange)
        del env["ORDERBOOK_MIN_SPREAD"]
        with start(["dataflow:flow"], env) as process:
            exchange.wait(lambda: all_sent(exchange, 150), 30)
            exchange.pause()
            wanted = expected(exchange, 0.0001)
            assert 0 < sum(map(len, wanted.values())) < sum(map(len, expected(exchange).values()))
            await_lines(process.stdout, wanted)
            (finished,) = end(process)
    assert finished.by_product == wanted


@pytest.mark.parametrize("trouble", ["handshake_hangs", "connection_refused"])
def test_exchange_out_of_reach(trouble: str) -> None:
    """Within 10 s one line for all products says so, and the next what works without; then all recover."""
    with Exchange(PAIR) as exchange:
        if trouble == "handshake_hangs":
            exchange.fault(trouble, times=2)
        else:
            exchange.close_listener()
        with start(["dataflow:flow"], settings(exchange)) as process:
            process.stderr.wait_for("WARNING without a network: ", timeout=10)
            exchange.open_listener()
            for product in PAIR:
                process.stdout.wait_for(product, timeout=20)
            (finished,) = end(process)
    trouble_line, hint, *_ = finished.stderr.splitlines()
    assert f"WARNING no connection to {exchange.url}: " in trouble_line
    command = shlex.split(hint.partition("without a network: ")[2])
    assert command == [sys.executable, "-m", "bytewax.run", "dataflow:replay('tests/recordings')"]
    assert finished.stderr.count(" WARNING ") == 2


def test_hint_works_as_printed() -> None:
    """The command that the hint shows can be pasted into a shell as it stands."""
    shell = subprocess.run(
        ["sh", "-c", OFFLINE_HINT.partition(": ")[2]], cwd=ROOT, env={}, capture_output=True
    )
    assert shell.returncode == 0
    assert shell.stdout.startswith(b"('BTC-EUR', OrderBookSummary(")


@WORKERS
def test_refused_product(workers: str) -> None:
    """A product that the exchange does not know ends with an ERROR; the others lose not a line."""
    with Exchange(PAIR, rate=0) as exchange:
        env = settings(exchange, PRODUCTS="BTC-EUR,BTC-XXX,ETH-EUR")
        with start(["dataflow:flow", "-w", workers], env) as process:
            error = process.stderr.wait_for("ERROR")
            exchange.wait(lambda: all_live(exchange), 30)
            for product in PAIR:
                exchange.step(product, 200)
            wanted = expected(exchange)
            await_lines(process.stdout, wanted)
            (finished,) = end(process)
    assert finished.by_product == wanted
    assert "ERROR BTC-XXX: " in error
    assert "BTC-XXX is not a valid product" in error


@WORKERS
def test_all_products_refused(workers: str) -> None:
    """With no product left the run ends by itself, with code 1."""
    with Exchange(PAIR) as exchange:
        env = settings(exchange, PRODUCTS="BTC-XXX,XXX-EUR")
        finished = run(["dataflow:flow", "-w", workers], env)
    assert finished.code == 1
    assert finished.stdout == ""
    refused = re.findall(r"ERROR (\S+): .* is not a valid product", finished.stderr)
    assert sorted(refused) == ["BTC-XXX", "XXX-EUR"]
    assert "Traceback" not in finished.stderr


@WORKERS
def test_crossed_book(workers: str) -> None:
    """A lost update that leaves a book crossed costs a new subscription, whichever worker has the book."""
    with (
        Exchange(CROSSING, rate=0, levels=50) as exchange,
        start(["dataflow:flow", "-w", workers], settings(exchange, CROSSED_AFTER="0.5")) as process,
    ):
        cross_all(exchange)
        wanted = expected(exchange)
        await_lines(process.stdout, wanted)
        (finished,) = end(process)
    assert finished.by_product == wanted
    assert_resyncs_are_logged(finished.stderr)


def test_crossed_book_in_a_cluster() -> None:
    """The same where book and connection are in different processes."""
    with (
        Exchange(CROSSING, rate=0, levels=50) as exchange,
        cluster(["dataflow:flow", "-w", "2"], settings(exchange, CROSSED_AFTER="0.5")) as (stdout, both),
    ):
        cross_all(exchange)
        wanted = expected(exchange)
        await_lines(stdout, wanted)
        finished = end(*both)
    assert by_product(stdout.rest()) == wanted
    assert_resyncs_are_logged("".join(process.stderr for process in finished))


def cross_all(exchange: Exchange) -> None:
    """Lose an update of each product, so that its book is crossed; return once all books are right again."""
    exchange.wait(lambda: all_live(exchange), 30)
    for product in exchange.products:
        exchange.step(product, 20)
        exchange.fault("update_lost", product)
    connections = len(exchange.connections)
    exchange.wait(lambda: all(sent[-1].subscription == 1 for sent in exchange.sent.values()), 10)
    exchange.wait(lambda: all_live(exchange), 10)
    assert len(exchange.connections) == connections
    for product in exchange.products:
        exchange.step(product, 20)


def assert_resyncs_are_logged(stderr: str) -> None:
    """Each product's crossed book has one warning, and there is no other."""
    warnings = re.findall("WARNING (.*)", stderr)
    assert sorted(warning.partition(": crossed for ")[0] for warning in warnings) == sorted(CROSSING)


@pytest.mark.parametrize(
    ("flow", "env", "line"),
    [
        ("flow", {"ORDERBOOK_REFRESH": "soon"}, "ORDERBOOK_REFRESH: 'soon' is not a number of seconds .+"),
        ("live(products='btc')", {}, "products: 'btc' is not a product such as BTC-USD"),
        ("flow", {"ORDERBOOK_FEED": "wss://localhost"}, "'ORDERBOOK_FEED' is not a setting; the nearest .+"),
        ("live(product='BTC-USD')", {}, "live: got an unexpected keyword argument 'product'; it takes .+"),
        ("replay", {"ORDERBOOK_MIN_SPREAD": "25"}, "ORDERBOOK_MIN_SPREAD: '25' is not a finite number .+"),
        ("replay(pace=1)", {}, "replay: got an unexpected keyword argument 'pace'; it takes path, .+"),
    ],
)
def test_wrong_setting(flow: str, env: dict[str, str], line: str) -> None:
    """A wrong setting ends the run before it starts: code 1, one line that names it and its value."""
    finished = run([f"dataflow:{flow}"], env)
    assert (finished.code, finished.stdout) == (1, "")
    assert re.fullmatch(f"{line}\n", finished.stderr)


def test_metrics_port_is_taken() -> None:
    """Where the port for `/metrics` is taken, no run goes on without metrics: it ends with one line."""
    with socket.create_server(("", 0)) as server:
        port = str(server.getsockname()[1])
        env = {"BYTEWAX_DATAFLOW_API_ENABLED": "0", "BYTEWAX_DATAFLOW_API_PORT": port}
        finished = run(["dataflow:replay"], env)
    assert (finished.code, finished.stdout) == (1, "")
    line = f"BYTEWAX_DATAFLOW_API_PORT: '{port}' is not a port that is free: Address already in use\n"
    assert finished.stderr == line
