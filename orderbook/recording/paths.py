"""Files of recordings at the paths that a user gives."""

import os
from collections.abc import Sequence
from pathlib import Path

SUFFIXES = (".jsonl", ".jsonl.gz")


def files_at(paths: str | Sequence[str]) -> list[Path]:
    """The recordings at paths, files and folders of them, in this order, each file once.

    Those of a folder are sorted by name. A text is of several paths, separated by commas, unless it is the
    path of something as it stands. Raises `ValueError` where there is nothing to read at one of them.
    """
    found: dict[tuple[int, int], Path] = {}
    if isinstance(paths, str):
        paths = [paths] if os.path.exists(paths) else [path.strip() for path in paths.split(",")]
    for path in paths:
        if not path:
            raise ValueError("a path is empty")
        root = Path(path)
        try:
            files = sorted(root.iterdir()) if root.is_dir() else [root]
        except OSError as error:
            raise ValueError(f"{path!r} can't be read: {error.strerror}") from None
        files = [file for file in files if file.name.endswith(SUFFIXES)]
        if not files:
            raise ValueError(
                f"{path!r} is not a recording, nor a folder of recordings ({', '.join(SUFFIXES)})"
            )
        for file in files:
            try:
                with file.open("rb") as opened:
                    status = os.fstat(opened.fileno())
            except OSError as error:
                raise ValueError(f"{path!r} can't be read: {error.strerror}: {str(file)!r}") from None
            found.setdefault((status.st_dev, status.st_ino), file)
    return list(found.values())


def names_of(files: Sequence[Path]) -> tuple[str, ...]:
    """Names that tell these recordings from others, wherever the folder lies that all are in."""
    folder = os.path.commonpath([os.path.abspath(file.parent) for file in files])
    return tuple(os.path.relpath(os.path.abspath(file), folder) for file in files)
