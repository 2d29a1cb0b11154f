"""The archive of ended bookings, as a protocol: Cassandra on the full stack, Postgres tables in the embedded default."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from domain.booking import Booking
from domain.ids import BookingId, UserId, VendorId
from storage.booking_page import PageAsked


class Archive(Protocol):
    """Every method may raise storage.errors.StoreUnavailable. An id has one row per table, the highest version wins."""

    async def store(self, bookings: Sequence[Booking]) -> None:
        """Keep them, durably; whatever is stored again or later in an older version changes nothing."""
        ...

    async def versions(self, booking_ids: Sequence[BookingId]) -> Mapping[BookingId, int]:
        """What the archive has acknowledged, by id; unknown ids are absent."""
        ...

    async def by_id(self, booking_id: BookingId) -> Booking | None: ...

    async def of_user(self, user_id: UserId, asked: PageAsked) -> Sequence[Booking]: ...

    async def of_vendor(self, vendor_id: VendorId, asked: PageAsked) -> Sequence[Booking]: ...

    async def close(self) -> None: ...
