"""What a shard answers. Values, because an exception with arguments does not come back through Ray."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from domain.booking import Booking
from domain.rejection import Rejection
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
