"""The inside of the simulated exchange, `tests/exchange.py`: markets, its side of the wire, faults."""
