"""The page's server over real sockets, on port 0, with views that a test feeds."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from orderbook.coinbase.messages import Message
from orderbook.page.client import MOST_CLIENTS
from orderbook.page.server import Page
from tests.stress.fuzz_page import KEY, fuzz
from tests.support.page import PageClient, get, get_json
from tests.support.ports import held_port
from tests.support.usage import usage
from tests.support.views import keep, snapshot, status, update
from tests.support.waiting import wait_until

PRODUCTS = [f"P{number:03}-USD" for number in range(400)]
WHOLE = snapshot("A-B", [(10.0, 1.0)], [(11.0, 3.0)])


class Shown:
    """A page that serves, and the books that it shows."""

    def __init__(self) -> None:
        self.page = Page(("127.0.0.1", 0), None)
        self._step = self.page.watching(keep)
        self._books: dict[str, object] = {}

    def feed(self, *messages: Message) -> None:
        """Have the books take messages."""
        for message in messages:
            symbol = message.product_id
            self._books[symbol], _ = self._step(self._books.get(symbol), message)  # type: ignore[arg-type]


@contextmanager
def page() -> Iterator[Shown]:
    """A page, from its start to its end."""
    shown = Shown()
    shown.page.listen()
    shown.page.start()
    try:
        yield shown
    finally:
        shown.page.close()


def test_pushes_what_is_new() -> None:
    """A client sees a book as it changes, within a frame's time, and each of two clients its own choice."""
    with page() as shown:
        shown.feed(WHOLE)
        with (
            PageClient(shown.page.url, book="A-B", levels=1) as one,
            PageClient(shown.page.url, products=True) as other,
        ):
            one.wait(lambda: one.book.get("bids") == [[10.0, 1.0]])
            shown.feed(update("A-B", "buy", 10.5, 2.0))
            one.wait(lambda: one.book["bids"] == [[10.5, 2.0]])
            other.wait(lambda: other.rows.get("A-B", {}).get("bid_price") == 10.5)
            one.choose(book="A-B", levels=2)
            one.wait(lambda: one.book["bids"] == [[10.5, 2.0], [10.0, 1.0]])
            shown.feed(status("A-B", "stale: x"))
            one.wait(lambda: one.book["event"] == "stale" and not one.book["bids"])
            other.wait(lambda: other.rows["A-B"]["event"] == "stale")
        assert not other.book and not one.rows


def test_status_comes_each_second() -> None:
    """A client that asks for nothing gets the status, each second, as a sign of life."""
    with page() as shown, PageClient(shown.page.url, products=False) as client:
        began = time.monotonic()
        for _ in range(3):
            assert set(client.receive()) == {"time", "status"}
        assert time.monotonic() - began < 6


def test_frames_are_at_most_ten_a_second() -> None:
    """However often a book changes, a client gets at most ten frames a second of it."""
    with page() as shown, PageClient(shown.page.url, products=True, book="A-B") as client:
        shown.feed(WHOLE)
        began, changes = time.monotonic(), 0
        stop = threading.Event()

        def change() -> None:
            nonlocal changes
            while not stop.wait(0.001):
                changes += 1
                shown.feed(update("A-B", "buy", 9.0, 1.0 + changes))

        thread = threading.Thread(target=change)
        thread.start()
        try:
            client.wait(lambda: client.frames == 15)
        finally:
            stop.set()
            thread.join()
        assert time.monotonic() - began > 1.3 and changes > 15


def test_http() -> None:
    """Files, books and health are answered, with headers that let no other site in; nothing else is."""
    with page() as shown:
        url = shown.page.url
        assert get_json(url, "/health")[0] == 503
        shown.feed(WHOLE)
        assert get_json(url, "/health") == (200, {"live": 1, "products": 1, "not_live": []})
        assert get_json(url, "/books/A-B?levels=1")[1]["bids"] == [[10.0, 1.0]]
        assert get_json(url, "/books/A%2DB")[0] == 200
        wanted = {
            "/": 200,
            "/books/X-Y": 404,
            "/books/A-B?levels=0": 400,
            "/x": 404,
            "/ws": 426,
            "/server.py": 404,
        }
        assert {path: get(url, path)[0] for path in wanted} == wanted
        assert get(url, "/", method="POST")[0] == 405
        assert get(url, "/health", {"Host": "evil.example"})[0] == 403
        assert get(url, "/books/A-B", {"Origin": "http://evil.example"})[0] == 403
        with socket.create_connection(("127.0.0.1", urlsplit(url).port or 0)) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            head = b"".join(iter(lambda: raw.recv(65_536), b"")).partition(b"\r\n\r\n")[0].decode()
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in head
        for line in (
            "X-Content-Type-Options: nosniff",
            "Referrer-Policy: no-referrer",
            "Cache-Control: no-cache",
        ):
            assert line in head
        assert "unsafe" not in head and "Access-Control" not in head and "Server:" not in head
        shown.feed(status("A-B", "closed: x"))
        assert get_json(url, "/books/A-B") == (503, {"symbol": "A-B", "event": "closed", "reason": "x"})


