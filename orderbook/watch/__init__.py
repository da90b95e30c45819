"""View of the books in a terminal: a client of the live page's push, `python -m orderbook.watch [URL]`."""
