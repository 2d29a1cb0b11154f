"""A vendor's desk to play at: small houses, commands in short form, and events applied as a shard would."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import count
from uuid import UUID

from domain.booking import Booking, BookingStatus
from domain.command import (
    AmendBooking,
    BookingCommand,
    Caller,
    CreateVendor,
    ExpireHold,
    PlaceHold,
    Role,
    SetStatus,
    SettleEnded,
    SittingTime,
    StayDates,
    UpdateVendor,
)
from domain.decide import decide_change, decide_hold
from domain.decide_vendor import capacities, decide_create, decide_update, seats_at_stake, would_strand
from domain.event import BookingEvent, VendorCreated, VendorUpdated
from domain.evolve import evolve, word_changes
from domain.ids import BookingId, UserId, VendorId, booking_id_from, vendor_id_from
from domain.money import Money
from domain.rejection import Reason, Rejection
from domain.rescale import rescale_words
from domain.vendor import Location, SeatGroup, Service, TurnTime, Vendor, VendorKind
from domain.vendor_state import VendorState
from tests.fakes.stranding import seats_in_use, stranded

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)  # a Monday
EVERY_DAY = (0, 1, 2, 3, 4, 5, 6)
VENDOR_ID: VendorId = vendor_id_from(0xABC << 116)
GUEST = Caller(Role.USER, UUID(int=1))
OTHER_GUEST = Caller(Role.USER, UUID(int=2))
HOUSE = Caller(Role.VENDOR, VENDOR_ID)
OTHER_HOUSE = Caller(Role.VENDOR, UUID(int=3))
OPERATOR = Caller(Role.OPERATOR, UUID(int=0))
SYSTEM = Caller(Role.SYSTEM, UUID(int=0))

_numbers = count(1)


def table(name: str, most: int = 4, least: int = 1, **more: object) -> SeatGroup:
    return SeatGroup(name, str(more.pop("seat_type", "table")), least, most, **more)


def room(name: str, most: int = 2, least: int = 1, price: int | None = 10_000, **more: object) -> SeatGroup:
    seat_type = str(more.pop("seat_type", "double"))
    return SeatGroup(name, seat_type, least, most, price=None if price is None else Money(price, "EUR"), **more)


def service(first: str = "12:00", last: str = "22:00", every: int = 30, days: tuple[int, ...] = EVERY_DAY) -> Service:
    return Service(days, time.fromisoformat(first), time.fromisoformat(last), every)


def restaurant(*seats: SeatGroup, **changes: object) -> Vendor:
    """Daily 12:00 to 22:00 in Reykjavik, whose clock is UTC, every 30 minutes, sittings of 90."""
    vendor = Vendor(
        vendor_id=VENDOR_ID,
        version=1,
        kind=VendorKind.RESTAURANT,
        name="Chez Nous",
        city="Reykjavik",
        location=Location(64.1, -21.9),
        time_zone="Atlantic/Reykjavik",
        currency="EUR",
        seats=seats or (table("T1"),),
        created_at=NOW,
        updated_at=NOW,
        services=(service(),),
        turn_minutes=(TurnTime(100, 90),),
    )
    return replace(vendor, **changes)


def hotel(*seats: SeatGroup, **changes: object) -> Vendor:
    vendor = restaurant(*(seats or (room("R1"),)), kind=VendorKind.HOTEL, services=(), turn_minutes=())
    return replace(vendor, **changes)


def opened(vendor: Vendor, now: datetime = NOW) -> Vendor:
    event = decide_create(CreateVendor(vendor, "a@example.org", "hash"), now=now)
    assert isinstance(event, VendorCreated), event
    return event.vendor


def at(text: str) -> datetime:
    """`24T19:00` in December 2026, or a full ISO time; without an offset it is the vendor's local time."""
    return datetime.fromisoformat(text if text[2] != "T" else f"2026-12-{text}")


def utc(text: str) -> datetime:
    return at(text).replace(tzinfo=UTC)


def day(text: str) -> date:
    return date.fromisoformat(text if len(text) > 2 else f"2026-12-{text}")


