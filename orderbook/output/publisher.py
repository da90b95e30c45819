"""Publisher of rows to Kafka, in a thread of its own.

    write ──▶ queue of rows ──▶ thread: encode, produce ──▶ librdkafka's queue ──▶ brokers
              the oldest may be                     ◀── delivery reports
              dropped

While no broker answers, librdkafka keeps what it has, and all that is newer waits in the queue of rows.
"""

import atexit
import logging
import threading
import time
from collections import Counter
from contextlib import suppress

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from orderbook.output.datasets import Rows
from orderbook.output.encoding import encode
from orderbook.output.outage import Outage
from orderbook.output.queue import RowQueue
from orderbook.shutdown import Shutdown, logged

log = logging.getLogger(__name__)

TOPIC_PREFIX = "orderbook."
LIMIT = 1_000_000  # values that wait: 32 MiB, ten seconds of 10,000 quotes a second
MESSAGES, KILOBYTES = 20_000, 16_384  # in librdkafka's queue, which takes 24 MiB then
INTERVAL = 0.02  # seconds in which rows gather: a wake a row would take much of the interpreter's lock
CHUNK = 64  # rows after which that lock is left to others for a moment
MESSAGE_TIMEOUT = 300_000  # milliseconds after which a live run gives up rows that librdkafka has
RENEWAL_DELAY = 1.0  # seconds from a fatal error to the next producer
CLOSE_TIMEOUT = 0.4  # seconds for what still waits at the end; a run must end within one
PATIENCE = 60.0  # seconds that the end of a replay waits for brokers that take nothing
SLOW = "the brokers take fewer than there are"
AWAY = "no broker can be reached"  # where librdkafka gives no better reason


