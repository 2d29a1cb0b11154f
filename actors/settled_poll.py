"""Waiting, in a process without the shard, for bookings to be settled: one long poll a shard, however many wait."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from actors.errors import CallLost
from actors.outcome import Unavailable
from actors.remote_lane import RemoteLimits, ShardCalls
from actors.waiting import News, WaitingRoom
from domain.booking import Booking, BookingStatus
from domain.ids import BookingId

_log = logging.getLogger(__name__)

LookUp = Callable[[BookingId], Awaitable[Booking | Unavailable | None]]


class SettledPoll:
    """Polls a shard's news while anybody waits. Where the news has a gap, the bookings waited for are looked up."""

    def __init__(self, shard_id: int, calls: ShardCalls, look_up: LookUp, limits: RemoteLimits) -> None:
        self._shard_id = shard_id
        self._calls = calls
        self._look_up = look_up
        self._limits = limits
        self._room = WaitingRoom()
        self._epoch: int | None = None
        self._position: int | None = None
        self._placed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def wait(self, booking_id: BookingId, wait_seconds: float) -> None:
        """Until the booking is settled or the time is up."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_seconds
        with self._room.seat(booking_id) as settled:
            if self._task is None or self._task.done():
                self._placed.clear()
                self._epoch = self._position = None
                self._task = asyncio.create_task(self._poll())
            try:
                # What happened before the poll had a position is not in its news, so look only after it has one.
                async with asyncio.timeout_at(until):
                    await self._placed.wait()
                    newest = await self._look_up(booking_id)
                    if isinstance(newest, Booking) and newest.status is not BookingStatus.BLOCKED:
                        return
                    await settled
            except TimeoutError:
                return

    async def _poll(self) -> None:
        while self._room:
            try:
                news = await self._calls.settled_since(
                    self._shard_id, self._epoch, self._position, self._limits.poll_seconds
                )
            except CallLost:
                news = None
            if not isinstance(news, News):
                self._epoch = self._position = None
                await self._look_for_all()
                await asyncio.sleep(self._limits.retry_last_seconds)
                continue
            missed = news.gap or self._position is None
            self._epoch, self._position = news.epoch, news.position
            for booking in news.bookings:
                self._room.tell(booking)
            self._placed.set()
            if missed:
                await self._look_for_all()

    async def _look_for_all(self) -> None:
        for booking_id in self._room.booking_ids:
            newest = await self._look_up(booking_id)
            if isinstance(newest, Booking):
                self._room.tell(newest)
