"""Model of the view in a terminal: what is shown of what the server sent, and for how long."""

from typing import Any

import pytest

from orderbook.watch.frames import BadFrame, Choice, decode
from orderbook.watch.model import MOST_PRODUCTS, Model, steps
from tests.support.pushed import book, pushed, row, status, trade


def watched(**parts: Any) -> Model:
    """A model that took one frame, at 0 s, of a live run with these parts."""
    model = Model()
    model.connected(0.0)
    model.take(decode(pushed(status=status(), **parts)), 0.0)
    return model


def test_first_product_is_chosen() -> None:
    """Products are in the order of their names; the first is chosen, and asked for from then on."""
    model = Model()
    assert model.choice(10) == Choice(book=None, levels=10)
    model.connected(0.0)
    model.take(decode(pushed(products=[row("ETH-USD"), row("BTC-USD")])), 0.0)
    assert model.products == ["BTC-USD", "ETH-USD"]
    assert model.choice(300) == Choice(book="BTC-USD", levels=200)


def test_moving_stays_within_the_table() -> None:
    """Another product is chosen up to the first and the last; its levels are not grouped yet."""
    model = watched(products=[row(name) for name in ("A-USD", "B-USD", "C-USD")], book=book("A-USD"))
    model.group(0.0)
    assert model.step > 0
    model.move(1)
    assert (model.chosen, model.step) == ("B-USD", 0)
    model.move(10)
    assert model.chosen == "C-USD"
    model.move(-10)
    assert model.chosen == "A-USD"


def test_pages_stand_still() -> None:
    """The table shows the page of the chosen product: moving within it moves no line."""
    model = watched(products=[row(f"{letter}-USD") for letter in "ABCDEFG"])
    for expected in ["ABC"] * 3 + ["DEF"] * 3 + ["G"]:
        assert [product[0] for product in model.page(3)] == list(expected)
        model.move(1)


def test_book_of_another_choice_is_not_taken() -> None:
    """A book that comes late, of the product or the step that was chosen before, is not shown."""
    model = watched(products=[row("BTC-USD"), row("ETH-USD")], book=book("BTC-USD"))
    assert model.book(0.0)
    model.move(1)
    assert model.book_state(0.0).word == "waiting"
    model.take(decode(pushed(book=book("BTC-USD"), trades=[trade("BTC-USD")])), 0.0)
    assert model.book(0.0) is None
    assert not model.trades
    model.take(decode(pushed(book=book("ETH-USD", step=5))), 0.0)
    assert model.book(0.0) is None
    model.take(decode(pushed(book=book("ETH-USD"))), 0.0)
    assert model.book(0.0)


@pytest.mark.parametrize(
    ("price", "sizes"),
    [
        (63510.145, [1, 2, 5, 10, 20, 50, 100]),
        (0.123455, [1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3]),
        (1e-8, [1e-12, 2e-12, 5e-12, 1e-11, 2e-11, 5e-11, 1e-10]),
    ],
)
def test_steps_go_by_the_price(price: float, sizes: list[float]) -> None:
    """A price step is a round number; the largest of them is followed by none."""
    model = watched(products=[row(mid=price)])
    assert steps(price) == sizes
    for step in [*sizes, 0.0]:
        model.group(0.0)
        assert model.step == step


def test_what_is_not_live_is_not_grouped() -> None:
    """Without a price there is no step."""
    model = watched(products=[row(event="stale")])
    model.group(0.0)
    assert model.step == 0


def test_choosing_to_and_fro() -> None:
    """What was chosen before is there still where the server has not even noticed the other choice."""
    model = watched(
        products=[row("BTC-USD"), row("ETH-USD")], book=book("BTC-USD"), trades=[trade("BTC-USD")]
    )
    model.move(1)
    model.move(-1)
    assert model.book(0.0)
    assert model.trades
    assert (model.prices.after, model.sizes.after) == (2, 8)


def test_trades_come_once() -> None:
    """Trades that are sent again, as after another choice of levels, are there once, the last 50 of them."""
    model = watched(products=[row()], book=book(), trades=[trade(id=str(number)) for number in range(40)])
    model.take(decode(pushed(trades=[trade(id=str(number)) for number in range(20, 60)])), 0.0)
    assert [each.id for each in model.trades] == [str(number) for number in range(10, 60)]


def test_trades_are_in_their_order() -> None:
    """Trades that come behind newer ones, and after another product's, stand where their numbers put them."""
    model = watched(
        products=[row("BTC-USD"), row("ETH-USD")], book=book(), trades=[trade("BTC-USD", id="51")]
    )
    model.take(decode(pushed(trades=[trade("BTC-USD", id=str(number)) for number in range(9, 52)])), 0.0)
    assert [each.id for each in model.trades] == [str(number) for number in range(9, 52)]
    model.move(1)
    model.take(decode(pushed(trades=[trade("ETH-USD", id="3")])), 0.0)
    model.move(-1)
    model.take(decode(pushed(trades=[trade("BTC-USD", id=str(number)) for number in range(20, 60)])), 0.0)
    assert [each.id for each in model.trades] == [str(number) for number in range(20, 60)]


