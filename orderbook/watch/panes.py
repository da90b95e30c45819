"""Panes of the screen: each a list of lines of one width, made of the model alone."""

from collections.abc import Callable
from itertools import accumulate
from typing import NamedTuple

from rich.text import Text

from orderbook.watch import cells
from orderbook.watch.frames import Level, Row, Signals, Trade
from orderbook.watch.model import Model, State

BID, ASK, GREY, HEAD, WARNING = "cyan", "yellow", "bright_black", "bold", "bold red reverse"
SIGNS = {"live": "●", "silent": "~"}  # and "!" of any other state: the sign says it without colours
SIDES = {"buy": ("▲", BID), "sell": ("▼", ASK)}

Lines = list[Text]


class Column(NamedTuple):
    """A column of the table: its name, its width, and its text of a row."""

    name: str
    width: int
    text: Callable[[Row, int, int], str]  # of a row, a width, and digits before the point


BPS = Column("bp", 7, lambda row, width, _: cells.fixed(row.spread_bps, width, 3, 3))
NARROW = (Column("mid", 14, lambda row, width, before: cells.pointed(row.mid, width, before)), BPS)
WIDE = (
    Column("bid", 14, lambda row, width, before: cells.pointed(row.bid_price, width, before)),
    Column("ask", 14, lambda row, width, before: cells.pointed(row.ask_price, width, before)),
    Column("imbalance", 9, lambda row, width, _: cells.balance(row.imbalance_1, width)),
    BPS,
)


def table(model: Model, now: float, width: int, height: int) -> Lines:
    """The products around the chosen one: the state of each, and its prices where they may be shown."""
    columns = WIDE if width >= 62 else NARROW
    name = width - 2 - sum(column.width + 1 for column in columns)
    head = " ".join(cells.right(column.name, column.width) for column in columns)
    lines = [line((f"  {cells.left('product', name)} {head}", HEAD), width=width)]
    before = max((len(str(int(row.ask_price or 0))) for row in model.rows.values()), default=1)
    for product in model.page(height - 1):
        row, state = model.rows[product], model.state(product, now)
        text = str(state)
        if state.has_prices:
            text = " ".join(column.text(row, column.width, before) for column in columns)
            if not state.is_live:  # the word stands in the place of the spread
                text = text[: -BPS.width] + cells.right(state.word, BPS.width)
        is_chosen = product == model.chosen
        style = ("" if state.is_live else GREY) + (" reverse" if is_chosen else "")
        mark = f"{SIGNS.get(state.word, '!')}{'›' if is_chosen else ' '}"
        lines.append(line((f"{mark}{cells.left(product, name)} {text}", ""), width=width, style=style))
    return filled(lines, width, height)


def ladder(model: Model, now: float, width: int, height: int) -> Lines:
    """The chosen product's levels: asks above the mid, bids below, sizes summed up from there."""
    state, book, rows = model.book_state(now), model.book(now), levels_within(height)
    asks, bids = (book.asks[:rows], book.bids[:rows]) if book else ([], [])
    most = max((size for _price, size in asks + bids), default=0.0)
    widths = (12, 14, 12)

    def level(each: Level, total: float, colour: str) -> Text:
        price, size = each
        return line(
            (cells.fixed(price, widths[0], model.prices.before, model.prices.after), colour),
            (" " + cells.fixed(size, widths[1], model.sizes.before, model.sizes.after), ""),
            (" " + cells.fixed(total, widths[2], model.sizes.before, model.sizes.after), GREY),
            (" " + cells.bar(size / most if most else 0.0, width - sum(widths) - 3), colour),
            width=width,
            style="" if state.is_live else GREY,
        )

    above = [level(each, total, ASK) for each, total in summed(asks)]
    below = [level(each, total, BID) for each, total in summed(bids)]
    head = " ".join(map(cells.right, ("price", "size", "sum"), widths))
    middle = _middle(model, state, book.signals if book else None, width)
    lines = [line((head, HEAD), width=width), *filled([], width, rows - len(above)), *above[::-1], middle]
    return filled(lines + below, width, height)


