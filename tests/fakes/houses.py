"""Vendors and commands to test with: small houses whose seats can be counted on one hand."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time
from itertools import count
from uuid import UUID

from domain.booking import BookingStatus
from domain.command import (
    AmendBooking,
    Caller,
    CreateVendor,
    Once,
    PlaceHold,
    Role,
    SetStatus,
    SittingTime,
    StayDates,
    UpdateVendor,
)
from domain.ids import BookingId, VendorId, booking_id_from, vendor_id_from
from domain.money import Money
from domain.vendor import (
    Deposit,
    DepositKind,
    Location,
    Policy,
    SeatGroup,
    Service,
    TurnTime,
    Vendor,
    VendorKind,
)

OPENED = datetime(2026, 11, 1, 9, tzinfo=UTC)
EVENING = datetime(2026, 12, 24, 18, tzinfo=UTC)
SYSTEM = Caller(Role.SYSTEM, UUID(int=0))

_numbers: Iterator[int] = count(1)


def vendor_id(number: int = 1, bucket: int = 0) -> VendorId:
    return vendor_id_from((bucket << 116) | (number << 20))


def guest(number: int = 1) -> Caller:
    return Caller(Role.USER, UUID(int=(7 << 100) | number))


def manager(of: VendorId) -> Caller:
    return Caller(Role.VENDOR, of)


def new_booking_id(of: VendorId, number: int | None = None) -> BookingId:
    return booking_id_from(of, next(_numbers) if number is None else number)


def restaurant(
    of: VendorId | None = None, *, tables: int = 1, deposit: int = 0, hold_ttl_seconds: int = 600, seats_each: int = 4
) -> Vendor:
    """Open every day from noon to eleven in UTC, sittings of 90 minutes, tables for up to four."""
    return Vendor(
        vendor_id=vendor_id() if of is None else of,
        version=1,
        kind=VendorKind.RESTAURANT,
        name="Chez Test",
        city="Reykjavik",
        location=Location(64.1, -21.9),
        time_zone="Atlantic/Reykjavik",
        currency="EUR",
        seats=(SeatGroup("T", "table", 1, seats_each, quantity=tables),),
        created_at=OPENED,
        updated_at=OPENED,
        policy=Policy(
            hold_ttl_seconds=hold_ttl_seconds,
            deposit=Deposit(DepositKind.PER_BOOKING, amount_minor=deposit) if deposit else Deposit(),
        ),
        services=(Service((0, 1, 2, 3, 4, 5, 6), time(12), time(23), 30),),
        turn_minutes=(TurnTime(20, 90),),
    )


def hotel(of: VendorId | None = None, *, rooms: int = 2, deposit: int = 0) -> Vendor:
    return replace(
        restaurant(of, deposit=deposit),
        kind=VendorKind.HOTEL,
        name="Hotel Test",
        seats=(SeatGroup("R", "double", 1, 2, quantity=rooms, price=Money(9000, "EUR")),),
        services=(),
        turn_minutes=(),
    )


def opening(vendor: Vendor, email: str | None = None) -> CreateVendor:
    return CreateVendor(vendor, email or f"{vendor.vendor_id}@example.org", "hash")


def changing(of: VendorId, expected_version: int | None = None, **changes: object) -> UpdateVendor:
    return UpdateVendor(of, manager(of), dict(changes), expected_version)


def hold(
    of: VendorId,
    *,
    by: Caller | None = None,
    at: datetime = EVENING,
    party: int = 2,
    key: str | None = None,
    fingerprint: bytes = b"body",
    booking_id: BookingId | None = None,
) -> PlaceHold:
    return PlaceHold(
        booking_id=booking_id or new_booking_id(of),
        vendor_id=of,
        caller=by or guest(),
        party_size=party,
        when=SittingTime(at),
        once=None if key is None else Once(key, fingerprint),
    )


def stay(of: VendorId, first: date, last: date, *, by: Caller | None = None, quantity: int = 1) -> PlaceHold:
    return PlaceHold(
        booking_id=new_booking_id(of),
        vendor_id=of,
        caller=by or guest(),
        party_size=quantity,
        when=StayDates(first, last),
        quantity=quantity,
    )


def cancel(booking_id: BookingId, *, by: Caller | None = None, key: str | None = None) -> SetStatus:
    once = None if key is None else Once(key, f"cancel {booking_id}".encode())
    return SetStatus(booking_id, by or guest(), BookingStatus.CANCELLED, once=once)


def confirm(booking_id: BookingId, of: VendorId, *, key: str | None = None) -> SetStatus:
    once = None if key is None else Once(key, f"confirm {booking_id}".encode())
    return SetStatus(booking_id, manager(of), BookingStatus.CONFIRMED, once=once)


def amend(
    booking_id: BookingId,
    *,
    at: datetime | None = None,
    by: Caller | None = None,
    key: str | None = None,
    **fields: object,
) -> AmendBooking:
    once = None if key is None else Once(key, repr((booking_id, at, fields)).encode())
    return AmendBooking(booking_id, by or guest(), starts_at=at, once=once, **fields)
