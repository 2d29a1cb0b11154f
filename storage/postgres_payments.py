"""Payments in Postgres: one statement for each change of a payment, which books what the change moves in the ledger too."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson

from domain.ids import BookingId, UserId, VendorId
from domain.ledger import causes, movements
from domain.payment import Capture, Charge, ChargeState, Payment, PaymentId, Refund, RefundState
from storage.errors import VersionConflict
from storage.payment_store import (
    FIRST_BOOKING,
    FIRST_PLACE,
    Due,
    Place,
    ReferenceTaken,
    Stuck,
    Unnoticed,
    Unpaid,
)
from storage.postgres import Database, printable

_NEVER: Final = -1
_TAKEN: Final = frozenset({"payment_capture_once", "payment_charge_once"})


class PostgresPayments:
    """The `PaymentStore` of every installation. The wake-up of a change is `NOTIFY payments`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_booking(self, booking_id: BookingId) -> tuple[Payment, ...]:
        return tuple(map(_payment, await self._database.rows("payments_of_bookings", [booking_id])))

    async def of_bookings(self, booking_ids: Sequence[BookingId]) -> Mapping[BookingId, tuple[Payment, ...]]:
        found: dict[BookingId, tuple[Payment, ...]] = {}
        for payment in map(_payment, await self._database.rows("payments_of_bookings", booking_ids)):
            found[payment.booking_id] = (*found.get(payment.booking_id, ()), payment)
        return found

    async def by_id(self, payment_id: PaymentId) -> Payment | None:
        row = await self._database.row("payment_by_id", payment_id)
        return None if row is None else _payment(row)

    async def write(self, before: Payment | None, after: Payment, *, booking_version: int) -> Payment:
        expected = 0 if before is None else before.revision or _NEVER
        moved = movements(before, after)
        booked = orjson.dumps(moved).decode(), causes(moved, after, booking_version)
        try:
            revision = await self._database.value("write_payment", orjson.dumps(after).decode(), expected, *booked)
        except asyncpg.UniqueViolationError as error:
            if error.constraint_name in _TAKEN:
                raise ReferenceTaken(f"payment {after.payment_id}: {error.detail}") from error
            raise
        if revision is None:
            raise VersionConflict(f"payment {after.payment_id} is not at revision {expected}")
        return replace(after, revision=revision)

    async def rest(self, payment: Payment, *, look_at: datetime | None, over: bool) -> None:
        await self._database.value("rest_payment", payment.payment_id, payment.revision, payment.nudges, look_at, over)

    async def failed(
        self, payment: Payment, *, look_at: datetime, error: str, patience: timedelta, anew: bool = True
    ) -> None:
        seen = payment.payment_id, payment.revision, payment.nudges
        await self._database.value("payment_look_failed", *seen, look_at, printable(error), patience, anew)

    async def give_up(
        self, payment: Payment, reason: str, *, look_at: datetime | None = None, anew: bool = True
    ) -> None:
        seen = payment.payment_id, payment.revision, payment.nudges
        await self._database.value("give_payment_up", *seen, look_at, printable(reason), anew)

    async def retry(self, payment_id: PaymentId) -> bool:
        return await self._database.value("retry_payment", payment_id) is not None

    async def due(self, now: datetime, payments_max: int) -> Sequence[Due]:
        return [
            Due(PaymentId(UUID(int=row["payment_id"].int)), BookingId(UUID(int=row["booking_id"].int)), row["tries"])
            for row in await self._database.rows("payments_due", now, payments_max)
        ]

    async def due_of(self, booking_id: BookingId, now: datetime) -> Mapping[PaymentId, int]:
        rows = await self._database.rows("payments_due_of_booking", booking_id, now)
        return {PaymentId(UUID(int=row["payment_id"].int)): row["tries"] for row in rows}

    async def nudge(self, booking_ids: Sequence[BookingId]) -> int:
        nudged: int = await self._database.value("nudge_payments", booking_ids)
        return nudged

    async def without_payment(self, older_than: datetime, bookings_max: int, *, after: Place = FIRST_PLACE) -> Unpaid:
        [row] = await self._database.rows("bookings_without_payment", older_than, *after, bookings_max)
        found = [BookingId(UUID(int=booking_id.int)) for booking_id in row["booking_ids"]]
        if row["read_to"] is None:
            return Unpaid(found, None)
        return Unpaid(found, (row["read_to"], BookingId(UUID(int=row["read_to_booking"].int))))

    async def unnoticed(
        self, older_than: datetime, bookings_max: int, *, after: BookingId = FIRST_BOOKING
    ) -> Unnoticed:
        [row] = await self._database.rows("bookings_unnoticed", older_than, after, bookings_max)
        found = [BookingId(UUID(int=booking_id.int)) for booking_id in row["booking_ids"]]
        return Unnoticed(found, None if row["read_to"] is None else BookingId(UUID(int=row["read_to"].int)))

    async def stuck(self, payments_max: int) -> Sequence[Stuck]:
        return [
            Stuck(_payment(row), row["stuck_reason"], row["stuck_since"])
            for row in await self._database.rows("payments_stuck", payments_max)
        ]

    async def declined(self, booking_ids: Sequence[BookingId]) -> frozenset[BookingId]:
        rows = await self._database.rows("payments_declined", booking_ids)
        return frozenset(BookingId(UUID(int=row["booking_id"].int)) for row in rows)


def _payment(row: asyncpg.Record) -> Payment:
    return Payment(
        PaymentId(UUID(int=row["payment_id"].int)),
        BookingId(UUID(int=row["booking_id"].int)),
        VendorId(UUID(int=row["vendor_id"].int)),
        UserId(UUID(int=row["user_id"].int)),
        row["number"],
        row["provider"],
        row["currency"],
        row["amount_minor"],
        row["created_at"],
        row["kept_minor"],
        row["settled_version"],
        row["revision"],
        tuple(map(_charge, orjson.loads(row["charges"]))),
        tuple(Capture(**found) for found in orjson.loads(row["captures"])),
        tuple(map(_refund, orjson.loads(row["refunds"]))),
        row["nudges"],
    )


def _charge(found: dict[str, Any]) -> Charge:
    closes_at = found["closes_at"]
    found |= {
        "state": ChargeState(found["state"]),
        "closes_at": None if closes_at is None else datetime.fromisoformat(closes_at),
    }
    return Charge(**found)


def _refund(found: dict[str, Any]) -> Refund:
    return Refund(**(found | {"state": RefundState(found["state"])}))
