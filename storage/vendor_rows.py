"""A vendor as the JSON document in `vendor.facts`, and the rows that are unfolded from it for SQL to join."""

from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any, Final
from uuid import UUID

import orjson

from domain.ids import VendorId, seat_id_of
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

EVERY_DAY: Final = (0, 1, 2, 3, 4, 5, 6)


def vendor_json(vendor: Vendor) -> bytes:
    """Every field by its own name, seats as groups with their numbers."""
    return orjson.dumps(vendor)


def vendor_from_json(document: bytes | str) -> Vendor:
    """The exact inverse of `vendor_json`."""
    found: dict[str, Any] = orjson.loads(document)
    found |= {
        "vendor_id": VendorId(UUID(found["vendor_id"])),
        "kind": VendorKind(found["kind"]),
        "location": Location(**found["location"]),
        "seats": tuple(_seat_group(group) for group in found["seats"]),
        "created_at": datetime.fromisoformat(found["created_at"]),
        "updated_at": datetime.fromisoformat(found["updated_at"]),
        "policy": _policy(found["policy"]),
        "cuisines": tuple(found["cuisines"]),
        "amenities": tuple(found["amenities"]),
        "services": tuple(_service(service) for service in found["services"]),
        "turn_minutes": tuple(TurnTime(**turn) for turn in found["turn_minutes"]),
        "combinations": tuple(tuple(names) for names in found["combinations"]),
        "check_in": time.fromisoformat(found["check_in"]),
        "check_out": time.fromisoformat(found["check_out"]),
        "stay": _stay(found["stay"]),
        "closures": _closures(found["closures"]),
    }
    return Vendor(**found)


@dataclass(slots=True)
class SeatRows:
    """Columns of `vendor_seat`, one list each: what a vendor's groups unfold to, seat by seat."""

    seat_nos: list[int]
    seat_ids: list[UUID]
    names: list[str]
    seat_types: list[str]
    capacity_mins: list[int]
    capacity_maxs: list[int]
    prices_minor: list[int | None]

    def columns(self) -> tuple[list[Any], ...]:
        return (
            self.seat_nos,
            self.seat_ids,
            self.names,
            self.seat_types,
            self.capacity_mins,
            self.capacity_maxs,
            self.prices_minor,
        )


def seat_rows(vendor: Vendor, before: Vendor | None = None) -> SeatRows:
    """The vendor's seats; those alone that are new or look different when it is known how they were `before`."""
    rows = SeatRows([], [], [], [], [], [], [])
    stored = {} if before is None else {group.name: group for group in before.seats}
    for group in vendor.seats:
        known = stored.get(group.name)
        alike = known is not None and _looks(known) == _looks(group)
        unchanged = frozenset(known.seat_nos) if known is not None and alike else frozenset()
        for seat_no in group.seat_nos:
            if seat_no in unchanged:
                continue
            rows.seat_nos.append(seat_no)
            rows.seat_ids.append(seat_id_of(vendor.vendor_id, seat_no))
            rows.names.append(group.name)
            rows.seat_types.append(group.seat_type)
            rows.capacity_mins.append(group.capacity_min)
            rows.capacity_maxs.append(group.capacity_max)
            rows.prices_minor.append(group.price.amount_minor if group.price else None)
    return rows


def _looks(group: SeatGroup) -> tuple[object, ...]:
    """What rows of a group's seats say besides their numbers."""
    return group.name, group.seat_type, group.capacity_min, group.capacity_max, group.price


def seats_given_up(vendor: Vendor, before: Vendor) -> list[int]:
    """Numbers of the seats that the vendor had before and has no longer."""
    kept = {seat_no for group in vendor.seats for seat_no in group.seat_nos}
    return [seat_no for group in before.seats for seat_no in group.seat_nos if seat_no not in kept]


def datetimeslot_rows(vendor: Vendor) -> list[tuple[int, str, tuple[int, ...], time, time, int]]:
    """Rows of `vendor_datetimeslot`: (ordinal, slot_kind, days, first_at, last_at, every_minutes)."""
    if vendor.kind is VendorKind.HOTEL:
        return [(0, "night", EVERY_DAY, vendor.check_in, vendor.check_out, 1440)]
    return [
        (ordinal, "sitting", service.days, service.first, service.last, service.every_minutes)
        for ordinal, service in enumerate(vendor.services)
    ]


def _seat_group(found: dict[str, Any]) -> SeatGroup:
    found |= {
        "price": Money(**found["price"]) if found["price"] else None,
        "closures": _closures(found["closures"]),
        "seat_nos": tuple(found["seat_nos"]),
    }
    return SeatGroup(**found)


def _service(found: dict[str, Any]) -> Service:
    return Service(
        days=tuple(found["days"]),
        first=time.fromisoformat(found["first"]),
        last=time.fromisoformat(found["last"]),
        every_minutes=found["every_minutes"],
    )


def _policy(found: dict[str, Any]) -> Policy:
    deposit = found["deposit"]
    found |= {
        "deposit": Deposit(DepositKind(deposit["kind"]), deposit["amount_minor"], deposit["percent"]),
        "approval": Approval(found["approval"]),
    }
    return Policy(**found)


def _stay(found: dict[str, Any]) -> StayRules:
    found |= {
        "closed_to_arrival": tuple(found["closed_to_arrival"]),
        "closed_to_departure": tuple(found["closed_to_departure"]),
    }
    return StayRules(**found)


def _closures(found: list[dict[str, Any]]) -> tuple[Closure, ...]:
    return tuple(Closure(date.fromisoformat(c["first"]), date.fromisoformat(c["last"]), c["reason"]) for c in found)
