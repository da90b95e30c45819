"""View of a server's books: keys and frames in, a screen some times a second out, until it is ended."""

import asyncio
import os
import signal
from contextlib import suppress

from orderbook.watch import keys, screen
from orderbook.watch.client import Client
from orderbook.watch.model import Model
from orderbook.watch.terminal import Terminal

INTERVAL = 0.2  # seconds between two screens
FLUSH_INTERVAL = 0.02  # seconds until a slow terminal is asked again
PAGE = 10  # products
FAR = 10**6  # products
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
MOVES = {"up": -1, "down": 1, "page up": -PAGE, "page down": PAGE, "home": -FAR, "end": FAR}


class View:
    """What is drawn in a terminal, until a key or a signal ends it."""

    def __init__(self, url: str) -> None:
        self._model = Model()
        self._client = Client(url, self._model)
        self._with_help = False
        self._pressed = asyncio.Event()
        self._ended = asyncio.Event()

    async def run(self, terminal: Terminal) -> None:
        """Draw until the end; `NoLivePage` where the URL can't be right."""
        loop = asyncio.get_running_loop()
        for number in ENDS:
            loop.add_signal_handler(number, self._ended.set)
        with terminal:
            loop.add_signal_handler(signal.SIGWINCH, self._redraw, terminal)
            loop.add_signal_handler(signal.SIGTSTP, self._stop, terminal)
            loop.add_reader(terminal.input, self._read, terminal.input)
            runs = self._client.run(), self._draw(terminal), self._until_ended()
            tasks = [asyncio.create_task(each) for each in runs]
            try:
                done, _running = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                loop.remove_reader(terminal.input)
                loop.remove_signal_handler(signal.SIGTSTP)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _until_ended(self) -> None:
        await self._ended.wait()

    async def _draw(self, terminal: Terminal) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            self._pressed.clear()
            width, height = terminal.size()
            self._client.choose(self._model.choice(screen.levels(height)))
            drawn = terminal.draw(screen.draw(self._model, clock(), width, height, self._with_help))
            with suppress(TimeoutError):
                async with asyncio.timeout(INTERVAL if drawn else FLUSH_INTERVAL):
                    await self._pressed.wait()

    def _read(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, 1024)
        except OSError:
            data = b""
        if not data:  # the terminal is gone
            self._ended.set()
        for key in keys.names(data):
            self._press(key)
        self._pressed.set()

    def _press(self, key: str) -> None:
        if key == "quit":
            self._ended.set()
        elif key == "help":
            self._with_help = not self._with_help
        elif key == "group":
            self._model.group(asyncio.get_running_loop().time())
        else:
            self._model.move(MOVES[key])

    def _redraw(self, terminal: Terminal) -> None:
        terminal.redraw()
        self._pressed.set()

    def _stop(self, terminal: Terminal) -> None:
        """Stop, as the shell's Ctrl-Z asks for, in a terminal that is the shell's meanwhile."""
        terminal.suspend()
        os.kill(os.getpid(), signal.SIGSTOP)
        terminal.resume()
        self._pressed.set()
