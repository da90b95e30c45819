"""Texts of the reasons to give a connection up."""

import pytest

from orderbook.feed.errors import escaped


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError("no such host"), "no such host"),
        (OSError(), "OSError"),  # never empty
        (OSError("bye\n2026-11-24 ERROR forged \x1b[31m"), r"bye\n2026-11-24 ERROR forged \x1b[31m"),
        (OSError("é" * 1_000), r"\xe9" * 200),
    ],
)
def test_text_from_outside_is_one_printable_line(error: Exception, text: str) -> None:
    """What the exchange says, as in the reason of a close, can forge no line of the log, nor fill it."""
    assert escaped(error) == text
