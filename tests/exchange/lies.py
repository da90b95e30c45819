"""Frames that must not be trusted, each a function of a product and its true best bid.

Wherever one can be decoded at all, it names the best bid with a size of 7777, so that a client that
applies any part of it prints something that is not true.
"""

from collections.abc import Callable

Lie = Callable[[str, float], bytes]


def lie(product: str, bid_price: float, *changes: str) -> bytes:
    """A well-formed update that never happened, with further changes after the 7777."""
    credible = f'["buy","{bid_price!r}","7777.00000000"]'
    return (
        f'{{"type":"l2update","product_id":"{product}","changes":[{",".join([credible, *changes])}],'
        f'"time":"2026-07-07T22:58:18.000000Z"}}'
    ).encode()


def not_json(product: str, bid_price: float) -> bytes:
    """A frame that is not JSON."""
    return b"upstream connect error or disconnect/reset before headers"


def cut(product: str, bid_price: float) -> bytes:
    """A frame whose second half is missing."""
    frame = lie(product, bid_price)
    return frame[: len(frame) // 2]


def wrong_shape(product: str, bid_price: float) -> bytes:
    """An update whose changes are a number."""
    frame = lie(product, bid_price)
    return frame[: frame.index(b"[")] + b"7777}"


def wrong_side(product: str, bid_price: float) -> bytes:
    """An update with a change that neither buys nor sells."""
    return lie(product, bid_price, '["hold","1.00","1.00000000"]')


def other_product(product: str, bid_price: float) -> bytes:
    """An update of a product that the connection didn't ask for."""
    return lie("ELSE-WHERE", bid_price)


def nested(product: str, bid_price: float) -> bytes:
    """An update with a field nested 2,000 deep."""
    return lie(product, bid_price)[:-1] + b',"x":' + b"[" * 2_000 + b"]" * 2_000 + b"}"


def key_twice(product: str, bid_price: float) -> bytes:
    """An update that has its changes twice."""
    frame = lie(product, bid_price)
    return frame.replace(b'"time"', b'"changes":[],"time"')


def not_utf8(product: str, bid_price: float) -> bytes:
    """An update with a field that is not UTF-8."""
    return lie(product, bid_price)[:-1] + b',"x":"\xff"}'


def too_many_changes(product: str, bid_price: float) -> bytes:
    """An update of more changes than any real one has, which deflates to next to nothing."""
    return lie(product, bid_price, *['["sell","7.00","0"]'] * 60_000)


def impossible(price: str, size: str) -> Lie:
    """Updates with such a level."""

    def frame(product: str, bid_price: float) -> bytes:
        return lie(product, bid_price, f'["buy","{price}","{size}"]')

    frame.__doc__ = f"An update with the price {price!r} and the size {size!r}."
    return frame


LIES: dict[str, Lie] = {
    **{frame.__name__: frame for frame in (not_json, cut, wrong_shape, wrong_side, other_product, nested)},
    **{frame.__name__: frame for frame in (key_twice, not_utf8, too_many_changes)},
    "price_nan": impossible("NaN", "1.00000000"),
    "price_infinite": impossible("Infinity", "1.00000000"),
    "price_zero": impossible("0.00", "1.00000000"),
    "price_negative": impossible("-1.00", "1.00000000"),
    "price_absurd": impossible("1e301", "1.00000000"),
    "price_no_number": impossible("", "1.00000000"),
    "size_nan": impossible("1.00", "NaN"),
    "size_infinite": impossible("1.00", "inf"),
    "size_negative": impossible("1.00", "-1.00000000"),
    "size_absurd": impossible("1.00", "1e999"),
    "size_no_number": impossible("1.00", "one"),
}
"""All of them by name; each is also a fault of that name."""
