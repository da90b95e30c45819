"""A broker that tests start: librdkafka's mock cluster, which comes with confluent-kafka and speaks TCP.

    python -m tests.support.mock_cluster 9092 '[["topic", "orderbook.trades", 29]]'

It says of itself to be at that port of 127.0.0.1, and prints the port at which it really is. An error, by its
number in Kafka's protocol, is of a topic, or of the next request of a kind: `["request", 22, 31]`.
"""

import ctypes
import json
import signal
import sys
from pathlib import Path

import confluent_kafka

BROKER = 1  # the cluster's only one


def main(advertised: int, errors: list[tuple[str, str | int, int]]) -> None:
    """Serve until the process is ended."""
    [path] = Path(confluent_kafka.__file__).parent.with_name("confluent_kafka.libs").glob("librdkafka*")
    library = ctypes.CDLL(str(path))
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
        getattr(library, name).restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    message = ctypes.create_string_buffer(512)
    settings = ctypes.c_void_p(library.rd_kafka_conf_new())
    owner = ctypes.c_void_p(library.rd_kafka_new(0, settings, message, len(message)))
    cluster = ctypes.c_void_p(library.rd_kafka_mock_cluster_new(owner, 1))
    library.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0)
    library.rd_kafka_mock_broker_set_host_port(cluster, BROKER, b"127.0.0.1", advertised)
    for kind, what, code in errors:
        if kind == "topic":
            library.rd_kafka_mock_topic_set_error(cluster, str(what).encode(), code)
        else:
            codes = (ctypes.c_int * 1)(code)
            library.rd_kafka_mock_push_request_errors_array(cluster, ctypes.c_int16(int(what)), 1, codes)
    address: bytes = library.rd_kafka_mock_cluster_bootstraps(cluster)
    print(address.decode().rpartition(":")[2], flush=True)
    signal.pause()


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.argv[2]))
