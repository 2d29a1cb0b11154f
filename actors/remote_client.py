"""A `ShardClient` for callers in other processes. Waits out a shard on the move, and never guesses what a lost call did.

Plain asyncio. What a call is, the `ShardCalls` port says; `ray_client` fills it in.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from uuid import uuid4

from actors.addressing import BucketMap, bucket_of_command
from actors.client import JUDGED_MAX
from actors.errors import CallLost, CallTimedOut, NobodyThere
from actors.outcome import AWAY, LOST, MOVING, OVERLOADED, TOO_MANY_LOOK, Outcome, Trouble, Unavailable
from actors.remote_lane import Lane, RemoteLimits, Sent, ShardCalls
from actors.settled_poll import SettledPoll
from domain.availability import AvailabilityQuery, FreeSeats
from domain.booking import Booking, BookingStatus
from domain.command import AmendBooking, Command, Once, SetStatus, UpdateVendor
from domain.ids import BookingId, VendorId, bucket_of
from domain.rejection import Rejection
from domain.search import SeatWish, Verdict
from storage.errors import StoreUnavailable

ReadBooking = Callable[[BookingId], Awaitable[Booking | None]]
"""The booking as the primary has it. Raises StoreUnavailable."""


class RemoteClient:
    """Safe to share between tasks of one event loop.

    A command whose call was lost is sent again, marked so, when the shard can tell that it is the same one: a hold by
    its booking id, a change by its idempotency key (its own one where the caller gave none). It is sent again only to
    a shard that answers, so that a second loss means a second owner, and then no more: the command may be what they
    die of. The wait for that shard begins with the loss, which may take longer than the wait to be known. Bookings are
    read from the primary, which has every acknowledged write, also while a shard is on the move.
    """

    def __init__(self, calls: ShardCalls, buckets: BucketMap, read_booking: ReadBooking, limits: RemoteLimits) -> None:
        self._calls = calls
        self._buckets = buckets
        self._read_booking = read_booking
        self._limits = limits
        self._lanes: dict[int, Lane] = {}
        self._polls: dict[int, SettledPoll] = {}

    async def ask(self, command: Command) -> Outcome:
        sent = Sent(_recognisable(command))
        bucket = bucket_of_command(command)
        waiting = _Deadline(self._limits)
        while True:
            outcome = await self._send(bucket, sent)
            if not isinstance(outcome, Unavailable):
                return outcome
            if outcome is LOST and (isinstance(command, UpdateVendor) or sent.losses >= self._limits.losses_max):
                return LOST
            if outcome is LOST:
                waiting = _Deadline(self._limits)
            moving = outcome.trouble is Trouble.SHARD_MOVING or outcome is LOST
            # Once a call was lost, "nothing was changed" is only true of the later sends: keep asking for the truth.
            if not (moving or (sent.lost and outcome.trouble is not Trouble.OUTCOME_UNKNOWN)):
                return outcome
            if not await waiting.rest():
                return LOST if sent.lost else outcome
            await self._buckets.refresh()

    async def booking(self, booking_id: BookingId) -> Booking | Unavailable | None:
        try:
            return await self._read_booking(booking_id)
        except StoreUnavailable:
            return AWAY

    async def availability(
        self, vendor_id: VendorId, query: AvailabilityQuery
    ) -> Sequence[FreeSeats] | Rejection | Unavailable:
        waiting = _Deadline(self._limits)
        while True:
            found = await self._look(vendor_id, query)
            if not (isinstance(found, Unavailable) and found.trouble is Trouble.SHARD_MOVING):
                return found
            if not await waiting.rest():
                return found
            await self._buckets.refresh()

    async def judge(self, vendor_ids: Sequence[VendorId], wish: SeatWish) -> Sequence[Verdict] | Unavailable:
        if len(vendor_ids) > JUDGED_MAX:
            raise ValueError(f"{len(vendor_ids)} vendors to judge at once")
        waiting = _Deadline(self._limits)
        verdicts: list[Verdict] = []
        while True:
            by_shard = await self._by_shard(vendor_ids)
            answers = await asyncio.gather(*(self._judged(shard_id, some, wish) for shard_id, some in by_shard.items()))
            moving: list[VendorId] = []
            for some, answer in zip(by_shard.values(), answers, strict=True):
                if not isinstance(answer, Unavailable):
                    verdicts += answer
                elif answer.trouble is Trouble.SHARD_MOVING:
                    moving += some
                else:
                    return answer
            if not moving:
                return verdicts
            if not await waiting.rest():
                return MOVING
            await self._buckets.refresh()
            vendor_ids = moving

    async def settled(self, booking: Booking, wait_seconds: float) -> Booking:
        if booking.status is not BookingStatus.BLOCKED or wait_seconds <= 0:
            return booking
        shard_id = await self._buckets.shard_of(bucket_of(booking.booking_id))
        if shard_id is not None:
            await self._poll(shard_id).wait(booking.booking_id, wait_seconds)
        newest = await self.booking(booking.booking_id)
        return newest if isinstance(newest, Booking) else booking

    async def _send(self, bucket: int, sent: Sent) -> Outcome:
        shard_id = await self._buckets.shard_of(bucket)
        if shard_id is None:
            return MOVING
        lane = self._lanes.get(shard_id)
        if lane is None:
            lane = self._lanes[shard_id] = Lane(shard_id, self._calls, self._limits)
        if lane.full:
            return OVERLOADED
        if sent.lost and not await lane.answers():
            return MOVING
        try:
            return await lane.send(sent)
        except NobodyThere:
            return MOVING
        except CallLost:
            sent.losses += 1
            return LOST

    async def _look(
        self, vendor_id: VendorId, query: AvailabilityQuery
    ) -> Sequence[FreeSeats] | Rejection | Unavailable:
        shard_id = await self._buckets.shard_of(bucket_of(vendor_id))
        if shard_id is None:
            return MOVING
        try:
            return await self._calls.availability(shard_id, vendor_id, query)
        except CallTimedOut:
            # It may be at it still: asked again, a shard that has too much to do would have twice as much.
            return TOO_MANY_LOOK
        except CallLost:
            return MOVING

    async def _by_shard(self, vendor_ids: Sequence[VendorId]) -> dict[int | None, list[VendorId]]:
        by_shard: dict[int | None, list[VendorId]] = {}
        for vendor_id in vendor_ids:
            by_shard.setdefault(await self._buckets.shard_of(bucket_of(vendor_id)), []).append(vendor_id)
        return by_shard

    async def _judged(
        self, shard_id: int | None, vendor_ids: Sequence[VendorId], wish: SeatWish
    ) -> Sequence[Verdict] | Unavailable:
        if shard_id is None:
            return MOVING
        try:
            return await self._calls.judge(shard_id, vendor_ids, wish)
        except CallTimedOut:
            return TOO_MANY_LOOK
        except CallLost:
            return MOVING

    def _poll(self, shard_id: int) -> SettledPoll:
        poll = self._polls.get(shard_id)
        if poll is None:
            poll = self._polls[shard_id] = SettledPoll(shard_id, self._calls, self.booking, self._limits)
        return poll


class _Deadline:
    """Growing rests until the time is up."""

    def __init__(self, limits: RemoteLimits) -> None:
        self._until = asyncio.get_running_loop().time() + limits.wait_seconds
        self._rest = limits.retry_first_seconds
        self._rest_max = limits.retry_last_seconds

    async def rest(self) -> bool:
        if asyncio.get_running_loop().time() + self._rest > self._until:
            return False
        await asyncio.sleep(self._rest)
        self._rest = min(self._rest * 2, self._rest_max)
        return True


def _recognisable(command: Command) -> Command:
    """The command with a key of our own where the shard could not tell a repeated send from a second wish."""
    if isinstance(command, AmendBooking | SetStatus) and command.once is None:
        return replace(command, once=Once(f"call-{uuid4().hex}", b""))
    return command