class Publisher:
    """Publishes rows, each once and those of a symbol in order, whatever becomes of connections.

    `rows` counts by dataset those that the brokers have, `failed` those that they have not confirmed. A
    producer with a fatal error is replaced, and what it had in flight has failed.
    """

    def __init__(
        self, servers: str, shutdown: Shutdown, *, waits: bool, limit: int = LIMIT, patience: float = PATIENCE
    ) -> None:
        self.rows: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.queue = RowQueue(limit, shutdown, waits=waits)
        self._name = f"Kafka {servers}"
        self._settings = {
            "bootstrap.servers": servers,
            "client.id": "orderbook",
            "enable.idempotence": True,  # so acks=all, and retries in order
            "compression.codec": "zstd",
            "linger.ms": 20,
            "queue.buffering.max.messages": MESSAGES,
            "queue.buffering.max.kbytes": KILOBYTES,
            "message.timeout.ms": 0 if waits else MESSAGE_TIMEOUT,  # 0: never
            "on_delivery": self._on_delivery,
            "error_cb": self._on_error,
            "logger": LibraryLog(),
        }
        self._shutdown = shutdown
        self._waits = waits
        self._patience = patience
        self._lock = threading.Lock()
        self._users = 0
        self._closing = threading.Event()
        self._closed = threading.Event()
        # The rest is the thread's own.
        self._outage = Outage(self._name)
        self._why = SLOW
        self._produced = 0  # rows that librdkafka got
        self._delivered = 0
        self._progress = 0.0  # when the end began, or the last row of a replay was delivered

    def open(self) -> None:
        """One more worker will put rows into the queue."""
        with self._lock:
            self._users += 1
            if self._users == 1:
                threading.Thread(target=self._run, name="kafka", daemon=True).start()
                atexit.register(self._abandon)

    def close(self) -> None:
        """One worker is done; the last one waits for what is not delivered yet, within bounds."""
        with self._lock:
            self._users -= 1
            if self._users:
                return
        self._close()

    def _abandon(self) -> None:
        """At the interpreter's exit: an engine that an error has ended closes nothing."""
        self._shutdown.request(1)  # a replay waits for no broker then
        self._close()

    def _close(self) -> None:
        atexit.unregister(self._abandon)
        self._progress = time.monotonic()
        self._closing.set()
        if not self._closed.wait(None if self._waits else CLOSE_TIMEOUT + 0.3):
            log.error(f"{self._name}: the producer hangs at the end, {self._waiting():,} rows are lost")

    @logged
    def _run(self) -> None:
        try:
            self._producer = Producer(self._settings)
            while not self._is_over():
                self._serve(INTERVAL)
                while not self._is_over() and (rows := self.queue.take()):
                    self._publish(rows)
            self._give_up()
        finally:
            if not self._closing.is_set():
                self._shutdown.request(1)
            self._closed.set()
        del self._producer  # ends its threads

    def _publish(self, rows: Rows) -> None:
        topic = TOPIC_PREFIX + rows.dataset.name
        for value in encode(rows):
            while not self._produce(topic, rows.symbol, value):
                self._serve(INTERVAL)
                if self._is_over():
                    return
            self._produced += 1
            if self._produced % CHUNK == 0:
                self._serve()

    def _produce(self, topic: str, key: str, value: bytes) -> bool:
        """Hand a row to librdkafka; False where it has to be tried again."""
        try:
            self._producer.produce(topic, value, key)
        except BufferError:
            return False
        except KafkaException as exception:
            error = exception.args[0]
            if error.code() == KafkaError._FATAL:  # `poll` raises it too
                return False
            self._fail(topic, error)
        return True

    def _serve(self, seconds: float = 0.0) -> None:
        """Wait, let librdkafka report what it has to, and log what that means."""
        time.sleep(seconds)
        try:
            self._producer.poll(0)
        except KafkaException as exception:
            self._renew(exception.args[0])
        delivered = self.rows.total()
        self._outage.update(delivered, self._lost(), self._why)
        if delivered > self._delivered:
            self._delivered = delivered
            self._why = SLOW
            if self._waits:
                self._progress = time.monotonic()

    def _lost(self) -> int:
        return self.queue.dropped.total() + self.failed.total()

    def _waiting(self) -> int:
        return self.queue.rows.total() - self.rows.total() - self._lost()

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        topic = message.topic() or ""
        if error is None:
            self.rows[topic.removeprefix(TOPIC_PREFIX)] += 1
        else:
            self._fail(topic, error)

    def _fail(self, topic: str, error: KafkaError) -> None:
        self.failed[topic.removeprefix(TOPIC_PREFIX)] += 1
        self._why = f"{topic}: {error.str()}"

    def _on_error(self, error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._why = error.str()
            return
        if self._why == SLOW:
            self._why = AWAY
        if self._waiting():  # an idle connection may be closed
            self._outage.trouble(self._why)

    def _renew(self, error: KafkaError) -> None:
        """Replace the producer, which has a fatal error; rows that it has not delivered have failed."""
        self._producer.purge(blocking=False)
        deadline = time.monotonic() + RENEWAL_DELAY
        while time.monotonic() < deadline and not self._closing.is_set():
            with suppress(KafkaException):
                self._producer.poll(INTERVAL)
        self._why = error.str()
        self._producer = Producer(self._settings)

    def _is_over(self) -> bool:
        """Whether the end has come and all is delivered, or that takes too long."""
        if not self._closing.is_set():
            return False
        patience = self._patience if self._waits and not self._shutdown.requested else CLOSE_TIMEOUT
        return time.monotonic() > self._progress + patience or not (self.queue or len(self._producer))

    def _give_up(self) -> None:
        """Count what is left as failed; a replay is not complete without it."""
        self._producer.purge(blocking=False)
        for name, count in self.queue.rows.items():
            if left := count - self.rows[name] - self.queue.dropped[name] - self.failed[name]:
                self.failed[name] += left
        self._outage.close(self._lost())
        if self._waits and self._lost():
            self._shutdown.request(1)


class LibraryLog:
    """The log of librdkafka, whose lines repeat as long as a trouble lasts: for who looks at it."""

    def log(self, level: int, text: str, *arguments: str) -> None:
        """Log a line, whatever its level there; what matters in it comes as an error too."""
        log.debug(text, *arguments)
