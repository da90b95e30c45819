"""Mistakes of a user that end a run before it starts: one line on stderr, exit code 1, and nothing else."""

from pathlib import Path

import pytest

from tests.support.processes import run

LIVE, REPLAY = "dataflow:flow", "dataflow:replay('tests/recordings', min_spread=-1)"
DATASETS = "quotes, incremental_book_L2, trades, wide_spreads, status, book_snapshot_25_1s, signals_1s"


@pytest.mark.parametrize(
    ("variable", "value", "what"),
    [
        ("ORDERBOOK_DATASETS", "quotes,trade", f"'trade' is not a dataset such as {DATASETS}"),
        ("ORDERBOOK_DATASETS", "signals_0s", f"'signals_0s' is not a dataset such as {DATASETS}"),
        ("ORDERBOOK_FORMAT", "xml", "'xml' is not one of text, json"),
        ("ORDERBOOK_DATA_FORMAT", "feather", "'feather' is not one of parquet, csv"),
        (
            "ORDERBOOK_KAFKA",
            "kafka.example.org",
            "'kafka.example.org' is not a server such as localhost:9092",
        ),
    ],
)
def test_setting(tmp_path: Path, variable: str, value: str, what: str) -> None:
    """The line names the setting, shows its value and says what it must be; no folder is made."""
    finished = run([LIVE], {"ORDERBOOK_DATA": str(tmp_path / "data"), variable: value})
    assert (finished.code, finished.stdout, finished.stderr) == (1, "", f"{variable}: {what}\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("package", "env", "line"),
    [
        (
            "pyarrow",
            {"ORDERBOOK_DATA": "{tmp}/data"},
            "Parquet files need a package that is not here: pip install pyarrow==26.0.1",
        ),
        (
            "confluent_kafka",
            {"ORDERBOOK_KAFKA": "127.0.0.1:1"},
            "Kafka: No module named 'confluent_kafka'; it comes with: pip install confluent-kafka==2.16.1",
        ),
    ],
)
def test_package(tmp_path: Path, package: str, env: dict[str, str], line: str) -> None:
    """A setting that needs a package which is not installed says what to install; others don't need it."""
    absent = tmp_path / "absent" / package
    absent.mkdir(parents=True)
    (absent / "__init__.py").write_text(f"raise ModuleNotFoundError(\"No module named '{package}'\")\n")
    without = {"PYTHONPATH": str(absent.parent)}
    env = {name: value.format(tmp=tmp_path) for name, value in env.items()}
    finished = run([REPLAY], without | env)
    assert (finished.code, finished.stdout, finished.stderr) == (1, "", f"{line}\n")
    others = {"ORDERBOOK_DATA": str(tmp_path / "csv"), "ORDERBOOK_DATA_FORMAT": "csv"}
    finished = run([REPLAY], without | others)
    assert (finished.code, bool(finished.stdout)) == (0, True), finished.stderr
