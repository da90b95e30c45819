"""Live run whose lines are judged as they come."""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.exchange.connection import Sent
from tests.support.processes import Running, start
from tests.support.waiting import DEADLINE
from tests.support.witness import Stretch, Subscription, Witness, subscription_of


class Judged:
    """A live run whose lines are judged as they come, and compared with all that there should be.

    The exchange must be made with `on_sent=judged.sent`.
    """

    def __init__(self, products: Sequence[str]) -> None:
        self.products = products
        self.witnesses = {product: Witness(product) for product in products}
        self.printed: dict[str, list[str]] = {product: [] for product in products}
        self.when: dict[str, list[float]] = {product: [] for product in products}
        self.stray: list[str] = []  # lines of no product that there is
        self._stretches: dict[str, dict[Subscription, Stretch]] = {product: {} for product in products}

    def sent(self, product: str, sent: Sent) -> None:
        """The exchange is about to send a frame."""
        self.witnesses[product].sent(sent)
        self._stretches[product].setdefault(subscription_of(sent), Stretch(product)).add(sent.frame)

    @contextmanager
    def run(self, env: dict[str, str]) -> Iterator[Running]:
        """The dataflow in a process of its own; its stdout is read here."""
        reader, writer = os.pipe()
        listener = threading.Thread(target=self._listen, args=[reader], daemon=True)
        listener.start()
        with open(writer, "wb") as pipe:
            process = start(["dataflow:flow"], env, stdout=pipe)
        with process:
            yield process
        listener.join(DEADLINE)

    def _listen(self, reader: int) -> None:
        with open(reader, encoding="utf-8") as lines:
            for line in map(str.rstrip, lines):
                product = line[2 : line.find("'", 2)]
                if product not in self.witnesses:
                    self.stray.append(line)
                    continue
                self.witnesses[product].receive(line)
                self.printed[product].append(line)
                self.when[product].append(time.monotonic())

    def subscriptions(self, product: str) -> list[Subscription]:
        """The subscriptions on which anything was sent of a product."""
        return list(self._stretches[product])

    def wanted(self, product: str) -> list[str]:
        """The lines that the newest of them calls for."""
        subscriptions = self.subscriptions(product)
        return list(self._stretches[product][max(subscriptions)].lines.values()) if subscriptions else []

    def is_up_to_date(self, product: str) -> bool:
        """Whether what was printed last is all that the newest subscription calls for."""
        wanted = self.wanted(product)
        return bool(wanted) and self.printed[product][-len(wanted) :] == wanted

    def wrong(self) -> list[str]:
        """What must not have been printed, in a few lines, each with its product."""
        lines = [f"not a product's line: {line}" for line in self.stray]
        for product, witness in self.witnesses.items():
            lines += [f"{product}: not what was sent: {line}" for line in witness.wrong[:3]]
        return lines
