"""A booking as JSON and as a row: the columns of the table `booking` are the fields of `Booking`, name by name.

JSON is what a shard sends to Postgres, which unpacks it with `json_to_recordset` (less work for Python than an array per
column), and what events, remembered answers and cached entries are made of.
"""

from collections.abc import Sequence
from dataclasses import fields
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson

from domain.booking import BookedSeat, Booking, BookingStatus, Contact, Terms
from domain.ids import BookingId, UserId, VendorId
from domain.money import Money
from domain.vendor import VendorKind

COLUMNS: Final = tuple(field.name for field in fields(Booking))

_NESTED: Final = ("seats", "terms", "price", "contact")
_INSTANTS: Final = ("starts_at", "ends_at", "created_at", "updated_at", "hold_expires_at", "no_show_at")
_DATES: Final = ("check_in", "check_out")
_UUIDS: Final = ("booking_id", "vendor_id", "user_id")


def booking_json(booking: Booking) -> bytes:
    """Every field by its own name; ids as text, instants as RFC 3339 in UTC."""
    return orjson.dumps(booking)


def bookings_json(bookings: Sequence[Booking]) -> bytes:
    """One JSON array, made in one go: 3 us a booking."""
    return orjson.dumps(bookings)


def booking_from_json(document: bytes | str) -> Booking:
    """The exact inverse of `booking_json`."""
    return _booking_from_document(orjson.loads(document))


def bookings_from_json(document: bytes | str) -> list[Booking]:
    """The exact inverse of `bookings_json`."""
    return [_booking_from_document(found) for found in orjson.loads(document)]


def booking_from_row(row: asyncpg.Record) -> Booking:
    """A row that holds at least COLUMNS; the driver gives instants, dates and ids as such, and JSON as text."""
    found = {name: row[name] for name in COLUMNS}
    for name in _NESTED:
        if found[name] is not None:
            found[name] = orjson.loads(found[name])
    for name in _UUIDS:
        found[name] = UUID(int=found[name].int)  # the driver's own class of UUID does not pickle as ours does
    return _booking(found)


def bookings_from_rows(rows: Sequence[asyncpg.Record]) -> list[Booking]:
    return [booking_from_row(row) for row in rows]


def _booking_from_document(found: dict[str, Any]) -> Booking:
    for name in _UUIDS:
        found[name] = UUID(found[name])
    for name in _INSTANTS:
        if found[name] is not None:
            found[name] = datetime.fromisoformat(found[name])
    for name in _DATES:
        if found[name] is not None:
            found[name] = date.fromisoformat(found[name])
    return _booking(found)


def _booking(found: dict[str, Any]) -> Booking:
    contact = found["contact"]
    found |= {
        "booking_id": BookingId(found["booking_id"]),
        "vendor_id": VendorId(found["vendor_id"]),
        "user_id": UserId(found["user_id"]),
        "kind": VendorKind(found["kind"]),
        "status": BookingStatus(found["status"]),
        "seats": tuple(BookedSeat(**seat) for seat in found["seats"]),
        "terms": _terms(found["terms"]),
        "price": _money(found["price"]),
        "contact": None if contact is None else Contact(**contact),
    }
    return Booking(**found)


def _terms(found: dict[str, Any]) -> Terms:
    """Before payments there were neither `by_hand` nor `deposit_version`: a deposit was the first version's."""
    deposit = _money(found["deposit"])
    return Terms(
        deposit,
        found["cancel_before_hours"],
        found["keep_on_late_cancel_percent"],
        found.get("by_hand", False),
        found.get("deposit_version", 0 if deposit is None else 1),
    )


def _money(found: dict[str, Any] | None) -> Money | None:
    return None if found is None else Money(**found)
