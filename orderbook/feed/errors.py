"""Reasons to give a connection up, or to subscribe a product anew."""

from typing import ClassVar


def escaped(error: Exception) -> str:
    """What an error says, in one printable line: its text may come from the exchange."""
    text = str(error) or type(error).__name__
    return text[:200].encode("unicode_escape").decode()


class FeedError(Exception):
    """A reason to give a connection up, or to subscribe a product anew; the text carries what was wrong."""

    reason: ClassVar[str]  # the label in `orderbook_resyncs_total`
    event: ClassVar[str] = "closed"  # what it means to a product that was live
    is_trouble: ClassVar[bool] = True  # to be warned of, and followed by a backoff


class Unreachable(FeedError):
    """No connection could be made."""

    reason = "unreachable"


class Closed(FeedError):
    """The exchange closed the connection or ended a subscription, or the connection broke."""

    reason = "closed"


class Refused(FeedError):
    """The exchange answered with an error."""

    reason = event = "refused"


class Stale(FeedError):
    """Nothing came for too long, or no snapshot did."""

    reason = event = "stale"


class Crossed(FeedError):
    """A book was crossed for too long."""

    reason, event = "crossed", "resync"


class Rejected(FeedError):
    """A frame can't be trusted."""

    reason, event = "bad_frame", "resync"


class Refresh(FeedError):
    """The connection is as old as one may get."""

    reason = "refresh"
    is_trouble = False


REASONS = tuple(kind.reason for kind in FeedError.__subclasses__())
