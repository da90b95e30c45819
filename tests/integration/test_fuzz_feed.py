"""The feed against hostile frames; `tests.stress.fuzz_feed` is the long form."""

import pytest

from tests.stress.fuzz_feed import fuzz


@pytest.mark.parametrize("seed", [1, 2])
def test_hostile_frames(seed: int) -> None:
    """A feed gives a connection up for a frame that can't be trusted, for no other, and never ends."""
    counts, wrong = fuzz(1_000, seed)
    assert wrong == []
    assert counts["hostile frames"] >= 1_000
    assert counts["bad_frame"] > 500
    assert min(counts["refused"], counts["closed"]) > 5
    assert counts["Snapshot"] > 500
    assert counts["L2Update"] > 10
