"""A dataflow in a process of its own, as a user runs it: started, listened to and ended.

Every wait has a deadline, so a dataflow that hangs fails its test instead of hanging it.
"""

import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

ROOT = Path(__file__).resolve().parent.parent.parent

DEADLINE = 30.0  # seconds; ample on a busy machine, since no test should ever see it pass


class Finished(NamedTuple):
    """A process that has ended: its exit code, and all that it wrote."""

    code: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[str]:
        return self.stdout.splitlines()

    @property
    def by_product(self) -> dict[str, list[str]]:
        """The lines of each product, in order."""
        return by_product(self.stdout)


def by_product(stdout: str) -> dict[str, list[str]]:
    """The lines of each product, in order; `AssertionError` at anything but whole lines of data."""
    lines: dict[str, list[str]] = {}
    for line in stdout.splitlines(keepends=True):
        assert line.startswith("('") and line.endswith("))\n") and line.count("(") == 2, f"torn: {line!r}"
        lines.setdefault(line.split("'")[1], []).append(line.rstrip("\n"))
    return lines


class Lines:
    """What a process writes to a pipe; a thread reads all the time, so the process never waits."""

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
    """A process that runs; leaving its `with` block ends it by force where it still does."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self.pid = process.pid
        self.stdout = Lines(process.stdout)
        self.stderr = Lines(process.stderr)

    def interrupt(self, number: int = signal.SIGINT) -> None:
        """Send the process a signal."""
        self._process.send_signal(number)

    def wait(self, timeout: float = DEADLINE) -> Finished:
        """Its end; `AssertionError`, with what it has said so far, if it does not come in time."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still runs after {timeout} s, having said:\n{self.stderr}") from None
        return Finished(code, self.stdout.rest(), self.stderr.rest())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait(DEADLINE)


def environment(more: dict[str, str] | None = None) -> dict[str, str]:
    """The environment without its settings and proxies, and with some more."""
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
            stderr=subprocess.PIPE,
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
    """Run a process to its end; see `start`."""
    with start(arguments, env, module=module, stdout=stdout) as process:
        return process.wait(timeout)


def places(processes: int) -> list[list[str]]:
    """The arguments that make so many processes one cluster, process by process."""
    with ExitStack() as stack:
        free = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(processes)]
        addresses = ";".join(f"127.0.0.1:{server.getsockname()[1]}" for server in free)
    return [["-i", str(number), "-a", addresses] for number in range(processes)]


@contextmanager
def cluster(
    arguments: list[str], env: dict[str, str] | None = None, *, processes: int = 2
) -> Iterator[tuple[Lines, list[Running]]]:
    """Run one dataflow in several processes; yields what they write, all into one pipe, and them."""
    with ExitStack() as stack:
        reader, writer = os.pipe()
        stdout = Lines(open(reader, "rb"))
        with open(writer, "wb") as pipe:
            running = [
                stack.enter_context(start([*arguments, *place], env, stdout=pipe))
                for place in places(processes)
            ]
        yield stdout, running
