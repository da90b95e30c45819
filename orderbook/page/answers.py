"""Answers to requests over HTTP, and which requests are answered at all.

The page can only be read, and only by who may: a page of another site can't, since its `Origin` is another;
nor can one whose name was made to mean this address (DNS rebinding), since its `Host` is that name.
"""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from importlib.resources import files
from ipaddress import ip_address
from time import time
from typing import NamedTuple

import msgspec

from orderbook.output.encoding import iso_time
from orderbook.page.frames import Copy, not_live
from orderbook.page.views import LIVE, State, Views

MOST_LEVELS = 100_000
SILENT_AFTER = 5.0  # seconds without a message, heartbeats included, after which a live feed is not healthy
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
JSON = "application/json"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class Answer(NamedTuple):
    """An answer: its status, its content type and its body."""

    status: HTTPStatus
    kind: str
    body: bytes


class Gate:
    """Who may read: requests that name this host, and come from no other site's page.

    `host` is where the page listens, as it was configured. Where others than this machine reach it, any
    address is one of its names; a name that is none of its own never is.
    """

    def __init__(self, host: str, is_loopback: bool) -> None:
        self._names = {"localhost", "127.0.0.1", "::1", host.lower()}
        self._is_loopback = is_loopback

    def admits(self, hosts: Sequence[str], origins: Sequence[str]) -> bool:
        """Whether requests with these `Host` and `Origin` headers are answered."""
        if len(hosts) != 1 or len(origins) > 1:
            return False
        found = re.fullmatch(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::[0-9]{1,5})?", hosts[0].lower(), re.A)
        if not found or not self._is_own(found[1] or found[2]):
            return False
        return not origins or origins[0].lower() in (
            f"http://{hosts[0].lower()}",
            f"https://{hosts[0].lower()}",
        )

    def _is_own(self, name: str) -> bool:
        return name in self._names or (not self._is_loopback and _is_address(name))


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def static_files() -> dict[str, Answer]:
    """The page's own files by path, read now."""
    found = {}
    for file in files("orderbook.page").joinpath("static").iterdir():
        kind = TYPES.get("." + file.name.rpartition(".")[2])
        if kind:
            found[f"/{file.name}"] = Answer(HTTPStatus.OK, kind, file.read_bytes())
    return found | {"/": found["/index.html"]}


def text(status: HTTPStatus) -> Answer:
    """An answer that is its status alone."""
    return Answer(status, "text/plain; charset=utf-8", f"{status} {status.phrase}\n".encode())


def health(views: Views, now: float | None = None) -> Answer:
    """Whether all products are live and, of a live feed, have had a message of late."""
    at = time() if now is None else now
    every, faults = views.all(), []
    for view in every:
        state, last = view.state, view.last
        if (
            state is LIVE
            and views.feeds is not None
            and last is not None
            and last.local_timestamp is not None
        ):
            silence = at - last.local_timestamp / 1e9
            if silence > SILENT_AFTER:
                state = State("silent", f"no message since {iso_time(last.local_timestamp // 1_000)}")
        if state is not LIVE:
            faults.append(not_live(view.symbol, state))
    body = {"live": len(every) - len(faults), "products": len(every), "not_live": faults}
    return _json(HTTPStatus.SERVICE_UNAVAILABLE if faults or not every else HTTPStatus.OK, body)


def levels_of(query: str) -> int | None:
    """The levels that a query asks for; None where it is none that is understood."""
    if not query:
        return 50
    found = re.fullmatch("levels=([1-9][0-9]{0,5})", query, re.A)
    return int(found[1]) if found and int(found[1]) <= MOST_LEVELS else None


def book(copy: Copy, levels: int) -> Answer:
    """A product's book, where it is live."""
    if copy.state is not LIVE:
        return _json(HTTPStatus.SERVICE_UNAVAILABLE, not_live(copy.symbol, copy.state))
    return Answer(HTTPStatus.OK, JSON, copy.answer(levels))


def _json(status: HTTPStatus, body: Mapping[str, object]) -> Answer:
    return Answer(status, JSON, msgspec.json.encode(body))
