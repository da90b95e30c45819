"""Fuzz of the live page: hostile requests and frames by the thousand, each answered or closed, and no more.

Run it long by `python -m tests.stress.fuzz_page 10000` (a number of requests, then, if wanted, a seed). It
prints how often each outcome came, and exits with 1 where a request was neither answered nor closed in time,
where one was let in that names another host or comes from another site, where the log has a word of it, where
the view of the book has changed, or where a good client finds the page changed afterwards.
"""

import asyncio
import json
import logging
import os
import sys
import time
from collections import Counter
from random import Random
from urllib.parse import urlsplit

from orderbook.book import OrderBookState
from orderbook.coinbase.messages import Level, Message, Snapshot
from orderbook.page.server import Page
from tests.stress.report import report
from tests.support.page import PageClient, get_json

DEADLINE = 10.0  # seconds for a request; the server gives one that is not whole 5
SIDE_BY_SIDE = 20
KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
METHODS = ["GET"] * 40 + [
    "POST",
    "PUT",
    "DELETE",
    "HEAD",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "get",
    "",
    "\x00",
    "PRI",
]
PATHS = [
    *("/", "/index.html", "/ws", "/ws", "/ws", "/health", "/books/BTC-USD", "/books/BTC-USD?levels=100000"),
    *("/books/BTC-USD?levels=0", "/books/BTC-USD?levels=-1", "/books/BTC-USD?levels=1e9", "/books/"),
    *("/books/BTC-USD?levels=5&levels=6", "/books/%00", "/books/../../dataflow.py", "/../../../etc/passwd"),
    *("/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/static/", "/server.py", "/ws/", "/WS", "*", "", "\xff"),
    *(
        "http://evil.example/",
        "/books/" + "A" * 5_000,
        "/" + "%" * 300,
        "/index.html\x00.js",
        "/?" + "q" * 9_000,
    ),
]
HOSTS = ["127.0.0.1", "localhost", "[::1]", "127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:1"]
BAD_HOSTS = [
    "evil.example",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "192.0.2.1",
    "",
    "127.0.0.1:x",
]
BAD_HOSTS += ["localhost:80@evil.example", "[::1", "127.1", "0x7f000001", "localhost.", "\xe9", "a" * 4_000]
BAD_ORIGINS = [
    "null",
    "http://evil.example",
    "http://localhost.evil.example",
    "http://127.0.0.1:1",
    "file://",
]
BAD_ORIGINS += [
    "",
    "http://",
    "javascript:alert(1)",
    "http://127.0.0.1:{port}/",
    "http://user@127.0.0.1:{port}",
]
HEADERS = ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n", "X: " + "y" * 9_000 + "\r\n"]
HEADERS += [
    "".join(f"X{n}: y\r\n" for n in range(300)),
    ": \r\n",
    "no colon\r\n",
    " folded\r\n",
    "Cookie: a\r\n",
]
HEADERS += ["Range: bytes=0-1\r\n", "Upgrade: h2c\r\n", "Expect: 100-continue\r\n", "Accept: \x00\r\n", ""]
CHOICES: list[object] = [
    *({}, [], None, 1, "x", {"products": 1}, {"book": 5}, {"levels": 0}, {"levels": 201}, {"levels": 1.5}),
    *(
        {"step": -1},
        {"step": 1e-300},
        {"step": 1e300},
        {"cost": -1},
        {"cost": "1"},
        {"pause": None},
        {"x": 1},
    ),
    *(
        {"book": "A" * 101},
        {"book": "no such"},
        {"book": "\u0000<script>"},
        {"products": True},
        {"pause": True},
    ),
    *({"book": "BTC-USD", "levels": 200, "step": 1e12}, {"book": "BTC-USD", "step": 1e-12, "cost": 1e300}),
]


