"""`ShardStore` in Postgres: one connection that writes under a lease, and a small pool that reads."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID, uuid4

import asyncpg
import orjson

from domain.booking import Booking
from domain.event import VendorCreated, VendorUpdated
from domain.ids import BookingId, VendorId
from domain.vendor import Vendor
from storage.booking_rows import booking_from_json, bookings_from_rows, bookings_json
from storage.errors import Fenced
from storage.event_json import booking_events_json
from storage.postgres import Database, sql
from storage.shard_connection import ShardConnection
from storage.shard_store import Answer, Batch, Lease, Owner, VendorRecord
from storage.vendor_rows import vendor_from_json
from storage.vendor_writes import write_vendor
from storage.words import from_bigint, word_columns

_BEFORE_ALL = UUID(int=0)


class PostgresShardStore:
    """One shard's database. Connects when first used; one per shard, in the owner's event loop."""

    def __init__(self, postgres_url: str, *, read_connections_max: int = 4) -> None:
        self._reads = Database(postgres_url, "holdfast shard reads", read_connections_max)
        self._writer = ShardConnection(postgres_url)
        self._holder = uuid4()
        self._commit_sql = sql("commit_batch")

    async def take(self, shard_id: int, owner: Owner) -> Lease | None:
        return await self._writer.raise_epoch(
            shard_id, sql("take_shard"), shard_id, owner.actor_id, self._holder, owner.node, owner.pid
        )

    async def retake(self, lease: Lease) -> Lease:
        raised = await self._writer.raise_epoch(lease.shard_id, sql("retake_shard"), lease.shard_id, self._holder)
        if raised is None:
            raise Fenced(f"shard {lease.shard_id}: epoch {lease.epoch} is over")
        return raised

    async def committed(self, lease: Lease, seq: int) -> bool:
        return bool(await self._reads.value("batch_written", lease.shard_id, lease.epoch, seq))

    async def is_current(self, lease: Lease) -> bool:
        return bool(await self._reads.value("shard_epoch", lease.shard_id) == lease.epoch)

    async def last_instant(self, shard_id: int) -> datetime | None:
        found: datetime | None = await self._reads.value("shard_last_instant", shard_id)
        return found

    async def buckets(self, shard_id: int) -> frozenset[int]:
        return frozenset(row["bucket"] for row in await self._reads.rows("shard_buckets", shard_id))

    async def load_holds(self, shard_id: int) -> Sequence[Booking]:
        return bookings_from_rows(await self._reads.rows("load_holds", shard_id))

    async def load_ended(
        self, shard_id: int, ended_before: datetime, limit: int, after: tuple[datetime, BookingId] | None = None
    ) -> Sequence[Booking]:
        position = after or (None, None)
        return bookings_from_rows(await self._reads.rows("load_ended", shard_id, ended_before, limit, *position))

    async def load_bookings(self, booking_ids: Sequence[BookingId]) -> Mapping[BookingId, Booking]:
        found = bookings_from_rows(await self._reads.rows("load_bookings", booking_ids))
        return {booking.booking_id: booking for booking in found}

    async def load_vendor(self, vendor_id: VendorId) -> Vendor | None:
        row = await self._reads.row("vendor_facts", vendor_id)
        return None if row is None else vendor_from_json(row["facts"])

    async def load_seats_in_use(
        self, vendor_id: VendorId, ends_after: datetime, seat_nos: Sequence[int]
    ) -> frozenset[int]:
        rows = await self._reads.rows("load_seats_in_use", vendor_id, ends_after, seat_nos)
        return frozenset(row["seat_no"] for row in rows)

    async def load_stranded(
        self, vendor_id: VendorId, ends_after: datetime, capacities: Mapping[int, int], limit: int
    ) -> Sequence[BookingId]:
        by_number = orjson.dumps({str(seat_no): capacity for seat_no, capacity in capacities.items()}).decode()
        rows = await self._reads.rows("load_stranded", vendor_id, ends_after, by_number, limit)
        return [BookingId(UUID(int=row["booking_id"].int)) for row in rows]

    async def load_answers(self, scopes: Sequence[bytes]) -> Mapping[bytes, Answer]:
        rows = await self._reads.rows("load_answers", scopes)
        return {
            row["scope"]: Answer(row["scope"], row["fingerprint"], booking_from_json(row["answer"])) for row in rows
        }

    async def load_vendors(self, vendor_ids: Sequence[VendorId]) -> Mapping[VendorId, VendorRecord]:
        records = [_vendor_record(row) for row in await self._reads.rows("load_vendors", vendor_ids)]
        return {record.vendor.vendor_id: record for record in records}

    async def load_vendor_page(self, shard_id: int, after: VendorId | None, limit: int) -> Sequence[VendorRecord]:
        page = await self._reads.rows("vendor_page", shard_id, after or _BEFORE_ALL, limit)
        found = await self.load_vendors([VendorId(row["vendor_id"]) for row in page])
        return sorted(found.values(), key=lambda record: record.vendor.vendor_id.int)

    async def commit(self, batch: Batch) -> None:
        parameters = batch_parameters(batch)
        await self._writer.write(lambda connection: connection.execute(self._commit_sql, *parameters))

    async def commit_vendor(self, lease: Lease, seq: int, event: VendorCreated | VendorUpdated) -> None:
        await self._writer.write(lambda connection: write_vendor(connection, lease, seq, event))

    async def close(self) -> None:
        await self._writer.close()
        await self._reads.close()


def batch_parameters(batch: Batch) -> tuple[object, ...]:
    """The parameters of `commit_batch.sql`, in its order. ValueError or KeyError for one that is not a batch."""
    bookings = [*batch.placed, *batch.changed]
    if any(booking.version != 1 for booking in batch.placed) or any(booking.version < 2 for booking in batch.changed):
        raise ValueError("a new booking has version 1, a changed one a later version")
    position = {booking.booking_id: number for number, booking in enumerate(bookings)}
    return (
        batch.lease.shard_id,
        batch.lease.epoch,
        batch.seq,
        max((booking.updated_at for booking in bookings), default=None),
        *word_columns(batch.words),
        bookings_json(bookings).decode(),
        len(batch.placed),
        len(batch.changed),
        [answer.scope for answer in batch.answers],
        [answer.fingerprint for answer in batch.answers],
        [position[answer.booking.booking_id] for answer in batch.answers],
        booking_events_json(batch.events, position).decode(),
    )


def _vendor_record(row: asyncpg.Record) -> VendorRecord:
    words = zip(row["seat_nos"] or (), row["words"] or (), row["masks"] or (), strict=True)
    covers = zip(row["slots"] or (), row["covers"] or (), strict=True)
    return VendorRecord(
        vendor_from_json(row["facts"]),
        [(seat_no, word, from_bigint(mask)) for seat_no, word, mask in words],
        dict(covers),
    )
