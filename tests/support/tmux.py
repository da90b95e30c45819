"""A real terminal, tmux, in which a program runs; what it shows can be read."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.support.processes import ROOT, environment
from tests.support.waiting import wait_until


class Tmux:
    """A shell script in a terminal of its own, between `with` and its end; skips where there is no tmux.

    `folder` is one of the test's own. `$PYTHON` in the script is this one.
    """

    def __init__(self, folder: Path, script: str, size: tuple[int, int] = (80, 24)) -> None:
        if not shutil.which("tmux"):
            pytest.skip("tmux is not installed")
        self._socket = folder / "tmux"
        self._script = script
        self._size = size

    def __enter__(self) -> Self:
        width, height = map(str, self._size)
        script = f"set -m; PYTHON={shlex.quote(sys.executable)}; {self._script}"
        # What follows the script keeps the terminal as the script left it.
        command = ["sh", "-c", f"{script}; exec sleep 600"]
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", width, "-y", height, shlex.join(command))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tmux("kill-server")

    def lines(self) -> list[str]:
        """What the terminal shows."""
        shown = self._tmux("capture-pane", "-p").split("\n")[: self._size[1]]
        return [line.ljust(self._size[0]) for line in shown]

    def wait_for(self, text: str, timeout: float = 30) -> list[str]:
        """The lines once one of them has a text; `AssertionError`, with the lines, if that never is so."""
        try:
            wait_until(lambda: text in "\n".join(self.lines()), timeout)
        except TimeoutError:
            raise AssertionError("\n".join([f"{text!r} is not shown:", *self.lines()])) from None
        return self.lines()

    def press(self, *keys: str) -> None:
        """Press keys, by tmux's names for them."""
        self._tmux("send-keys", *keys)

    def resize(self, size: tuple[int, int]) -> None:
        """Give the terminal another size."""
        self._size = size
        self._tmux("resize-window", "-x", str(size[0]), "-y", str(size[1]))

    def is_as_found(self) -> bool:
        """Whether the terminal shows its own screen again, with a cursor, and wraps lines."""
        modes = self._tmux("display", "-p", "#{alternate_on} #{cursor_flag} #{wrap_flag}")
        return modes.split() == ["0", "1", "1"]

    def _tmux(self, *arguments: str) -> str:
        finished = subprocess.run(
            ["tmux", "-u", "-S", str(self._socket), *arguments],
            cwd=ROOT,
            env=environment({"LC_ALL": "C.UTF-8"}),
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert finished.returncode == 0, finished.stderr
        return finished.stdout
