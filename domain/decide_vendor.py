"""What becomes of a vendor's creation and updates. Seats get lasting numbers, and no standing booking loses its seat."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields, replace
from datetime import datetime
from math import gcd
from typing import Any, Final

from domain.command import CreateVendor, Role, UpdateVendor
from domain.event import VendorCreated, VendorUpdated
from domain.ids import SEAT_NO_MAX, BookingId
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
    vendor: Vendor, command: UpdateVendor, *, now: datetime, needed: Collection[int] = frozenset()
) -> VendorUpdated | Rejection:
    """Replace what was given. Seats whose numbers are in `needed` are kept before others where a group becomes smaller.

    Whether it is refused does not depend on `needed`. It may still leave a booking without its seat: `seats_at_stake`
    says where to look for such, and `would_strand` is the refusal. The step only ever becomes finer: a coarser one
    would not fit the slots that were taken before.
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
    seats, next_seat_no = vendor.seats, vendor.next_seat_no
    if "seats" in changes:
        seats, next_seat_no = _numbered(asked.seats, vendor.seats, vendor.next_seat_no, needed)
        if next_seat_no > SEAT_NO_MAX + 1:
            return Rejection(Reason.INVALID_REQUEST, "The vendor has used up its seat numbers.", "seats")
    after = replace(
        asked, version=vendor.version + 1, seats=seats, next_seat_no=next_seat_no, step_minutes=step, updated_at=now
    )
    return VendorUpdated(after, vendor, rescaled=step != vendor.step_minutes)


def seats_at_stake(updated: VendorUpdated) -> frozenset[int]:
    """Numbers of the seats before the update whose group is gone, has fewer seats, or takes smaller parties.

    Only on one of these can a standing booking lose its seat: every other seat is still there and takes as many.
    """
    if updated.vendor.seats is updated.before.seats:
        return frozenset()
    after = {group.name: group for group in updated.vendor.seats}
    return frozenset(
        seat_no for group in updated.before.seats if _loses(group, after.get(group.name)) for seat_no in group.seat_nos
    )


def capacities(vendor: Vendor) -> dict[int, int]:
    """The largest party that each seat takes, by its number."""
    return {seat_no: group.capacity_max for group in vendor.seats for seat_no in group.seat_nos}


def would_strand(bookings: Sequence[BookingId]) -> Rejection:
    """Standing bookings of which a seat would be gone, or whose seats together would no longer take the party."""
    detail = "Bookings need seats that this takes away or shrinks."
    return Rejection(Reason.WOULD_STRAND_BOOKINGS, detail, "seats", tuple(bookings))


def may_update(command: UpdateVendor) -> bool:
    caller = command.caller
    if caller.role is Role.VENDOR:
        return caller.account_id == command.vendor_id
    return caller.role in (Role.OPERATOR, Role.SYSTEM)


def _loses(before: SeatGroup, after: SeatGroup | None) -> bool:
    return after is None or after.quantity < before.quantity or after.capacity_max < before.capacity_max


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
