"""Chromium, driven by Playwright: a tab that shows the live page, and what went wrong in it."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.waiting import DEADLINE, wait_until

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

# All that the page shows of its products and of the chosen one, as text.
READ = """() => {
  const text = (node) => node ? node.textContent : "";
  const at = (selector) => text(document.querySelector(selector));
  const table = (selector) => [...document.querySelectorAll(selector + " tr")].map(
    (row) => [...row.children].map(text));
  const products = {};
  for (const row of document.querySelectorAll("#rows > [role=row]:not([hidden])"))
    products[row.dataset.symbol] = Object.fromEntries(
      [...row.children].map((cell) => [cell.className, text(cell)]));
  return {
    products,
    old: document.body.classList.contains("old"),
    off: document.getElementById("ladder").classList.contains("off"),
    title: document.title,
    icon: document.getElementById("favicon").getAttribute("href"),
    banner: document.getElementById("banner").classList.contains("calm") ? "" : at("#banner"),
    live: at("#live"), state: at("#state"), symbol: at("#symbol"), reason: at("#reason"),
    dated: document.querySelector("#book .dated dd").dataset.time ?? "",
    levels: at("#book .levels dd"), near: at("#book .near dd"),
    asks: table("#asks").reverse(), bids: table("#bids"), mid: table("#mid")[0],
    depth: table("#depth-sums"), cost: table("#cost-rows"), trades: table("#trade-rows"),
  };
}"""


class Tab:
    """A tab, with the errors on its console and the hosts that it asked something of."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.errors: list[str] = []
        self.hosts: set[str] = set()
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        page.on("websocket", lambda socket: self.hosts.add(urlsplit(socket.url).netloc))

    def _note(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def read(self) -> dict[str, Any]:
        """What the page shows."""
        shown: dict[str, Any] = self.page.evaluate(READ)
        return shown

    def wait(self, condition: Callable[[dict[str, Any]], Any], timeout: float = DEADLINE) -> dict[str, Any]:
        """What the page shows, once a condition holds of it."""
        last: dict[str, Any] = {}

        def met() -> bool:
            last.update(self.read())
            return bool(condition(last))

        try:
            wait_until(met, timeout)
        except TimeoutError:
            raise AssertionError(f"not so within {timeout} s: {last}, console: {self.errors}") from None
        return last


class Browser:
    """A running Chromium."""

    def __init__(self, chromium: Any) -> None:
        self._chromium = chromium

    @contextmanager
    def tab(self, url: str, width: int = 1280, height: int = 800) -> Iterator[Tab]:
        """Open a page in a profile of its own; at the end nothing was wrong, and no other host was asked."""
        context = self._chromium.new_context(viewport={"width": width, "height": height})
        tab = Tab(context.new_page())
        try:
            tab.page.goto(url)
            yield tab
            assert tab.errors == []
            assert tab.hosts == {urlsplit(url).netloc}
        finally:
            context.close()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Chromium, headless; the test is skipped where there is none."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(OPTIONS))
        try:
            yield Browser(browser)
        finally:
            browser.close()
