"""Answers over HTTP: who is let in, and what is said."""

import json
import re
from pathlib import Path

import pytest

from orderbook.page import answers
from orderbook.page.answers import Gate
from orderbook.page.frames import Copy
from orderbook.page.views import Views
from tests.support.processes import ROOT
from tests.support.views import ARRIVAL, Fed, snapshot, status

WHOLE = snapshot("A-B", [(10.0, 1.0), (9.5, 4.0)], [(11.0, 3.0)])
AT = ARRIVAL / 1e9


@pytest.mark.parametrize(
    ("hosts", "origins", "local", "anywhere"),
    [
        (["127.0.0.1:8080"], [], True, True),
        (["localhost"], ["http://localhost"], True, True),
        (["LOCALHOST:9"], ["http://localhost:9"], True, True),
        (["[::1]:8080"], ["https://[::1]:8080"], True, True),
        (["box.example:8080"], ["http://box.example:8080"], False, True),
        (["192.0.2.7:8080"], ["http://192.0.2.7:8080"], False, True),
        (["[2001:db8::1]"], [], False, True),
        (["evil.example:8080"], [], False, False),
        (["127.0.0.1.evil.example"], [], False, False),
        (["localhost:8080@evil.example"], [], False, False),
        (["127.1"], [], False, False),
        (["localhost:x"], [], False, False),
        ([""], [], False, False),
        ([], [], False, False),
        (["localhost", "localhost"], [], False, False),
        (["localhost:8080"], ["http://localhost:8081"], False, False),
        (["localhost:8080"], ["http://127.0.0.1:8080"], False, False),
        (["localhost:8080"], ["http://evil.example"], False, False),
        (["localhost:8080"], ["null"], False, False),
        (["localhost:8080"], [""], False, False),
        (["localhost:8080"], ["http://localhost:8080"] * 2, False, False),
    ],
)
def test_gate(hosts: list[str], origins: list[str], local: bool, anywhere: bool) -> None:
    """Let in is who names this host, by `Host`, and no other site, by `Origin`."""
    assert Gate("127.0.0.1", True).admits(hosts, origins) is local
    assert Gate("box.example", False).admits(hosts, origins) is anywhere


@pytest.mark.parametrize(
    ("query", "levels"),
    [("", 50), ("levels=1", 1), ("levels=100000", 100_000), ("levels=100001", None), ("levels=0", None)]
    + [
        (query, None)
        for query in ("levels=", "levels=-1", "levels=1e3", "levels=٣", "x=1", "levels=1&levels=2")
    ],
)
def test_levels(query: str, levels: int | None) -> None:
    """Levels are 1 to 100,000, 50 where nothing is said; anything else is none."""
    assert answers.levels_of(query) == levels


def test_book() -> None:
    """A live book is its levels, best first; any other is why it isn't live."""
    fed = Fed()
    answer = answers.book(Copy(fed.feed(WHOLE)), 1)
    assert answer.status == 200
    body = json.loads(answer.body)
    assert (body.pop("exchange"), body.pop("symbol")) == ("coinbase", "A-B")
    assert body.pop("timestamp") == body.pop("local_timestamp") == "2026-09-21T14:13:20.123456Z"
    assert body == {"bids": [[10.0, 1.0]], "asks": [[11.0, 3.0]]}
    answer = answers.book(Copy(fed.feed(status("A-B", "stale: no frame"))), 1)
    assert answer.status == 503
    assert json.loads(answer.body) == {"symbol": "A-B", "event": "stale", "reason": "no frame"}


def test_health() -> None:
    """All is well while all products are live and, of a feed, have had a message within seconds."""
    fed = Fed({})
    fed.feed(WHOLE)
    assert _health(fed.views, AT + 4) == (200, 1, 1, [])
    assert _health(fed.views, AT + 6) == (503, 0, 1, ["silent"])
    fed.views.expect(["C-D"])
    fed.feed(status("A-B", "refused: x"))
    assert _health(fed.views, AT) == (503, 0, 2, ["refused", "connecting"])
    replayed = Fed()
    assert _health(replayed.views, AT) == (503, 0, 0, [])
    replayed.feed(WHOLE)
    assert _health(replayed.views, AT + 1e6) == (200, 1, 1, [])


def test_files() -> None:
    """The page's files are served by their names and types, and nothing else of the package."""
    served = answers.static_files()
    folder = Path(ROOT, "orderbook/page/static")
    assert set(served) == {"/"} | {f"/{file.name}" for file in folder.iterdir()}
    assert served["/"] == served["/index.html"] and served["/"].kind == "text/html; charset=utf-8"


def test_the_page_needs_no_other_place() -> None:
    """No file of the page has an address of another host, nor a script or a style within HTML."""
    for path, answer in answers.static_files().items():
        text = answer.body.decode()
        hosts = set(re.findall(r"(?:https?|wss?)://[\w.-]+", text)) - {"http://www.w3.org"}
        assert not hosts, f"{path}: {hosts}"
        if path.endswith(".html"):
            assert not re.search(r"<script>|<script [^>]*>\s*[^<\s]|<style|\sstyle=|\son\w+=", text), path


def _health(views: Views, at: float) -> tuple[int, int, int, list[str]]:
    answer = answers.health(views, at)
    body = json.loads(answer.body)
    return answer.status, body["live"], body["products"], [each["event"] for each in body["not_live"]]
