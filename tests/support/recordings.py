"""Recordings as tests write them, and what was logged of them."""

import gzip
import resource
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest import LogCaptureFixture

from orderbook.recording.file import RecordingFile
from tests.exchange.market import Market
from tests.support.processes import ROOT
from tests.support.waiting import DEADLINE

RECORDINGS = sorted((ROOT / "tests/recordings").glob("*.jsonl*"))  # those that come with the project


def market(product_id: str, updates: int = 60) -> list[bytes]:
    """Frames of a small market: a snapshot, short updates, a heartbeat; each time the same."""
    market = Market(product_id, 7, levels=30, mid=800, spread_ticks=80, gap_ticks=9, clock=lambda: 0.0)
    return [market.snapshot(), *(market.update(4) for _ in range(updates)), market.heartbeat()]


def frames_of(paths: Iterable[Path]) -> list[bytes]:
    """All frames of these recordings, without the times before them."""
    contents = [
        gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes() for path in paths
    ]
    return [line[line.index(b"{") :] for content in contents for line in content.splitlines()]


ARRIVAL = 1_790_000_000_123_456_789  # in nanoseconds since 1970


def text(frames: Iterable[bytes]) -> bytes:
    """The frames as they stand in a recording, all of them arrived at the same time."""
    return b"".join(b"%d %b\n" % (ARRIVAL, frame) for frame in frames)


def gap(product_id: str, why: str = "the recording was interrupted") -> bytes:
    """What stands in the place of a frame where a recording goes on after a gap."""
    return b'{"type":"disconnect","product_id":"%b","reason":"gap: %b"}' % (product_id.encode(), why.encode())


def write(path: Path, content: bytes) -> Path:
    """Write a recording with this content, compressed where its name says so; answers its path."""
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def logged(caplog: LogCaptureFixture) -> list[tuple[str, str]]:
    """What was logged: level and text."""
    return [(record.levelname, record.getMessage()) for record in caplog.records]


@contextmanager
def limited_files(size: int) -> Iterator[None]:
    """Have the kernel refuse what makes a file of this process longer, in the middle of a write.

    That is what a full disk does.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


class HangingDisk:
    """A disk that hangs at each write until it `goes_on`; `threads` are those that have `reached` it."""

    def __init__(self) -> None:
        self.reached, self.goes_on = threading.Event(), threading.Event()
        self.threads: list[threading.Thread] = []

    def open(self, path: Path) -> RecordingFile:
        """A file on it."""
        disk = self

        class HangingFile(RecordingFile):
            def append(self, frames: list[bytes]) -> None:
                disk.threads.append(threading.current_thread())
                disk.reached.set()
                disk.goes_on.wait(DEADLINE)
                super().append(frames)

        return HangingFile(path)
