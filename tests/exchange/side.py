"""Side of a simulated market's true book, in whole ticks.

It keeps its keys in order, best last: near the top, where most changes fall, a change moves few of them.
"""

from bisect import bisect_left, insort


class Side:
    """One side of the true book, and what the update in the making changes on it.

    A key is a price in ticks, negated for asks, so that on both sides the best is the greatest.
    None is below `lowest`.
    """

    def __init__(self, word: str, sign: int, decimals: int, levels: int, lowest: int) -> None:
        self.word, self.sign, self.levels, self.lowest = word, sign, levels, lowest
        self.price = f"%d.%0{decimals}d"
        self.shape = f'["{self.price}","%s"]'
        self.change = self.shape.replace("[", f'["{word}",')
        self.unit = 10**decimals
        self.goal = 0
        self.sizes: dict[int, int] = {}
        self.keys: list[int] = []
        self.changes: list[str] = []
        self.changed = 0

    def set(self, key: int, size: tuple[int, str]) -> None:
        """Set a level to a size above 0; O(log n) and a move of the keys better than it."""
        if key not in self.sizes:
            insort(self.keys, key)
        self.sizes[key], text = size
        self.changes.append(self.change % (*divmod(key * self.sign, self.unit), text))
        self.changed = key

    def delete(self, key: int) -> None:
        """Delete a level, which may be absent; it is a change either way."""
        if self.sizes.pop(key, None) is not None:
            del self.keys[bisect_left(self.keys, key)]
        self.changes.append(self.change % (*divmod(key * self.sign, self.unit), "0.00000000"))
        self.changed = key

    def put(self, key: int, size: int) -> None:
        """Set a level, or delete it where the size is 0."""
        if size:
            self.set(key, (size, f"{size / 10**8:.8f}"))
        else:
            self.delete(key)

    def better_than(self, goal: int) -> int:
        """How many levels are better than a goal."""
        return len(self.keys) - bisect_left(self.keys, goal + 1)

    def book(self) -> dict[float, float]:
        """Sizes by price, as floats, best first."""
        return {key * self.sign / self.unit: self.sizes[key] / 10**8 for key in reversed(self.keys)}
