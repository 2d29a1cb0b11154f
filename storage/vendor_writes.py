"""A vendor's rows in one transaction behind the fence: facts, seats, services, account, and words in a finer step."""

import asyncio
from collections.abc import Sequence
from typing import Final

import asyncpg

from domain.event import VendorCreated, VendorUpdated
from domain.ids import SeatId, seat_id_of
from domain.rescale import rescale_words
from domain.vendor import Vendor
from storage.errors import EmailTaken, Fenced, GuardRefused
from storage.event_json import vendor_event_json
from storage.postgres import Connection, sql
from storage.shard_store import Lease
from storage.vendor_rows import datetimeslot_rows, seat_rows, seats_given_up, vendor_json
from storage.words import from_bigint, to_bigint

_WORDS_AT_ONCE: Final = 20_000
"""Rewritten in one go: a house of 10,000 seats may have 450,000 words."""


async def write_vendor(connection: Connection, lease: Lease, seq: int, event: VendorCreated | VendorUpdated) -> None:
    """All or nothing. Raises Fenced, GuardRefused, EmailTaken, and the driver's errors."""
    vendor = event.vendor
    async with connection.transaction():
        fence = await connection.fetchval(sql("fence"), lease.shard_id, lease.epoch, seq, vendor.updated_at)
        if fence is None:
            raise Fenced(f"shard {lease.shard_id}: epoch {lease.epoch} is over")
        match event:
            case VendorCreated():
                await _insert(connection, event)
                await _unfold(connection, vendor, None)
            case VendorUpdated():
                await _update(connection, event)
                await _unfold(connection, vendor, event.before)
        told = vendor_event_json(event).decode()
        await connection.execute(sql("insert_outbox"), lease.shard_id, lease.epoch, seq, told)


async def _insert(connection: Connection, event: VendorCreated) -> None:
    vendor = event.vendor
    try:
        await connection.execute(
            sql("insert_vendor"),
            vendor.vendor_id,
            vendor.city,
            event.email,
            event.password_hash,
            vendor_json(vendor).decode(),
        )
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name == "vendor_email_key":
            raise EmailTaken(event.email) from error
        raise


async def _update(connection: Connection, event: VendorUpdated) -> None:
    vendor = event.vendor
    found = await connection.fetchval(
        sql("update_vendor"), vendor.vendor_id, vendor.city, vendor_json(vendor).decode(), event.before.version
    )
    if found is None:
        raise GuardRefused(f"vendor {vendor.vendor_id} is not at version {event.before.version}")
    if event.rescaled:
        await _rescale(connection, vendor, event.before.step_minutes)


async def _unfold(connection: Connection, vendor: Vendor, before: Vendor | None) -> None:
    """The rows that SQL joins, those alone that differ from before: a house may have 10,000 seats."""
    if before is None or vendor.seats != before.seats:
        given_up = [] if before is None else seats_given_up(vendor, before)
        columns = seat_rows(vendor, before).columns()
        await connection.execute(sql("replace_seats"), vendor.vendor_id, *columns, given_up)
    slots = datetimeslot_rows(vendor)
    if before is None or slots != datetimeslot_rows(before):
        await connection.execute(sql("delete_datetimeslots"), vendor.vendor_id)
        await connection.executemany(sql("insert_datetimeslot"), [(vendor.vendor_id, *row) for row in slots])


async def _rescale(connection: Connection, vendor: Vendor, old_step_minutes: int) -> None:
    """Bookings keep the step that they were made in; the words speak the vendor's present one."""
    rows = await connection.fetch(sql("take_words"), vendor.vendor_id)
    # No two words have a finer one in common. The server ends a transaction that waits 5 s for its next statement.
    for first in range(0, len(rows), _WORDS_AT_ONCE):
        some = rows[first : first + _WORDS_AT_ONCE]
        # Years of words take seconds to rewrite: beside the event loop, which has others to serve.
        columns = await asyncio.to_thread(_finer_columns, vendor, some, old_step_minutes)
        await connection.execute(sql("insert_words"), *columns)


def _finer_columns(
    vendor: Vendor, rows: Sequence[asyncpg.Record], old_step_minutes: int
) -> tuple[list[SeatId], list[int], list[int]]:
    """Parameters of `insert_words`, for words as `take_words` gives them."""
    coarse = [(row["seat_no"], row["word"], from_bigint(row["mask"])) for row in rows]
    fine = rescale_words(coarse, old_step_minutes, vendor.step_minutes)
    return (
        [seat_id_of(vendor.vendor_id, seat_no) for seat_no, _, _ in fine],
        [word for _, word, _ in fine],
        [to_bigint(mask) for _, _, mask in fine],
    )
