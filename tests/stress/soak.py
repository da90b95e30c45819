"""A long run in bad weather: `python -m tests.stress.soak --minutes 30`.

Many products, and a random fault somewhere each second, but for a calm last minute. Every line that
is printed is judged as it comes (see `witness`); at the end every book must be the exchange's, the
recording of the run must print the same lines again, and the process must not have grown.
"""

import argparse
import hashlib
import os
import re
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path

from orderbook.book import OrderBookState
from orderbook.coinbase.messages import decode
from tests.exchange import Exchange
from tests.exchange.connection import Sent
from tests.support.live import names, settings
from tests.support.processes import ROOT, by_product, start
from tests.support.witness import Witness

LOST_FOR = 2.0  # seconds that lines may come of a book after it lost an update
SETTLING = 300.0  # seconds until memory must be flat


class Tape:
    """The lines of a product, kept as their hash."""

    def __init__(self) -> None:
        self.count = 0
        self.hash = hashlib.sha256()

    def add(self, line: str) -> None:
        self.count += 1
        self.hash.update(line.encode() + b"\n")


def process_figures(pid: int) -> dict[str, int]:
    """Resident memory in kB, open files, sockets among them, and threads of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    files = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            files.append(os.readlink(entry))
        except OSError:  # closed in between
            continue
    return {
        "rss_kb": int(re.search(r"VmRSS:\s+(\d+)", status)[1]),
        "files": len(files),
        "sockets": sum(file.startswith("socket:") for file in files),
        "threads": int(re.search(r"Threads:\s+(\d+)", status)[1]),
    }


def recorded_book(path: Path) -> tuple[dict[float, float], dict[float, float]]:
    """All levels of the book that a recording ends with."""
    state = OrderBookState()
    with path.open("rb") as file:
        for frame in file:
            if message := decode(frame):
                state.update(message)
    state.check()
    bids, asks = state.depth(10**9)
    return dict(bids), dict(asks)


def soak(
    minutes: float, products: int, rate: float, seed: int, interval: float, folder: Path, workers: int
) -> list[str]:
    """Run it, a fault each `interval` seconds, print the figures, and return what was wrong."""
    listed = names(products)
    witnesses = {name: Witness(name) for name in listed}
    sent: Counter[str] = Counter()

    def on_sent(product: str, frame: Sent) -> None:
        sent["updates"] += b'"l2update"' in frame.frame[:40]
        sent["frames"] += 1
        witnesses[product].sent(frame)

    wrong: list[str] = []
    figures: list[tuple[float, dict[str, int]]] = []
    tapes: defaultdict[str, Tape] = defaultdict(Tape)
    with Exchange(
        listed, rate=rate, seed=seed, on_sent=on_sent, fault_seed=seed, fault_interval=interval
    ) as exchange:
        env = settings(exchange, RECORD=str(folder), REFRESH="300")
        reader, writer = os.pipe()
        with open(writer, "wb") as pipe:
            process = start(["dataflow:flow", "-w", str(workers)], env, stdout=pipe)

        def listen() -> None:
            with open(reader, encoding="utf-8") as lines:
                for line in lines:
                    product = line.split("'", 2)[1]
                    witnesses[product].heard(line.rstrip("\n"))
                    tapes[product].add(line.rstrip("\n"))

        listener = threading.Thread(target=listen)
        listener.start()
        with process:
            began = time.monotonic()
            while (now := time.monotonic() - began) < minutes * 60:
                if now > minutes * 60 - 60:
                    exchange.calm()
                time.sleep(10)  # only to look from time to time
                figures.append((time.monotonic() - began, process_figures(process.pid)))
                if len(figures) % 6 == 0:
                    print(f"{now:6.0f} s {figures[-1][1]} {dict(sent)}", flush=True)
            exchange.pause()
            exchange.wait(lambda: all(map(exchange.live, listed)), 60)
            truth = {name: exchange.book(name) for name in listed}
            time.sleep(2)  # for what is on its way; nothing more is sent but heartbeats
            process.interrupt(signal.SIGINT)
            finished = process.wait()
        listener.join(30)
        struck = exchange.struck

    for name, witness in witnesses.items():
        wrong += [f"{name}: printed, and not what was sent: {line}" for line in witness.wrong[:3]]
    for strike in struck:
        if strike.name == "update_lost" and strike.product and strike.connection is not None:
            late = witnesses[strike.product].last_printed(strike.connection) - strike.when
            if late > LOST_FOR:
                wrong.append(f"{strike.product}: lines for {late:.1f} s after an update was lost")
    for name in listed:
        if recorded_book(folder / f"{name}.jsonl") != truth[name]:
            wrong.append(f"{name}: the book at the end is not the exchange's")
    if finished.code != 0 or "Traceback" in finished.stderr:
        wrong.append(f"ended with {finished.code}: {finished.stderr[-2000:]}")
    replayed: defaultdict[str, Tape] = defaultdict(Tape)
    for name in listed:
        out = start([f"dataflow:replay({str(folder / f'{name}.jsonl')!r}, min_spread=-1)"])
        with out:
            for line in by_product(out.wait(300).stdout).get(name, []):
                replayed[name].add(line)
        if (replayed[name].count, replayed[name].hash.digest()) != (
            tapes[name].count,
            tapes[name].hash.digest(),
        ):
            wrong.append(
                f"{name}: {tapes[name].count} lines live, {replayed[name].count} other ones replayed"
            )
    settled = [figure for when, figure in figures if when >= min(SETTLING, minutes * 30)]
    first, end = settled[0], settled[-1]
    if end["rss_kb"] > first["rss_kb"] * 1.1:
        wrong.append(f"memory grew from {first['rss_kb']} kB to {end['rss_kb']} kB")
    if (
        end["sockets"] > products + 4
        or end["files"] > first["files"] + 4
        or end["threads"] > first["threads"]
    ):
        wrong.append(f"leaked: {first} became {end}")

    print(f"{minutes:g} minutes, {products} products, {workers} workers, seed {seed}")
    print(f"sent: {dict(sent)}; lines printed and judged: {sum(w.printed for w in witnesses.values())}")
    print(f"faults: {len(struck)}: {dict(Counter(strike.name for strike in struck).most_common())}")
    print(f"connections: {len(exchange.connections)}")
    print(f"memory, files, threads, settled: {first}, at the end: {end}")
    return wrong


def main() -> None:
    """Soak, and exit with 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.stress.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--products", type=int, default=20)
    parser.add_argument("--rate", type=float, default=35, help="updates a second a product")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--interval", type=float, default=1, help="seconds between two faults")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        wrong = soak(
            options.minutes,
            options.products,
            options.rate,
            options.seed,
            options.interval,
            Path(folder),
            options.workers,
        )
    print(*wrong, sep="\n") if wrong else print("nothing was wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
