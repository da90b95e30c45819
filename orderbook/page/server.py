"""Server of the live page, in a thread of its own beside the dataflow.

It is `websockets`' own server. Ten times a second each client that has taken its last frame is sent what is
new; one that is slow is passed over meanwhile, so it gets the latest and never a queue.

The thread shares the interpreter with the dataflow. So it rests after each half millisecond or so of work:
one that merely yields would take the interpreter's lock again at once. Where there is much to do, for many
clients, frames come more seldom, rather than that the page takes more than a share of the time.
"""

import asyncio
import logging
import os
import socket
import threading
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from http import HTTPStatus
from ipaddress import ip_address
from urllib.parse import unquote

import msgspec
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from orderbook.book import Step
from orderbook.feed.stats import FeedStats
from orderbook.page import answers
from orderbook.page.answers import Answer, Gate
from orderbook.page.client import MOST_CLIENTS, Client, Connection
from orderbook.page.frames import choice_of
from orderbook.page.push import Board
from orderbook.page.views import Views

log = logging.getLogger(__name__)

INTERVAL = 0.1  # seconds between two frames to a client
MOST_WORK = 0.1  # of a core; three clients of 400 products need about as much
PIECE = 0.0005  # seconds of work, more or less, between two rests
REST = 0.001  # seconds
MESSAGE_INTERVAL = 0.02  # seconds between two messages of a client; it may send more, and waits
LARGEST_MESSAGE = 4_096  # bytes
SEND_BUFFER = 262_144  # bytes that the kernel keeps for a client; more would be the past, and a queue
RETRY_INTERVAL = 0.001  # seconds after which a book is copied that was being updated
MOST_RETRIES = 1_000
CHOICE_TIMEOUT = 5.0  # seconds in which a client must say what it wants
CLOSE_TIMEOUT = 0.5  # seconds


class Page:
    """The live page of a process, where an address is given; else nothing.

    `feeds` has the counts of the process's feeds, and a replay has none; `expected` are the products that it
    gets, which are shown before their first message where no other process may have their books.
    """

    def __init__(
        self,
        address: tuple[str, int] | None,
        feeds: Mapping[str, FeedStats] | None,
        expected: Collection[str] = (),
    ) -> None:
        self._address = address
        self._views = Views(feeds)
        self._expected = expected
        self._listener: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)
        self.url = ""  # once it listens

    def watching(self, step: Step) -> Step:
        """The step that keeps a book, watched where there is a page."""
        return self._views.watching(step) if self._address else step

    def listen(self, process_id: int | None = None) -> None:
        """Take the address, where there is one; each process of a cluster has the next port.

        Raises `SystemExit` with one line where it can't be had.
        """
        if self._address is None:
            return
        if process_id is None:
            self._views.expect(self._expected)
        host, port = self._address
        port += (process_id or 0) if port else 0
        try:
            family, *_, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self._listener = socket.create_server(place[:2], family=family)
        except (OSError, OverflowError, UnicodeError) as error:
            why: str | None = (
                "there is no such host" if isinstance(error, UnicodeError) else "there is no such port"
            )
            if isinstance(error, OSError):  # whose text has more, but for an unknown host's
                why = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
            raise SystemExit(f"ORDERBOOK_PAGE: can't listen at {shown(host, port)}: {why}") from None
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self.url = f"http://{shown(host, self._listener.getsockname()[1])}"

    def start(self) -> None:
        """Serve from now on, where it listens."""
        if self._listener:
            self._thread.start()

    @property
    def is_served(self) -> bool:
        """Whether the thread serves it now."""
        return self._thread.is_alive()

    def mark_ended(self) -> None:
        """Say on the page that the replay is over."""
        self._views.ended = True

    def close(self) -> None:
        """Close all connections, and end; from any thread."""
        if self._loop:
            with suppress(RuntimeError):  # it has ended already
                self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(CLOSE_TIMEOUT)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception:
            log.exception("unexpected, the page ends; the run goes on")

    async def _serve(self) -> None:
        assert self._listener and self._address
        self._loop = asyncio.get_running_loop()
        address = self._listener.getsockname()[0]
        gate = Gate(self._address[0], ip_address(address.partition("%")[0]).is_loopback)
        serving = Serving(self._views, gate)
        quiet = logging.getLogger(f"{__name__}.websockets")
        quiet.setLevel(logging.CRITICAL + 1)  # what a client does wrong is no matter of this log
        async with serve(
            serving.serve,
            sock=self._listener,
            process_request=serving.answer,
            create_connection=Connection,
            compression=None,
            server_header=None,
            open_timeout=5,
            close_timeout=CLOSE_TIMEOUT,
            max_size=LARGEST_MESSAGE,
            max_queue=1,
            logger=quiet,
        ):
            log.info("page: %s", self.url)
            beat = asyncio.create_task(serving.beat())
            stop = asyncio.create_task(self._stop.wait())
            await asyncio.wait([beat, stop], return_when=asyncio.FIRST_COMPLETED)
            if beat.done():
                beat.result()
            beat.cancel()


