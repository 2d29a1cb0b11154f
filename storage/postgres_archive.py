"""`Archive` in a table of Postgres, for installations without Cassandra."""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from domain.booking import Booking
from domain.ids import BookingId, UserId, VendorId
from storage.booking_page import PageAsked
from storage.booking_rows import booking_from_json, bookings_json
from storage.postgres import Database

_BOOKINGS_PER_STATEMENT: Final = 500


class PostgresArchive:
    """Closes the database that it is given. A booking is one row, and its JSON is the whole of it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def store(self, bookings: Sequence[Booking]) -> None:
        for start in range(0, len(bookings), _BOOKINGS_PER_STATEMENT):
            some = bookings[start : start + _BOOKINGS_PER_STATEMENT]
            await self._database.value("archive_bookings", bookings_json(some).decode())

    async def versions(self, booking_ids: Sequence[BookingId]) -> Mapping[BookingId, int]:
        rows = await self._database.rows("archived_versions", booking_ids)
        return {BookingId(UUID(int=row["booking_id"].int)): row["version"] for row in rows}

    async def by_id(self, booking_id: BookingId) -> Booking | None:
        found = await self._database.value("archived_booking_by_id", booking_id)
        return None if found is None else booking_from_json(found)

    async def of_user(self, user_id: UserId, asked: PageAsked) -> Sequence[Booking]:
        return await self._page("archived_bookings_of_user", user_id, asked)

    async def of_vendor(self, vendor_id: VendorId, asked: PageAsked) -> Sequence[Booking]:
        return await self._page("archived_bookings_of_vendor", vendor_id, asked)

    async def close(self) -> None:
        await self._database.close()

    async def _page(self, name: str, owner: UUID, asked: PageAsked) -> Sequence[Booking]:
        after = asked.after
        rows = await self._database.rows(
            name,
            owner,
            after.starts_at if after else None,
            after.booking_id if after else None,
            asked.limit,
            asked.status.value if asked.status else None,
            asked.starts_from,
            asked.starts_before,
        )
        return [booking_from_json(row["booking"]) for row in rows]
