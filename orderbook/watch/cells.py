"""Cells: numbers, texts and bars as texts of a width that never changes."""

from rich.cells import cell_len, set_cell_size

EIGHTHS = " ▏▎▍▌▋▊▉"
UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def left(text: str, width: int) -> str:
    """A text from the left; what is too long ends in `…`."""
    if cell_len(text) > width:
        text = set_cell_size(text, max(width - 1, 0)) + "…"
    return set_cell_size(text, width)


def right(text: str, width: int) -> str:
    """A text at the right; what is too long ends in `…`."""
    return left(text, width) if cell_len(text) > width else " " * (width - cell_len(text)) + text


def fixed(number: float | None, width: int, before: int, after: int) -> str:
    """A number with `after` decimals, at the right; fewer where `before` digits leave no room for them.

    One above 0 is never shown as 0; one that does not fit has an exponent. Blank for None.
    """
    if number is None:
        return " " * width
    before = max(before, len(f"{abs(number):.0f}"))
    after = max(min(after, width - before - 1), 0)
    text = f"{number:.{after}f}"
    if number and not float(text):
        text = f"<{10.0**-after:.{after}f}"
    return right(text if len(text) <= width else f"{number:.2e}", width)


def pointed(number: float | None, width: int, before: int) -> str:
    """A number of which the point lies behind `before` digits, with its own decimals as far as they fit."""
    if number is None:
        return " " * width
    whole, _, fraction = fixed(number, 40, 1, min(max(width - before - 1, 0), 10)).strip().partition(".")
    fraction = fraction.rstrip("0")
    text = " " * (before - len(whole)) + whole + ("." + fraction if fraction else "")
    return left(text, width) if len(text) <= width else right(f"{number:.2e}", width)


def compact(number: float | None, width: int) -> str:
    """A large number in three digits or four, such as 1.23M, at the right. Without a number, blank."""
    if number is None:
        return " " * width
    for unit, letter in UNITS:
        if abs(number) >= unit * 0.9995:
            number, text = number / unit, letter
            break
    else:
        text = ""
    digits = 2 if abs(number) < 9.995 else 1 if abs(number) < 99.95 else 0
    return right(f"{number:.{digits}f}{text}", width)


def bar(share: float, width: int) -> str:
    """A bar from the left, so much of the width; anything above 0 is seen."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    if share > 0:
        eighths = max(eighths, 1)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (EIGHTHS[rest] if rest else "")).ljust(width)


def leftward(share: float, width: int) -> str:
    """A bar from the right, in whole cells and halves, since there are no finer ones."""
    halves = round(min(max(share, 0.0), 1.0) * width * 2)
    if share > 0:
        halves = max(halves, 1)
    full, rest = divmod(halves, 2)
    return ("▐" * rest + "█" * full).rjust(width)


def balance(imbalance: float | None, width: int) -> str:
    """An imbalance, −1 to 1, as a bar from the middle: to the right more is bid, to the left asked."""
    half = (width - 1) // 2
    if imbalance is None:
        return " " * width
    return (leftward(-imbalance, half) + "│" + bar(imbalance, half)).ljust(width)
