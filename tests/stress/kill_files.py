"""Runs that write files and are killed at random moments; the next run finishes what they have left behind.

    python -m tests.stress.kill_files 50

kills 50 such runs of each format (a number, then, if wanted, a seed), prints what it found, and exits with 1
where a file under a final name was not whole, or rows are missing or twice that should be there once. A run
flushes each 0.3 s and finishes files each second, so that most moments are in the middle of something.
"""

import gzip
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from signal import SIGKILL

import pyarrow.parquet

from orderbook.output.datasets import Rows, dataset
from orderbook.output.files import FileSink
from orderbook.output.formats import FormatName
from orderbook.output.spooler import Limits
from orderbook.shutdown import Shutdown
from tests.support.processes import start
from tests.support.rows import write

FORMATS: tuple[FormatName, ...] = ("parquet", "csv")
SYMBOLS = ("BTC-USD", "ETH-USD", "BTC-EUR", "ETH-EUR")
LIMITS = Limits(flush_interval=0.3, age=1.0, size=100_000)
MISSING = 2.0  # seconds whose rows may be missing: the interval, two turns of the thread, a busy machine
LONGEST = 4.0  # seconds from the first row to the kill


def write_until_killed(folder: str, format: FormatName) -> None:
    """Write trades with ids from 0 on, and print how many were handed over when."""
    partition = FileSink(folder, format, Shutdown(), waits=False, limits=LIMITS).build("files", 0, 1)
    trades, count = dataset("trades"), 0
    while True:
        now = time.time_ns() // 1_000
        values = [(str(number), "buy", 100.0, 0.5) for number in range(count, count + 50)]
        partition.write_batch([Rows(trades, symbol, now, now, values) for symbol in SYMBOLS])
        count += 50
        print(time.monotonic(), count, flush=True)
        time.sleep(0.005)


def ids(folder: Path, symbol: str) -> list[list[int]]:
    """The ids in each file of a product; raises where a file is not whole."""
    tables = [
        pyarrow.parquet.ParquetFile(path).read()
        for path in folder.glob(f"dataset=trades/exchange=coinbase/symbol={symbol}/date=*/*")
    ]
    texts = [gzip.decompress(path.read_bytes()).decode() for path in sorted(folder.glob(f"*_{symbol}.*"))]
    return [
        *([int(number) for number in table.column("id").to_pylist()] for table in tables),
        *([int(line.split(",")[4]) for line in text.splitlines()[1:]] for text in texts),
    ]


def check(found: list[list[int]]) -> int:
    """How many rows a product has in its files; `AssertionError` where they aren't 0, 1, 2, …, each once."""
    for numbers in found:
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "a file is not in order"
    numbers = sorted(number for numbers in found for number in numbers)
    assert numbers == list(range(len(numbers))), "rows are missing or twice"
    return len(numbers)


def kill(format: FormatName, seconds: float, folder: Path) -> str:
    """Kill a run after so many seconds, and finish its files; answers what was found."""
    with start(["--write", str(folder), format], module="tests.stress.kill_files") as process:
        process.stdout.wait_for(" ")
        time.sleep(seconds)
        process.interrupt(SIGKILL)
        killed = time.monotonic()
        handed_over = [line.split() for line in process.wait().stdout.splitlines()]
    # The last line may be truncated by the kill.
    due = max((int(count) for at, count in handed_over[:-1] if float(at) < killed - MISSING), default=0)
    before = [check(ids(folder, symbol)) for symbol in SYMBOLS]
    write(folder, format)
    after = [check(ids(folder, symbol)) for symbol in SYMBOLS]
    assert not list(folder.glob(f".{format}-*")), "something is left behind"
    assert min(after) >= due, f"only {min(after)} rows of {due} that were due"
    total = len(SYMBOLS) * int(handed_over[-2][1]) if len(handed_over) > 1 else 0
    return f"{sum(before)} rows in files, {sum(after)} after the next run, of {total}"


def main() -> None:
    """Make the runs of the command line."""
    runs, seed = ([int(argument) for argument in sys.argv[1:]] + [1])[:2]
    wrong = 0
    for i in range(runs):
        for format in FORMATS:
            seconds = Random(f"{seed} {i} {format}").uniform(0, LONGEST)
            with tempfile.TemporaryDirectory() as folder:
                try:
                    found = kill(format, seconds, Path(folder))
                except (AssertionError, OSError, EOFError, ValueError) as error:
                    wrong += 1
                    found = f"WRONG: {error!r}"
            print(f"{i + 1}: {format} killed at {seconds:.2f} s: {found}", flush=True)
    print(f"{runs * len(FORMATS)} runs, {wrong} wrong")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    if sys.argv[1] == "--write":
        write_until_killed(sys.argv[2], "csv" if sys.argv[3] == "csv" else "parquet")
    main()
