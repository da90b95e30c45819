"""A Kafka broker at one address, whose process is started, frozen, killed and started anew."""

import json
import signal
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from confluent_kafka import Consumer

from tests.support.processes import Running, start
from tests.support.relay import Relay
from tests.support.waiting import DEADLINE, wait_until


class Received(NamedTuple):
    """A message as a consumer gets it."""

    topic: str
    key: str
    row: dict[str, Any]


class Broker:
    """A broker that does not run yet; `servers` is where to find it, whatever becomes of its process."""

    def __init__(self) -> None:
        self._relay = Relay()
        self._process: Running | None = None

    @property
    def servers(self) -> str:
        return f"127.0.0.1:{self._relay.port}"

    def start(self, *errors: tuple[str, str | int, int]) -> None:
        """Start a process that has no topics yet, and that answers with these errors; see `mock_cluster`."""
        arguments = [str(self._relay.port), json.dumps(errors)]
        self._process = start(arguments, module="tests.support.mock_cluster")
        self._relay.target = int(self._process.stdout.wait_for())

    def freeze(self) -> None:
        """Let the process hang: connections are made, and nothing is answered."""
        assert self._process
        self._process.interrupt(signal.SIGSTOP)
        threads = list(Path("/proc", str(self._process.pid), "task").glob("*/stat"))
        wait_until(lambda: all(stat.read_text().rpartition(") ")[2].startswith("T") for stat in threads))

    def kill(self) -> None:
        """End the process at once, and with it all that it has."""
        assert self._process
        self._relay.target = None
        with self._process:
            self._process.interrupt(signal.SIGKILL)
            self._process.wait()
        self._process = None

    def read(self, topics: list[str], count: int) -> list[Received]:
        """All that these topics have, of each partition in order; `AssertionError` if it is not so many."""
        received: list[Received] = []
        consumer = Consumer(
            {
                "bootstrap.servers": self.servers,
                "group.id": "tests",
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 20,
                "log_level": 0,
            }
        )

        def take() -> bool:
            for message in consumer.consume(1_000, timeout=0.1):
                assert message.error() is None, message.error()
                key, value = message.key() or b"", message.value() or b""
                received.append(Received(message.topic() or "", key.decode(), json.loads(value)))
            return len(received) >= count

        try:
            consumer.subscribe(topics)
            wait_until(take)
            stored = sum(consumer.get_watermark_offsets(p, DEADLINE)[1] for p in consumer.assignment())
        finally:
            consumer.close()
        assert len(received) == stored == count
        return received

    def __enter__(self) -> Self:
        self._relay.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process:
            self.kill()
        self._relay.__exit__(None, None, None)
