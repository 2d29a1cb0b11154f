"""Current bookings to read: one by its id, and pages of a guest's or a vendor's. The owner stands in the SQL, not after it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from domain.booking import Booking
from domain.ids import BookingId, UserId, VendorId
from storage.booking_page import PageAsked
from storage.booking_rows import booking_from_row, bookings_from_rows
from storage.postgres import ReadsRows


class BookingReads:
    """Reads only; each method may raise StoreUnavailable.

    A page begins strictly after a position, which is the last booking of the page before and no count, so that a
    booking made meanwhile neither repeats nor hides another.
    """

    def __init__(self, database: ReadsRows) -> None:
        self._database = database

    async def by_id(self, booking_id: BookingId) -> Booking | None:
        row = await self._database.row("booking_by_id", booking_id)
        return None if row is None else booking_from_row(row)

    async def versions(self, booking_ids: Sequence[BookingId]) -> Mapping[BookingId, int]:
        """Of those that have not left for the archive."""
        if not booking_ids:
            return {}
        rows = await self._database.rows("booking_versions", list(booking_ids))
        return {BookingId(UUID(int=row["booking_id"].int)): row["version"] for row in rows}

    async def of_user(
        self, user_id: UserId, asked: PageAsked, *, current: bool | None, now: datetime
    ) -> Sequence[Booking]:
        """`current`: True for BLOCKED or CONFIRMED with the end ahead, False for the rest, None for both."""
        return await self._page("bookings_of_user", user_id, asked, current, now)

    async def of_vendor(
        self, vendor_id: VendorId, asked: PageAsked, *, current: bool | None, now: datetime
    ) -> Sequence[Booking]:
        return await self._page("bookings_of_vendor", vendor_id, asked, current, now)

    async def time_zone(self, vendor_id: VendorId) -> str:
        """In which a vendor's dates are meant; UTC for one that nobody knows."""
        zone: str | None = await self._database.value("vendor_time_zone", vendor_id)
        return zone or "UTC"

    async def _page(
        self, name: str, owner: UUID, asked: PageAsked, current: bool | None, now: datetime
    ) -> Sequence[Booking]:
        position = (asked.after.starts_at, asked.after.booking_id) if asked.after else (None, None)
        status = asked.status.value if asked.status else None
        rows = await self._database.rows(
            name, owner, *position, asked.limit, now, current, status, asked.starts_from, asked.starts_before
        )
        return bookings_from_rows(rows)
