"""What a shard answers. Values, because an exception with arguments does not come back through Ray."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from domain.booking import Booking
from domain.rejection import Reason, Rejection
from domain.vendor import Vendor


class Trouble(StrEnum):
    """Why nobody could answer now. The value is the `code` that a client sees; each is transient."""

    OVERLOADED = "overloaded"
    DEPENDENCY_UNAVAILABLE = "dependency_unavailable"
    SHARD_MOVING = "shard_moving"
    OUTCOME_UNKNOWN = "outcome_unknown"


@dataclass(frozen=True, slots=True)
class Unavailable:
    """An operational no: nothing is known to be wrong with the request."""

    trouble: Trouble
    detail: str
    retry_after_seconds: int = 1


@dataclass(frozen=True, slots=True)
class Done:
    """The booking after the command; `replayed` when an earlier command under the same key already did it."""

    booking: Booking
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class VendorDone:
    vendor: Vendor


Outcome: TypeAlias = Done | VendorDone | Rejection | Unavailable

MOVING: Final = Unavailable(Trouble.SHARD_MOVING, "Another process owns this vendor now, or soon will.")
AWAY: Final = Unavailable(Trouble.DEPENDENCY_UNAVAILABLE, "The database does not answer; nothing was changed.")
AT_ODDS: Final = Unavailable(
    Trouble.DEPENDENCY_UNAVAILABLE, "The database kept refusing this change; nothing was changed."
)
UNKNOWN: Final = Unavailable(
    Trouble.OUTCOME_UNKNOWN, "The database was lost while this was being written; look before you repeat it."
)
LOST: Final = Unavailable(
    Trouble.OUTCOME_UNKNOWN, "The shard was lost while it had this in hand; look before you repeat it."
)
OVERLOADED: Final = Unavailable(Trouble.OVERLOADED, "Too many requests are waiting for this vendor's shard.")
TOO_MANY_LOOK: Final = Unavailable(Trouble.OVERLOADED, "Too many are looking at what is free just now.")

NO_VENDOR: Final = Rejection(Reason.NOT_FOUND, "There is no such vendor.")