def _middle(model: Model, state: State, signals: Signals | None, width: int) -> Text:
    """The line between asks and bids: the mid and the spread, or why the book is not live."""
    if not state.is_live:
        sign = SIGNS.get(state.word, "!")
        return line((f" {sign} {model.chosen or 'no product'}: {state}", ""), width=width, style=WARNING)
    if signals is None or signals.mid is None:
        return line(("─" * width, GREY), width=width)
    before, after = model.prices.before, model.prices.after
    mid = cells.fixed(signals.mid, 13, before, after + 1)
    spread = cells.fixed(signals.spread, 8, 1, after)
    bps = cells.fixed(signals.spread_bps, 9, 3, 4)
    return line((f"{mid} spread{spread}{bps} bp ", HEAD), ("─" * width, GREY), width=width)


def levels_within(height: int) -> int:
    """How many levels a side a ladder has room for, beside its head and its middle."""
    return max((height - 2) // 2, 0)


def summed(levels: list[Level]) -> list[tuple[Level, float]]:
    """Levels, each with the sum of the sizes up to it."""
    return list(zip(levels, accumulate(size for _price, size in levels), strict=True))


def details(model: Model, now: float, width: int, height: int) -> Lines:
    """The chosen product: its state, its imbalance, and what lies within some distances from its mid."""
    state, book = model.book_state(now), model.book(now)
    signals = (book.signals if book else None) or Signals()
    style = "" if state.is_live else GREY
    title = f"{SIGNS.get(state.word, '!')} {model.chosen or 'no product'} {state.word}"
    if book and book.timestamp:
        title += f" {book.timestamp:%H:%M:%S}"
    lines = [line((title, HEAD), width=width, style=style)]
    for levels in (1, 5, 25):
        imbalance = getattr(signals, f"imbalance_{levels}")
        figure = "" if imbalance is None else f"{imbalance:+.2f}"
        drawn = cells.balance(imbalance, width - 20)
        lines.append(line((f"imbalance {levels:>2} {drawn} {figure:>5} ", ""), width=width, style=style))
    lines.append(line((f"depth  bid{'ask':>{width - 10}}", HEAD), width=width, style=style))
    sides = [_depths(signals, "bid"), _depths(signals, "ask")]
    most = max((value or 0.0 for side in sides for value in side), default=0.0) or 1.0
    half = (width - 8 - 16) // 2
    for bps, bid, ask in zip(DEPTHS, *sides, strict=True):
        parts = (
            (f"{bps:>3} bp ", ""),
            (cells.compact(bid, 7) + " " + cells.leftward((bid or 0.0) / most, half), BID),
            ("│", ""),
            (cells.bar((ask or 0.0) / most, half) + " " + cells.compact(ask, 7), ASK),
        )
        lines.append(line(*parts, width=width, style=style))
    return filled(lines, width, height)


DEPTHS = (10, 50, 100)  # basis points from the mid
DETAILS = 1 + 3 + 1 + len(DEPTHS)  # lines


def _depths(signals: Signals, side: str) -> list[float | None]:
    return [getattr(signals, f"{side}_depth_{bps}bps") for bps in DEPTHS]


def trades(model: Model, now: float, width: int, height: int) -> Lines:
    """The last trades of the chosen product, the newest first, with the side of the taker."""
    state = model.book_state(now)
    price, size = 11, width - 8 - 3 - 11
    head = f"{'trades':<8} {'price':>{price + 2}}{'size':>{size}}"
    lines = [line((head, HEAD), width=width)]
    for trade in reversed(model.trades):
        lines.append(_trade(model, trade, (price, size), width, "" if state.is_live else GREY))
    return filled(lines, width, height)


def _trade(model: Model, trade: Trade, widths: tuple[int, int], width: int, style: str) -> Text:
    side, colour = SIDES[trade.side]
    when = f"{trade.timestamp:%H:%M:%S}" if trade.timestamp else " " * 8
    price = cells.fixed(trade.price, widths[0], model.prices.before, model.prices.after)
    size = cells.fixed(trade.amount, widths[1], model.sizes.before, model.sizes.after)
    return line((f"{when} ", ""), (f"{side} {price}", colour), (size, ""), width=width, style=style)


def line(*parts: tuple[str, str], width: int, style: str = "") -> Text:
    """A line of parts, truncated or filled to a width; a style of the whole takes the place of theirs."""
    made = Text.assemble(*((text, "" if style else own) for text, own in parts), style=style)
    made.truncate(width, pad=True)
    return made


def filled(lines: Lines, width: int, height: int) -> Lines:
    """So many lines: blank ones follow where there are fewer."""
    return lines[:height] + [Text(" " * width)] * (height - len(lines))
