"""The live page in Chromium, as a trader has it open, on the simulated exchange."""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import partial
from typing import Any

import pytest

from tests.exchange import Exchange
from tests.support import naive_page
from tests.support.browser import Browser, Tab, chromium
from tests.support.live import AT_ONCE, all_live, end, names, settings
from tests.support.ports import held_port
from tests.support.processes import Running, start
from tests.support.pushes import Pushes
from tests.support.waiting import wait_until

PRODUCT = "BTC-EUR"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of this file."""
    with chromium() as opened:
        yield opened


@contextmanager
def served(exchange: Exchange, port: int = 0, **more: str) -> Iterator[tuple[Running, str]]:
    """A live run with its page; yields it and the page's address."""
    env = settings(exchange, PAGE=str(port), MIN_SPREAD="0.9", **more)
    with start(["dataflow:flow"], env) as process:
        yield process, process.stderr.wait_for("page: ").partition("page: ")[2]


def decimal(text: str) -> Decimal:
    """A number as the page writes it."""
    return Decimal(text.replace(",", "").replace("−", "-").strip("\u2007\u2008 "))


def sides(exchange: Exchange, product: str) -> tuple[naive_page.Pairs, naive_page.Pairs]:
    """Bids and asks of the true book, best first, in decimals."""
    bids, asks = exchange.book(product)
    return naive_page.decimals(bids, True), naive_page.decimals(asks, False)


def shown_levels(rows: list[list[str]]) -> naive_page.Pairs:
    """The first 25 levels of a side as the page shows them, their cumulated sizes checked."""
    levels = [(decimal(price), decimal(size)) for price, size, _sum in rows[:25]]
    total = Decimal(0)
    for (_price, size), row in zip(levels, rows, strict=False):
        total += size
        assert decimal(row[2]) == total
    return levels


def near(text: str, true: Decimal | float, decimals: int) -> bool:
    """Whether a text is a number as it should be, rounded to so many decimals."""
    return abs(decimal(text) - Decimal(true)) <= Decimal("0.51") * Decimal(10) ** -decimals


def step_and_read(exchange: Exchange, tab: Tab) -> dict[str, Any]:
    """Move the market by one update; what the page shows of that very update, in the table too."""
    exchange.step(PRODUCT)
    frames = (json.loads(sent.frame) for sent in reversed(exchange.sent[PRODUCT]))
    last = next(frame["time"] for frame in frames if frame["type"] == "l2update")
    bid, _bid_size, ask, _ask_size = exchange.best(PRODUCT)

    def has_come(shown: dict[str, Any]) -> bool:
        if shown["dated"] != last:
            return False
        row = shown["products"][PRODUCT]
        return [float(decimal(row[side])) for side in ("bid", "ask")] == [bid, ask]

    return tab.wait(has_come)


def check_book(shown: dict[str, Any], exchange: Exchange) -> None:
    """All panes show the true book."""
    bids, asks = sides(exchange, PRODUCT)
    bid, ask = bids[0][0], asks[0][0]
    mid = (bid + ask) / 2
    assert near(shown["products"][PRODUCT]["bp"], (ask - bid) / mid * 10_000, 3)
    assert shown_levels(shown["bids"]) == bids[:25]
    assert shown_levels(shown["asks"]) == asks[:25]
    assert decimal(shown["mid"][1]) == mid
    assert decimal(shown["mid"][2].removeprefix("spread ")) == ask - bid
    assert [decimal(count) for count in shown["levels"].split()] == [len(bids), len(asks)]
    for text, levels in zip(shown["near"].split(), (1, 5, 25), strict=True):
        b, a = (sum(size for _price, size in side[:levels]) for side in (bids, asks))
        assert near(text, Decimal(b - a) / (b + a), 2)
    for texts, bps in zip(shown["depth"], (10, 50, 100), strict=True):
        for text, side in zip(texts[1:3], (bids, asks), strict=True):
            assert near(text, naive_page.depth(side, mid, bps), 0)


