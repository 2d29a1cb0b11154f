"""What a vendor's manager may say: request models, and the way from JSON to the domain's facts.

Shape is checked here: types, lengths, bounds of single fields. What only a whole vendor can get wrong (a step that no
clock fits, a combination of unknown tables) is decided by the domain.
"""

from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from domain.command import VendorChanges
from domain.ids import VendorId
from domain.money import Money
from domain.vendor import (
    Approval,
    Closure,
    Deposit,
    DepositKind,
    Location,
    Policy,
    SeatGroup,
    Service,
    StayRules,
    TurnTime,
    Vendor,
    VendorKind,
)
from serve_app.errors import FieldError
from serve_app.fields import (
    AmountMinor,
    Count,
    Currency,
    Day,
    Email,
    Given,
    Line,
    LongText,
    MoneyGiven,
    Name,
    Password,
    Percent,
    Phone,
    Strict,
    TimeOfDay,
    TimeZone,
)

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Weekdays = Annotated[list[Weekday], Field(max_length=7)]
Tags = Annotated[list[Name], Field(max_length=100)]

SEAT_GROUPS_MAX: Final = 2000
_MINUTES_MAX: Final = 366 * 24 * 60


class ClosureGiven(Strict):
    first: Day = Field(alias="from")
    last: Day = Field(alias="to")
    reason: Line | None = None

    @field_validator("last")
    @classmethod
    def _in_order(cls, last: date, info: ValidationInfo) -> date:
        first = info.data.get("first")
        if first is not None and last < first:
            raise PydanticCustomError("order", "Input should not be before from")
        return last


Closures = Annotated[list[ClosureGiven], Field(max_length=1000)]


class LocationGiven(Strict):
    lat: Annotated[float, Field(ge=-90, le=90)]
    lon: Annotated[float, Field(ge=-180, le=180)]


class SeatGiven(Strict):
    name: Name
    seat_type: Name
    capacity_min: Count
    capacity_max: Count
    quantity: Annotated[int, Field(ge=1, le=10_000)] | None = None
    price: MoneyGiven | None = None
    closures: Closures | None = None

    @field_validator("capacity_max")
    @classmethod
    def _in_order(cls, capacity_max: int, info: ValidationInfo) -> int:
        if capacity_max < info.data.get("capacity_min", 0):
            raise PydanticCustomError("order", "Input should not be less than capacity_min")
        return capacity_max


class ServiceGiven(Strict):
    days: Annotated[list[Weekday], Field(min_length=1, max_length=7)]
    first: TimeOfDay
    last: TimeOfDay
    every_minutes: Annotated[int, Field(ge=1, le=24 * 60)]


class TurnGiven(Strict):
    party_max: Count
    minutes: Annotated[int, Field(ge=1, le=24 * 60)]


class StayGiven(Strict):
    min_nights: Annotated[int, Field(ge=1, le=365)] | None = None
    max_nights: Annotated[int, Field(ge=1, le=365)] | None = None
    closed_to_arrival: Weekdays | None = None
    closed_to_departure: Weekdays | None = None


class PacingGiven(Strict):
    covers_per_step: Count | None = None


class DepositGiven(Strict):
    kind: Literal["none", "per_booking", "per_person", "percent"]
    amount_minor: AmountMinor | None = None
    percent: Percent | None = None

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "DepositGiven":
        wants = {"none": None, "percent": "percent"}.get(self.kind, "amount_minor")
        for name, value in (("amount_minor", self.amount_minor), ("percent", self.percent)):
            if value is None and wants == name:
                raise PydanticCustomError("deposit", "A deposit {kind} needs {name}", {"kind": self.kind, "name": name})
            if value and wants != name:
                raise PydanticCustomError(
                    "deposit", "A deposit {kind} has no {name}", {"kind": self.kind, "name": name}
                )
        return self


class PolicyGiven(Strict):
    hold_ttl_seconds: Annotated[int, Field(ge=1, le=86_400)] | None = None
    deposit: DepositGiven | None = None
    cancel_before_hours: Annotated[int, Field(ge=0, le=24 * 366)] | None = None
    keep_on_late_cancel_percent: Percent | None = None
    book_ahead_days_max: Annotated[int, Field(ge=0, le=730)] | None = None
    book_ahead_minutes_min: Annotated[int, Field(ge=0, le=_MINUTES_MAX)] | None = None
    approval: Literal["automatic", "manual"] | None = None


Seats = Annotated[list[SeatGiven], Field(min_length=1, max_length=SEAT_GROUPS_MAX)]
Services = Annotated[list[ServiceGiven], Field(max_length=200)]
Turns = Annotated[list[TurnGiven], Field(max_length=100)]
Combinations = Annotated[list[Annotated[list[Name], Field(min_length=2, max_length=20)]], Field(max_length=1000)]


class _Optional(Strict):
    """What any vendor may leave out or clear with null."""

    description: LongText | None = None
    address: Line | None = None
    phone: Phone | None = None
    cuisines: Tags | None = None
    amenities: Tags | None = None
    services: Services | None = None
    turn_minutes: Turns | None = None
    combinations: Combinations | None = None
    check_in: TimeOfDay | None = None
    check_out: TimeOfDay | None = None
    stay: StayGiven | None = None
    pacing: PacingGiven | None = None
    closures: Closures | None = None


