"""Gaps in the changes of books: what follows a dropped change is of no use before the next snapshot."""

from orderbook.output.datasets import Rows

CHANGES = "incremental_book_L2"


class Gaps:
    """The products whose changes have a gap; whoever reads on behind it would keep a wrong book."""

    def __init__(self) -> None:
        self._symbols: set[str] = set()

    def open(self, rows: Rows) -> None:
        """Rows were dropped."""
        if rows.dataset.name == CHANGES:
            self._symbols.add(rows.symbol)

    def hide(self, rows: Rows) -> bool:
        """Whether rows are to be dropped too, since they are in a gap; a snapshot closes it."""
        if not self._symbols or rows.dataset.name != CHANGES or rows.symbol not in self._symbols:
            return False
        if rows.values[0][0]:
            self._symbols.remove(rows.symbol)
            return False
        return True
