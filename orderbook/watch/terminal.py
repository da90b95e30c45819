"""Terminal that is drawn in, line by changed line, and left as it was found."""

import fcntl
import io
import os
import select
import struct
import sys
import termios
import tty
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.text import Text

# The other screen, no cursor, no line that wraps; and back, after whatever was cut off in the middle.
ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
LEAVE = "\x18\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
LEAVE_WITHIN = 1.0  # seconds, for a terminal that takes nothing


class Terminal:
    """The process's terminal, taken within its `with` block; `OSError` where there is none to draw in.

    A terminal that is slow, as over a bad line, gets the latest lines, never a queue: nothing is drawn while
    it has not taken what was drawn before.
    """

    def __init__(self) -> None:
        console = Console()
        if not sys.stdin.isatty() or not console.is_terminal or console.is_dumb_terminal:
            raise OSError("stdin and stdout must be a terminal that can move its cursor")
        self.input = sys.stdin.fileno()
        # Opened anew, so that it alone is made non-blocking, not the shell's.
        self._output = os.open("/dev/tty", os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        self._buffer = io.StringIO()
        self._console = Console(
            file=self._buffer,
            force_terminal=True,
            color_system=console.color_system,  # type: ignore[arg-type]  # the names that it takes itself
            highlight=False,
            legacy_windows=False,
        )
        self._shown: list[Text] = []
        self._unwritten = b""
        self._saved: list[Any] = []

    def __enter__(self) -> Self:
        self._saved = termios.tcgetattr(self.input)
        self.resume()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.suspend()
        os.close(self._output)

    def resume(self) -> None:
        """Take the terminal: keys come one by one, unseen; Ctrl-C and Ctrl-Z are signals still."""
        tty.setcbreak(self.input, termios.TCSANOW)
        modes = termios.tcgetattr(self.input)
        modes[0] &= ~termios.IXON  # a Ctrl-S pressed by mistake would freeze what looks live
        termios.tcsetattr(self.input, termios.TCSANOW, modes)
        self._unwritten = ENTER.encode()
        self.redraw()

    def suspend(self) -> None:
        """Leave the terminal as it was found."""
        self._unwritten = LEAVE.encode()
        try:
            while not self._flush() and select.select([], [self._output], [], LEAVE_WITHIN)[1]:
                pass
            termios.tcflush(self.input, termios.TCIFLUSH)  # keys that come too late are not the shell's
            termios.tcsetattr(self.input, termios.TCSANOW, self._saved)
        except (OSError, termios.error):  # the terminal is gone
            pass

    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        lines, columns = struct.unpack("HHHH", fcntl.ioctl(self._output, termios.TIOCGWINSZ, bytes(8)))[:2]
        return columns, lines

    def redraw(self) -> None:
        """Forget what is shown, so that all lines are drawn next."""
        self._shown = []

    def draw(self, lines: list[Text]) -> bool:
        """Draw the lines that have changed; False where the terminal has not yet taken all."""
        if not self._flush():
            return False
        if len(lines) != len(self._shown):
            self._shown = []
            self._unwritten = b"\x1b[2J"
        shown: list[Text | None] = [*self._shown] or [None] * len(lines)
        changed = [place for place, line in enumerate(lines) if line != shown[place]]
        written = "".join(f"\x1b[{place + 1};1H{self._escaped(lines[place])}" for place in changed)
        self._shown = lines
        self._unwritten += written.encode()
        return self._flush()

    def _flush(self) -> bool:
        try:
            while self._unwritten:
                written = os.write(self._output, self._unwritten)
                self._unwritten = self._unwritten[written:]
        except BlockingIOError:
            return False
        return True

    def _escaped(self, line: Text) -> str:
        self._console.print(line, end="", soft_wrap=True)
        written = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        return written
