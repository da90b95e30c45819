"""Frames of the push, as the view in a terminal takes them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderbook.watch.frames import LONGEST, BadFrame, decode
from tests.support.pushed import TIME, book, pushed, row, trade

HOSTILE = "\x1b[2J\x1b]0;owned\x07\u202e\n\x9b31m"


@pytest.mark.parametrize(
    "data",
    [
        "",
        "[]",
        "{}",
        '{"time":"yesterday"}',
        '{"time":"2026-11-24T12:00:00"}',
        pushed(products=[row(bid_price=-1.0)]),
        pushed(products=[row(bid_price=1e300)]),
        pushed(products=[row(bid_price="63510")]),
        pushed(products=[row() | {"event": None}]),
        pushed(book=book(bids=[[1.0]])),
        pushed(book=book(bids=[[1.0, 1.0]] * 10_001)),
        pushed(trades=[trade(side="short")]),
        pushed(status={"kind": "delayed", "live": 1, "products": 1}),
        "[" * 100_000,
        b"\xff",
    ],
)
def test_frame_that_is_none(data: str | bytes) -> None:
    """What can't be a frame of the server is refused, whatever is wrong with it."""
    with pytest.raises(BadFrame):
        decode(data)


def test_texts_are_harmless() -> None:
    """No text of the server's is endless, or could move the cursor or turn the direction."""
    data = pushed(
        products=[row(symbol=HOSTILE, event=HOSTILE, reason=HOSTILE * 1_000)],
        book=book(symbol=HOSTILE, event=HOSTILE),
        trades=[trade(symbol=HOSTILE)],
    )
    frame = decode(data)
    (first,), taken = frame.products, frame.book
    assert taken is not None
    texts = [first.symbol, first.event, first.reason or "", taken.symbol, taken.event, frame.trades[0].symbol]
    assert all(text.isprintable() and 0 < len(text) <= LONGEST for text in texts)
    assert first.symbol.startswith(r"\x1b[2J\x1b]0;owned\x07\u202e\n\x9b31m")


@given(st.binary() | st.text())
def test_errors_are_harmless(data: str | bytes) -> None:
    """Whatever comes in place of a frame, the error is one printable line."""
    with pytest.raises(BadFrame) as caught:
        decode(data)
    assert str(caught.value).isprintable()


def test_fields_that_are_not_known_are_passed_over() -> None:
    """A server of tomorrow may say more."""
    frame = decode(json.dumps({"time": TIME, "weather": "fine", "products": [row(sun=True)]}))
    assert frame.products[0].symbol == "BTC-USD"
