"""Test the simulated exchange's command line."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from tests.exchange.client import DEADLINE, PRODUCT, subscribe
from tests.exchange.trouble import FAULTS
from tests.support.processes import ROOT, run, start

CLIENT = """
import os
from websockets.sync.client import connect
from tests.exchange.client import receive, subscribe, type_of
with connect(os.environ["ORDERBOOK_FEED_URL"]) as connection:
    subscribe(connection, os.environ["ORDERBOOK_PRODUCTS"])
    print(*[type_of(receive(connection)) for _ in range(3)])
"""
"""A client that knows the variables printed, and nothing else."""


@pytest.mark.parametrize(("end", "tls"), [(signal.SIGINT, False), (signal.SIGTERM, True)])
def test_from_a_shell(end: signal.Signals, tls: bool, tmp_path: Path) -> None:
    """It prints the variables that a client needs, logs what it sends, and ends with code 0 in silence."""
    log = tmp_path / "log"
    options = ["--port", "0", "--products", PRODUCT, "--log", str(log), *(["--tls"] if tls else [])]
    with start(options, module="tests.exchange") as process:
        command = process.stderr.wait_for("python -m bytewax.run dataflow:flow")
        variables = dict(word.split("=", 1) for word in command.split() if "=" in word)
        url = variables["ORDERBOOK_FEED_URL"]
        assert url.startswith("wss:" if tls else "ws:") and variables["ORDERBOOK_PRODUCTS"] == PRODUCT
        received = subprocess.run(
            [sys.executable, "-c", CLIENT],
            cwd=ROOT,
            env=os.environ | variables,
            stdout=subprocess.PIPE,
            timeout=DEADLINE,
            text=True,
        )
        process.interrupt(end)
        finished = process.wait()
    assert received.stdout == "subscriptions snapshot l2update\n"
    assert finished.code == 0 and finished.stderr.splitlines()[2:] == []
    assert not tls or not Path(variables["SSL_CERT_FILE"]).exists()
    product, when, first = log.read_text().splitlines()[0].split()
    assert (product, first) == (PRODUCT, "snapshot") and float(when) < time.monotonic()


def test_port_that_is_taken() -> None:
    """A port that another server listens on ends it with one line that names the port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        finished = run(["--port", str(port), "--tls"], module="tests.exchange")
    assert (finished.code, finished.stderr) == (1, f"port {port}: Address already in use\n")


def test_faults_are_logged() -> None:
    """With faults by chance each is on stderr as it happens: which, to which product, on which connection."""
    options = ["--port", "0", "--products", PRODUCT, "--faults", "1", "--fault-interval", "0.01"]
    with start(options, module="tests.exchange") as process:
        url = process.stderr.wait_for("listening on ").split()[2].rstrip(";")
        end = time.monotonic() + DEADLINE
        while "connection " not in str(process.stderr).partition("fault ")[2] and time.monotonic() < end:
            with suppress(WebSocketException, OSError), connect(url) as connection:
                subscribe(connection, PRODUCT)
                connection.recv(timeout=DEADLINE)
        process.interrupt()
        lines = process.wait().stderr.splitlines()[2:]
    happened = rf"[-0-9]+ [:,0-9]+ fault (\w+): ({PRODUCT}|{PRODUCT}, connection \d+|whoever connects)"
    names = [re.fullmatch(happened, line) for line in lines]
    assert names and all(name and name[1] in FAULTS for name in names), lines


def test_help() -> None:
    """`--help` shows the defaults, and every fault with what it does."""
    shown = run(["--help"], module="tests.exchange").stdout
    assert "(default: 8765)" in " ".join(shown.split())
    for name, fault in FAULTS.items():
        assert re.search(rf"^  {name} +{re.escape(str(fault.act.__doc__))}$", shown, re.MULTILINE), name