@pytest.mark.parametrize("text", ["x", '{"levels":0}', "[" * 5_000])
def test_a_wrong_message_closes_its_connection_alone(text: str) -> None:
    """A client that says what it may not is closed, with 1008, or 1009 where it is long; others go on."""
    with page() as shown, PageClient(shown.page.url, book="A-B") as other:
        shown.feed(WHOLE)
        with PageClient(shown.page.url) as client, pytest.raises(ConnectionClosed) as caught:
            client.say(text)
            client.receive()
        assert caught.value.rcvd and caught.value.rcvd.code == (1009 if len(text) > 4_096 else 1008)
        other.wait(lambda: other.book.get("event") == "live")


def test_clients_that_do_not_read() -> None:
    """Of 100 clients half don't read: memory is bounded, the others get all, and one more is refused."""
    with page() as shown, ExitStack() as stack:
        for product in PRODUCTS:
            shown.feed(snapshot(product, [(10.0, 1.0)], [(11.0, 3.0)]))
        port = urlsplit(shown.page.url).port or 0
        for _ in range(MOST_CLIENTS // 2):
            stack.enter_context(_deaf(port))
        readers = [
            stack.enter_context(PageClient(shown.page.url, products=True)) for _ in range(MOST_CLIENTS // 2)
        ]
        with pytest.raises(InvalidStatus) as caught, PageClient(shown.page.url):
            pass
        assert caught.value.response.status_code == 503
        before = usage().resident
        for size in range(1, 16):
            for product in PRODUCTS:
                shown.feed(update(product, "buy", 10.0, 1.0 + size))
            for reader in readers:
                reader.wait(lambda r=reader, s=size: all(_has(r, p, 1.0 + s) for p in PRODUCTS))  # type: ignore[misc]
        assert usage().resident - before < 100e6
        readers[0].choose(products=True, book=PRODUCTS[7])
        readers[0].wait(lambda: readers[0].book)
        stack.close()
        wait_until(lambda: _is_admitted(shown.page.url))


def test_hostile_requests() -> None:
    """Hostile requests and frames are answered or closed, and nothing else happens; see the module."""
    counts, wrong = fuzz(600, seed=5)
    assert not wrong
    assert counts["HTTP/1.1 101"] and counts["HTTP/1.1 200"] and counts["HTTP/1.1 403"]


def test_close() -> None:
    """At its end a page closes its clients with 1001, and its port is free for the next at once."""
    with page() as shown, PageClient(shown.page.url) as client:
        client.choose(products=False)
        client.receive()
        shown.page.close()
        with pytest.raises(ConnectionClosed) as caught:
            client.wait(lambda: False)
        assert caught.value.rcvd and caught.value.rcvd.code == 1001
        again = Page(("127.0.0.1", urlsplit(shown.page.url).port or 0), None)
        again.listen()
        again.start()
        assert get(again.url, "/")[0] == 200
        again.close()


def test_an_address_that_cannot_be_had() -> None:
    """A port that is taken, or a host that is not here, ends the run before it starts, with one line."""
    with held_port() as port, socket.create_server(("127.0.0.1", port), reuse_port=False):
        for address, why in (
            (("127.0.0.1", port), "Address already in use"),
            (("192.0.2.1", port), "Cannot assign requested address"),
            (("no such host", port), ""),
        ):
            with pytest.raises(SystemExit) as caught:
                Page(address, None).listen()
            assert str(caught.value.code).startswith(
                f"ORDERBOOK_PAGE: can't listen at {address[0]}:{port}: {why}"
            )
            assert len(str(caught.value.code).splitlines()) == 1


def test_without_an_address() -> None:
    """Where no page is asked for, the step is not watched, and nothing is started."""
    page = Page(None, None)
    page.listen(1)
    page.start()
    page.close()
    assert page.watching(keep) is keep and page.url == ""


@contextmanager
def _deaf(port: int) -> Iterator[None]:
    """A client that asks for all rows, and reads none."""
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        raw.sendall(f"GET /ws HTTP/1.1\r\nHost: localhost\r\n{upgrade}{KEY}\r\n".encode())
        payload = json.dumps({"products": True}).encode()
        raw.sendall(bytes([0x81, 0x80 | len(payload), 0, 0, 0, 0]) + payload)
        assert raw.recv(12) == b"HTTP/1.1 101"
        yield


def _has(client: PageClient, product: str, amount: float) -> bool:
    return client.rows.get(product, {}).get("bid_amount") == amount


def _is_admitted(url: str) -> bool:
    with suppress(InvalidStatus), PageClient(url):
        return True
    return False
