"""Fixtures of tests with a feed in the test's own process."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def frozen() -> Iterator[None]:
    """What is there before a test is no garbage, as in a run: a feed looks for some after each connection."""
    gc.freeze()
    yield
    gc.unfreeze()