class Silence(logging.Handler):
    """Keeps what is logged, of which there should be nothing."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "asyncio" and record.levelno < logging.ERROR:  # it is slow, in its debug mode
            return
        self.lines.append(record.getMessage())


class Request:
    """A hostile request: its bytes, and whether it may be let in."""

    def __init__(self, random: Random, port: int) -> None:
        method = random.choice(METHODS)
        self.path = random.choice(PATHS)
        good_host, no_origin = random.random() < 0.7, random.random() < 0.5
        host = random.choice(HOSTS if good_host else BAD_HOSTS).format(port=port)
        own = random.random() < 0.5
        origin = f"http://{host}" if own else random.choice(BAD_ORIGINS).format(port=port)
        hosts = random.choice([1] * 9 + [0, 2])
        self.may_enter = good_host and hosts == 1 and (no_origin or own) and method == "GET"
        self.upgrades = self.path == "/ws" and random.random() < 0.9
        text = f"{method} {self.path} {random.choice(['HTTP/1.1'] * 9 + ['HTTP/1.0', 'HTTP/2.0', 'x'])}\r\n"
        text += f"Host: {host}\r\n" * hosts + ("" if no_origin else f"Origin: {origin}\r\n")
        text += f"Upgrade: websocket\r\nConnection: Upgrade\r\n{KEY}" if self.upgrades else ""
        text += random.choice(HEADERS) if random.random() < 0.2 else ""
        data = (text + "\r\n").encode("latin-1")
        if random.random() < 0.1:
            place = random.randrange(len(data))
            data = data[:place] + random.randbytes(random.randrange(1, 9)) + data[place + 1 :]
            self.may_enter = True  # who knows
        if random.random() < 0.05:
            data = data[: random.randrange(len(data))]
        self.data = data


def frame(random: Random) -> bytes:
    """A hostile frame of a client, in most cases a whole one."""
    payload = random.choice(CHOICES)
    data = json.dumps(payload).encode() if random.random() < 0.7 else random.randbytes(random.randrange(300))
    if random.random() < 0.1:
        data = b"[" * random.choice([4_000, 4_096, 4_097, 60_000])
    opcode = random.choice([1] * 12 + [0, 2, 3, 8, 9, 10, 15])
    first = opcode | random.choice([0x80] * 9 + [0, 0xC0, 0xF0])
    masked, size = random.choice([0x80] * 9 + [0]), len(data)
    head = bytes([first, masked | size]) if size < 126 else bytes([first, masked | 126]) + size.to_bytes(2)
    key = random.randbytes(4) if masked else b""
    return head + key + (bytes(byte ^ key[i % 4] for i, byte in enumerate(data)) if masked else data)


class Trial:
    """A page that is attacked, and what came of it."""

    def __init__(self, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.random = Random(seed)

    async def attack(self, port: int) -> None:
        """Send one hostile request, and frames where it was let in; then see the connection's end."""
        request = Request(self.random, port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(request.data)
            writer.write_eof() if self.random.random() < 0.05 else None
            async with asyncio.timeout(DEADLINE):
                head = await reader.read(12)
                self.counts[head.decode("latin-1") or "closed"] += 1
                self._judge(request, head)
                if head.endswith(b"101"):
                    for _ in range(self.random.randrange(6)):
                        writer.write(frame(self.random))
                    writer.write(b"\x88\x80\x00\x00\x00\x00")  # close
                while await reader.read(65_536):
                    pass
        except ConnectionError:
            self.counts["reset"] += 1
        except TimeoutError:
            self.wrong.append(f"neither answered nor closed: {request.data[:300]!r}")
        finally:
            writer.close()

    def _judge(self, request: Request, head: bytes) -> None:
        if head and head[:9] != b"HTTP/1.1 ":
            self.wrong.append(f"answered by {head!r}: {request.data[:300]!r}")
        if head[9:] in (b"101", b"200", b"503") and not request.may_enter:
            self.wrong.append(f"let in: {request.data[:300]!r}")


def fuzz(rounds: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Send so many hostile requests; returns how often each outcome came, and what must not happen."""
    trial, silence = Trial(seed), Silence()
    logging.root.addHandler(silence)
    page = Page(("127.0.0.1", 0), None)
    step = page.watching(keep)
    levels = [Level(100.0 + n, 1.0) for n in range(1_000)]
    snapshot = Snapshot("BTC-USD", [Level(99.0, 2.0)], levels, None, time.time_ns())
    state, _ = step(None, snapshot)
    page.listen()
    page.start()
    try:
        before = seen(page.url), len(os.listdir("/proc/self/fd"))
        asyncio.run(_attack(trial, urlsplit(page.url).port or 0, rounds))
        time_out = time.monotonic() + DEADLINE
        while (now := (seen(page.url), len(os.listdir("/proc/self/fd")))) != before:
            if time.monotonic() > time_out:
                trial.wrong.append(f"the page was {before} and is {now}")
                break
        state.check()
    finally:
        page.close()
        logging.root.removeHandler(silence)
    trial.wrong += [f"logged: {line}" for line in silence.lines]
    return trial.counts, trial.wrong


def keep(state: OrderBookState | None, message: Message) -> tuple[OrderBookState, None]:
    """Keep a book, as `mapper` does."""
    state = state or OrderBookState()
    state.update(message)
    return state, None


def seen(url: str) -> list[object]:
    """What a good client sees of the page."""
    with PageClient(url, book="BTC-USD", levels=3) as client:
        client.wait(lambda: client.book)
    return [client.book, get_json(url, "/books/BTC-USD?levels=2"), get_json(url, "/health")]


async def _attack(trial: Trial, port: int, rounds: int) -> None:
    left = iter(range(rounds))

    async def attacker() -> None:
        for _ in left:
            await trial.attack(port)

    await asyncio.gather(*(attacker() for _ in range(SIDE_BY_SIDE)))


if __name__ == "__main__":
    sys.exit(report(fuzz, rounds=10_000))
