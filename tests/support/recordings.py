"""Recordings as tests write them, and what was logged of them."""

import gzip
from collections.abc import Iterable
from pathlib import Path

from pytest import LogCaptureFixture


def text(frames: Iterable[bytes]) -> bytes:
    """The frames as they stand in a recording."""
    return b"".join(frame + b"\n" for frame in frames)


def write(path: Path, content: bytes) -> Path:
    """Write a recording with this content, compressed where its name says so; answers its path."""
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def logged(caplog: LogCaptureFixture) -> list[tuple[str, str]]:
    """What was logged: level and text."""
    return [(record.levelname, record.getMessage()) for record in caplog.records]
