"""Keys: what a terminal sends when one is pressed, as names."""

import re

NAMES = {
    b"\x1b[A": "up",
    b"\x1bOA": "up",
    b"k": "up",
    b"\x1b[B": "down",
    b"\x1bOB": "down",
    b"j": "down",
    b"\x1b[5~": "page up",
    b"\x1b[6~": "page down",
    b"\x1b[H": "home",
    b"\x1bOH": "home",
    b"\x1b[1~": "home",
    b"\x1b[F": "end",
    b"\x1bOF": "end",
    b"\x1b[4~": "end",
    b"g": "group",
    b"?": "help",
    b"q": "quit",
}

_KEY = re.compile(rb"\x1b[\[O][0-9;]*[A-Za-z~]|.", re.DOTALL)


def names(data: bytes) -> list[str]:
    """The names of the keys that were pressed; others are passed over."""
    return [NAMES[key] for key in _KEY.findall(data) if key in NAMES]
