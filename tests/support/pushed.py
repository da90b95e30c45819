"""Frames of the live page's push, as tests write them."""

import json
from typing import Any

TIME = "2026-11-24T12:00:00.000000Z"
PRICES = {"bid_price": 63510.14, "bid_amount": 1.5, "ask_price": 63510.15, "ask_amount": 0.5}
TOP = PRICES | {"spread": 0.01, "spread_bps": 0.0016, "mid": 63510.145, "imbalance_1": 0.5}
SIGNALS = {"mid": 63510.145, "spread": 0.01, "spread_bps": 0.0016, "imbalance_1": 0.5}


def pushed(time: str = TIME, **parts: Any) -> str:
    """A frame with these parts."""
    return json.dumps({"time": time, **parts})


def status(**more: Any) -> dict[str, Any]:
    """The status of a live run whose one product is live."""
    return {"kind": "live", "live": 1, "products": 1, **more}


def row(symbol: str = "BTC-USD", event: str = "live", **more: Any) -> dict[str, Any]:
    """A product's row; without prices where it is not live."""
    prices = TOP if event == "live" else dict.fromkeys(TOP)
    return {"symbol": symbol, "event": event, "reason": None, "seen": TIME, **prices, **more}


def book(symbol: str = "BTC-USD", event: str = "live", step: float = 0, **more: Any) -> dict[str, Any]:
    """A product's book of three levels a side; without levels where it is not live."""
    levels: dict[str, Any] = {"bids": [], "asks": [], "signals": None}
    if event == "live":
        levels["bids"] = [[63510.14, 1.5], [63510.1, 0.02238611], [63509, 12]]
        levels["asks"] = [[63510.15, 0.5], [63511, 2], [63512.5, 100.25]]
        levels["signals"] = SIGNALS
    return {"symbol": symbol, "timestamp": TIME, "event": event, "step": step, **levels, **more}


def trade(symbol: str = "BTC-USD", **more: Any) -> dict[str, Any]:
    """A trade of a taker who buys."""
    plain = {"timestamp": TIME, "id": "1", "side": "buy", "price": 63510.15, "amount": 0.1}
    return {"symbol": symbol, **plain, **more}
