"""Table 8, the live page: what its clients cost a live run, and how old what they see is."""

import asyncio
import json
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect

from tests.benchmarks.live import LiveRun, Measured
from tests.benchmarks.table import Table, Target, figure, milliseconds
from tests.support.processes import start

NOTES = (
    "400 products as in table 2, evenly, over wss: without the page, with it and nobody there, with three",
    "clients in a process of their own, of whom each has the rows of all products and a book of 25 levels,",
    "two of them of real size. `age` is from our receipt of the last message of a row to the client's",
    "receipt of the row, in ms; up to 100 are the wait for the next frame.",
    "Whom it favours: those without clients, which take their share of the two cores.",
)

HEADER = (
    "",
    "p50 ms",
    "p99 ms",
    "answered",
    "core %",
    "µs",
    "MB",
    "frames/s",
    "MB/s",
    "age p50 ms",
    "age p99 ms",
)
BOOKS = ("BTC-USD", "ETH-USD", "P003-USD")
WITHOUT, NOBODY, CLIENTS = "without the page", "with it, no client", "with it, three clients"


def table(folder: Path, quick: bool) -> Table:
    """Run the cases one after another, each so often, and show the middle one."""
    seconds, rounds = (5.0, 1) if quick else (20.0, 3)
    every: dict[str, list[tuple[Measured, dict[str, float]]]] = {}
    for _ in range(rounds):
        for name in (WITHOUT, NOBODY, CLIENTS):
            every.setdefault(name, []).append(_run(folder, name, seconds))
    middle = {
        name: sorted(its, key=lambda pair: pair[0].quantile(0.99))[rounds // 2] for name, its in every.items()
    }
    plain, targets = middle[WITHOUT][0], []
    for name in (NOBODY, CLIENTS):
        its = middle[name][0]
        p99 = its.quantile(0.99) / plain.quantile(0.99)
        targets.append(Target(f"{name}: p99 ÷ without", p99, 1.25, "×"))
        targets.append(Target(f"{name}: processor ÷ without", its.cpu / plain.cpu, 1.2, "×"))
    rows = [_row(name, *its) for name, its in middle.items()]
    return Table("8. The live page", NOTES, HEADER, rows, targets)


def _run(folder: Path, name: str, seconds: float) -> tuple[Measured, dict[str, float]]:
    env = {} if name == WITHOUT else {"ORDERBOOK_PAGE": "0"}
    with LiveRun(400, 20, folder, env=env) as live:
        if name != CLIENTS:
            return live.measure(seconds), {}
        url = live.log.wait_for("page: ").split()[-1].replace("http", "ws") + "/ws"
        with start([url, *BOOKS], module="tests.benchmarks.page") as clients:
            clients.stdout.wait_for("ready")
            measured = live.measure(seconds)
            return measured, json.loads(clients.wait().stdout.splitlines()[-1])


def _row(name: str, its: Measured, seen: dict[str, float]) -> list[str]:
    quantiles = (milliseconds(its.quantile(share)) for share in (0.5, 0.99))
    cells = [name, *quantiles, f"{its.answered * 100:.2f} %", f"{its.cpu * 100:.1f}"]
    cells += [figure(its.cost * 1e6), figure(its.peak)]
    if not seen:
        return [*cells, "-", "-", "-", "-"]
    cells += [figure(seen["frames"]), figure(seen["bytes"] / 1e6)]
    return [*cells, milliseconds(seen["p50"]), milliseconds(seen["p99"])]


async def _look(url: str, book: str) -> dict[str, Any]:
    """Be a client until the server goes away; ages are of some rows of each frame, to cost little."""
    frames, size, ages = 0, 0, list[float]()
    async with connect(url, compression=None, max_size=None) as websocket:
        await websocket.send(json.dumps({"products": True, "book": book, "levels": 25, "cost": 10_000}))
        await websocket.recv()
        print("ready", flush=True)
        began = time.monotonic()
        async for frame in websocket:
            now = time.time()
            frames, size = frames + 1, size + len(frame)
            if not frames % 10:
                rows = json.loads(frame).get("products", [])[::10]
                ages += [now - datetime.fromisoformat(row["seen"]).timestamp() for row in rows]
    return {"seconds": time.monotonic() - began, "frames": frames, "bytes": size, "ages": ages}


async def _look_at_all(url: str, *books: str) -> None:
    """Be a client of each book, then print what a client had a second, and the ages of all."""
    looks = await asyncio.gather(*(_look(url, book) for book in books))
    ages = sorted(age for look in looks for age in look["ages"])
    seconds = sum(look["seconds"] for look in looks)
    figures = {what: sum(look[what] for look in looks) / seconds for what in ("frames", "bytes")}
    figures |= {f"p{share}": ages[len(ages) * share // 100] for share in (50, 99)}
    print(json.dumps(figures))


if __name__ == "__main__":
    asyncio.run(_look_at_all(*sys.argv[1:]))
