"""Command line of the benchmarks: `python -m tests.benchmarks [--quick] [--only throughput,latency,…]`.

The peers are optional: `pip install -r tests/benchmarks/requirements.txt`. With `--against DIR`, where DIR
is another checkout of this project, replays of both are compared too. The exit code is 1 where a target
was missed. Linux only: figures of memory and time come from `/proc`.
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
from functools import partial
from pathlib import Path

from tests.benchmarks import against, growth, latency, outputs, page, pauses, throughput, workers
from tests.benchmarks.table import Table, Target, version_of

TABLES: dict[str, Callable[[Path, bool], Table]] = {
    "throughput": throughput.table,
    "latency": latency.table,
    "growth": growth.table,
    "workers": workers.table,
    "pauses": pauses.table,
    "outputs": outputs.table,
    "page": page.table,
}

PACKAGES = ("bytewax", "websockets", "msgspec")


def main() -> None:
    """Print the tables one after another, then the targets that were missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="each table shortly; the figures are rough")
    parser.add_argument("--only", default=",".join(TABLES), help="tables, comma-separated: %(default)s")
    parser.add_argument("--against", metavar="DIR", type=Path, help="another checkout, to compare replays")
    options = parser.parse_args()
    names = options.only.split(",") if options.only else []
    for name in names:
        if name not in TABLES:
            parser.error(f"--only: {name!r} is none of {', '.join(TABLES)}")
    chosen = {name: TABLES[name] for name in names}
    if options.against:
        if not Path(options.against, "dataflow.py").exists():
            parser.error(f"--against: {str(options.against)!r} is not a checkout of this project")
        chosen["against"] = partial(against.table, other=options.against.resolve())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended too
    start = time.monotonic()
    print(header(options.quick), flush=True)
    targets: list[Target] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, make in chosen.items():
            Path(folder, name).mkdir()
            table = make(Path(folder, name), options.quick)
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
            "Ratios say more than absolute figures, which depend on the machine and on what else it does.",
        ]
    )


def processor() -> str:
    """The processor's own name, or the kind that it is of."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
