"""One booking in one transaction: lock the vendor's seats, look, choose, write."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from bench.baseline.models import BookingIn, BookingOut, SeatOut
from bench.baseline.rules import Refused, Sitting, sitting_of
from domain.ids import VendorId, booking_code, booking_id_from, seat_id_of

_LOCK_SEATS = """
    SELECT seat_no, seat_id, name, seat_type, capacity_min, capacity_max FROM vendor_seat
    WHERE vendor_id = $1 AND active ORDER BY seat_no FOR UPDATE
"""
_VENDOR = "SELECT facts::text FROM vendor WHERE vendor_id = $1"
_FIRST_ANSWER = "SELECT fingerprint, answer::text FROM idempotency_key WHERE scope = $1"
_WORDS = "SELECT seat_id, word, mask FROM seat_word WHERE seat_id = ANY($1) AND word BETWEEN $2 AND $3"
_BOOKING = """
    INSERT INTO booking (
        booking_id, vendor_id, user_id, starts_at, ends_at, created_at, updated_at, version, party_size,
        first_slot, slot_count, held_slot_count, step_minutes, deposit_waived, kind, status, seats, terms,
        seat_type, notes, contact
    ) VALUES (
        $1, $2, $3, $4, $5, $6, $6, 1, $7, $8, $9, $9, $10, false, 'restaurant', 'CONFIRMED', $11::text::jsonb,
        $12::text::jsonb, $13, $14, $15::text::jsonb
    )
"""
_TAKE_WORD = """
    INSERT INTO seat_word AS held (seat_id, word, mask) VALUES ($1, $2, $3)
    ON CONFLICT (seat_id, word) DO UPDATE SET mask = held.mask | excluded.mask
"""
_REMEMBER = "INSERT INTO idempotency_key (scope, fingerprint, answer) VALUES ($1, $2, $3::text::jsonb)"
_OUTBOX = """
    INSERT INTO outbox (shard_id, epoch, seq, events, bookings)
    VALUES (0, 0, nextval('baseline_outbox_seq'), '[{"type": "HoldPlaced"}]', $1::text::jsonb)
"""


@dataclass(frozen=True, slots=True)
class Ask:
    """Who wants what of whom, under which idempotency key."""

    vendor_id: UUID
    user_id: UUID
    wanted: BookingIn
    key: str


async def book(
    connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]", ask: Ask, now: datetime
) -> tuple[BookingOut, bool]:
    """The booking, and whether an earlier request under the same key made it. Raises Refused; runs in a transaction."""
    vendor_id, wanted = ask.vendor_id, ask.wanted
    seats = await connection.fetch(_LOCK_SEATS, vendor_id)
    if not seats:
        raise Refused(404, "not_found")
    scope = blake2b(ask.user_id.bytes + vendor_id.bytes + ask.key.encode(), digest_size=16).digest()
    fingerprint = blake2b(wanted.model_dump_json().encode(), digest_size=16).digest()
    first = await connection.fetchrow(_FIRST_ANSWER, scope)
    if first is not None:
        if first["fingerprint"] != fingerprint:
            raise Refused(409, "idempotency_key_reused")
        return BookingOut.model_validate_json(first["answer"]), True
    vendor = orjson.loads(await connection.fetchval(_VENDOR, vendor_id))
    sitting = sitting_of(vendor, wanted.party_size, wanted.starts_at, now)
    masks = sitting.masks()
    words = await connection.fetch(_WORDS, [seat["seat_id"] for seat in seats], min(masks), max(masks))
    taken = {(row["seat_id"], row["word"]): row["mask"] for row in words}
    seat = _choose(seats, taken, sitting, wanted)
    booking = _booking(ask, sitting, seat, now)
    answer = booking.model_dump_json()
    await connection.execute(
        _BOOKING,
        booking.booking_id,
        vendor_id,
        ask.user_id,
        booking.starts_at,
        booking.ends_at,
        now,
        booking.party_size,
        sitting.first_slot,
        sitting.slot_count,
        sitting.step_minutes,
        orjson.dumps([{name: seat[name] for name in ("seat_no", "name", "seat_type")}]).decode(),
        orjson.dumps(_terms(vendor["policy"])).decode(),
        wanted.seat_type,
        wanted.notes,
        None if wanted.contact is None else wanted.contact.model_dump_json(),
    )
    for word, mask in masks.items():
        await connection.execute(_TAKE_WORD, seat["seat_id"], word, mask)
    await connection.execute(_REMEMBER, scope, fingerprint, answer)
    await connection.execute(_OUTBOX, f"[{answer}]")
    return booking, False


def _choose(
    seats: Sequence[asyncpg.Record], taken: Mapping[tuple[UUID, int], int], sitting: Sitting, wanted: BookingIn
) -> asyncpg.Record:
    """The smallest free seat that fits."""
    fitting = [seat for seat in seats if wanted.seat_type in (None, seat["seat_type"])]
    if not fitting:
        raise Refused(422, "invalid_request")
    if wanted.party_size > max(seat["capacity_max"] for seat in fitting):
        raise Refused(409, "party_too_large")
    masks = sitting.masks()
    free = [
        seat
        for seat in fitting
        if seat["capacity_min"] <= wanted.party_size <= seat["capacity_max"]
        and not any(taken.get((seat["seat_id"], word), 0) & mask for word, mask in masks.items())
    ]
    if not free:
        raise Refused(409, "no_availability")
    return min(free, key=lambda seat: (seat["capacity_max"], seat["seat_no"]))


def _booking(ask: Ask, sitting: Sitting, seat: asyncpg.Record, now: datetime) -> BookingOut:
    vendor_id, wanted = ask.vendor_id, ask.wanted
    booking_id = booking_id_from(VendorId(vendor_id), secrets.randbits(128))
    return BookingOut(
        booking_id=booking_id,
        code=booking_code(booking_id),
        user_id=ask.user_id,
        vendor_id=vendor_id,
        kind="restaurant",
        status="CONFIRMED",
        version=1,
        party_size=wanted.party_size,
        seats=[
            SeatOut(
                seat_id=seat_id_of(VendorId(vendor_id), seat["seat_no"]), name=seat["name"], seat_type=seat["seat_type"]
            )
        ],
        starts_at=sitting.starts_at,
        ends_at=sitting.starts_at + timedelta(minutes=sitting.slot_count * sitting.step_minutes),
        notes=wanted.notes,
        contact=wanted.contact,
        created_at=now,
        updated_at=now,
    )


def _terms(policy: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "deposit": None,
        "cancel_before_hours": policy["cancel_before_hours"],
        "keep_on_late_cancel_percent": policy["keep_on_late_cancel_percent"],
    }