def test_digits_only_grow() -> None:
    """A column keeps the room for digits that it once needed until another product is chosen."""
    model = watched(products=[row("BTC-USD"), row("ETH-USD")], book=book(), trades=[trade(amount=1e-10)])
    model.take(decode(pushed(book=book(bids=[[1, 1]], asks=[[2, 1]]))), 0.0)
    assert (model.prices.before, model.prices.after) == (5, 2)
    assert (model.sizes.before, model.sizes.after) == (3, 10)
    model.group(0.0)
    model.take(decode(pushed(book=book(step=1, bids=[[1, 1]], asks=[[2, 1]]))), 0.0)
    assert (model.prices.before, model.prices.after) == (5, 2)
    model.move(1)
    assert (model.prices.after, model.sizes.after) == (2, 1)  # of its row


@pytest.mark.parametrize("event", ["connecting", "stale", "crossed", "gap", "resync", "refused", "one-sided"])
def test_what_is_not_live_has_no_prices(event: str) -> None:
    """Each state but live has its word, and neither the row nor the book has prices to show."""
    model = watched(products=[row(event=event, reason="since")], book=book(event=event))
    state = model.state("BTC-USD", 0.0)
    assert str(state) == f"{event}: since"
    assert not state.has_prices
    assert model.book(0.0) is None
    model = watched(products=[row()], book=book(event=event))  # the book's frame came first
    assert model.book_state(0.0).word == event
    assert model.book(0.0) is None
    model = watched(products=[row(event=event)], book=book())  # the row did
    assert model.book(0.0) is None


def test_silent_product() -> None:
    """A product of which no frame came for 2 s by the server's clock is silent, but not in a replay."""
    model = watched(products=[row(seen="2026-11-24T12:00:00Z")], book=book())
    model.take(decode(pushed("2026-11-24T12:00:02Z")), 2.0)
    assert model.state("BTC-USD", 2.0).is_live
    model.take(decode(pushed("2026-11-24T12:00:03Z")), 3.0)
    assert model.state("BTC-USD", 3.0) == ("silent", "for 3 s")
    assert model.book_state(3.0).word == "silent"
    assert model.book(3.0)
    model.take(decode(pushed("2026-11-24T12:00:03Z", status=status(kind="replay"))), 3.0)
    assert model.state("BTC-USD", 3.0).is_live


def test_silent_server() -> None:
    """When no frame came for 2 s nothing is live, whatever the last one said, until the next comes."""
    model = watched(products=[row()], book=book())
    assert model.state("BTC-USD", 2.0).is_live
    assert (
        model.connection(2.1)
        == model.state("BTC-USD", 2.1)
        == model.book_state(2.1)
        == ("no data", "for 2 s")
    )
    assert model.book(2.1) is None
    model.take(decode(pushed("2026-11-24T12:00:01+00:00")), 2.2)
    assert model.state("BTC-USD", 2.2).is_live


def test_lost_connection() -> None:
    """With the connection all is lost; the next one begins with nothing, and the same product chosen."""
    model = watched(products=[row("BTC-USD"), row("ETH-USD")], book=book(), trades=[trade()])
    model.move(1)
    model.disconnected("Connection refused")
    assert model.state("BTC-USD", 0.0) == ("no connection", "Connection refused")
    assert model.book(0.0) is None
    model.connected(1.0)
    assert (model.products, model.rows, model.status) == ([], {}, None)
    assert model.book_state(1.0).word == "waiting"
    model.take(decode(pushed(products=[row("BTC-USD"), row("ETH-USD")])), 1.0)
    assert model.chosen == "ETH-USD"


def test_endless_products() -> None:
    """A server that names ever new products is not believed, so memory stays bounded."""
    model = watched(products=[row(f"A{number}") for number in range(MOST_PRODUCTS)])
    with pytest.raises(BadFrame, match="10,000 products"):
        model.take(decode(pushed(products=[row("B")])), 0.0)


def test_late_frames() -> None:
    """Where frames take over 2 s longer than the fastest one did, nothing that they bring is live."""
    model = watched(products=[row("BTC-USD")], book=book("BTC-USD"))
    model.take(decode(pushed()), 3.0)
    assert str(model.connection(3.0)) == "frames arrive late: 3 s"
    assert model.book(3.0) is None
    model.connected(4.0)
    model.take(decode(pushed()), 4.0)
    assert model.connection(4.0).is_live


def test_trades_by_their_ids() -> None:
    """Older trades that are sent after newer ones, as after choosing to and fro, come before them."""
    model = watched(products=[row("BTC-USD")], trades=[trade("BTC-USD", id="10")])
    model.take(decode(pushed(trades=[trade("BTC-USD", id="9"), trade("BTC-USD", id="8")])), 0.0)
    assert [each.id for each in model.trades] == ["8", "9", "10"]