class Desk:
    """Decides on a fork, applies what was decided, and keeps the words as a database would, guard included."""

    def __init__(self, vendor: Vendor, now: datetime = NOW) -> None:
        self.now = now
        self.vendor = opened(vendor, now)
        self.state = VendorState.of(self.vendor, (), {})
        self.words: dict[tuple[int, int], int] = {}
        self.bookings: dict[BookingId, Booking] = {}

    def hold(
        self,
        when: str | tuple[str, str],
        party: int = 2,
        *,
        by: Caller = GUEST,
        seat_type: str | None = None,
        quantity: int = 1,
        **more: object,
    ) -> Booking | Rejection:
        asked = SittingTime(at(when)) if isinstance(when, str) else StayDates(day(when[0]), day(when[1]))
        command = PlaceHold(
            booking_id_from(VENDOR_ID, next(_numbers)), VENDOR_ID, by, party, asked, seat_type, quantity, **more
        )
        return self._apply(decide_hold(self.state.fork(), command, now=self.now))

    def booked(self, when: str | tuple[str, str], party: int = 2, **more: object) -> Booking:
        booking = self.hold(when, party, **more)
        assert isinstance(booking, Booking), booking
        return booking

    def amend(self, booking: Booking, *, by: Caller = GUEST, **fields: object) -> Booking | Rejection:
        for name in ("starts_at",):
            if isinstance(fields.get(name), str):
                fields[name] = at(str(fields[name]))
        for name in ("check_in", "check_out"):
            if isinstance(fields.get(name), str):
                fields[name] = day(str(fields[name]))
        return self.change(AmendBooking(booking.booking_id, by, **fields))

    def mark(
        self, booking: Booking, status: BookingStatus | str, *, by: Caller = HOUSE, **more: object
    ) -> Booking | Rejection:
        return self.change(SetStatus(booking.booking_id, by, BookingStatus(status), **more))

    def expire(self, booking: Booking) -> Booking | Rejection:
        return self.change(ExpireHold(booking.booking_id))

    def settle(self, booking: Booking) -> Booking | Rejection:
        return self.change(SettleEnded(booking.booking_id))

    def change(self, command: BookingCommand) -> Booking | Rejection:
        return self._apply(self.event(command))

    def event(self, command: BookingCommand) -> BookingEvent | Rejection:
        return decide_change(self.state, self.bookings[command.booking_id], command, now=self.now)

    def update(
        self, *, by: Caller = HOUSE, expected_version: int | None = None, **changes: object
    ) -> Vendor | Rejection:
        command = UpdateVendor(VENDOR_ID, by, changes, expected_version)
        event = self.sparing(command)
        if isinstance(event, Rejection):
            return event
        assert isinstance(event, VendorUpdated)
        assert event.rescaled == (event.before.step_minutes != event.vendor.step_minutes)
        self.vendor = event.vendor
        if event.rescaled:
            rows = [(seat_no, word, mask) for (seat_no, word), mask in self.words.items()]
            finer = rescale_words(rows, event.before.step_minutes, event.vendor.step_minutes)
            self.words = {(seat_no, word): mask for seat_no, word, mask in finer}
        self.reload()
        return event.vendor

    def sparing(self, command: UpdateVendor) -> VendorUpdated | Rejection:
        """As a shard does it: the second look is only taken where seats are at stake."""
        event = decide_update(self.vendor, command, now=self.now)
        at_stake = frozenset() if isinstance(event, Rejection) else seats_at_stake(event)
        needed = seats_in_use(self.standing()) & at_stake
        if not needed:
            return event
        event = decide_update(self.vendor, command, now=self.now, needed=needed)
        if isinstance(event, Rejection):
            return event
        lost = stranded(self.standing(), capacities(event.vendor))
        return would_strand(lost) if lost else event

    def reload(self) -> None:
        """Load the vendor anew from what the database would hold, as a shard does after an update."""
        covers: dict[int, int] = {}
        for booking in self.bookings.values():
            if booking.held_slot_count and self.vendor.step_minutes:
                slot = booking.first_slot * booking.step_minutes // self.vendor.step_minutes
                covers[slot] = covers.get(slot, 0) + booking.party_size
        words = [(seat_no, word, mask) for (seat_no, word), mask in self.words.items()]
        self.state = VendorState.of(self.vendor, words, covers)

    def standing(self) -> list[Booking]:
        return [b for b in self.bookings.values() if b.held_slot_count and b.ends_at > self.now]

    def wait(self, **time_passed: float) -> None:
        self.now += timedelta(**time_passed)

    def held(self, seat_no: int) -> set[int]:
        """The slots that memory and the words agree are taken of a seat."""
        stored = {
            word * 64 + bit
            for (number, word), mask in self.words.items()
            for bit in range(64)
            if number == seat_no and mask >> bit & 1
        }
        position = self.state.facts.plan.position_of(seat_no)
        assert position is not None
        remembered = {
            word * 64 + bit
            for word, column in self.state.columns.items()
            for bit in range(64)
            if column[position] >> bit & 1
        }
        assert stored == remembered
        return stored

    def _apply(self, event: BookingEvent | Rejection) -> Booking | Rejection:
        if isinstance(event, Rejection):
            return event
        apply_words(self.words, word_changes(event))
        fork = self.state.fork()
        evolve(fork, event)
        self.state.merge(fork)
        self.bookings[event.booking.booking_id] = event.booking
        return event.booking


def apply_words(words: dict[tuple[int, int], int], changes: Iterable[tuple[int, int, int, int]]) -> None:
    """The guard's SQL in small: what is cleared was set, what is set was clear."""
    changes = list(changes)
    assert changes == sorted(changes)
    for seat_no, word, clear, set_ in changes:
        mask = words.get((seat_no, word), 0)
        assert mask & clear == clear, "clears what nobody held"
        assert mask & ~clear & set_ == 0, "sold twice"
        assert 0 < clear | set_ < 1 << 64
        words[seat_no, word] = mask & ~clear | set_


def seat_names(outcome: Booking | Rejection) -> list[str]:
    assert isinstance(outcome, Booking), outcome
    return sorted(seat.name for seat in outcome.seats)


def reason(outcome: object) -> Reason | None:
    """Why it was refused, or None if it was not."""
    return outcome.reason if isinstance(outcome, Rejection) else None


def user_id(caller: Caller) -> UserId:
    return UserId(caller.account_id)
