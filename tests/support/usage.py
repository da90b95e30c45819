"""Usage of memory, processor, files and threads by a process."""

import os
from pathlib import Path
from typing import NamedTuple


class Usage(NamedTuple):
    """What a process uses now; memory in bytes."""

    resident: int
    peak: int  # of resident memory, since the process started
    cpu: float  # seconds of processor, since the process started
    threads: int
    files: int
    sockets: int  # among the files


def usage(pid: int | None = None) -> Usage:
    """What a process uses, or this one."""
    folder = Path("/proc", str(pid or os.getpid()))
    status = dict(line.split(":\t", 1) for line in folder.joinpath("status").read_text().splitlines())
    # The kernel's clock ticks count too little of a process that runs in bursts, as one does whose feed has
    # a tick of its own; the scheduler's figures, of each thread, are in nanoseconds.
    nanoseconds = [int(stat.read_text().split()[0]) for stat in folder.glob("task/*/schedstat")]
    files = []
    for entry in folder.joinpath("fd").iterdir():
        try:
            files.append(os.readlink(entry))
        except OSError:  # closed in between
            continue
    return Usage(
        resident=int(status["VmRSS"].split()[0]) * 1024,
        peak=int(status["VmHWM"].split()[0]) * 1024,
        cpu=sum(nanoseconds) / 1e9,
        threads=int(status["Threads"]),
        files=len(files),
        sockets=sum(file.startswith("socket:") for file in files),
    )
