"""Tables of plain text, and targets with the figures that were measured."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple


class Target(NamedTuple):
    """A figure that was measured, and the bound that it has to keep."""

    what: str
    value: float
    bound: float
    unit: str = ""
    at_least: bool = False

    @property
    def reached(self) -> bool:
        """Whether the value keeps the bound."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def __str__(self) -> str:
        bound = f"{'at least' if self.at_least else 'at most'} {self.bound:g}{self.unit}"
        outcome = "reached" if self.reached else "NOT reached"
        return f"{outcome:<11} {self.what}: {figure(self.value)}{self.unit} ({bound})"


class Table(NamedTuple):
    """A titled table; `notes` say what was done, and `targets` have the bounds of some of its figures."""

    title: str
    notes: Sequence[str]
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    targets: Sequence[Target] = ()

    def __str__(self) -> str:
        lines = ["", self.title, "-" * len(self.title), *self.notes]
        if self.rows:
            lines += ["", *columns([self.header, *self.rows])]
        if self.targets:
            lines += ["", *map(str, self.targets)]
        return "\n".join(lines)


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with the first cells flush left and all others flush right."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def figure(value: float) -> str:
    """A number with three digits that count, more where they stand before the point."""
    if value and abs(value) < 0.01:
        return f"{value:.1e}"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def times(value: float) -> str:
    """A ratio."""
    return f"{figure(value)}×"


def milliseconds(seconds: float) -> str:
    """A time in seconds, in milliseconds."""
    return figure(seconds * 1e3)


def version_of(package: str) -> str:
    """The version of a package, or `absent`."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
