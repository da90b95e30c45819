"""Processes as a user runs them: started, read and ended.

Every wait has a deadline, so a process that hangs fails its test instead of hanging it.
"""

import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

from tests.support.ports import cluster_arguments
from tests.support.waiting import DEADLINE

ROOT = Path(__file__).resolve().parent.parent.parent


class Finished(NamedTuple):
    """An ended process: its exit code, and all that it wrote."""

    code: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[str]:
        return self.stdout.splitlines()

    @property
    def by_product(self) -> dict[str, list[str]]:
        """The lines of each product, in order; see the function."""
        return by_product(self.stdout)


def by_product(stdout: str) -> dict[str, list[str]]:
    """The lines of each product, in order; `AssertionError` at anything but whole lines of data."""
    lines: dict[str, list[str]] = {}
    for line in stdout.splitlines(keepends=True):
        assert line.startswith("('") and line.endswith("))\n") and line.count("(") == 2, f"torn: {line!r}"
        lines.setdefault(line.split("'")[1], []).append(line.rstrip("\n"))
    return lines


class Lines:
    """Lines that a process writes to a pipe; a thread reads all the time, so the process never waits."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
        self._lines: list[bytes] = []
        self._ended = False
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._read, args=[pipe or io.BytesIO()], daemon=True)
        self._thread.start()

    def _read(self, pipe: IO[bytes]) -> None:
        with pipe:
            for line in pipe:
                with self._news:
                    self._lines.append(line)
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def wait_for(self, text: str = "", count: int = 1, timeout: float = DEADLINE) -> str:
        """The `count`th line that contains `text`, once it is there; `AssertionError` if it never comes."""
        end = time.monotonic() + timeout
        seen, found = 0, 0
        while True:
            with self._news:
                while seen == len(self._lines) and not self._ended:
                    if not self._news.wait(end - time.monotonic()):
                        raise AssertionError(f"{text!r}: {found} of {count} in {timeout} s:\n{self}")
                if seen == len(self._lines):
                    raise AssertionError(f"{text!r}: {found} of {count}, and no more to come:\n{self}")
                line = self._lines[seen].decode()
            seen += 1
            if text in line:
                found += 1
                if found == count:
                    return line.rstrip("\n")

    def __str__(self) -> str:
        """All that has come so far."""
        with self._news:
            return b"".join(self._lines).decode()

    def rest(self) -> str:
        """All that came, once the pipe is at its end, as it is when its process has ended."""
        self._thread.join(DEADLINE)
        return str(self)


class Running:
    """A running process; leaving its `with` block kills it where it still runs."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self.pid = process.pid
        self.stdout = Lines(process.stdout)
        self.stderr = Lines(process.stderr)

    def interrupt(self, number: int = signal.SIGINT) -> None:
        """Send the process a signal."""
        self._process.send_signal(number)

    def wait(self, timeout: float = DEADLINE) -> Finished:
        """Wait for its end.

        `AssertionError`, with its stderr so far, where that does not come in time, and where Python warned of
        anything, as it does of unclosed sockets with `PYTHONDEVMODE=1`.
        """
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still runs after {timeout} s; its stderr:\n{self.stderr}") from None
        finished = Finished(code, self.stdout.rest(), self.stderr.rest())
        assert not re.search(r"\b[A-Z]\w+Warning: ", finished.stderr), finished.stderr
        return finished

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait(DEADLINE)


def environment(more: dict[str, str] | None = None) -> dict[str, str]:
    """The environment without settings and proxies, and with some more variables."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ORDERBOOK_", "BYTEWAX_")) and not name.lower().endswith("_proxy")
    }
    return clean | (more or {})


def start(
    arguments: list[str],
    env: dict[str, str] | None = None,
    *,
    module: str = "bytewax.run",
    stdout: Any = subprocess.PIPE,
    stderr: Any = subprocess.PIPE,
) -> Running:
    """Start `python -m bytewax.run` (or another module) with these arguments, in the project's root.

    Of the settings and proxies of the environment it sees only those in `env`.
    """
    return Running(
        subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env=environment(env),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            process_group=0,  # so that what it starts itself can be ended with it
        )
    )


def run(
    arguments: list[str],
    env: dict[str, str] | None = None,
    *,
    module: str = "bytewax.run",
    stdout: Any = subprocess.PIPE,
    timeout: float = DEADLINE,
) -> Finished:
    """Run a process to its end; the arguments are those of `start`."""
    with start(arguments, env, module=module, stdout=stdout) as process:
        return process.wait(timeout)


@contextmanager
def cluster(
    arguments: list[str], env: dict[str, str] | None = None, *, processes: int = 2
) -> Iterator[tuple[Lines, list[Running]]]:
    """Run one dataflow in several processes; yields the lines of the one pipe that all write to, and them."""
    with ExitStack() as stack:
        places = stack.enter_context(cluster_arguments(processes))
        reader, writer = os.pipe()
        stdout = Lines(open(reader, "rb"))
        with open(writer, "wb") as pipe:
            running = [stack.enter_context(start([*arguments, *place], env, stdout=pipe)) for place in places]
        yield stdout, running
