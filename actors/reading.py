"""Reads of bookings that memory does not hold: gathered while one query is under way, so that many cost few."""

import asyncio

from domain.booking import Booking
from domain.ids import BookingId
from storage.shard_store import ShardStore


class BookingReader:
    """One query in flight. What it finds is not kept: a batch may have changed the row since it was read."""

    def __init__(self, store: ShardStore) -> None:
        self._store = store
        self._wanted: dict[BookingId, asyncio.Future[Booking | None]] = {}
        self._task: asyncio.Task[None] | None = None

    async def read(self, booking_id: BookingId) -> Booking | None:
        """As last committed, or None. Raises StoreUnavailable."""
        future = self._wanted.get(booking_id)
        if future is None:
            future = self._wanted[booking_id] = asyncio.get_running_loop().create_future()
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._read_all())
        return await asyncio.shield(future)

    async def _read_all(self) -> None:
        while self._wanted:
            wanted, self._wanted = self._wanted, {}
            try:
                found = await self._store.load_bookings(list(wanted))
            except Exception as error:  # noqa: BLE001 - those who wait get it, whatever it is
                for future in wanted.values():
                    future.set_exception(error)
            else:
                for booking_id, future in wanted.items():
                    future.set_result(found.get(booking_id))
