"""Keys of the view in a terminal."""

from orderbook.watch.keys import names


def test_keys_have_names() -> None:
    """Arrows are known in both ways that terminals send them, and what is no key of ours is passed over."""
    assert names(b"\x1b[Aj\x1bOBk") == ["up", "down", "down", "up"]
    assert names(b"\x1b[5~\x1b[6~\x1b[H\x1bOF") == ["page up", "page down", "home", "end"]
    assert names(b"\x1b\x1b[1;5C\x1b[3~zg?\xc3\xa9q") == ["group", "help", "quit"]
    assert names(b"") == []
