"""The line with which a run is refused before it starts."""

from collections.abc import Callable

import pytest


def refused(function: Callable[..., object], *args: object, **kwargs: object) -> str:
    """The line with which a call ends the run."""
    with pytest.raises(SystemExit) as caught:
        function(*args, **kwargs)
    line = caught.value.code
    assert isinstance(line, str) and len(line.splitlines()) == 1
    return line
