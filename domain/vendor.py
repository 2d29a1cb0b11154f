"""A vendor as its manager wrote it down: a restaurant with tables or a hotel with rooms.

These are plain facts, checked by `domain.vendor_rules` before they are believed. What a shard keeps in memory to
decide quickly is compiled from them: `domain.vendor_state`.
"""

from dataclasses import dataclass
from datetime import date, datetime, time
from enum import StrEnum

from domain.ids import VendorId
from domain.money import Money


class VendorKind(StrEnum):
    RESTAURANT = "restaurant"
    HOTEL = "hotel"


class DepositKind(StrEnum):
    NONE = "none"
    PER_BOOKING = "per_booking"
    PER_PERSON = "per_person"
    PERCENT = "percent"


class Approval(StrEnum):
    AUTOMATIC = "automatic"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class Location:
    """Degrees on WGS 84."""

    lat: float
    lon: float


@dataclass(frozen=True, slots=True)
class Closure:
    """Vendor-local dates, both ends included."""

    first: date
    last: date
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class SeatGroup:
    """Seats that are alike: `quantity` of them, each with its own lasting number in `seat_nos`.

    Before the vendor was decided on, `seat_nos` is empty: `decide` gives the numbers. `price` is per night for rooms.
    """

    name: str
    seat_type: str
    capacity_min: int
    capacity_max: int
    quantity: int = 1
    price: Money | None = None
    closures: tuple[Closure, ...] = ()
    seat_nos: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Service:
    """When a party may sit down, in local time. `days` are weekdays, Monday 0. `last` before `first` runs past midnight."""

    days: tuple[int, ...]
    first: time
    last: time
    every_minutes: int


@dataclass(frozen=True, slots=True)
class TurnTime:
    """How many elapsed minutes a party of at most `party_max` sits."""

    party_max: int
    minutes: int


@dataclass(frozen=True, slots=True)
class StayRules:
    """`closed_to_arrival` and `closed_to_departure` are weekdays, Monday 0."""

    min_nights: int = 1
    max_nights: int = 365
    closed_to_arrival: tuple[int, ...] = ()
    closed_to_departure: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Deposit:
    """What a guest pays to be confirmed. `amount_minor` is in the vendor's currency; `percent` is of the price."""

    kind: DepositKind = DepositKind.NONE
    amount_minor: int = 0
    percent: int = 0


@dataclass(frozen=True, slots=True)
class Policy:
    hold_ttl_seconds: int = 600
    deposit: Deposit = Deposit()
    cancel_before_hours: int = 0
    keep_on_late_cancel_percent: int = 0
    book_ahead_days_max: int = 365
    book_ahead_minutes_min: int = 0
    approval: Approval = Approval.AUTOMATIC


@dataclass(frozen=True, slots=True)
class Vendor:
    """Everything a manager can say of a vendor.

    `step_minutes` is the length of a restaurant's slot, computed by `decide` from services, intervals and zone; a
    hotel's slot is a night and its `step_minutes` is 0. `next_seat_no` is the first seat number never yet given.
    """

    vendor_id: VendorId
    version: int
    kind: VendorKind
    name: str
    city: str
    location: Location
    time_zone: str
    currency: str
    seats: tuple[SeatGroup, ...]
    created_at: datetime
    updated_at: datetime
    policy: Policy = Policy()
    description: str | None = None
    address: str | None = None
    phone: str | None = None
    cuisines: tuple[str, ...] = ()
    amenities: tuple[str, ...] = ()
    services: tuple[Service, ...] = ()
    turn_minutes: tuple[TurnTime, ...] = ()
    combinations: tuple[tuple[str, ...], ...] = ()
    check_in: time = time(15, 0)
    check_out: time = time(11, 0)
    stay: StayRules = StayRules()
    covers_per_step: int | None = None
    closures: tuple[Closure, ...] = ()
    step_minutes: int = 0
    next_seat_no: int = 1