class CreateVendorBody(_Optional):
    email: Email
    password: Password
    kind: Literal["restaurant", "hotel"]
    name: Name
    city: Name
    location: LocationGiven
    time_zone: TimeZone
    currency: Currency
    seats: Seats
    policy: PolicyGiven | None = None


class UpdateVendorBody(_Optional):
    """What is left out stays as it is; lists and `policy` are replaced whole; null clears what may be empty."""

    kind: Given[Literal["restaurant", "hotel"]] = None
    name: Given[Name] = None
    city: Given[Name] = None
    location: Given[LocationGiven] = None
    time_zone: Given[TimeZone] = None
    currency: Given[Currency] = None
    seats: Given[Seats] = None
    policy: Given[PolicyGiven] = None


ONLY_RESTAURANTS: Final = ("cuisines", "services", "turn_minutes", "combinations", "pacing")
ONLY_HOTELS: Final = ("amenities", "check_in", "check_out", "stay")


def of_other_kind(body: _Optional, kind: VendorKind) -> list[FieldError]:
    """The fields that a vendor of this kind cannot have. An empty list says nothing and passes."""
    names, other = (ONLY_HOTELS, "hotel") if kind is VendorKind.RESTAURANT else (ONLY_RESTAURANTS, "restaurant")
    return [FieldError(name, f"Only a {other} has this") for name in names if getattr(body, name)]


def vendor_of(body: CreateVendorBody, vendor_id: VendorId, now: datetime) -> Vendor:
    """A vendor of version 1, its seats not yet numbered."""
    facts = _facts(body, body.model_fields_set)
    return Vendor(vendor_id=vendor_id, version=1, created_at=now, updated_at=now, **facts)


def changes_of(body: UpdateVendorBody) -> VendorChanges:
    """Only what the request gave, by the field names of `Vendor`. The kind never changes and is left out."""
    return _facts(body, body.model_fields_set - {"kind"})


def _facts(body: _Optional, given: set[str]) -> dict[str, Any]:
    """The given fields as the domain names and holds them."""
    facts: dict[str, Any] = {}
    for name in sorted(given - {"email", "password"}):
        value = getattr(body, name)
        if name == "pacing":
            facts["covers_per_step"] = None if value is None else value.covers_per_step
        elif value is None:
            facts[name] = _WHEN_NULL.get(name)
        else:
            facts[name] = _READERS[name](value) if name in _READERS else value
    return facts


def _closures(given: list[ClosureGiven]) -> tuple[Closure, ...]:
    return tuple(Closure(closure.first, closure.last, closure.reason) for closure in given)


def _weekdays(given: list[Weekday] | None) -> tuple[int, ...]:
    return tuple(sorted({WEEKDAYS.index(day) for day in given or ()}))


def _seat(given: SeatGiven) -> SeatGroup:
    return SeatGroup(
        given.name,
        given.seat_type,
        given.capacity_min,
        given.capacity_max,
        given.quantity or 1,
        None if given.price is None else Money(given.price.amount_minor, given.price.currency),
        _closures(given.closures or []),
    )


def _service(given: ServiceGiven) -> Service:
    return Service(_weekdays(given.days), given.first, given.last, given.every_minutes)


def _stay(given: StayGiven) -> StayRules:
    return StayRules(
        1 if given.min_nights is None else given.min_nights,
        365 if given.max_nights is None else given.max_nights,
        _weekdays(given.closed_to_arrival),
        _weekdays(given.closed_to_departure),
    )


def _policy(given: PolicyGiven) -> Policy:
    said = {name: value for name in given.model_fields_set if (value := getattr(given, name)) is not None}
    if given.approval is not None:
        said["approval"] = Approval(given.approval)
    if given.deposit is not None:
        deposit = given.deposit
        said["deposit"] = Deposit(DepositKind(deposit.kind), deposit.amount_minor or 0, deposit.percent or 0)
    return Policy(**said)


_READERS: Final[Mapping[str, Callable[[Any], Any]]] = MappingProxyType(
    {
        "kind": VendorKind,
        "location": lambda given: Location(given.lat, given.lon),
        "seats": lambda given: tuple(_seat(seat) for seat in given),
        "services": lambda given: tuple(_service(service) for service in given),
        "turn_minutes": lambda given: tuple(TurnTime(turn.party_max, turn.minutes) for turn in given),
        "combinations": lambda given: tuple(tuple(names) for names in given),
        "cuisines": tuple,
        "amenities": tuple,
        "closures": _closures,
        "stay": _stay,
        "policy": _policy,
    }
)
_WHEN_NULL: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "cuisines": (),
        "amenities": (),
        "services": (),
        "turn_minutes": (),
        "combinations": (),
        "closures": (),
        "check_in": time(15, 0),
        "check_out": time(11, 0),
        "stay": StayRules(),
        "policy": Policy(),
    }
)
