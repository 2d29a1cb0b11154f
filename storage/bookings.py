"""Bookings to read: one by its id, and pages of a guest's or a vendor's. The owner stands in the SQL, not after it."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from domain.booking import Booking
from domain.booking_list import BookingFilter, ListPosition
from domain.ids import BookingId, UserId, VendorId
from storage.booking_rows import booking_from_row, bookings_from_rows
from storage.postgres import Database


class BookingReads:
    """Reads only; each method may raise StoreUnavailable.

    A page begins strictly after a position, which is the last booking of the page before and no count, so that a
    booking made meanwhile neither repeats nor hides another.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def by_id(self, booking_id: BookingId) -> Booking | None:
        row = await self._database.row("booking_by_id", booking_id)
        return None if row is None else booking_from_row(row)

    async def of_user(
        self, user_id: UserId, chosen: BookingFilter, *, now: datetime, after: ListPosition | None, limit: int
    ) -> Sequence[Booking]:
        """At most `limit` bookings, newest start first. A guest's bookings have no common zone: dates are UTC's."""
        return await self._page("bookings_of_user", user_id, _filters(chosen, now, "UTC"), after, limit)

    async def of_vendor(
        self, vendor_id: VendorId, chosen: BookingFilter, *, now: datetime, after: ListPosition | None, limit: int
    ) -> Sequence[Booking]:
        """At most `limit` bookings, newest start first; dates are the vendor's own."""
        zone = "UTC"
        if chosen.first is not None or chosen.last is not None:
            zone = await self._database.value("vendor_time_zone", vendor_id) or zone
        return await self._page("bookings_of_vendor", vendor_id, _filters(chosen, now, zone), after, limit)

    async def _page(
        self, name: str, owner: UUID, filters: tuple[object, ...], after: ListPosition | None, limit: int
    ) -> Sequence[Booking]:
        position = (after.starts_at, after.booking_id) if after else (None, None)
        return bookings_from_rows(await self._database.rows(name, owner, *position, limit, *filters))


def _filters(chosen: BookingFilter, now: datetime, zone: str) -> tuple[object, ...]:
    """The last five parameters of both queries: now, current, status, starts from, starts before."""
    return (
        now,
        chosen.current,
        chosen.status.value if chosen.status else None,
        _midnight(chosen.first, zone) if chosen.first else None,
        _midnight(chosen.last + timedelta(days=1), zone) if chosen.last and chosen.last < date.max else None,
    )


def _midnight(day: date, zone: str) -> datetime:
    """When the day begins in the zone, as UTC; the ends of the calendar are held within what UTC can say."""
    try:
        return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)
    except OverflowError:
        return datetime.combine(day, time(), UTC)
