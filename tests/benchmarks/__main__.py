"""All tables in one run: `python -m tests.benchmarks [--quick] [--only throughput,latency,…]`.

The peers are optional: `pip install -r tests/benchmarks/requirements.txt`. The exit code is 1 where a
target was not reached. Linux only: figures of memory and time come from `/proc`.
"""

import argparse
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks import growth, latency, pauses, throughput, workers
from tests.benchmarks.table import Table, Target, version_of

TABLES: dict[str, Callable[[Path, bool], Table]] = {
    "throughput": throughput.table,
    "latency": latency.table,
    "growth": growth.table,
    "workers": workers.table,
    "pauses": pauses.table,
}

PACKAGES = ("bytewax", "websockets", "msgspec")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="each table shortly, some rows not at all")
    parser.add_argument("--only", default=",".join(TABLES), help="tables, comma-separated: %(default)s")
    options = parser.parse_args()
    names = options.only.split(",")
    for name in names:
        if name not in TABLES:
            parser.error(f"--only: {name!r} is none of {', '.join(TABLES)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended too
    start = time.monotonic()
    print(header(options.quick), flush=True)
    targets: list[Target] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            Path(folder, name).mkdir()
            table = TABLES[name](Path(folder, name), options.quick)
            print(table, flush=True)
            targets += table.targets
    missed = [target for target in targets if not target.reached]
    print(f"\n{len(targets) - len(missed)} of {len(targets)} targets reached", end="")
    print(f"; {time.monotonic() - start:.0f} s; load at the end {os.getloadavg()[0]:.1f}")
    for target in missed:
        print(target)
    sys.exit(1 if missed else 0)


def header(quick: bool) -> str:
    """When, on what and with what."""
    return "\n".join(
        [
            f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC{', quick: figures are rough' if quick else ''}",
            f"{os.cpu_count()} cores of {processor()}; load before {os.getloadavg()[0]:.1f}",
            f"{platform.python_implementation()} {platform.python_version()} on {platform.system()}; "
            + ", ".join(f"{package} {version_of(package)}" for package in PACKAGES),
            "Ratios come first: absolute figures depend on the machine, and on what else it does.",
        ]
    )


def processor() -> str:
    """What the machine calls its processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
