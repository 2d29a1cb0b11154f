"""What becomes of a vendor's creation and updates. Seats get lasting numbers, and no standing booking loses its seat."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields, replace
from datetime import datetime
from math import gcd
from typing import Any, Final

from domain.booking import Booking
from domain.command import CreateVendor, Role, UpdateVendor
from domain.event import VendorCreated, VendorUpdated
from domain.ids import SEAT_NO_MAX
from domain.local_time import zone_offsets
from domain.rejection import Reason, Rejection
from domain.slots import step_that_fits
from domain.vendor import SeatGroup, Vendor, VendorKind
from domain.vendor_rules import vendor_refusal

OWNED_BY_US: Final = frozenset({"vendor_id", "version", "created_at", "updated_at", "step_minutes", "next_seat_no"})
"""Fields of a vendor that no manager sets."""
CHANGEABLE: Final = frozenset(field.name for field in fields(Vendor)) - OWNED_BY_US

ANOTHER_VENDOR = Rejection(Reason.FORBIDDEN, "Only the vendor itself changes its facts.")
STALE = Rejection(Reason.VERSION_CONFLICT, "The vendor has changed since that version.")


def decide_create(command: CreateVendor, *, now: datetime) -> VendorCreated | Rejection:
    """Open a vendor: its seats are numbered from 1, its step is the longest that fits."""
    vendor = command.vendor
    refusal = vendor_refusal(vendor)
    if refusal is not None:
        return refusal
    step = _step_needed(vendor)
    if isinstance(step, Rejection):
        return step
    seats, next_seat_no = _numbered(vendor.seats, (), 1, frozenset())
    return VendorCreated(
        replace(
            vendor,
            version=1,
            seats=seats,
            next_seat_no=next_seat_no,
            step_minutes=step,
            created_at=now,
            updated_at=now,
        ),
        command.email.lower(),
        command.password_hash,
    )


def decide_update(
    vendor: Vendor, standing: Sequence[Booking], command: UpdateVendor, *, now: datetime
) -> VendorUpdated | Rejection:
    """Replace what was given. `standing` are the bookings that hold slots which end after now.

    The step only ever becomes finer: a coarser one would not fit the slots that were taken before.
    """
    if not may_update(command):
        return ANOTHER_VENDOR
    if command.expected_version is not None and command.expected_version != vendor.version:
        return STALE
    changes = command.changes
    refusal = _fixed_refusal(vendor, changes)
    if refusal is not None:
        return refusal
    given: dict[str, Any] = dict(changes)
    asked = replace(vendor, **given)
    refusal = vendor_refusal(asked)
    if refusal is not None:
        return refusal
    step = _step_needed(asked)
    if isinstance(step, Rejection):
        return step
    step = gcd(step, vendor.step_minutes)
    needed = {seat.seat_no for booking in standing for seat in booking.seats}
    seats, next_seat_no = _numbered(asked.seats, vendor.seats, vendor.next_seat_no, needed)
    if next_seat_no > SEAT_NO_MAX + 1:
        return Rejection(Reason.INVALID_REQUEST, "The vendor has used up its seat numbers.", "seats")
    stranded = _stranded(seats, standing) if "seats" in changes else ()
    if stranded:
        return Rejection(
            Reason.WOULD_STRAND_BOOKINGS, "Bookings need seats that this takes away or shrinks.", "seats", stranded
        )
    after = replace(
        asked, version=vendor.version + 1, seats=seats, next_seat_no=next_seat_no, step_minutes=step, updated_at=now
    )
    return VendorUpdated(after, vendor, rescaled=step != vendor.step_minutes)


def may_update(command: UpdateVendor) -> bool:
    caller = command.caller
    if caller.role is Role.VENDOR:
        return caller.account_id == command.vendor_id
    return caller.role in (Role.OPERATOR, Role.SYSTEM)


def _fixed_refusal(vendor: Vendor, changes: dict[str, object]) -> Rejection | None:
    for name, value in changes.items():
        if name not in CHANGEABLE:
            return Rejection(Reason.INVALID_REQUEST, "That is not for the vendor to change.", name)
        if name == "kind" and value != vendor.kind:
            return Rejection(Reason.INVALID_REQUEST, "A vendor stays a restaurant or a hotel.", name)
    return None


def _step_needed(vendor: Vendor) -> int | Rejection:
    if vendor.kind is VendorKind.HOTEL:
        return 0
    return step_that_fits(vendor.services, zone_offsets(vendor.time_zone))


def _numbered(
    groups: Iterable[SeatGroup], before: Iterable[SeatGroup], next_seat_no: int, needed: Collection[int]
) -> tuple[tuple[SeatGroup, ...], int]:
    """The groups with lasting numbers, those of before kept by name, and the first number still unused.

    A smaller quantity gives up seats that no standing booking needs, the youngest first.
    """
    known = {group.name: group.seat_nos for group in before}
    numbered: list[SeatGroup] = []
    for group in groups:
        kept = sorted(known.get(group.name, ()), key=lambda seat_no: (seat_no not in needed, seat_no))
        kept = sorted(kept[: group.quantity])
        fresh = range(next_seat_no, next_seat_no + group.quantity - len(kept))
        next_seat_no += len(fresh)
        numbered.append(replace(group, seat_nos=(*kept, *fresh)))
    return tuple(numbered), next_seat_no


def _stranded(groups: Iterable[SeatGroup], standing: Iterable[Booking]) -> tuple[Any, ...]:
    """Bookings of which a seat is gone, or whose seats together no longer take the party."""
    capacity_of = {seat_no: group.capacity_max for group in groups for seat_no in group.seat_nos}
    return tuple(
        booking.booking_id
        for booking in standing
        if any(seat.seat_no not in capacity_of for seat in booking.seats)
        or sum(capacity_of[seat.seat_no] for seat in booking.seats) < booking.party_size
    )
