"""What the conformance suite needs of a database besides its `ShardStore`, for the real one and for the fake."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol

from domain.booking import BookedSeat, Booking, BookingStatus, Contact, Terms
from domain.event import BookingAmended, BookingCancelled, BookingConfirmed, BookingEvent, HoldPlaced
from domain.ids import BookingId, UserId, VendorId, booking_id_from
from domain.money import Money
from domain.vendor import SeatGroup, Vendor, VendorKind
from storage.shard_store import Batch, Lease, Owner, ShardStore, WordChange
from tests.fakes.houses import EVENING, OPENED, guest, restaurant

ACTOR = Owner("actor-1", "node-1", 11)
OTHER = Owner("actor-2", "node-2", 22)


class World(Protocol):
    """One database: `store` opens another connection to it."""

    def store(self) -> ShardStore: ...
    async def seed(self, shards: int) -> None: ...
    async def claim(self, shard_id: int, actor_id: str) -> None: ...
    async def move_bucket(self, bucket: int, to_shard: int) -> None: ...
    async def problems(self) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Backend:
    name: str
    world: Callable[[], Awaitable[World]]


def house(of: VendorId, *, tables: int = 3, step_minutes: int = 30, pace: int | None = None) -> Vendor:
    """A vendor as `decide` leaves it: seats numbered, step known."""
    vendor = restaurant(of)
    seats = (SeatGroup("T", "table", 1, 4, quantity=tables, seat_nos=tuple(range(1, tables + 1))),)
    return replace(vendor, seats=seats, step_minutes=step_minutes, next_seat_no=tables + 1, covers_per_step=pace)


def slot_at(hour: int = 18, step_minutes: int = 30) -> int:
    return int(EVENING.replace(hour=hour).timestamp()) // 60 // step_minutes


def booking(
    of: VendorId,
    number: int,
    *,
    first_slot: int | None = None,
    slots: int = 3,
    seats: tuple[int, ...] = (1,),
    status: BookingStatus = BookingStatus.CONFIRMED,
    user: int = 1,
    step_minutes: int = 30,
) -> Booking:
    first = slot_at() if first_slot is None else first_slot
    starts_at = OPENED.replace(year=1970, month=1, day=1, hour=0) + timedelta(minutes=first * step_minutes)
    return Booking(
        booking_id=booking_id_from(of, number),
        vendor_id=of,
        user_id=UserId(guest(user).account_id),
        kind=VendorKind.RESTAURANT,
        status=status,
        version=1,
        party_size=2,
        seats=tuple(BookedSeat(seat, f"T{seat}", "table") for seat in seats),
        step_minutes=step_minutes,
        first_slot=first,
        slot_count=slots,
        held_slot_count=slots,
        starts_at=starts_at,
        ends_at=starts_at + timedelta(minutes=slots * step_minutes),
        created_at=OPENED,
        updated_at=OPENED,
        terms=Terms(Money(500, "EUR"), 24, 50, deposit_version=1),
        hold_expires_at=OPENED + timedelta(minutes=10) if status is BookingStatus.BLOCKED else None,
        notes='by the window, "please" \\ ünïcode \U0001f600',
        contact=Contact(email="guest@example.org"),
        deposit_waived=status is not BookingStatus.BLOCKED,
    )


def words(booked: Booking, *, clear: bool = False) -> list[WordChange]:
    """The changes by which a booking takes all its bits, or gives them back."""
    found = []
    for seat in booked.seats:
        bits: dict[int, int] = {}
        for slot in range(booked.first_slot, booked.first_slot + booked.held_slot_count):
            bits[slot >> 6] = bits.get(slot >> 6, 0) | 1 << (slot & 63)
        for word, mask in sorted(bits.items()):
            found.append(WordChange(booked.vendor_id, seat.seat_no, word, mask if clear else 0, 0 if clear else mask))
    return found


def placing(lease: Lease, seq: int, *bookings: Booking) -> Batch:
    batch = Batch(lease, seq)
    for booked in bookings:
        batch.words += words(booked)
        batch.placed.append(booked)
        batch.events.append(HoldPlaced(booked))
    return batch


def confirmed(before: Booking) -> BookingConfirmed:
    after = replace(
        before,
        status=BookingStatus.CONFIRMED,
        version=before.version + 1,
        hold_expires_at=None,
        deposit_waived=before.terms.deposit is not None,
    )
    return BookingConfirmed(after, before)


def cancelled(before: Booking) -> BookingCancelled:
    after = replace(before, status=BookingStatus.CANCELLED, version=before.version + 1, held_slot_count=0)
    return BookingCancelled(after, before, late=True)


def moved(before: Booking, by_slots: int) -> BookingAmended:
    later = timedelta(minutes=by_slots * before.step_minutes)
    after = replace(
        before,
        version=before.version + 1,
        first_slot=before.first_slot + by_slots,
        starts_at=before.starts_at + later,
        ends_at=before.ends_at + later,
    )
    return BookingAmended(after, before)


def changing(lease: Lease, seq: int, *events: BookingEvent) -> Batch:
    """A batch of changes; a word that an event both clears and sets is one row, as `word_changes` makes it."""
    batch = Batch(lease, seq)
    for event in events:
        if event.before is None:
            raise ValueError("a change has a before")
        rows: dict[tuple[int, int], list[int]] = {}
        for change in words(event.before):
            rows.setdefault((change.seat_no, change.word), [0, 0])[0] = change.set
        for change in words(event.booking):
            rows.setdefault((change.seat_no, change.word), [0, 0])[1] = change.set
        if words(event.before) != words(event.booking):
            batch.words += [
                WordChange(event.booking.vendor_id, seat, word, clear, set_)
                for (seat, word), (clear, set_) in sorted(rows.items())
            ]
        batch.changed.append(event.booking)
        batch.events.append(event)
    return batch


def ids(bookings: "list[Booking] | tuple[Booking, ...]") -> list[BookingId]:
    return [booked.booking_id for booked in bookings]
