"""The view in a terminal as a user starts it: in a real terminal, of a real run."""

import signal
import subprocess
import sys
from functools import partial
from itertools import accumulate
from pathlib import Path

import pytest

from tests.exchange import Exchange
from tests.support.live import PAIR, all_live, settings
from tests.support.ports import held_port
from tests.support.processes import ROOT, Running, environment, run, start
from tests.support.screens import SIZES, levels_of
from tests.support.tmux import Tmux
from tests.support.waiting import wait_until

WATCH = '"$PYTHON" -m orderbook.watch'


def push_of(process: Running) -> str:
    """Where a run's page pushes."""
    line = process.stderr.wait_for("page: http://")
    return line.partition("page: http")[2].join(["ws", "/ws"]).strip()


def shows(lines: list[str], size: tuple[int, int], exchange: Exchange, product: str) -> bool:
    """Whether the ladder is that of the exchange's own book: all prices and sizes, and the sums of these.

    It isn't while the screen is being redrawn.
    """
    bids, asks = exchange.book(product)
    sides = sorted(asks.items()), sorted(bids.items(), reverse=True)
    try:
        listed = levels_of(lines, size)
    except ValueError:  # it is not drawn yet
        return False
    for shown, wanted in zip(listed, sides, strict=True):
        levels = wanted[: (size[1] - 4) // 2]
        if [(price, size) for price, size, _total in shown] != levels:
            return False
        sums = list(accumulate(size for _price, size in levels))
        if [total for _price, _size, total in shown] != pytest.approx(sums, abs=1e-5):
            return False
    return True


@pytest.mark.parametrize("size", SIZES)
def test_true_book(size: tuple[int, int], tmp_path: Path) -> None:
    """At each step of a market the terminal shows the true book's levels, of whatever product is chosen."""
    with (
        Exchange(PAIR, rate=0) as exchange,
        start(["dataflow:flow"], settings(exchange, PAGE="0")) as process,
        Tmux(tmp_path, f"{WATCH} {push_of(process)}", size) as terminal,
    ):
        exchange.wait(lambda: all_live(exchange), 30)

        def is_true(product: str) -> bool:
            return shows(terminal.lines(), size, exchange, product)

        for product in PAIR:
            terminal.wait_for(f"●›{product}")
            for _ in range(3):
                wait_until(partial(is_true, product))
                exchange.step(product, 7)
            wait_until(partial(is_true, product))
            terminal.press("Down")
        terminal.press("g")
        terminal.wait_for("g group: 0.1")
        terminal.press("g", "g", "g", "g", "g", "g", "g")
        terminal.wait_for("g group: none")
        wait_until(partial(is_true, PAIR[-1]))


def test_states(tmp_path: Path) -> None:
    """A product that falls silent, is refused or comes back is shown so, and the others stay live."""
    with Exchange(PAIR) as exchange:
        env = settings(exchange, PAGE="0", PRODUCTS="BTC-EUR,BTC-XXX,ETH-EUR", STALE_AFTER="8")
        with (
            start(["dataflow:flow"], env) as process,
            Tmux(tmp_path, f"{WATCH} {push_of(process)}") as terminal,
        ):
            terminal.wait_for("●›BTC-EUR")
            terminal.wait_for("● ETH-EUR")
            terminal.wait_for("! BTC-XXX")
            terminal.wait_for("refused")
            terminal.wait_for("LIVE ! 2/3 live")
            exchange.fault("product_silent", "BTC-EUR")
            terminal.wait_for("~ BTC-EUR: silent: for", timeout=10)
            assert any("● ETH-EUR" in line for line in terminal.lines())
            terminal.wait_for("●›BTC-EUR", timeout=30)


def test_server_that_goes_away_and_comes_back(tmp_path: Path) -> None:
    """Without a server the terminal says so and shows no price; with the next one it goes on by itself."""
    with Exchange(PAIR) as exchange, held_port() as port:
        env = settings(exchange, PAGE=str(port))
        with Tmux(tmp_path, f"{WATCH} ws://127.0.0.1:{port}/ws", (100, 30)) as terminal:
            terminal.wait_for(f"! no connection: 127.0.0.1:{port}: Connection refused")
            with start(["dataflow:flow"], env):
                terminal.wait_for("● ETH-EUR")
                terminal.press("j")
                terminal.wait_for("●›ETH-EUR")
            lines = terminal.wait_for("! no connection")
            assert not any("●" in line for line in lines)
            with start(["dataflow:flow"], env):
                terminal.wait_for("●›ETH-EUR")
                terminal.resize((60, 20))
                terminal.wait_for("80×24 or more is needed, this terminal has 60×20")
                terminal.resize((120, 40))
                terminal.wait_for("●›ETH-EUR")


@pytest.mark.parametrize(
    ("end", "code"),
    [("q", 0), ("C-c", 0), ("C-\\", 0), (signal.SIGTERM, 0), (signal.SIGHUP, 0), ("crash", 1)],
)
def test_terminal_is_left_as_it_was(end: str | signal.Signals, code: int, tmp_path: Path) -> None:
    """However the view ends, the terminal's screen, cursor and modes are those from before."""
    program = f"{WATCH} ws://127.0.0.1:9/ws"
    if end == "crash":
        program = '"$PYTHON" -m tests.support.crashing_view'
    began, ended, pid = tmp_path / "began", tmp_path / "ended", tmp_path / "pid"
    shell = f"sh -c 'echo $$ >{pid}; exec \"$@\"' sh"
    script = f"stty -g >{began}; {shell} {program}; echo code $?; stty -g >{ended}"
    with Tmux(tmp_path, script) as terminal:
        wait_until(lambda: not terminal.is_as_found())
        if end == "crash":
            terminal.press("Enter")
        elif isinstance(end, signal.Signals):
            terminal.wait_for("no connection")
            subprocess.run(["kill", f"-{end.value}", pid.read_text().strip()], check=True)
        else:
            terminal.wait_for("no connection")
            terminal.press(end)
        terminal.wait_for(f"code {code}", timeout=10)
        wait_until(lambda: ended.exists() and ended.read_text())
        assert ended.read_text() == began.read_text()
        assert terminal.is_as_found()


def test_ctrl_z_gives_the_terminal_to_the_shell_meanwhile(tmp_path: Path) -> None:
    """While the view is stopped the terminal is as before; continued, it is drawn anew."""
    script = f"{WATCH} ws://127.0.0.1:9/ws; echo stopped; read line; fg"
    with Tmux(tmp_path, script) as terminal:
        terminal.wait_for("no connection")
        terminal.press("C-z")
        terminal.wait_for("stopped")
        assert terminal.is_as_found()
        terminal.press("Enter")
        terminal.wait_for("no connection")
        assert not terminal.is_as_found()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "stdin and stdout must be a terminal"),
        (["http://127.0.0.1:8080/ws"], "http://127.0.0.1:8080/ws is not the URL of a live page's push"),
        (["ws://127.0.0.1:80800/ws"], "ws://127.0.0.1:80800/ws is not the URL"),
        (["\x1b[2J"], r"\x1b[2J is not the URL"),
    ],
)
def test_mistake_of_the_user(arguments: list[str], said: str) -> None:
    """Without a terminal, or with what is no URL, it ends with one line and code 1."""
    finished = run(arguments, module="orderbook.watch")
    assert (finished.code, finished.stdout) == (1, "")
    (line,) = finished.stderr.splitlines()
    assert line.startswith(f"watch: {said}")


def test_without_rich() -> None:
    """Where the package that draws is missing, one line says how to install it, and the code is 1."""
    without_packages = [sys.executable, "-S", "-m", "orderbook.watch"]
    finished = subprocess.run(
        without_packages, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=30
    )
    assert finished.returncode == 1
    (line,) = finished.stderr.splitlines()
    pinned = next(line for line in (ROOT / "tests/requirements.txt").read_text().split() if "rich" in line)
    assert line.endswith(f"-m pip install {pinned}")
