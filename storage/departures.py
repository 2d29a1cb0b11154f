"""How ended bookings and empty words leave the current tables: which are due, and the transaction in which some of a shard's go.

The words, those that bookings still hold and those that nobody does, are the guard's, which only a shard writes. So the lease's
row is locked first, as a batch does it: no batch, change of a vendor or move of a bucket can be under way at the same time.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar
from uuid import UUID

import asyncpg

from domain.booking import Booking
from domain.ids import BookingId
from storage.booking_rows import booking_from_row
from storage.errors import GuardRefused, StoreUnavailable
from storage.postgres import Connection, connect, sql, unavailable_when_lost
from storage.shard_connection import REFUSED

_T = TypeVar("_T")

_BUCKET_SHIFT: Final = 116
"""Below a bucket's 12 bits."""

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


@dataclass(frozen=True, slots=True)
class EmptyWord:
    """A word of a seat that holds nothing any more, and the shard that it belongs to."""

    shard_id: int
    seat_id: UUID
    word: int


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

        try:
            return await self._do_under_lease(shard_id, "depart_bookings", ids, versions, over_before)
        except asyncpg.PostgresError as error:
            if error.sqlstate == REFUSED:
                raise GuardRefused(str(error)) from error
            raise

    async def empty_words(
        self, first_bucket: int, end_bucket: int, over_before: datetime, words_max: int
    ) -> Sequence[EmptyWord]:
        """Words without a bit, of the seats from one bucket to before another, whose time was over before an instant."""
        ids = UUID(int=first_bucket << _BUCKET_SHIFT), UUID(int=(end_bucket << _BUCKET_SHIFT) - 1)
        rows = await self._do(lambda connection: connection.fetch(sql("empty_words"), *ids, over_before, words_max))
        return [EmptyWord(row["shard_id"], row["seat_id"], row["word"]) for row in rows]

    async def depart_words(self, shard_id: int, words: Sequence[EmptyWord]) -> int:
        """Delete those of a shard that are still empty; how many went."""
        return await self._do_under_lease(
            shard_id, "depart_words", [one.seat_id for one in words], [one.word for one in words]
        )

    async def close(self) -> None:
        self._drop()

    async def _do_under_lease(self, shard_id: int, name: str, *parameters: object) -> int:
        """Run a statement about a shard while none of its batches is under way; the number that it gives."""

        async def work(connection: Connection) -> int:
            async with connection.transaction():
                await connection.execute(sql("lock_lease"), shard_id)
                departed: int = await connection.fetchval(sql(name), shard_id, *parameters)
                return departed

        return await self._do(work)

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
