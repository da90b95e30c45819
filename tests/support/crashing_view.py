"""View in a terminal with a mistake in it: at the first Enter it raises what nobody expects."""

from orderbook.watch.terminal import Terminal

with Terminal() as terminal:
    terminal.draw([])
    input()
    raise RuntimeError("crashed on purpose")
