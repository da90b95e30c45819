"""Bootstrap servers of Kafka, as a user lists them."""

import pytest

from orderbook.output.kafka import servers


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("localhost:9092", "localhost:9092"),
        (" kafka-1.example.org:9092 , my_broker:09093", "kafka-1.example.org:9092,my_broker:9093"),
        ("127.0.0.1:1,[::1]:65535", "127.0.0.1:1,[::1]:65535"),
    ],
)
def test_servers(text: str, value: str) -> None:
    """Servers are names or addresses with ports; blanks around them don't matter."""
    assert servers(text) == value


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", "''"),
        ("localhost", "'localhost'"),
        ("localhost:", "'localhost:'"),
        ("localhost:0", "'localhost:0'"),
        ("localhost:65536", "'localhost:65536'"),
        ("localhost:9092,", "''"),
        ("a:1;b:2", "'a:1;b:2'"),
        ("kafka://localhost:9092", "'kafka://localhost:9092'"),
        ("a:1,\x1b[31m:9", "'\\x1b[31m:9'"),
        ("me:secret@localhost:9092", "'…localhost:9092'"),
    ],
)
def test_wrong_servers(text: str, shown: str) -> None:
    """What is no server is named, escaped, and without a password that is in it."""
    with pytest.raises(ValueError) as caught:
        servers(text)
    assert str(caught.value) == f"{shown} is not a server such as localhost:9092"
