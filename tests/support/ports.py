"""Ports that are held for as long as they are needed.

A port that was free a moment ago may be taken by anybody. These are bound, and stay bound by a socket that
does not listen: the kernel gives them to nobody, neither for a bind to port 0 nor for a connection that goes
out. A process that is told the number can listen on it nevertheless, if it sets `SO_REUSEADDR`, as the
engine does.
"""

import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import pytest

from tests.support.waiting import wait_until

ENGINES_OWN = (2101, 2102)


@contextmanager
def held_port(host: str = "127.0.0.1") -> Iterator[int]:
    """A port that nobody else gets; who is told its number can listen on it."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((host, 0))
        yield holder.getsockname()[1]


@contextmanager
def metrics_port() -> Iterator[int]:
    """A port for the engine's API, which listens on all interfaces."""
    with held_port("") as port:
        yield port


@contextmanager
def cluster_arguments(processes: int) -> Iterator[list[list[str]]]:
    """The arguments that make so many processes one cluster, process by process."""
    with ExitStack() as stack:
        addresses = ";".join(f"127.0.0.1:{stack.enter_context(held_port())}" for _ in range(processes))
        yield [["-i", str(number), "-a", addresses] for number in range(processes)]


@contextmanager
def engines_own_ports() -> Iterator[None]:
    """The ports of `python -m bytewax.testing -p 2`, which are fixed: for one test of this machine at a time.

    Skips the test where another program has them for good.
    """
    with Path(tempfile.gettempdir(), f"orderbook-tests-{os.getuid()}.lock").open("w") as lock:
        wait_until(lambda: _try_lock(lock), timeout=300)
        try:
            wait_until(lambda: all(map(_is_free, ENGINES_OWN)))
        except TimeoutError:
            pytest.skip(f"another program has one of the ports {ENGINES_OWN}")
        yield


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("localhost", port)).close()
    except OSError:
        return False
    return True
