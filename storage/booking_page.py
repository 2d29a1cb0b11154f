"""A page of a list of bookings, as the stores of current and of past bookings are both asked for it."""

from dataclasses import dataclass
from datetime import datetime

from domain.booking import BookingStatus
from domain.booking_list import ListPosition


@dataclass(frozen=True, slots=True)
class PageAsked:
    """At most `limit` bookings, newest start first, strictly after the position; starts from, and before, an instant."""

    limit: int
    after: ListPosition | None = None
    status: BookingStatus | None = None
    starts_from: datetime | None = None
    starts_before: datetime | None = None
