"""Which bookings somebody wants to see, and where a page of them ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from domain.booking import Booking, BookingStatus
from domain.ids import BookingId


@dataclass(frozen=True, slots=True)
class BookingFilter:
    """`current`: True asks for BLOCKED or CONFIRMED with the end ahead, False for all the rest, None for both.

    `first` and `last` are vendor-local dates of the start, both included.
    """

    current: bool | None = None
    first: date | None = None
    last: date | None = None
    status: BookingStatus | None = None


@dataclass(frozen=True, slots=True)
class ListPosition:
    """The last booking of a page: lists run from the newest start to the oldest, by id (descending) among equals."""

    starts_at: datetime
    booking_id: BookingId


@dataclass(frozen=True, slots=True)
class BookingPage:
    """Newest start first. `past_missing` where the archive was away, and only current bookings could be looked at."""

    bookings: Sequence[Booking]
    past_missing: bool = False
