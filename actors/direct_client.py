"""A `ShardClient` for callers in the shard's own process: a command is a method call, nothing is copied."""

import asyncio
from collections.abc import Sequence

from actors.addressing import bucket_of_command
from actors.client import ShardClient
from actors.outcome import MOVING, Outcome, Unavailable
from actors.shard import Shard
from actors.waiting import WaitingRoom
from domain.availability import AvailabilityQuery, FreeSeats
from domain.booking import Booking, BookingStatus
from domain.command import Command
from domain.ids import BookingId, VendorId, bucket_of
from domain.rejection import Rejection
from domain.search import SeatWish, Verdict


class DirectClient:
    """Over the shards of this process; what belongs to other shards goes to `elsewhere`, where there is one."""

    def __init__(self, shards: Sequence[Shard], elsewhere: ShardClient | None = None) -> None:
        self._shards = tuple(shards)
        self._elsewhere = elsewhere
        self._room = WaitingRoom()
        for shard in self._shards:
            shard.news.subscribe(self._room.tell)

    async def ask(self, command: Command) -> Outcome:
        shard = self._shard(bucket_of_command(command))
        if shard is not None:
            return await shard.ask(command)
        return MOVING if self._elsewhere is None else await self._elsewhere.ask(command)

    async def booking(self, booking_id: BookingId) -> Booking | Unavailable | None:
        shard = self._shard(bucket_of(booking_id))
        if shard is not None:
            return await shard.booking(booking_id)
        return MOVING if self._elsewhere is None else await self._elsewhere.booking(booking_id)

    async def availability(
        self, vendor_id: VendorId, query: AvailabilityQuery
    ) -> Sequence[FreeSeats] | Rejection | Unavailable:
        shard = self._shard(bucket_of(vendor_id))
        if shard is not None:
            return await shard.availability(vendor_id, query)
        return MOVING if self._elsewhere is None else await self._elsewhere.availability(vendor_id, query)

    async def judge(self, vendor_ids: Sequence[VendorId], wish: SeatWish) -> Sequence[Verdict] | Unavailable:
        by_shard: dict[Shard | None, list[VendorId]] = {}
        for vendor_id in vendor_ids:
            by_shard.setdefault(self._shard(bucket_of(vendor_id)), []).append(vendor_id)
        answers = await asyncio.gather(*(self._judged(shard, some, wish) for shard, some in by_shard.items()))
        verdicts: list[Verdict] = []
        for answer in answers:
            if isinstance(answer, Unavailable):
                return answer
            verdicts += answer
        return verdicts

    async def _judged(
        self, shard: Shard | None, vendor_ids: Sequence[VendorId], wish: SeatWish
    ) -> Sequence[Verdict] | Unavailable:
        if shard is not None:
            return await shard.judge(vendor_ids, wish)
        return MOVING if self._elsewhere is None else await self._elsewhere.judge(vendor_ids, wish)

    async def settled(self, booking: Booking, wait_seconds: float) -> Booking:
        if booking.status is not BookingStatus.BLOCKED or wait_seconds <= 0:
            return booking
        if self._elsewhere is not None and self._shard(bucket_of(booking.booking_id)) is None:
            return await self._elsewhere.settled(booking, wait_seconds)
        with self._room.seat(booking.booking_id) as settled:
            newest = await self.booking(booking.booking_id)
            if isinstance(newest, Booking) and newest.status is not BookingStatus.BLOCKED:
                return newest
            await asyncio.wait([settled], timeout=wait_seconds)
            if settled.done():
                return settled.result()
        newest = await self.booking(booking.booking_id)
        return newest if isinstance(newest, Booking) else booking

    def _shard(self, bucket: int) -> Shard | None:
        """The shard of this process that has the bucket; the only one there is when nobody else could have it."""
        for shard in self._shards:
            if shard.has(bucket):
                return shard
        return self._shards[0] if self._elsewhere is None and len(self._shards) == 1 else None
