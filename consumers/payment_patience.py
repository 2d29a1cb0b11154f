"""How long a payment desk tries by itself what fails, and when it asks a person."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from storage.errors import StoreUnavailable
from storage.payment_provider import OwnerNeeded

TRIES_MAX: Final = 10
"""Looks that fail one after the other for a reason of their own, before a person is asked."""

_WAIT_FIRST: Final = timedelta(seconds=1)
WAIT_LAST: Final = timedelta(minutes=5)

AWAY_MAX: Final = timedelta(days=1)
"""For so long nobody is told of what is away, for it comes back by itself.

The waits are 1, 2, 4 to 256 s and then 300 s each, so these are 9 + (86,400 - 511) / 300 = 295 looks that failed.
"""

OWNER_NEEDED_MAX: Final = timedelta(hours=1)
"""And for so long where it may not: other guests' payments can still bring the account the money that it lacks.

These are 9 + (3,600 - 511) / 300 = 19 looks.
"""


def wait_after(tries: int) -> timedelta:
    """How long to wait after so many failed tries before this one: a second, then twice as long each time, to five minutes."""
    doublings: int = 2 ** min(tries, 20)
    return min(_WAIT_FIRST * doublings, WAIT_LAST)


def patience_with(error: Exception, refused: Sequence[str]) -> timedelta:
    """For how long looks may fail before a person hears of it; what the provider refused besides is told at once."""
    if refused:
        return timedelta(0)
    return OWNER_NEEDED_MAX if isinstance(error, OwnerNeeded) else AWAY_MAX


def bides(error: Exception) -> tuple[bool, bool]:
    """Sorts errors by how long they can wait for a person: those first that are to be told soonest."""
    return isinstance(error, StoreUnavailable), not isinstance(error, OwnerNeeded)


def told(error: Exception, refused: Sequence[str] = ()) -> str:
    """Why, in words for a person."""
    return "; ".join([*refused, f"{type(error).__name__}: {error}"])
