"""A live run against the simulated exchange: its settings, what it must print, and how it ends."""

import signal
import time

from tests.exchange import Exchange
from tests.support.oracle import lines
from tests.support.processes import Finished, Lines, Running

AT_ONCE = 10.0  # seconds for what should take one: a machine that is busy with other things is no fault
PAIR = ("BTC-EUR", "ETH-EUR")


def names(count: int) -> list[str]:
    """So many products, none of them a real one."""
    return [f"{chr(65 + i // 26)}{chr(65 + i % 26)}-USD" for i in range(count)]


def settings(exchange: Exchange, **more: str) -> dict[str, str]:
    """The environment of a run that listens to the exchange and prints every summary."""
    return exchange.environment | {
        "ORDERBOOK_PRODUCTS": ",".join(exchange.products),
        "ORDERBOOK_MIN_SPREAD": "-1",
        "ORDERBOOK_REFRESH": "1e9",  # a renewal in the middle is a matter of the hour, and of other tests
        **{f"ORDERBOOK_{name}": value for name, value in more.items()},
    }


def expected(exchange: Exchange, min_spread: float = -1.0) -> dict[str, list[str]]:
    """The lines that must come of all that the exchange has sent so far, product by product."""
    frames = (sent.frame for product in exchange.products for sent in exchange.sent[product])
    return lines(frames, min_spread)


def all_live(exchange: Exchange) -> bool:
    """Whether each product has a connection that got its snapshot."""
    return all(exchange.live(product) for product in exchange.products)


def all_sent(exchange: Exchange, frames: int) -> bool:
    """Whether each product was sent so many frames."""
    return all(len(exchange.sent[product]) >= frames for product in exchange.products)


def all_said_goodbye(exchange: Exchange) -> bool:
    """Whether each connection was closed by the client, with a close frame."""
    return all(c.close_code == 1000 and c.closed_by_client for c in exchange.connections)


def await_lines(stdout: Lines, wanted: dict[str, list[str]]) -> None:
    """Wait until each product has as many lines as wanted; whether they are right shows at the end."""
    for product, listed in wanted.items():
        stdout.wait_for(f"('{product}'", count=len(listed))


def end(*processes: Running, number: int = signal.SIGINT, code: int = 0) -> list[Finished]:
    """Send a signal to all processes of a run; they must end at once, with this code and without an error."""
    began = time.monotonic()
    for process in processes:
        process.interrupt(number)
    ended = [process.wait() for process in processes]
    took = time.monotonic() - began
    print(f"{signal.Signals(number).name}: {len(processes)} ended in {took:.2f} s")
    for finished in ended:
        assert finished.code == code, finished.stderr
        assert "Traceback" not in finished.stderr
        assert "panicked" not in finished.stderr
    assert took < AT_ONCE
    return ended
