"""What a shard does beside its batches: prove its lease, settle what ended, fill memory, forget what is long past."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from actors.limits import ShardLimits
from actors.mailbox import Asked, Mailbox
from actors.memory import ShardMemory
from actors.ownership import Ownership
from domain.command import SettleEnded
from domain.ids import VendorId
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
        """Bookings that nobody marked count as availed, some time after their end."""
        before = self._now() - timedelta(hours=self._limits.settle_after_hours)
        shard_id = self._ownership.shard_id
        for booking in await self._store.load_ended(shard_id, before, self._limits.settle_bookings_max):
            if not self._mailbox.full:
                self._mailbox.put(Asked(SettleEnded(booking.booking_id), None))

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
        rest_factor = 100 / self._limits.sweep_share_percent - 1
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
            await asyncio.sleep((loop.time() - started) * rest_factor)
        self._memory.end_sweep()
