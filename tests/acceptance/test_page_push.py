"""The live page's push and answers, of runs as a user starts them."""

import re

import pytest

from tests.exchange import Exchange
from tests.support.live import PAIR, all_live, end, settings
from tests.support.naive_page import differences
from tests.support.oracle import Oracle
from tests.support.page import PageClient, get, get_json
from tests.support.ports import held_port
from tests.support.processes import ROOT, Running, cluster, run, start
from tests.support.recordings import frames_of
from tests.support.waiting import wait_until

TOP = ("bid_price", "bid_amount", "ask_price", "ask_amount")
STEPS = (0.0, 0.5, 1.0, 25.0, 3000.0)


def url_of(process: Running) -> str:
    """Where the page of a run is, by its log."""
    return process.stderr.wait_for("page: ").split()[-1]


@pytest.mark.parametrize("workers", ["1", "3"])
def test_shows_the_true_books(workers: str) -> None:
    """At each step of a market top, levels, groups, depth and cost are those of the exchange's own book."""
    with (
        Exchange(PAIR, rate=0) as exchange,
        start(["dataflow:flow", "-w", workers], settings(exchange, PAGE="0")) as process,
        PageClient(url_of(process)) as client,
    ):
        exchange.wait(lambda: all_live(exchange), 30)
        for number, step in enumerate(STEPS):
            product, cost = PAIR[number % 2], 10.0 ** (3 + number)
            client.choose(products=True, book=product, levels=25, step=step, cost=cost)
            exchange.step(product, 20)
            _await_book(client, exchange, step, cost, product)
            _await_top(client, exchange, product)
        ids = [str(trade.id) for trade in exchange.trades(product)][-50:]
        client.wait(lambda: [t["id"] for t in client.trades if t["symbol"] == product][-len(ids) :] == ids)
        status, body = get_json(url_of(process), f"/books/{PAIR[0]}?levels=100000")
        bids, asks = exchange.book(PAIR[0])
        assert status == 200 and [dict(body["bids"]), dict(body["asks"])] == [bids, asks]
        assert body["bids"] == sorted(body["bids"], reverse=True) and body["asks"] == sorted(body["asks"])
        assert get_json(url_of(process), "/health") == (200, {"live": 2, "products": 2, "not_live": []})
        end(process)


def test_what_is_not_live_is_shown_so() -> None:
    """A product that is cut off, or refused, is shown so at once, without prices; it comes back."""
    with (
        Exchange(PAIR, rate=20) as exchange,
        start(
            ["dataflow:flow"], settings(exchange, PAGE="0", PRODUCTS=",".join((*PAIR, "NO-NE")))
        ) as process,
        PageClient(url_of(process), products=True, book=PAIR[0]) as client,
    ):
        client.wait(lambda: all(_event(client, product) == "live" for product in PAIR))
        client.wait(lambda: _event(client, "NO-NE") == "refused")
        exchange.close_listener(drop=True)
        client.wait(lambda: all(_event(client, product) == "closed" for product in PAIR), 5)
        client.wait(lambda: client.book["event"] == "closed", 5)
        assert [client.rows[PAIR[0]][name] for name in TOP] == [None] * 4 and client.book["bids"] == []
        status, body = get_json(url_of(process), "/health")
        assert status == 503 and {each["symbol"] for each in body["not_live"]} == {*PAIR, "NO-NE"}
        assert get(url_of(process), f"/books/{PAIR[0]}")[0] == 503
        exchange.open_listener()
        client.wait(lambda: all(_event(client, product) == "live" for product in PAIR))
        client.wait(lambda: client.status["resyncs"] >= 3 and client.status["lag_p50"] is not None)
        end(process)


def test_replay() -> None:
    """A replay's page moves with it, and stays when that is over; a signal ends it then, with code 0."""
    flow = "dataflow:replay('tests/recordings', speed=4)"
    with start([flow], {"ORDERBOOK_PAGE": "0"}) as process:
        with PageClient(url_of(process), products=True, book="BTC-EUR", levels=10) as client:
            for _ in range(5):
                before = client.book.get("local_timestamp")
                client.wait(lambda: client.book.get("local_timestamp") != before)  # noqa: B023
            process.stderr.wait_for("the page stays at ")
            bids, asks = last_book("BTC-EUR")
            client.wait(lambda: (client.book["bids"], client.book["asks"]) == (bids, asks))
            client.wait(lambda: client.status.get("kind") == "replay" and client.status["live"] == 4)
        (finished,) = end(process)
    assert finished.by_product == run(["dataflow:replay('tests/recordings')"]).by_product


def last_book(product: str) -> tuple[list[list[float]], list[list[float]]]:
    """The best ten levels a side of a product's book at the end of its recording."""
    oracle = Oracle(product)
    for frame in frames_of([ROOT / f"tests/recordings/{product}.jsonl"]):
        oracle.apply(frame)
    bids, asks = oracle.bids.items(), oracle.asks.items()
    return [[*level] for level in sorted(bids, reverse=True)[:10]], [[*level] for level in sorted(asks)[:10]]


def test_cluster() -> None:
    """Each process of a cluster serves its own products, on the port behind that of the one before."""
    with (
        Exchange(rate=20) as exchange,
        held_port() as port,
        cluster(["dataflow:flow"], settings(exchange, PAGE=str(port))) as (_, processes),
    ):
        urls = [url_of(process) for process in processes]
        assert urls == [f"http://127.0.0.1:{port + number}" for number in (0, 1)]

        def shown() -> list[set[str]]:
            return [_live(url) for url in urls]

        wait_until(lambda: set.union(*shown()) == set(exchange.products))
        assert not set.intersection(*shown())
        end(*processes)


def test_a_port_that_is_taken() -> None:
    """A port that is taken ends the run before it starts: one line, exit code 1."""
    with Exchange(PAIR) as exchange, start(["dataflow:flow"], settings(exchange, PAGE="0")) as process:
        port = url_of(process).rpartition(":")[2]
        finished = run(["dataflow:flow"], settings(exchange, PAGE=port))
        assert finished.code == 1 and finished.stdout == ""
        assert re.fullmatch("ORDERBOOK_PAGE: can't listen at 127.0.0.1:[0-9]+: .*in use\n", finished.stderr)
        end(process)


def _await_book(client: PageClient, exchange: Exchange, step: float, cost: float, product: str) -> None:
    """Wait until the book that the client sees is the exchange's own."""
    truth, wrong = exchange.book(product), ["nothing came"]

    def is_right() -> bool:
        book = client.book
        if book.get("symbol") == product and book["step"] == step:
            wrong[:] = differences(book, truth, 25, cost)
        return not wrong

    try:
        client.wait(is_right, 10)
    except (AssertionError, TimeoutError):
        raise AssertionError(wrong) from None


def _await_top(client: PageClient, exchange: Exchange, product: str) -> None:
    """Wait until the product's row has the exchange's own top."""
    best = exchange.best(product)
    client.wait(lambda: tuple(client.rows.get(product, {}).get(name) for name in TOP) == best)


def _event(client: PageClient, product: str) -> str | None:
    return client.rows.get(product, {}).get("event")


def _live(url: str) -> set[str]:
    with PageClient(url, products=True) as client:
        client.wait(lambda: client.status)
        return {symbol for symbol, row in client.rows.items() if row["event"] == "live"}
