"""Settings of the engine itself, its arguments and variables, as far as this project goes by them."""

import os
import socket
import sys
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence

from orderbook.settings import is_port


def check(arguments: Sequence[str] = sys.argv[1:], environment: Mapping[str, str] = os.environ) -> None:
    """Refuse what the engine would pass over in silence, or with a traceback; reads its own settings.

    That is a number of workers below 1; and, where its API is on, a port for `/metrics` or a folder for its
    `dataflow.json` that it could not open.
    """
    workers = _option(arguments, "-w", "--workers-per-process")
    if workers is None:
        workers = environment.get("BYTEWAX_WORKERS_PER_PROCESS")
    if workers is not None and int(workers) < 1:
        raise SystemExit(f"workers: {workers!r} is not a whole number from 1")
    if "BYTEWAX_DATAFLOW_API_ENABLED" in environment:  # even as 0
        _check_metrics_port(environment.get("BYTEWAX_DATAFLOW_API_PORT", "3030"))
        _check_cache(environment.get("BYTEWAX_DATAFLOW_API_CACHE_PATH", "."))


def process_id(
    arguments: Sequence[str] = sys.argv[1:], environment: Mapping[str, str] = os.environ
) -> int | None:
    """The number of this process in its cluster, as the engine reads it; None where there is no cluster."""
    number = _option(arguments, "-i", "--process-id")
    if number is None:
        number = environment.get("BYTEWAX_PROCESS_ID")
    if number is None and "BYTEWAX_STATEFULSET_NAME" in environment:
        name = environment["BYTEWAX_STATEFULSET_NAME"]
        number = environment.get("BYTEWAX_POD_NAME", "").removeprefix(f"{name}-") or None
    return None if number is None else int(number)


def _option(arguments: Sequence[str], *names: str) -> str | None:
    """The value of one of the engine's options, if it is given; as the engine reads it."""
    parser = ArgumentParser(add_help=False)
    parser.add_argument(*names, dest="value")
    value: str | None = parser.parse_known_args(arguments)[0].value
    return value


def _check_metrics_port(text: str) -> None:
    """The engine serves on all interfaces. Each process of a cluster needs a port of its own."""
    name = "BYTEWAX_DATAFLOW_API_PORT"
    if not is_port(text):
        raise SystemExit(f"{name}: {text!r} is not a port")
    try:
        socket.create_server(("", int(text))).close()
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise SystemExit(f"{name}: {text!r} is not a port that is free: {why}") from None


def _check_cache(folder: str) -> None:
    try:
        open(os.path.join(folder, "dataflow.json"), "a").close()
    except OSError as error:
        what = f"{folder!r} is not a folder to write dataflow.json into: {error.strerror}"
        raise SystemExit(f"BYTEWAX_DATAFLOW_API_CACHE_PATH: {what}") from None
