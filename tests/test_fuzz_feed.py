"""The feed against hostile frames; `tests.fuzz_feed` says what is done, and does it by the thousand."""

import asyncio

import pytest

from tests.fuzz_feed import fuzz


@pytest.mark.parametrize("seed", [1, 2])
def test_hostile_frames(seed: int) -> None:
    """The feed leaves a connection for a frame that can't be trusted, for no other, and never ends."""
    counts, wrong = asyncio.run(fuzz(1_000, seed))
    assert wrong == []
    assert counts["hostile frames"] >= 1_000
    assert counts["Rejected"] > 500
    assert counts["Snapshot"] > 500
    assert counts["L2Update"] > 10
