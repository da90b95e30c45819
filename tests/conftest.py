"""Fixtures and Hypothesis profiles that tests share."""

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("tests.support", "tests.stress")  # a failed assert there shows its values too

# Under `nohup` SIGHUP is ignored, which every process that a test starts would inherit.
signal.signal(signal.SIGHUP, signal.SIG_DFL)


# On a machine that is busy elsewhere an example is slow, not wrong.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("short", PATIENT, max_examples=300)
settings.register_profile("long", PATIENT, max_examples=10_000)
settings.load_profile("short")


@pytest.fixture(scope="session")
def capture(pytestconfig: pytest.Config) -> Path:
    """A minute of the real feed; it is not part of the project, so a clone alone does without."""
    path = pytestconfig.rootpath.resolve().parent / "shared/captures/coinbase-level2_batch-2026-07-07.jsonl"
    if not path.exists():
        pytest.skip(f"the real capture is not here: {path}")
    return path
