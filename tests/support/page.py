"""A client of the live page, over a real websocket and real HTTP."""

import http.client
import json
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from websockets.sync.client import connect

from tests.support.waiting import DEADLINE


class PageClient:
    """What a client of the push knows: all that came, put together."""

    def __init__(self, url: str, **choice: object) -> None:
        self._connecting = connect(
            url.replace("http", "ws", 1) + "/ws", compression=None, max_size=None, close_timeout=1
        )
        self._choice = choice
        self.rows: dict[str, dict[str, Any]] = {}
        self.book: dict[str, Any] = {}
        self.trades: list[dict[str, Any]] = []
        self.status: dict[str, Any] = {}
        self.frames = 0

    def choose(self, **choice: object) -> None:
        """Say what is to be seen."""
        self.say(json.dumps(choice))

    def say(self, text: str) -> None:
        """Send a message, whatever it is."""
        self._websocket.send(text)

    def receive(self, timeout: float = DEADLINE) -> dict[str, Any]:
        """Take the next frame; `TimeoutError` where none comes in time."""
        frame: dict[str, Any] = json.loads(self._websocket.recv(timeout))
        self.frames += 1
        self.rows |= {row["symbol"]: row for row in frame.get("products", [])}
        self.book = frame.get("book", self.book)
        self.trades += frame.get("trades", [])
        self.status = frame.get("status", self.status)
        return frame

    def wait(self, predicate: Callable[[], object], timeout: float = DEADLINE) -> None:
        """Receive until it is true; `AssertionError` where it is not in time."""
        end = time.monotonic() + timeout
        while not predicate():
            left = end - time.monotonic()
            assert left > 0, f"not in {timeout} s: {self.book} {self.rows} {self.status}"
            self.receive(left)

    def __enter__(self) -> Self:
        self._websocket = self._connecting.__enter__()
        if self._choice:
            self.choose(**self._choice)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connecting.__exit__(kind, error, trace)


def get(url: str, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> tuple[int, bytes]:
    """The status and the body that answer a request."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=DEADLINE)
    try:
        connection.request(method, path, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def get_json(url: str, path: str) -> tuple[int, dict[str, Any]]:
    """The status and the object that answer a request."""
    status, body = get(url, path)
    return status, json.loads(body)
