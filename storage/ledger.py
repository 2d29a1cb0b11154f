"""The ledger, read: what the movements of a vendor or of a booking sum up to, and a vendor's movements one after the other.

Nothing here writes. What is in the ledger came with a change of a payment (storage/sql/write_payment.sql) and stays.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from domain.ids import BookingId, UserId, VendorId
from domain.ledger import Account, Balance, BookedMovement, Movement, MovementKind
from domain.payment import PaymentId
from storage.postgres import ReadsRows


class Ledger:
    """Every method may raise StoreUnavailable. `since` is included, `until` is not; None is no bound."""

    def __init__(self, database: ReadsRows) -> None:
        self._database = database

    async def of_vendor(
        self, vendor_id: VendorId, *, since: datetime | None = None, until: datetime | None = None
    ) -> tuple[Balance, ...]:
        """One balance for each currency that moved."""
        return _balances(await self._database.rows("ledger_of_vendor", vendor_id, since, until))

    async def of_booking(
        self, booking_id: BookingId, *, since: datetime | None = None, until: datetime | None = None
    ) -> tuple[Balance, ...]:
        """One balance for each currency that moved."""
        return _balances(await self._database.rows("ledger_of_booking", booking_id, since, until))

    async def movements_of_vendor(
        self,
        vendor_id: VendorId,
        movements_max: int,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        after: tuple[datetime, int] | None = None,
    ) -> Sequence[BookedMovement]:
        """The oldest first, from behind the `position` of the last one of the page before.

        The order is the same each time, and complete for what moved longer ago than a statement takes (15 s): a movement
        is stamped when its statement begins, and seen when it is committed.
        """
        rows = await self._database.rows(
            "movements_of_vendor", vendor_id, since, until, *(after or (None, None)), movements_max
        )
        return list(map(_booked, rows))

    async def movements_of_payment(self, payment_id: PaymentId) -> Sequence[BookedMovement]:
        """All of them, the oldest first."""
        return list(map(_booked, await self._database.rows("movements_of_payment", payment_id)))


def balances_of(entries: Sequence[tuple[str, Account, int]]) -> tuple[Balance, ...]:
    """Entries (currency, account, amount) summed up, by currency."""
    sums: dict[str, dict[str, int]] = {}
    for currency, account, amount_minor in entries:
        of_currency = sums.setdefault(currency, {})
        of_currency[f"{account}_minor"] = of_currency.get(f"{account}_minor", 0) + amount_minor
    return tuple(Balance(currency, **sums[currency]) for currency in sorted(sums))


def _balances(rows: Sequence[asyncpg.Record]) -> tuple[Balance, ...]:
    return balances_of([(row["currency"], Account(row["account"]), row["amount_minor"]) for row in rows])


def _booked(row: asyncpg.Record) -> BookedMovement:
    movement = Movement(
        MovementKind(row["kind"]),
        Account(row["source"]),
        Account(row["target"]),
        row["amount_minor"],
        row["reference"],
    )
    return BookedMovement(
        row["movement_id"],
        row["moved_at"],
        PaymentId(UUID(int=row["payment_id"].int)),
        row["payment_revision"],
        BookingId(UUID(int=row["booking_id"].int)),
        row["booking_version"],
        VendorId(UUID(int=row["vendor_id"].int)),
        UserId(UUID(int=row["user_id"].int)),
        row["provider"],
        row["currency"],
        movement,
    )
