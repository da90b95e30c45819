"""Live run of a dataflow on the simulated exchange, measured from a third process.

The exchange logs when it sends each frame, just before it does; this process logs when it reads each line
of the dataflow's stdout; both use the machine's monotonic clock. With a threshold of -1 every snapshot and
update gives one line, so a product's k-th line answers its k-th snapshot or update.
"""

import os
import re
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.support.processes import Lines, Running, start
from tests.support.usage import usage
from tests.support.waiting import DEADLINE

REAL = ["BTC-USD", "ETH-USD", "BTC-EUR", "ETH-EUR"]
# Updates a product that are made before the run, so that the exchange takes less of the cores. Each comes
# again after twice as many, out of deflate's reach: it is compressed 4.5 to 4.9 times, a new one 4.5 times.
PREPARED = 100
LINE = re.compile(rb"\('([A-Z0-9-]+)', \w+\(.*\)\)$")


def products(count: int) -> list[str]:
    """The four of real size first, then small ones."""
    return [*REAL, *(f"P{number:03d}-USD" for number in range(count))][:count]


@dataclass
class Measured:
    """The figures of a span of time."""

    seconds: float
    cpu: float  # share of a core
    peak: float  # MB, since the start
    updates: int  # that were sent
    latencies: list[float]  # of those that were answered, ascending, in seconds
    snapshot: float  # seconds from the send of the largest book's snapshot to its line
    live: float  # seconds from the start of the processes until each product had its first line

    def quantile(self, share: float) -> float:
        """A latency that this share of all stays below; infinite without any."""
        count = len(self.latencies)
        return self.latencies[min(count - 1, int(share * count))] if count else float("inf")

    @property
    def answered(self) -> float:
        """The share of updates that were answered."""
        return len(self.latencies) / self.updates if self.updates else 1.0

    @property
    def cost(self) -> float:
        """Seconds of processor an update."""
        return self.cpu * self.seconds / self.updates


class LiveRun:
    """An exchange that speaks wss with deflate, and a dataflow that is fed by it, started together.

    With a `tick` in seconds the exchange sends all updates at each tick, else evenly. `processes` are the
    arguments of each of the dataflow's processes, which are a cluster, or `apart` runs of their own, each
    with its share of the products; `env` has more settings of theirs. What still runs at the end of the
    `with` block is killed.
    """

    def __init__(
        self,
        count: int,
        rate: float,
        folder: Path,
        processes: Sequence[Sequence[str]] = ((),),
        *,
        tick: float | None = None,
        dataflow: str = "dataflow:flow",
        apart: bool = False,
        env: dict[str, str] | None = None,
    ) -> None:
        self._products = products(count)
        self._rate, self._tick = rate, tick
        self._log = folder / f"sent-{time.monotonic_ns()}"
        self._processes, self._dataflow, self._apart = processes, dataflow, apart
        self._env = {} if env is None else env
        self._chunks: list[tuple[float, bytes]] = []  # as they were read
        self._parsed, self._rest = 0, b""  # of the chunks: how many, and the line they end within
        self._lines: dict[str, list[float]] = defaultdict(list)  # when each line of a product was read
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        options = ["--port", "0", "--products", ",".join(self._products), "--rate", str(self._rate)]
        options += ["--changes", "10", "--prepared", str(PREPARED), "--tls", "--log", str(self._log)]
        options += ["--tick", str(self._tick)] if self._tick else []
        with self._stack:
            self._exchange = self._stack.enter_context(start(options, module="tests.exchange"))
            command = self._exchange.stderr.wait_for("python -m bytewax.run").split()
            env = dict(word.split("=", 1) for word in command if word.startswith(("SSL_", "ORDERBOOK_")))
            env |= {
                "ORDERBOOK_MIN_SPREAD": "-1",
                "ORDERBOOK_REFRESH": "1e9",  # a renewal would begin with a snapshot, and lose the count
            }
            shares = [self._products] * len(self._processes)
            if self._apart:
                shares = [self._products[n :: len(shares)] for n in range(len(shares))]
            reading, writing = os.pipe()
            self._reader = threading.Thread(target=self._read, args=[reading])
            try:
                self._started = time.monotonic()
                self._flows: list[Running] = [
                    self._stack.enter_context(
                        start(
                            [self._dataflow, *its],
                            env | {"ORDERBOOK_PRODUCTS": ",".join(share)} | self._env,
                            stdout=writing,
                        )
                    )
                    for its, share in zip(self._processes, shares, strict=True)
                ]
            finally:
                os.close(writing)
                self._reader.start()
            self._stack = self._stack.pop_all()
        return self

    @property
    def log(self) -> Lines:
        """What the first of the dataflow's processes has logged."""
        return self._flows[0].stderr

    def _read(self, descriptor: int) -> None:
        with open(descriptor, "rb", buffering=0) as pipe:
            while chunk := pipe.read(1 << 20):
                self._chunks.append((time.monotonic(), chunk))

    def _await_live(self) -> None:
        """Wait for a line of every product."""
        end = time.monotonic() + DEADLINE
        while len(self._lines) < len(self._products):
            if time.monotonic() > end:
                raise AssertionError(f"not all live:\n{self._flows[0].stderr}")
            time.sleep(0.2)
            self._parse()

    def measure(self, seconds: float, end_by: int = signal.SIGINT) -> Measured:
        """Wait until all products are live, measure for so long, and end everything."""
        self._await_live()
        time.sleep(1.0)
        begin, used = time.monotonic(), self._cpu()
        time.sleep(seconds)
        end, cpu = time.monotonic(), self._cpu() - used
        peak = sum(usage(flow.pid).peak / 1e6 for flow in self._flows)
        time.sleep(1.0 if end_by == signal.SIGINT else 4.0)  # for the last answers
        for flow in self._flows:
            flow.interrupt(end_by)
        for flow in self._flows:
            flow.wait()
        self._reader.join(DEADLINE)
        self._exchange.interrupt()
        self._exchange.wait()
        self._parse()
        sent, largest = self._sent(), self._products[0]
        return Measured(
            seconds=end - begin,
            cpu=cpu / (end - begin),
            peak=peak,
            updates=sum(begin <= when < end for its in sent.values() for when in its),
            latencies=sorted(
                line - when
                for product, its in sent.items()
                for when, line in zip(its, self._lines[product], strict=False)
                if begin <= when < end
            ),
            snapshot=self._lines[largest][0] - sent[largest][0],
            live=max(its[0] for its in self._lines.values()) - self._started,
        )

    def _sent(self) -> dict[str, list[float]]:
        """When each snapshot and update of a product was sent; there must be one snapshot only."""
        sent: dict[str, list[float]] = defaultdict(list)
        for line in self._log.read_text().splitlines():
            product, when, kind = line.split()
            if kind == "snapshot" and product in sent:
                raise AssertionError(f"{product} was subscribed anew:\n{self._flows[0].stderr}")
            if kind in ("snapshot", "l2update"):
                sent[product].append(float(when))
        return sent

    def _parse(self) -> None:
        """Sort the lines by product that have come since the last time."""
        while self._parsed < len(self._chunks):
            when, chunk = self._chunks[self._parsed]
            self._parsed += 1
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in lines:
                match = LINE.match(line)
                if not match:
                    raise AssertionError(f"not a line: {line!r}")
                self._lines[match[1].decode()].append(when)

    def _cpu(self) -> float:
        """Seconds of processor that the dataflow has used."""
        return sum(usage(flow.pid).cpu for flow in self._flows)

    def __exit__(self, *_: object) -> None:
        self._stack.close()
