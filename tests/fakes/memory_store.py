"""A Postgres in miniature: one dictionary-backed database, many stores on it, and every promise of `ShardStore` kept.

It rolls back, refuses what the real guard refuses, fences by epoch, keeps at most one writer at a time, and can be
told to fail: before a step, after it with the reply lost, or with the statement arriving late.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from enum import Enum, auto

from domain.booking import Booking, BookingStatus
from domain.event import VendorCreated, VendorUpdated
from domain.ids import BookingId, VendorId, bucket_of
from domain.vendor import Vendor
from storage.errors import EmailTaken, Fenced, GuardRefused, OutcomeUnknown, StoreUnavailable
from storage.shard_store import Answer, Batch, Lease, Owner, VendorRecord
from tests.fakes.memory_database import MemoryDatabase
from tests.fakes.stranding import seats_in_use, stranded


class Fault(Enum):
    """What goes wrong at a step."""

    UNAVAILABLE = auto()
    """Nothing was done; StoreUnavailable is raised."""
    LOST_UNDONE = auto()
    """The connection died before the statement arrived: OutcomeUnknown, and it never runs."""
    LOST_DONE = auto()
    """It committed, and the reply was lost: OutcomeUnknown."""
    LOST_LATE = auto()
    """OutcomeUnknown now; the old backend runs the statement a little later, fence and guard included."""


Faults = Callable[[str], "Fault | float | None"]
"""Asked at each step by its method's name: a fault, a delay in seconds of the loop's time, or nothing."""


class Script:
    """Faults by hand: `script.next("commit", Fault.UNAVAILABLE)` happens at the next such step, in order."""

    def __init__(self) -> None:
        self._planned: dict[str, deque[Fault | float | None]] = defaultdict(deque)

    def next(self, step: str, *faults: Fault | float | None) -> None:
        self._planned[step].extend(faults)

    def always(self, step: str, fault: Fault) -> None:
        self._planned[step] = deque([fault] * 1_000_000)

    def clear(self) -> None:
        self._planned.clear()

    def __call__(self, step: str) -> "Fault | float | None":
        planned = self._planned[step]
        return planned.popleft() if planned else None


class MemoryShardStore:
    """One process's connection to a `MemoryDatabase`; several may look at the same one."""

    def __init__(self, database: MemoryDatabase, faults: Faults | None = None, *, late_seconds: float = 0.5) -> None:
        self.database = database
        self.steps: list[str] = []
        self.closed = False
        self._faults = faults or (lambda _step: None)
        self._late_seconds = late_seconds
        self._writing = asyncio.Lock()

    async def take(self, shard_id: int, owner: Owner) -> Lease | None:
        await self._read("take")
        row = self.database.shards.get(shard_id)
        if row is None or row.actor_id != owner.actor_id:
            return None
        row.epoch += 1
        row.node, row.pid = owner.node, owner.pid
        return Lease(shard_id, row.epoch)

    async def retake(self, lease: Lease) -> Lease:
        await self._read("retake")
        row = self.database.fence(lease)
        row.epoch += 1
        return Lease(lease.shard_id, row.epoch)

    async def committed(self, lease: Lease, seq: int) -> bool:
        await self._read("committed")
        return (lease.shard_id, lease.epoch, seq) in self.database.outbox

    async def is_current(self, lease: Lease) -> bool:
        await self._read("is_current")
        return self.database.shards[lease.shard_id].epoch == lease.epoch

    async def last_instant(self, shard_id: int) -> datetime | None:
        await self._read("last_instant")
        return self.database.shards[shard_id].last_instant

    async def buckets(self, shard_id: int) -> frozenset[int]:
        await self._read("buckets")
        return frozenset(bucket for bucket, owner in enumerate(self.database.bucket_shard) if owner == shard_id)

    async def load_holds(self, shard_id: int) -> Sequence[Booking]:
        await self._read("load_holds")
        return [b for b in self._of_shard(shard_id) if b.status is BookingStatus.BLOCKED]

    async def load_ended(
        self, shard_id: int, ended_before: datetime, limit: int, after: tuple[datetime, BookingId] | None = None
    ) -> Sequence[Booking]:
        await self._read("load_ended")
        ended = [
            b
            for b in self._of_shard(shard_id)
            if b.status is BookingStatus.CONFIRMED
            and b.ends_at < ended_before
            and (after is None or (b.ends_at, b.booking_id.int) > (after[0], after[1].int))
        ]
        return sorted(ended, key=lambda b: (b.ends_at, b.booking_id.int))[:limit]

    async def load_vendors(self, vendor_ids: Sequence[VendorId]) -> Mapping[VendorId, VendorRecord]:
        await self._read("load_vendors")
        records = ((vendor_id, self.database.record_of(vendor_id)) for vendor_id in vendor_ids)
        return {vendor_id: record for vendor_id, record in records if record is not None}

    async def load_bookings(self, booking_ids: Sequence[BookingId]) -> Mapping[BookingId, Booking]:
        await self._read("load_bookings")
        stored = self.database.bookings
        return {booking_id: stored[booking_id] for booking_id in booking_ids if booking_id in stored}

    async def load_vendor(self, vendor_id: VendorId) -> Vendor | None:
        await self._read("load_vendor")
        row = self.database.vendors.get(vendor_id)
        return None if row is None else row.vendor

    async def load_seats_in_use(
        self, vendor_id: VendorId, ends_after: datetime, seat_nos: Sequence[int]
    ) -> frozenset[int]:
        await self._read("load_seats_in_use")
        return seats_in_use(self._standing(vendor_id, ends_after)) & frozenset(seat_nos)

    async def load_stranded(
        self, vendor_id: VendorId, ends_after: datetime, capacities: Mapping[int, int], limit: int
    ) -> Sequence[BookingId]:
        await self._read("load_stranded")
        return stranded(self._standing(vendor_id, ends_after), capacities)[:limit]

    async def load_answers(self, scopes: Sequence[bytes]) -> Mapping[bytes, Answer]:
        await self._read("load_answers")
        return {scope: self.database.answers[scope] for scope in scopes if scope in self.database.answers}

    async def load_vendor_page(self, shard_id: int, after: VendorId | None, limit: int) -> Sequence[VendorRecord]:
        await self._read("load_vendor_page")
        mine = sorted(
            vendor_id
            for vendor_id in self.database.vendors
            if self.database.bucket_shard[bucket_of(vendor_id)] == shard_id and (after is None or vendor_id > after)
        )
        records = (self.database.record_of(vendor_id) for vendor_id in mine[:limit])
        return [record for record in records if record is not None]

    async def commit(self, batch: Batch) -> None:
        # The shard may reuse its lists once this returns; a late statement must still see what it was given.
        given = replace(
            batch,
            words=list(batch.words),
            placed=list(batch.placed),
            changed=list(batch.changed),
            answers=list(batch.answers),
            events=list(batch.events),
        )
        await self._write("commit", lambda: self.database.commit(given))

    async def commit_vendor(self, lease: Lease, seq: int, event: VendorCreated | VendorUpdated) -> None:
        await self._write("commit_vendor", lambda: self.database.commit_vendor(lease, seq, event))

    async def close(self) -> None:
        self.closed = True

    def _of_shard(self, shard_id: int) -> list[Booking]:
        owners = self.database.bucket_shard
        return [b for b in self.database.bookings.values() if owners[bucket_of(b.booking_id)] == shard_id]

    def _standing(self, vendor_id: VendorId, ends_after: datetime) -> list[Booking]:
        of_vendor = (b for b in self.database.bookings.values() if b.vendor_id == vendor_id)
        return [b for b in of_vendor if b.held_slot_count and b.ends_at > ends_after]

    async def _fault(self, step: str) -> Fault | None:
        self.steps.append(step)
        fault = self._faults(step)
        if isinstance(fault, float):
            await asyncio.sleep(fault)
            return None
        await asyncio.sleep(0)
        return fault

    async def _read(self, step: str) -> None:
        if await self._fault(step) is not None:
            raise StoreUnavailable(f"{step}: the database is away")

    async def _write(self, step: str, transaction: Callable[[], None]) -> None:
        async with self._writing:
            match await self._fault(step):
                case None:
                    transaction()
                    await self._fault(f"{step} replied")
                case Fault.UNAVAILABLE:
                    raise StoreUnavailable(f"{step}: the database is away")
                case Fault.LOST_UNDONE:
                    raise OutcomeUnknown(f"{step}: the connection was lost")
                case Fault.LOST_DONE:
                    _run_unheard(transaction)
                    raise OutcomeUnknown(f"{step}: the connection was lost")
                case Fault.LOST_LATE:
                    asyncio.get_running_loop().call_later(self._late_seconds, _run_unheard, transaction)
                    raise OutcomeUnknown(f"{step}: the connection was lost")


def _run_unheard(transaction: Callable[[], None]) -> None:
    """A backend's statement whose client is gone: nobody hears how it ended."""
    try:
        transaction()
    except (Fenced, GuardRefused, EmailTaken):
        return
