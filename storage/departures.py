"""How ended bookings leave the current tables: which are due, and the transaction in which some of a shard's go.

The words that they still hold are the guard's, which only a shard writes. So the lease's row is locked first, as a batch
does it: no batch, change of a vendor or move of a bucket can be under way at the same time.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

import asyncpg

from domain.booking import Booking
from domain.ids import BookingId
from storage.booking_rows import booking_from_row
from storage.errors import GuardRefused, StoreUnavailable
from storage.postgres import Connection, connect, sql, unavailable_when_lost
from storage.shard_connection import REFUSED

_T = TypeVar("_T")

_SETTINGS: Final = {
    # A shard's batches wait for us, and an owner that is taken over ends writers of its own kind only.
    "idle_in_transaction_session_timeout": "1s",
    "lock_timeout": "3s",
    # A few hundred rows are found by key among millions, whatever the statistics say.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}


@dataclass(frozen=True, slots=True)
class Due:
    """A booking that may leave, the shard that it belongs to, and since when nothing happens to it any more."""

    booking: Booking
    shard_id: int
    over_since: datetime

    @property
    def position(self) -> tuple[datetime, BookingId]:
        return self.over_since, self.booking.booking_id


class Departures:
    """One connection, for one task at a time; it connects when first used. Every method raises StoreUnavailable."""

    def __init__(self, postgres_url: str) -> None:
        self._url = postgres_url
        self._connection: Connection | None = None

    async def due(
        self, over_before: datetime, after: tuple[datetime, BookingId] | None, bookings_max: int
    ) -> Sequence[Due]:
        """Ended bookings that have been over since before an instant, longest first, after a position."""
        parameters = (over_before, *(after or (None, None)), bookings_max)
        rows = await self._do(lambda connection: connection.fetch(sql("departures_due"), *parameters))
        return [Due(booking_from_row(row), row["shard_id"], row["over_since"]) for row in rows]

    async def depart(self, shard_id: int, bookings: Sequence[Booking], over_before: datetime) -> int:
        """Delete those of a shard that may still leave as they are given, with what they hold; how many went.

        All of them or none: raises GuardRefused where the words do not hold what a booking says it holds. A lost
        connection leaves open whether they went, and those that did are not due any more.
        """
        ids = [booking.booking_id for booking in bookings]
        versions = [booking.version for booking in bookings]

        async def work(connection: Connection) -> int:
            async with connection.transaction():
                await connection.execute(sql("lock_lease"), shard_id)
                departed: int = await connection.fetchval(sql("depart_bookings"), shard_id, ids, versions, over_before)
                return departed

        try:
            return await self._do(work)
        except asyncpg.PostgresError as error:
            if error.sqlstate == REFUSED:
                raise GuardRefused(str(error)) from error
            raise

    async def close(self) -> None:
        self._drop()

    async def _do(self, work: Callable[[Connection], Awaitable[_T]]) -> _T:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._url, "holdfast departures", _SETTINGS)
        try:
            with unavailable_when_lost():
                return await work(self._connection)
        except StoreUnavailable:
            self._drop()
            raise

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
