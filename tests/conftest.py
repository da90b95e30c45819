"""What the tests share: how many examples Hypothesis tries, and the real capture, where there is one."""

from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.processes import ROOT

# No deadline: a machine that is busy elsewhere makes an example slow, not wrong.
settings.register_profile("short", max_examples=300, deadline=None)
settings.register_profile("long", max_examples=10_000, deadline=None)
settings.load_profile("short")


@pytest.fixture(scope="session")
def capture() -> Path:
    """A minute of the real feed; it is not part of the project, so a clone alone does without."""
    path = ROOT.parent / "shared/captures/coinbase-level2_batch-2026-07-07.jsonl"
    if not path.exists():
        pytest.skip(f"the real capture is not here: {path}")
    return path
