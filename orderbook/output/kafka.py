"""Kafka as an output: each row as a JSON message of the topic `orderbook.<dataset>`, keyed by its symbol.

Needs the package confluent-kafka, though not before a `KafkaSink` is made.
"""

import re
from collections import Counter

from orderbook.output.row_sink import RowPartition, RowSink
from orderbook.shutdown import Shutdown

REQUIREMENT = "confluent-kafka==2.16.1"


def servers(text: str) -> str:
    """The bootstrap servers that a text lists, `host:port` with commas between them.

    Raises `ValueError` where one has another form.
    """
    return ",".join(map(_server, text.split(",")))


def _server(text: str) -> str:
    found = re.fullmatch(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):0*([1-9][0-9]{0,4})", text.strip())
    if not found or int(found[2]) > 65_535:
        shown = "…" * ("@" in text) + text[text.rfind("@") + 1 :]  # what is before an @ may be a password
        raise ValueError(f"{shown[:200]!r} is not a server such as localhost:9092")
    return f"{found[1]}:{found[2]}"


class KafkaSink(RowSink):
    """Publishes rows; all workers of a process share one producer and its thread.

    With `waits` the dataflow waits for the brokers, and a run that could not deliver all rows ends with exit
    code 1. Without, it never waits: rows wait beside it, and where there is no room the oldest are dropped.
    Raises `ValueError` for servers of a wrong form, `SystemExit` where confluent-kafka is not installed.
    """

    def __init__(self, bootstrap_servers: str, shutdown: Shutdown, *, waits: bool) -> None:
        try:
            from orderbook.output.publisher import Publisher
        except ImportError as error:
            raise SystemExit(f"Kafka: {error}; it comes with: pip install {REQUIREMENT}") from None
        self._publisher = Publisher(servers(bootstrap_servers), shutdown, waits=waits)

    @property
    def rows(self) -> Counter[str]:
        """Rows of each dataset that were delivered."""
        return self._publisher.rows

    @property
    def dropped(self) -> Counter[str]:
        """Rows of each dataset that were dropped, or that no broker has confirmed."""
        counts = self._publisher.queue.dropped, self._publisher.failed
        return sum((Counter(dict(each)) for each in counts), Counter())  # copies: other threads count on

    def build(self, step_id: str, worker_index: int, worker_count: int) -> RowPartition:
        self._publisher.open()
        return RowPartition(self._publisher.queue.put, self._publisher.close)
