"""A vendor as clients see it, and what is free there."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from domain.availability import FreeSeats
from domain.vendor import Closure, Deposit, DepositKind, SeatGroup, StayRules, Vendor, VendorKind
from serve_app.fields import MoneyShown, Shown, money_content
from serve_app.login import TokenShown
from serve_app.vendor_models import WEEKDAYS, Weekday


class ClosureShown(Shown):
    first: date = Field(alias="from")
    last: date = Field(alias="to")
    reason: str | None


class LocationShown(Shown):
    lat: float
    lon: float


class SeatGroupShown(Shown):
    name: str
    seat_type: str
    capacity_min: int
    capacity_max: int
    quantity: int
    price: MoneyShown | None
    closures: list[ClosureShown] | None


class ServiceShown(Shown):
    days: list[Weekday]
    first: str
    last: str
    every_minutes: int


class TurnShown(Shown):
    party_max: int
    minutes: int


class StayShown(Shown):
    min_nights: int
    max_nights: int
    closed_to_arrival: list[Weekday]
    closed_to_departure: list[Weekday]


class PacingShown(Shown):
    covers_per_step: int


class DepositShown(Shown):
    kind: DepositKind
    amount_minor: int | None
    percent: int | None


class PolicyShown(Shown):
    hold_ttl_seconds: int
    deposit: DepositShown
    cancel_before_hours: int
    keep_on_late_cancel_percent: int
    book_ahead_days_max: int
    book_ahead_minutes_min: int
    approval: Literal["automatic", "manual"]


class VendorShown(Shown):
    """`email` is null for everybody but the vendor itself. Fields of the other kind are null."""

    vendor_id: UUID
    version: int
    email: str | None
    kind: VendorKind
    name: str
    description: str | None
    city: str
    address: str | None
    location: LocationShown
    time_zone: str
    currency: str
    cuisines: list[str] | None
    amenities: list[str] | None
    phone: str | None
    seats: list[SeatGroupShown]
    services: list[ServiceShown] | None
    turn_minutes: list[TurnShown] | None
    combinations: list[list[str]] | None
    check_in: str | None
    check_out: str | None
    stay: StayShown | None
    pacing: PacingShown | None
    closures: list[ClosureShown] | None
    policy: PolicyShown
    created_at: datetime
    updated_at: datetime


class VendorTokenShown(TokenShown):
    vendor_id: UUID


class FreeSeatsShown(Shown):
    date: date
    starts_at: datetime | None
    seat_type: str
    free: int
    from_price: MoneyShown | None


class AvailabilityShown(Shown):
    items: list[FreeSeatsShown]


def vendor_content(vendor: Vendor, *, email: str | None) -> dict[str, Any]:
    """In the members of `VendorShown`."""
    restaurant = vendor.kind is VendorKind.RESTAURANT
    return {
        "vendor_id": vendor.vendor_id,
        "version": vendor.version,
        "email": email,
        "kind": vendor.kind,
        "name": vendor.name,
        "description": vendor.description,
        "city": vendor.city,
        "address": vendor.address,
        "location": {"lat": vendor.location.lat, "lon": vendor.location.lon},
        "time_zone": vendor.time_zone,
        "currency": vendor.currency,
        "phone": vendor.phone,
        "seats": [_seat_content(seat) for seat in vendor.seats],
        "closures": _closures_content(vendor.closures),
        "policy": _policy_content(vendor),
        "created_at": vendor.created_at,
        "updated_at": vendor.updated_at,
        **(_restaurant_content(vendor) if restaurant else dict.fromkeys(_RESTAURANT_FIELDS)),
        **(dict.fromkeys(_HOTEL_FIELDS) if restaurant else _hotel_content(vendor)),
    }


def availability_content(rows: Sequence[FreeSeats]) -> dict[str, Any]:
    return {
        "items": [
            {
                "date": row.date,
                "starts_at": row.starts_at,
                "seat_type": row.seat_type,
                "free": row.free,
                "from_price": money_content(row.from_price),
            }
            for row in rows
        ]
    }


_RESTAURANT_FIELDS = ("cuisines", "services", "turn_minutes", "combinations", "pacing")
_HOTEL_FIELDS = ("amenities", "check_in", "check_out", "stay")


def _restaurant_content(vendor: Vendor) -> dict[str, Any]:
    covers = vendor.covers_per_step
    return {
        "cuisines": vendor.cuisines,
        "services": [
            {
                "days": _days(service.days),
                "first": f"{service.first:%H:%M}",
                "last": f"{service.last:%H:%M}",
                "every_minutes": service.every_minutes,
            }
            for service in vendor.services
        ],
        "turn_minutes": [{"party_max": turn.party_max, "minutes": turn.minutes} for turn in vendor.turn_minutes],
        "combinations": vendor.combinations or None,
        "pacing": None if covers is None else {"covers_per_step": covers},
    }


def _hotel_content(vendor: Vendor) -> dict[str, Any]:
    return {
        "amenities": vendor.amenities,
        "check_in": f"{vendor.check_in:%H:%M}",
        "check_out": f"{vendor.check_out:%H:%M}",
        "stay": _stay_content(vendor.stay),
    }


def _days(days: Sequence[int]) -> list[str]:
    return [WEEKDAYS[day] for day in days]


def _stay_content(stay: StayRules) -> dict[str, Any]:
    return {
        "min_nights": stay.min_nights,
        "max_nights": stay.max_nights,
        "closed_to_arrival": _days(stay.closed_to_arrival),
        "closed_to_departure": _days(stay.closed_to_departure),
    }


def _closures_content(closures: Sequence[Closure]) -> list[dict[str, Any]] | None:
    rows = [{"from": closure.first, "to": closure.last, "reason": closure.reason} for closure in closures]
    return rows or None


def _seat_content(seat: SeatGroup) -> dict[str, Any]:
    return {
        "name": seat.name,
        "seat_type": seat.seat_type,
        "capacity_min": seat.capacity_min,
        "capacity_max": seat.capacity_max,
        "quantity": seat.quantity,
        "price": money_content(seat.price),
        "closures": _closures_content(seat.closures),
    }


def _policy_content(vendor: Vendor) -> dict[str, Any]:
    policy = vendor.policy
    return {
        "hold_ttl_seconds": policy.hold_ttl_seconds,
        "deposit": _deposit_content(policy.deposit),
        "cancel_before_hours": policy.cancel_before_hours,
        "keep_on_late_cancel_percent": policy.keep_on_late_cancel_percent,
        "book_ahead_days_max": policy.book_ahead_days_max,
        "book_ahead_minutes_min": policy.book_ahead_minutes_min,
        "approval": policy.approval,
    }


def _deposit_content(deposit: Deposit) -> dict[str, Any]:
    amount = deposit.kind in {DepositKind.PER_BOOKING, DepositKind.PER_PERSON}
    return {
        "kind": deposit.kind,
        "amount_minor": deposit.amount_minor if amount else None,
        "percent": deposit.percent if deposit.kind is DepositKind.PERCENT else None,
    }
