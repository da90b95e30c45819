"""What the page must show of a book, by the plainest means: the whole book, in decimals."""

from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

Sizes = Mapping[float, float]
Pairs = list[tuple[Decimal, Decimal]]


def decimals(sizes: Sizes, best_last: bool) -> Pairs:
    """The levels of a side, best first."""
    return [(Decimal(repr(p)), Decimal(repr(sizes[p]))) for p in sorted(sizes, reverse=best_last)]


def ladder(pairs: Pairs, rows: int, step: float, rounding: str) -> list[list[float]]:
    """The best rows of a side, by multiples of a step, or its levels where that is 0."""
    unit, groups = Decimal(repr(step)), dict[Decimal, Decimal]()
    for price, size in pairs:
        group = (price / unit).to_integral_value(rounding) * unit if step else price
        groups[group] = groups.get(group, Decimal(0)) + size
    return [[float(price), float(size)] for price, size in list(groups.items())[:rows]]


def depth(pairs: Pairs, mid: Decimal, bps: float) -> float:
    """The value of a side within a distance of the mid."""
    reach = mid * Decimal(repr(bps)) / 10_000
    return float(sum(price * size for price, size in pairs if abs(price - mid) <= reach))


def average(pairs: Pairs, amount: float) -> float | None:
    """The average price of an order for so much in the quote currency; None where it can't be filled."""
    left, taken = Decimal(repr(amount)), Decimal(0)
    for price, size in pairs:
        part = min(size, left / price)
        taken, left = taken + part, left - part * price
        if part < size or not left:
            return float(Decimal(repr(amount)) / taken)
    return None


def differences(book: Mapping[str, Any], truth: tuple[Sizes, Sizes], rows: int, cost: float) -> list[str]:
    """What a BOOK of the push shows otherwise than its true book has it."""
    bids, asks = decimals(truth[0], True), decimals(truth[1], False)
    mid = (bids[0][0] + asks[0][0]) / 2
    wanted: dict[str, Any] = {
        "event": "live",
        "bids": ladder(bids, rows, book["step"], ROUND_FLOOR),
        "asks": ladder(asks, rows, book["step"], ROUND_CEILING),
        "levels": [len(bids), len(asks)],
        "mid": float(mid),
        "depth of bids": [depth(bids, mid, bps) for bps, _ in (book["depth"] or {"bids": []})["bids"]],
        "depth of asks": [depth(asks, mid, bps) for bps, _ in (book["depth"] or {"asks": []})["asks"]],
        "buy": average(asks, cost),
        "sell": average(bids, cost),
    }
    sides = {name: book["cost"] and book["cost"][name] for name in ("buy", "sell")}
    found = {name: book.get(name) for name in ("event", "bids", "asks", "levels")}
    found |= {"mid": book["signals"] and book["signals"]["mid"]}
    found |= {
        f"depth of {name}": [value for _, value in (book["depth"] or {name: []})[name]]
        for name in ("bids", "asks")
    }
    found |= {name: its and its["average"] for name, its in sides.items()}
    return [
        f"{name}: {found[name]}, not {wanted[name]}"
        for name in wanted
        if not _same(found[name], wanted[name])
    ]


def _same(found: Any, wanted: Any) -> bool:
    """Whether two values are the same, to the digits that a float has."""
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(_same, found, wanted))
    if isinstance(wanted, float) and isinstance(found, int | float):
        return abs(found - wanted) <= 1e-11 * abs(wanted)
    return bool(found == wanted)
