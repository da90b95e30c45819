"""Simulated exchange: the feed's protocol on a loopback port. Run it: `python -m tests.exchange`."""

from tests.exchange.exchange import Exchange

__all__ = ["Exchange"]
