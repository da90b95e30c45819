"""Function call in a process of its own, so that nothing else is in its memory or its way.

    result = apart(measure, "ccxt", 1.5)

Arguments and result travel as JSON. In the child, stdout goes nowhere, so a dataflow may print to it.
"""

import contextlib
import importlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.support.processes import ROOT, environment
from tests.support.usage import usage

Run = Callable[[], object]
RESULT = "result: "


def apart(function: Callable[..., Any], *arguments: Any, deadline: float = 300.0) -> Any:
    """Call the function there and return its result; `RuntimeError` with its stderr where it fails.

    The process is killed after `deadline` seconds.
    """
    finished = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.child", function.__module__, function.__qualname__],
        input=json.dumps(arguments).encode(),
        capture_output=True,
        cwd=ROOT,
        env=environment(),
        timeout=deadline,
    )
    last = finished.stdout.decode().rpartition("\n")[2]
    if finished.returncode or not last.startswith(RESULT):
        raise RuntimeError(f"{function.__qualname__}: {finished.stderr.decode()[-2000:]}")
    return json.loads(last.removeprefix(RESULT))


@contextlib.contextmanager
def stdout_in(path: Path) -> Iterator[None]:
    """Redirect file descriptor 1 to a file for the length of the `with` block."""
    sys.stdout.flush()
    before = os.dup(1)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(before, 1)
        os.close(descriptor)
        os.close(before)


def stdout_of(run: Run) -> list[str]:
    """The lines that a call writes to stdout."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "stdout")
        with stdout_in(file):
            run()
        return file.read_text().splitlines()


def resident() -> float:
    """This process's resident memory now, in MB (10^6 bytes)."""
    return usage().resident / 1e6


def processor_time(run: Run) -> float:
    """Seconds for which a call had the processor."""
    start = time.process_time()
    run()
    return time.process_time() - start


def main() -> None:
    """Call the function that the command line names, with the arguments on stdin."""
    logging.disable(logging.INFO)
    reply = os.dup(1)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    function = getattr(importlib.import_module(sys.argv[1]), sys.argv[2])
    result = function(*json.loads(sys.stdin.buffer.read()))
    os.write(reply, f"\n{RESULT}{json.dumps(result)}".encode())


if __name__ == "__main__":
    main()