def is_cost_right(shown: dict[str, Any], exchange: Exchange, amount: int) -> bool:
    """Whether the cost of a market order is that on the true book."""
    bids, asks = sides(exchange, PRODUCT)
    mid = float(bids[0][0] + asks[0][0]) / 2
    right = []
    for texts, levels in zip(shown["cost"], (asks, bids), strict=True):
        average = naive_page.average(levels, amount)
        assert average is not None
        share = abs(average - mid) / mid
        right += [
            near(texts[1], average, 4),
            near(texts[2], share * 1e4, 3),
            near(texts[3], amount * share, 2),
        ]
    return all(right)


def is_grouped(shown: dict[str, Any], exchange: Exchange, step: str) -> bool:
    """Whether 25 levels a side are shown as the true book has them, grouped: bids down, asks up."""
    bids, asks = sides(exchange, PRODUCT)
    wanted = [
        naive_page.ladder(bids, 25, float(step), ROUND_FLOOR),
        naive_page.ladder(asks, 25, float(step), ROUND_CEILING),
    ]
    levels = shown_levels(shown["bids"]), shown_levels(shown["asks"])
    return [[[float(price), float(size)] for price, size in side] for side in levels] == wanted


def test_true_book(browser: Browser) -> None:
    """At each step of a market each pane shows the true book: levels, sums, grouping, cost, trades."""
    with (
        Exchange(rate=0) as exchange,
        served(exchange) as (_process, url),
        browser.tab(f"{url}/#{PRODUCT}") as tab,
    ):
        exchange.wait(lambda: all_live(exchange), AT_ONCE)
        for _ in range(10):
            shown = step_and_read(exchange, tab)
            check_book(shown, exchange)
            assert is_cost_right(shown, exchange, 10_000)
        for amount, step in ((250_000, "1"), (1_000_000, "50")):
            tab.page.fill("#amount", f"{amount:,}")
            tab.page.select_option("#step", step)
            exchange.step(PRODUCT)
            tab.wait(partial(is_cost_right, exchange=exchange, amount=amount))
            tab.wait(partial(is_grouped, exchange=exchange, step=step))
        exchange.step(PRODUCT, 200)
        takers = {"buy": "▼ sell", "sell": "▲ buy"}  # by the maker's side
        trades = [
            (takers[trade.side], Decimal(str(trade.price)), Decimal(str(trade.size)))
            for trade in reversed(exchange.trades(PRODUCT)[-50:])
        ]
        assert len(trades) > 10
        tab.wait(lambda shown: [(row[1], *map(decimal, row[2:4])) for row in shown["trades"]] == trades)


def test_states(browser: Browser) -> None:
    """A product that is refused, crosses or falls silent is shown so, and comes back when it is live."""
    refused, crossed, silent = names(3)
    with Exchange(names(3)) as exchange:
        exchange.fault("unknown_product", refused)
        with (
            served(exchange, CROSSED_AFTER="3", CONNECTIONS="1") as (process, url),
            browser.tab(f"{url}/#{crossed}") as tab,
        ):
            shown = tab.wait(lambda shown: shown["live"] == "2 of 3" and not shown["off"])
            row = shown["products"][refused]
            assert (row["bid"], row["ask"], row["state"]) == ("–", "–", "✕ refused")
            assert shown["banner"] == f"Not live: {refused} refused."

            exchange.fault("update_lost", crossed)
            shown = tab.wait(lambda shown: shown["state"] == "✕ crossed")
            assert shown["off"] and not shown["bids"] and not shown["asks"] and "best bid" in shown["reason"]
            row = shown["products"][crossed]
            assert (row["bid"], row["ask"], row["state"]) == ("–", "–", "✕ crossed")
            assert shown["title"].startswith("○ 2 of 3 not live") and f"{crossed} crossed" in shown["banner"]
            tab.wait(lambda shown: not shown["off"] and shown["bids"])

            began = time.monotonic()
            exchange.fault("product_silent", silent)
            shown = tab.wait(lambda shown: silent in shown["banner"])
            print(f"silent: shown after {time.monotonic() - began:.2f} s")
            assert shown["products"][silent]["state"] == "○ silent"
            assert shown["icon"] == "/favicon-some.svg"
            tab.wait(lambda shown: shown["live"] == "2 of 3" and silent not in shown["banner"])
            end(process)


