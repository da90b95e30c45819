"""Screen of a size: the panes, the bar above them and the keys below, as lines of that width."""

from decimal import Decimal

from rich.text import Text

from orderbook.watch import cells
from orderbook.watch.model import Model
from orderbook.watch.panes import (
    DETAILS,
    GREY,
    HEAD,
    WARNING,
    Lines,
    details,
    filled,
    ladder,
    levels_within,
    line,
    table,
    trades,
)

LEAST_WIDTH, LEAST_HEIGHT = 80, 24
THREE_PANES = 140  # columns, from which on the products have a pane of their own
LADDER = 45  # columns, and in a wide terminal more
MOST_TABLE = 9  # lines of the table above the details

HELP = """
↑ ↓  or  k j        choose the product above, below
PgUp PgDn           ten products further
Home End            the first product, the last
g                   group the ladder by a larger price step, in the end by none
?                   this help
q  or  Ctrl-C       quit

●                   live
~                   silent: no frame of it for 2 s; its last prices are grey
!                   not live: the word says why, and there are no prices
▲ ▼                 a trade of a taker who buys, who sells

Asks are above the mid, bids below. Prices and depths are in the quote
currency, sizes in the base currency. sum: of the sizes from the mid on.
bp: the spread, in basis points of the mid. imbalance 5: how much more is bid
than asked at the best 5 levels, -1 to 1; a bar to the right: more is bid.
depth 10 bp: what all levels within that distance of the mid are worth.
missing: trades that never came. lag: from the exchange to the server, the
median and the 99th percentile of the last minute.
""".strip().splitlines()


def levels(height: int) -> int:
    """How many levels a side a screen of a height shows."""
    return levels_within(height - 2)


def draw(model: Model, now: float, width: int, height: int, with_help: bool = False) -> Lines:
    """The lines of a screen: `height` of them, each of `width` cells."""
    if width < LEAST_WIDTH or height < LEAST_HEIGHT:
        text = f"{LEAST_WIDTH}×{LEAST_HEIGHT} or more is needed, this terminal has {width}×{height}; q quits"
        return filled([line((text, ""), width=width)], width, height)
    body = height - 2
    if with_help:
        panes = filled([line((f" {text}", ""), width=width) for text in HELP], width, body)
    elif width < THREE_PANES:
        panes = _two_panes(model, now, width, body)
    else:
        panes = _three_panes(model, now, width, body)
    return [_bar(model, now, width), *panes, _keys(model, width)]


def _two_panes(model: Model, now: float, width: int, height: int) -> Lines:
    right = LADDER + (width - LEAST_WIDTH) // 2
    left = width - right - 1
    upper = min(len(model.products) + 1, MOST_TABLE + (height - LEAST_HEIGHT + 2) // 2)
    lines = table(model, now, left, upper) + details(model, now, left, DETAILS)
    lines += trades(model, now, left, height - len(lines))
    return _beside(lines, ladder(model, now, right, height))


def _three_panes(model: Model, now: float, width: int, height: int) -> Lines:
    left, right = 62 + (width - THREE_PANES) // 4, 34 + (width - THREE_PANES) // 4
    lines = details(model, now, right, DETAILS)
    lines += trades(model, now, right, height - len(lines))
    middle = ladder(model, now, width - left - right - 2, height)
    return _beside(table(model, now, left, height), middle, lines)


def _beside(*panes: Lines) -> Lines:
    border = Text("│", GREY)
    return [border.join(lines) for lines in zip(*panes, strict=True)]


def _bar(model: Model, now: float, width: int) -> Text:
    """What the connection brings, how many products are live, and what was lost."""
    connection, status = model.connection(now), model.status
    if not connection.is_live:
        return line((f" ! {connection}", ""), width=width, style=WARNING)
    if status is None or model.frame is None:
        return line((" connected, waiting for the first frame", HEAD), width=width)
    all_live = status.live == status.products
    counts = f" {status.live}/{status.products} live "
    lost = f" resyncs {status.resyncs}  gaps {status.gaps}  missing {status.missing_trades}"
    lag = "" if status.lag_p50 is None else f"  lag {_ms(status.lag_p50)}/{_ms(status.lag_p99)} ms"
    time = f" {model.frame.time:%H:%M:%S} "
    left = f" {status.kind.upper()}{' OVER' if status.ended else ''} "
    middle = cells.left(lost + lag, width - len(left) - len(counts) - len(time) - 2)
    marked = (f"{counts}  " if all_live else f"!{counts} ", "" if all_live else WARNING)
    return line((left, "bold reverse"), marked, (middle, ""), (time, ""), width=width)


def _ms(seconds: float | None) -> str:
    return "?" if seconds is None else f"{seconds * 1000:.0f}"


def _keys(model: Model, width: int) -> Text:
    grouped = f"{Decimal(repr(model.step)):f}" if model.step else "none"
    return line((f" ↑↓ choose   g group: {grouped}   ? help   q quit", GREY), width=width)
