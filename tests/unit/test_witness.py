"""The judge of printed lines: what it finds wrong, and what not."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.exchange.connection import Sent
from tests.exchange.lies import LIES
from tests.exchange.market import Market
from tests.support.oracle import lines
from tests.support.witness import Witness

PRODUCT = "BTC-EUR"


def frame(letter: str) -> bytes:
    """A frame that brings a line of its own for each letter."""
    bid = str(ord(letter))
    return json.dumps(
        {"type": "snapshot", "product_id": PRODUCT, "bids": [[bid, "1"]], "asks": [["1000", "1"]]}
    ).encode()


def line(letter: str) -> str:
    """The line that a letter's frame brings."""
    return lines([frame(letter)])[PRODUCT][0]


def found_wrong(connections: list[str], printed: str) -> list[str]:
    """The letters that the witness finds wrong, where each letter is a frame sent, or a line printed.

    A `!` is a frame that can't be trusted, and a `/` begins another subscription on the same connection.
    """
    witness = Witness(PRODUCT)
    for number, subscriptions in enumerate(connections):
        for subscription, letters in enumerate(subscriptions.split("/")):
            for letter in letters:
                sent = LIES["not_json"](PRODUCT, 1.0) if letter == "!" else frame(letter)
                witness.sent(Sent(0.0, number, sent, subscription))
    by_line = {}
    for letter in printed:
        by_line[line(letter)] = letter
        witness.receive(line(letter))
    return [by_line[wrong] for wrong in witness.wrong]


@pytest.mark.parametrize(
    ("printed", "wrong", "lost"),
    [
        ("ABCDEF", "", ""),  # the snapshot B repeats what A B had, so has C
        ("ABDEF", "", "C"),  # C came on the old connection only, for the new one's snapshot contains it
        ("ABBCDEF", "B", ""),
        ("ABCCDEF", "C", ""),
        ("ABCEF", "", "D"),
        ("AE", "", "B"),
    ],
)
def test_renewal(printed: str, wrong: str, lost: str) -> None:
    """A connection that is renewed prints nothing twice, and loses no line in between."""
    witness = Witness(PRODUCT)
    times = {letter: f'"time":"2026-11-24T00:00:{ord(letter) - 55}Z"}}'.encode() for letter in "ABCDEF"}
    for when, (number, letter) in enumerate([(0, "A"), (0, "B"), (1, "B"), (0, "C"), (1, "C"), (0, "D")]):
        witness.sent(Sent(1.0 + when, number, frame(letter)[:-1] + b"," + times[letter]))
    for when, letter in enumerate("DEF", 10):
        witness.sent(Sent(when, 1, frame(letter)[:-1] + b"," + times[letter]))
    for letter in printed:
        witness.receive(line(letter))
    assert witness.wrong == [line(letter) for letter in wrong]
    assert [(lost.connection, lost.line) for lost in witness.lost] == [(0, line(letter)) for letter in lost]


@pytest.mark.parametrize(
    ("connections", "printed"),
    [
        (["ABC"], "ABC"),
        (["ABC", "DEF"], "ABCDEF"),
        (["ABC", "DEF"], "ADEF"),  # left early
        (["ABC", "DEF"], "DE"),  # left before anything was printed
        (["AAB"], "AAB"),  # equal lines
        (["AAA", "AAB"], "AAAAB"),
        (["AA", "AB", "AC"], "AAAC"),
        (["AB!C", "AD"], "ABAD"),  # up to a frame that can't be trusted, and anew
        (["ABC/DEF"], "ABDEF"),  # subscribed anew on the same connection
        (["AB/CD/EF", "GH"], "ACDEGH"),
        (["AB!C/DE"], "ABDE"),
    ],
)
def test_what_is_right(connections: list[str], printed: str) -> None:
    """Equal lines are not wrong, nor are subscriptions that were left early."""
    assert found_wrong(connections, printed) == []


@pytest.mark.parametrize(
    ("connections", "printed", "wrong"),
    [
        (["ABCD"], "ABD", "D"),  # a line is missing
        (["ABC"], "BC", "BC"),  # the first one is
        (["AABC"], "ABC", "BC"),  # one of two equal ones is
        (["AB!CD"], "ABC", "C"),  # after a frame that can't be trusted
        (["ABC/DEF"], "ADBC", "BC"),  # of a subscription that was left
        (["ABC/DEF"], "AEF", "EF"),  # without the snapshot of the new one
        (["!AB", "CD"], "ACD", "A"),
        (["ABC", "DEF"], "ADEB", "B"),  # of a connection that was left
        (["ABC", "DEF", "GHI"], "GD", "D"),
        (["ABC"], "AABC", "A"),  # twice
        (["ABC", "DEF"], "ABBDEF", "B"),
        (["ABC"], "ABX", "X"),  # never called for
        ([], "A", "A"),
    ],
)
def test_what_is_wrong(connections: list[str], printed: str, wrong: str) -> None:
    """A line is wrong after a missing one, doubled, made up, or of a frame or subscription that is past."""
    assert "".join(found_wrong(connections, printed)) == wrong


def test_altered_digit() -> None:
    """A line with one other digit is wrong, wherever in the line it stands."""
    market = Market(PRODUCT, 1, levels=5, mid=600, spread_ticks=8, gap_ticks=4)
    snapshot, update = market.snapshot(), market.update()
    right = lines([snapshot, update])[PRODUCT]
    digits = [place for place, letter in enumerate(right[1]) if letter.isdigit()]
    assert len(digits) > 20
    for place in digits:
        witness = Witness(PRODUCT)
        for sent in (snapshot, update):
            witness.sent(Sent(0.0, 0, sent))
        digit = str((int(right[1][place]) + 1) % 10)
        altered = right[1][:place] + digit + right[1][place + 1 :]
        witness.receive(right[0])
        witness.receive(altered)
        assert witness.wrong == [altered]


letters = st.text("AB", max_size=5)


@given(connections=st.lists(letters, max_size=4), printed=st.text("AB", max_size=12))
def test_any(connections: list[str], printed: str) -> None:
    """Where most lines are equal, the witness finds what trying every way to read them finds."""
    # Of each connection the beginning, in order: (A(B(C)?)?)? for one that was sent ABC.
    pattern = "".join(f"({'('.join(sent)}" + ")?" * len(sent) for sent in connections if sent)
    assert bool(found_wrong(connections, printed)) == (re.fullmatch(pattern, printed) is None)