def test_server_comes_back(browser: Browser) -> None:
    """While the server is away all is grey and said to be old; within 5 s of its return it lives again."""
    with (
        Exchange([PRODUCT]) as exchange,
        held_port() as port,
        served(exchange, port) as (process, url),
        browser.tab(url) as tab,
    ):
        tab.wait(lambda shown: shown["live"] == "1 of 1" and shown["bids"])
        process.interrupt(signal.SIGKILL)
        shown = tab.wait(lambda shown: shown["old"] and shown["banner"])
        assert shown["products"][PRODUCT]["state"] == "○ old" and shown["off"]
        assert shown["title"].startswith("✕ no server") and shown["icon"] == "/favicon-none.svg"
        assert "No word from the server since" in shown["banner"]
        with served(exchange, port):
            began = time.monotonic()
            tab.wait(lambda shown: not shown["off"] and shown["bids"] and not shown["banner"], 5)
            print(f"lives again {time.monotonic() - began:.2f} s after the server listens")
        refused = [error for error in tab.errors if "ERR_CONNECTION" in error]
        tab.errors[:] = [error for error in tab.errors if error not in refused]


def test_keys_and_address(browser: Browser) -> None:
    """Keys choose, filter, sort and group; the address names the product; only rows in sight are elements."""
    products = names(400)
    with Pushes(products) as pushes, browser.tab(f"{pushes.url}/#AD-USD") as tab:
        tab.wait(lambda shown: shown["symbol"] == "AD-USD" and shown["live"] == "400 of 400")
        assert len(tab.read()["products"]) < 60
        press = tab.page.keyboard.press
        press("ArrowDown")
        press("ArrowDown")
        press("ArrowUp")
        tab.wait(lambda shown: shown["symbol"] == "AE-USD")
        assert tab.page.url.endswith("#AE-USD")
        focus = tab.page.evaluate(
            "document.getElementById(document.getElementById('grid').getAttribute('aria-activedescendant'))"
            ".dataset.symbol"
        )
        assert focus == "AE-USD"
        press("End")
        shown = tab.wait(lambda shown: shown["symbol"] == products[-1])
        assert products[-1] in shown["products"]
        press("/")
        tab.page.keyboard.type("ba")
        tab.wait(lambda shown: list(shown["products"]) == ["BA-USD"])
        press("Escape")
        press("s")
        press("S")
        press("Home")
        tab.wait(lambda shown: len(shown["products"]) > 1)
        assert tab.page.get_attribute("#columns .bid", "aria-sort") == "ascending"
        press("End")
        wait_until(lambda: tab.page.evaluate("document.getElementById('step').options.length") > 1)
        press("+")
        assert tab.page.evaluate("document.getElementById('step').selectedIndex") == 1
        press("t")
        press("?")
        assert tab.page.evaluate("document.getElementById('help').open")
        tab.page.goto("about:blank")
        tab.page.goto(f"{pushes.url}/#AC-USD")
        tab.wait(lambda shown: shown["symbol"] == "AC-USD")
        assert tab.page.evaluate("document.documentElement.dataset.theme") == "light"


def test_hostile_names(browser: Browser) -> None:
    """A name is text, whatever it is made of."""
    name = "<img src=//example.org/x onerror=alert(1)>-%00%\"'&amp;\u202e"
    with Pushes([name, "BTC-USD"]) as pushes, browser.tab(pushes.url) as tab:
        shown = tab.wait(lambda shown: shown["symbol"] == name and shown["bids"])
        assert shown["products"][name]["product"] == name
        tab.page.reload()
        tab.wait(lambda shown: shown["symbol"] == name and shown["bids"])
