"""Text that may come from outside, made fit for a log."""


def printable(text: object) -> str:
    """A text that may come from outside, such as a file's name, as one harmless line of a log."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