def shown(host: str, port: int) -> str:
    """An address as it stands in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Serving:
    """What the server does: it answers requests, listens to clients and pushes to them."""

    def __init__(self, views: Views, gate: Gate) -> None:
        self._views = views
        self._gate = gate
        self._files = answers.static_files()
        self._board = Board(views)
        self._clients: set[Client] = set()
        self._answering = asyncio.Lock()  # books are answered one at a time
        self._rested = 0.0  # seconds of processor, at the last rest

    async def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """The answer to a request; None where it is a client's that may have the push."""
        answer = await self._answer(request)
        if answer is None:
            return None
        headers = Headers(answers.HEADERS)
        headers["Connection"], headers["Content-Type"] = "close", answer.kind
        headers["Content-Length"] = str(len(answer.body))
        return Response(answer.status, answer.status.phrase, headers, answer.body)

    async def _answer(self, request: Request) -> Answer | None:
        headers = request.headers
        if not self._gate.admits(headers.get_all("Host"), headers.get_all("Origin")):
            return answers.text(HTTPStatus.FORBIDDEN)
        if request.method != "GET":
            return answers.text(HTTPStatus.METHOD_NOT_ALLOWED)
        path, _, query = request.path.partition("?")
        if path == "/ws":
            full = len(self._clients) >= MOST_CLIENTS
            return answers.text(HTTPStatus.SERVICE_UNAVAILABLE) if full else None
        if path == "/health":
            return answers.health(self._views)
        if path.startswith("/books/"):
            return await self._answer_book(unquote(path.removeprefix("/books/")), query)
        return self._files.get(path) or answers.text(HTTPStatus.NOT_FOUND)

    async def _answer_book(self, symbol: str, query: str) -> Answer:
        if (levels := answers.levels_of(query)) is None:
            return answers.text(HTTPStatus.BAD_REQUEST)
        if (view := self._views.get(symbol)) is None:
            return answers.text(HTTPStatus.NOT_FOUND)
        async with self._answering:
            began = time.thread_time()
            for _ in range(MOST_RETRIES):
                if (copy := self._board.copy(view)) is not None:
                    break
                await asyncio.sleep(RETRY_INTERVAL)
            else:
                return answers.text(HTTPStatus.SERVICE_UNAVAILABLE)
            answer = answers.book(copy, levels)
            await asyncio.sleep((time.thread_time() - began) / MOST_WORK)
        return answer

    async def serve(self, connection: ServerConnection) -> None:
        """Listen to a client for as long as it stays."""
        client = Client(connection)
        self._clients.add(client)
        try:
            async with asyncio.timeout(CHOICE_TIMEOUT):
                client.viewer.choice = choice_of(await connection.recv())
            async for message in connection:
                await asyncio.sleep(MESSAGE_INTERVAL)
                client.viewer.choice = choice_of(message)
        except (msgspec.DecodeError, TimeoutError):
            await connection.close(1008, "not a choice")
        except ConnectionClosed:
            pass
        finally:
            self._clients.discard(client)

    async def beat(self) -> None:
        """Push what is new at each interval."""
        while True:
            began, worked = time.monotonic(), time.thread_time()
            await self._push(began)
            took, worked = time.monotonic() - began, time.thread_time() - worked
            await asyncio.sleep(max(INTERVAL - took, worked / MOST_WORK - took, REST))

    async def _push(self, now: float) -> None:
        looking = [(each, each.viewer.choice) for each in self._clients if not each.viewer.choice.pause]
        choices = [choice for _client, choice in looking]
        self._board.count(now)
        await self._rest()
        if any(choice.products for choice in choices):
            for _ in self._board.make_rows():
                await self._rest()
        else:
            self._board.forget_rows()
        self._board.keep(choices)
        for book in {choice.book for choice in choices if choice.book}:
            for _ in self._board.make_book(book):
                await self._rest()
        spent = 0.0
        for client, choice in sorted(looking, key=lambda pair: pair[0].cost):  # cheap ones wait for no others
            if client.viewer.choice is choice:  # what another one needs is made at the next beat
                client.push(self._board, now, MOST_WORK / len(looking))
                spent += client.cost
                await self._rest()
            if spent > 2 * MOST_WORK * INTERVAL:
                break

    async def _rest(self) -> None:
        """Leave the interpreter to the dataflow for a moment, after a piece of work."""
        if time.thread_time() >= self._rested + PIECE:
            await asyncio.sleep(REST)
            self._rested = time.thread_time()
