"""A dataflow on the simulated exchange, both in processes of their own, watched from a third.

The exchange notes when it sends each frame, this process when it reads each line of the dataflow's
stdout; both clocks are the machine's monotonic one. With a threshold of -1 every snapshot and update
gives one line, so a product's k-th line answers its k-th snapshot or update.
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

from tests.support.processes import DEADLINE, Running, start

REAL = ["BTC-USD", "ETH-USD", "BTC-EUR", "ETH-EUR"]
LINE = re.compile(rb"\('([A-Z0-9-]+)', \w+\(.*\)\)$")
TICK = os.sysconf("SC_CLK_TCK")


def products(count: int) -> list[str]:
    """The four of real size first, then small ones."""
    return [*REAL, *(f"P{number:03d}-USD" for number in range(count))][:count]


@dataclass
class Watched:
    """What was seen in a span of time."""

    seconds: float
    cpu: float  # share of a core
    peak: float  # MB, since the start
    updates: int  # that were sent
    latencies: list[float]  # of those that were answered, ascending, in seconds
    snapshot: float  # the largest book's, from the exchange's send to its line

    def quantile(self, share: float) -> float:
        """A latency that this share of all stays below; infinite without any."""
        count = len(self.latencies)
        return self.latencies[min(count - 1, int(share * count))] if count else float("inf")

    @property
    def kept_up(self) -> float:
        """The share of updates that were answered."""
        return len(self.latencies) / self.updates if self.updates else 1.0


class Live:
    """An exchange and a dataflow that hears it, started together.

    `processes` are the arguments of each of the dataflow's processes, which are a cluster, or `apart`
    runs of their own, each with its share of the products. What isn't ended by itself at the end of
    the `with` block is killed.
    """

    def __init__(
        self,
        count: int,
        rate: float,
        folder: Path,
        processes: Sequence[Sequence[str]] = ((),),
        dataflow: str = "dataflow:flow",
        apart: bool = False,
    ) -> None:
        self._products = products(count)
        self._rate = rate
        self._log = folder / f"sent-{time.monotonic_ns()}"
        self._processes, self._dataflow, self._apart = processes, dataflow, apart
        self._chunks: list[tuple[float, bytes]] = []  # as they were read
        self._taken, self._rest = 0, b""  # of the chunks: how many, and the line they end within
        self._told: dict[str, list[float]] = defaultdict(list)  # when each line of a product was read
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        options = ["--port", "0", "--products", ",".join(self._products), "--rate", str(self._rate)]
        options += ["--changes", "10", "--compression", "none", "--log", str(self._log)]
        with self._stack:
            self._exchange = self._stack.enter_context(start(options, module="tests.exchange"))
            url = self._exchange.stderr.wait_for("listening on").split()[2].rstrip(";")
            env = {
                "ORDERBOOK_FEED_URL": url,
                "ORDERBOOK_MIN_SPREAD": "-1",
                "ORDERBOOK_REFRESH": "1e9",  # a renewal would begin with a snapshot, and lose the count
            }
            shares = [self._products] * len(self._processes)
            if self._apart:
                shares = [self._products[n :: len(shares)] for n in range(len(shares))]
            reading, writing = os.pipe()
            self._reader = threading.Thread(target=self._read, args=[reading])
            try:
                self._flows: list[Running] = [
                    self._stack.enter_context(
                        start(
                            [self._dataflow, *its],
                            env | {"ORDERBOOK_PRODUCTS": ",".join(share)},
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

    def _read(self, descriptor: int) -> None:
        with open(descriptor, "rb", buffering=0) as pipe:
            while chunk := pipe.read(1 << 20):
                self._chunks.append((time.monotonic(), chunk))

    def _wait_until_live(self) -> None:
        """Wait for a line of every product; connects are paced to 7.5 a second."""
        end = time.monotonic() + DEADLINE + len(self._products) / 7
        while len(self._told) < len(self._products):
            if time.monotonic() > end:
                raise AssertionError(f"not all live:\n{self._flows[0].stderr}")
            time.sleep(0.2)
            self._take()

    def watch(self, seconds: float, end_by: int = signal.SIGINT) -> Watched:
        """Wait until all is live, watch for so long, end everything, and say what was seen."""
        self._wait_until_live()
        time.sleep(1.0)
        begin, used = time.monotonic(), self._cpu()
        time.sleep(seconds)
        end, cpu = time.monotonic(), self._cpu() - used
        peak = sum(self._peak(flow) for flow in self._flows)
        time.sleep(1.0 if end_by == signal.SIGINT else 4.0)  # for the last answers
        for flow in self._flows:
            flow.interrupt(end_by)
        for flow in self._flows:
            flow.wait()
        self._reader.join(DEADLINE)
        self._exchange.interrupt()
        self._exchange.wait()
        self._take()
        sent, largest = self._sent(), self._products[0]
        return Watched(
            seconds=end - begin,
            cpu=cpu / (end - begin),
            peak=peak,
            updates=sum(begin <= when < end for its in sent.values() for when in its),
            latencies=sorted(
                line - when
                for product, its in sent.items()
                for when, line in zip(its, self._told[product], strict=False)
                if begin <= when < end
            ),
            snapshot=self._told[largest][0] - sent[largest][0],
        )

    def _sent(self) -> dict[str, list[float]]:
        sent: dict[str, list[float]] = defaultdict(list)
        for line in self._log.read_text().splitlines():
            product, when, kind = line.split()
            if kind in ("snapshot", "l2update"):
                sent[product].append(float(when))
        return sent

    def _take(self) -> None:
        """Sort the lines that have come since the last time."""
        while self._taken < len(self._chunks):
            when, chunk = self._chunks[self._taken]
            self._taken += 1
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in lines:
                match = LINE.match(line)
                if not match:
                    raise AssertionError(f"not a line: {line!r}")
                self._told[match[1].decode()].append(when)

    def _cpu(self) -> float:
        """Seconds of processor that the dataflow has used."""
        used = 0
        for flow in self._flows:
            fields = Path(f"/proc/{flow.pid}/stat").read_text().rpartition(")")[2].split()
            used += int(fields[11]) + int(fields[12])
        return used / TICK

    def _peak(self, flow: Running) -> float:
        status = Path(f"/proc/{flow.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6

    def __exit__(self, *_: object) -> None:
        self._stack.close()
