"""Screens of the view in a terminal, as tests read them."""

SIZES = [(80, 24), (200, 50)]
LADDERS = {(80, 24): (35, 80), (200, 50): (78, 150)}  # the columns of the ladder, by the screen's size

Levels = list[tuple[float, float, float]]  # price, size, sum


def ladder_of(lines: list[str], size: tuple[int, int]) -> list[str]:
    """The lines of the ladder, its head first."""
    first, end = LADDERS[size]
    return [line[first:end] for line in lines[1:-1]]


def levels_of(lines: list[str], size: tuple[int, int]) -> tuple[Levels, Levels]:
    """Asks and bids of the ladder, best first."""
    _head, *ladder = ladder_of(lines, size)
    middle = len(ladder) // 2
    asks, bids = [
        [(price, size, total) for price, size, total in map(_figures, part)]
        for part in (ladder[:middle][::-1], ladder[middle + 1 :])
    ]
    return asks, bids


def _figures(line: str) -> tuple[float, ...]:
    return tuple(map(float, line.split()[:3]))
