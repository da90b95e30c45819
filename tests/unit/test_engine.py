"""Settings of the engine that it would pass over, or end with a traceback; and its process's number."""

from pathlib import Path

import pytest

from orderbook import engine
from tests.support.refused import refused


@pytest.mark.parametrize("text", ["", "http", "-1", "65536", "٣٠٣٠", "1\n"])
def test_metrics_port_that_is_none(text: str) -> None:
    """Where the engine's API is on, even with 0, its port must be a number up to 65535; else nobody asks."""
    environment = {"BYTEWAX_DATAFLOW_API_PORT": text}
    engine.check([], environment)
    line = refused(engine.check, [], environment | {"BYTEWAX_DATAFLOW_API_ENABLED": "0"})
    assert line == f"BYTEWAX_DATAFLOW_API_PORT: {text!r} is not a port"


def test_folder_that_the_engine_cannot_write_into(tmp_path: Path) -> None:
    """Where the engine's API is on, the folder for its `dataflow.json` must be one to write into."""
    environment = {"BYTEWAX_DATAFLOW_API_PORT": "0", "BYTEWAX_DATAFLOW_API_CACHE_PATH": str(tmp_path)}
    api = environment | {"BYTEWAX_DATAFLOW_API_ENABLED": "1"}
    file = tmp_path / "dataflow.json"
    file.write_text("of the last run")
    engine.check([], api)
    assert file.read_text() == "of the last run"
    file.unlink()
    tmp_path.rmdir()
    engine.check([], environment)
    line = refused(engine.check, [], api)
    what = f"{str(tmp_path)!r} is not a folder to write dataflow.json into: No such file or directory"
    assert line == f"BYTEWAX_DATAFLOW_API_CACHE_PATH: {what}"


@pytest.mark.parametrize(
    ("arguments", "environment", "workers"),
    [
        (["dataflow:flow", "-w", "0"], {}, "0"),
        (["-w0", "dataflow:flow"], {}, "0"),
        (["dataflow:flow", "-s", "10", "--workers-per-process=-1"], {}, "-1"),
        (["dataflow:flow", "--workers", "0"], {"BYTEWAX_WORKERS_PER_PROCESS": "2"}, "0"),
        (["dataflow:flow"], {"BYTEWAX_WORKERS_PER_PROCESS": "0"}, "0"),
        (["dataflow:flow", "-i", "0", "-a", "localhost:2101;localhost:2102"], {}, None),
        (["dataflow:flow", "-w", "2"], {"BYTEWAX_WORKERS_PER_PROCESS": "0"}, None),
    ],
)
def test_workers(arguments: list[str], environment: dict[str, str], workers: str | None) -> None:
    """Without a worker the engine ends at once as if all were well, so that is refused."""
    if workers is None:
        engine.check(arguments, environment)
    else:
        line = refused(engine.check, arguments, environment)
        assert line == f"workers: {workers!r} is not a whole number from 1"


@pytest.mark.parametrize(
    ("arguments", "environment", "number"),
    [
        (["dataflow:flow"], {}, None),
        (["dataflow:flow", "-i", "1", "-a", "localhost:2101;localhost:2102"], {}, 1),
        (["dataflow:flow", "--process-id=0"], {"BYTEWAX_PROCESS_ID": "2"}, 0),
        (["dataflow:flow"], {"BYTEWAX_PROCESS_ID": "2"}, 2),
        (["dataflow:flow"], {"BYTEWAX_STATEFULSET_NAME": "books", "BYTEWAX_POD_NAME": "books-3"}, 3),
    ],
)
def test_process_id(arguments: list[str], environment: dict[str, str], number: int | None) -> None:
    """A process of a cluster has the number that the engine gives it."""
    assert engine.process_id(arguments, environment) == number
