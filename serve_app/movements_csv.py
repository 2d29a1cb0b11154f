"""Movements of the ledger as CSV (RFC 4180), for a vendor's bookkeeping. It may be opened in a spreadsheet."""

import csv
import io
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from domain.currency import decimal_text
from domain.ledger import BookedMovement

COLUMNS: Final = (
    "movement",
    "moved_at",
    "booking_id",
    "booking_version",
    "payment_id",
    "what",
    "from_account",
    "to_account",
    "amount",
    "currency",
    "provider",
    "reference",
)

_FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")


def movements_csv(movements: Iterable[BookedMovement], *, head: bool = True) -> str:
    """A line of names, unless it stands above an earlier page, and one for each movement."""
    text = io.StringIO(newline="")
    lines = csv.writer(text, lineterminator="\r\n")
    if head:
        lines.writerow(COLUMNS)
    lines.writerows(_cells(movement) for movement in movements)
    return text.getvalue()


def harmless(cell: str) -> str:
    """Text that no spreadsheet takes for a formula: what looks like one gets an apostrophe in front."""
    return f"'{cell}" if cell.lstrip(" ").startswith(_FORMULAS) else cell


def _cells(booked: BookedMovement) -> tuple[str | int, ...]:
    """Amounts are above zero and need no care; ids, instants and accounts are our own words."""
    movement = booked.movement
    return (
        booked.movement_id,
        _instant(booked.moved_at),
        str(booked.booking_id),
        booked.booking_version,
        str(booked.payment_id),
        movement.kind.value,
        movement.source.value,
        movement.target.value,
        decimal_text(movement.amount_minor, booked.currency),
        harmless(booked.currency),
        harmless(booked.provider),
        harmless(movement.reference),
    )


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
