"""What a shard does beside its batches: prove its lease, settle what ended, fill memory, forget what is long past."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

from actors.limits import ShardLimits
from actors.mailbox import Asked, Mailbox
from actors.memory import ShardMemory
from actors.outcome import Outcome
from actors.ownership import Ownership
from domain.booking import Booking
from domain.command import SettleEnded
from domain.ids import BookingId, VendorId
from storage.errors import StoreUnavailable
from storage.shard_store import ShardStore

_log = logging.getLogger(__name__)


class Chores:
    """Each chore is a task of its own that outlives a database that is away; any other error ends the shard."""

    def __init__(
        self,
        store: ShardStore,
        ownership: Ownership,
        memory: ShardMemory,
        mailbox: Mailbox,
        limits: ShardLimits,
        *,
        now: Callable[[], datetime],
        broken: Callable[[BaseException], None],
    ) -> None:
        self._store = store
        self._ownership = ownership
        self._memory = memory
        self._mailbox = mailbox
        self._limits = limits
        self._now = now
        self._broken = broken
        self._rest_factor = 100 / limits.sweep_share_percent - 1
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        limits = self._limits
        for chore, every_seconds in (
            (self._prove_lease, limits.lease_check_seconds),
            (self._learn_buckets, limits.buckets_every_seconds),
            (self._settle_ended, limits.settle_every_seconds),
            (self._forget_past, limits.forget_every_seconds),
        ):
            self._begin(self._repeat(chore, every_seconds))
        self._begin(self._sweep())

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _begin(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        task.add_done_callback(self._done)
        self._tasks.append(task)

    def _done(self, task: "asyncio.Future[None]") -> None:
        if not task.cancelled():
            error = task.exception()
            if error is not None:
                self._broken(error)

    async def _repeat(self, chore: Callable[[], Awaitable[None]], every_seconds: float) -> None:
        while True:
            await asyncio.sleep(every_seconds)
            try:
                await chore()
            except StoreUnavailable as error:
                _log.info("put off until the database is back: %s", error)

    async def _prove_lease(self) -> None:
        """An idle owner that slept learns here that it has a successor."""
        if not await self._ownership.check():
            self._mailbox.wake()

    async def _learn_buckets(self) -> None:
        await self._ownership.learn_buckets()

    async def _settle_ended(self) -> None:
        """Bookings that nobody marked count as availed, some time after their end: a round through all there are.

        Pages go by position, so that those which cannot be settled stand in nobody's way. A page is decided before the
        next is read, and a rest follows each, so that guests come between.
        """
        clock = asyncio.get_running_loop().time
        before = self._now() - timedelta(hours=self._limits.settle_after_hours)
        after: tuple[datetime, BookingId] | None = None
        while not self._mailbox.full:
            started = clock()
            page = await self._store.load_ended(
                self._ownership.shard_id, before, self._limits.settle_bookings_max, after
            )
            await self._settle(page)
            if len(page) < self._limits.settle_bookings_max:
                return
            after = (page[-1].ends_at, page[-1].booking_id)
            await asyncio.sleep((clock() - started) * self._rest_factor)

    async def _settle(self, page: Sequence[Booking]) -> None:
        """Until each is decided, or as many as the mailbox has room for.

        What was not settled comes in the next round, whyever that was; where it was a bug, it is in the log already.
        """
        answers: list[asyncio.Future[Outcome]] = []
        for booking in page:
            if self._mailbox.full:
                break
            answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
            self._mailbox.put(Asked(SettleEnded(booking.booking_id), answer))
            answers.append(answer)
        await asyncio.gather(*answers, return_exceptions=True)

    async def _forget_past(self) -> None:
        """Drop the words of days that nobody can book any more, a few vendors at a time."""
        before = self._now() - timedelta(days=self._limits.forget_after_days)
        for number, vendor_id in enumerate(list(self._memory.vendors)):
            self._memory.forget_past(vendor_id, before)
            if number % self._limits.sweep_vendors == 0:
                await asyncio.sleep(0)

    async def _sweep(self) -> None:
        """Load the vendors that nobody touched yet, gently, as far as memory allows."""
        loop = asyncio.get_running_loop()
        after: VendorId | None = None
        while not self._memory.full_of_vendors:
            started = loop.time()
            self._memory.begin_sweep()
            try:
                page = await self._store.load_vendor_page(self._ownership.shard_id, after, self._limits.sweep_vendors)
            except StoreUnavailable:
                await asyncio.sleep(self._limits.retry_last_seconds)
                continue
            if not page:
                break
            self._memory.keep_swept(page)
            after = page[-1].vendor.vendor_id
            await asyncio.sleep((loop.time() - started) * self._rest_factor)
        self._memory.end_sweep()
