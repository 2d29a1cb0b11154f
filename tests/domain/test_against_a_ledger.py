"""`decide` and `evolve` against a dumb ledger of (seat, slot) pairs, for as long as Hypothesis can think of commands.

The ledger knows nothing of words, columns, classes or tiers: it looks at every seat and every slot, one by one.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from domain.booking import Booking, BookingStatus
from domain.command import AmendBooking, SetStatus
from domain.event import BookingEvent
from domain.ids import BookingId
from domain.money import Money
from domain.rejection import Reason, Rejection
from domain.vendor import Approval, Deposit, DepositKind, Policy, SeatGroup, TurnTime, Vendor, VendorKind
from domain.vendor_state import VendorState
from tests.domain.desk import GUEST, HOUSE, SYSTEM, Desk, at, hotel, reason, restaurant, room, service, table

Pair = tuple[int, int]
HELD = (BookingStatus.BLOCKED, BookingStatus.CONFIRMED, BookingStatus.AVAILED, BookingStatus.NO_SHOW)
DEPOSITS = (Deposit(DepositKind.NONE), Deposit(DepositKind.PER_BOOKING, 500), Deposit(DepositKind.PER_PERSON, 250))
OPEN = Policy(hold_ttl_seconds=3600, book_ahead_days_max=60, approval=Approval.MANUAL)

HOUSES: list[Vendor] = [
    restaurant(
        table("A", 2),
        table("B", 2),
        table("C", 4, 2),
        table("D", 4, seat_type="sofa"),
        table("E", 6, 3),
        combinations=(("A", "B"), ("C", "E"), ("A", "B", "C")),
        services=(service("16:00", "23:30", 30),),
        turn_minutes=(TurnTime(2, 60), TurnTime(4, 100), TurnTime(8, 120)),
        policy=OPEN,
        time_zone="Europe/Berlin",
        covers_per_step=12,
    ),
    restaurant(
        table("T", 4, quantity=5),
        services=(service("12:00", "01:00", 15),),
        turn_minutes=(TurnTime(9, 90),),
        time_zone="Asia/Kathmandu",
        policy=replace(OPEN, approval=Approval.AUTOMATIC),
    ),
    hotel(
        room("S", 1, price=4000),
        room("D", 2, quantity=3),
        room("F", 4, 2, seat_type="family"),
        room("G", 3, seat_type="family"),
        policy=OPEN,
        time_zone="America/New_York",
    ),
]

Bookings: Bundle[BookingId] = Bundle("bookings")
days = st.integers(0, 5)
parties = st.integers(1, 12)


class LedgerMachine(RuleBasedStateMachine):
    """`asked` is each booking's deposit with the version that set it, and what has become of it, told in plain words."""

    desk: Desk
    asked: dict[BookingId, tuple[Money | None, int]]
    became: dict[BookingId, str]

    @initialize(house=st.integers(0, len(HOUSES) - 1))
    def open_house(self, house: int) -> None:
        self.desk = Desk(HOUSES[house])
        self.asked, self.became = {}, {}

    @rule(
        target=Bookings,
        day=days,
        step=st.integers(0, 40),
        nights=st.integers(1, 4),
        party=parties,
        rooms=st.integers(1, 3),
    )
    def place(self, day: int, step: int, nights: int, party: int, rooms: int) -> Any:
        taken = self.taken()
        hotel_ = self.desk.vendor.kind is VendorKind.HOTEL
        when = self.nights(day, nights) if hotel_ else self.time(day, step)
        outcome = self.desk.hold(when, party, quantity=rooms if hotel_ else 1)
        if isinstance(outcome, Rejection):
            if outcome.reason is Reason.NO_AVAILABILITY and not hotel_:
                self.nothing_fits(when, party, taken)
            return multiple()
        assert not self.pairs(outcome) & taken, "sold twice"
        self.fits(outcome)
        self.asked[outcome.booking_id] = (outcome.terms.deposit, 1 if outcome.terms.deposit else 0)
        self.became[outcome.booking_id] = "open"
        if len(outcome.seats) == 1 and not hotel_:
            self.is_the_best_seat(outcome, taken)
        return outcome.booking_id

    @rule(
        booking_id=Bookings,
        day=days,
        step=st.integers(0, 40),
        nights=st.integers(1, 4),
        party=st.none() | parties,
        move=st.booleans(),
    )
    def amend(self, booking_id: BookingId, day: int, step: int, nights: int, party: int | None, move: bool) -> None:
        fields: dict[str, Any] = {"party_size": party}
        if move and self.desk.vendor.kind is VendorKind.HOTEL:
            fields["check_in"], fields["check_out"] = (date.fromisoformat(one) for one in self.nights(day, nights))
        elif move:
            fields["starts_at"] = datetime.fromisoformat(self.time(day, step))
        before = self.desk.bookings[booking_id]
        others = self.taken() - self.pairs(before)
        outcome = self.desk.change(AmendBooking(booking_id, GUEST, **fields))
        if isinstance(outcome, Rejection):
            assert self.desk.bookings[booking_id] == before
        else:
            deposit, _ = self.asked[booking_id]
            now, then = (
                (booking.party_size, booking.starts_at, booking.ends_at, len(booking.seats))
                for booking in (outcome, before)
            )
            moved = now != then
            unpaid = before.status is BookingStatus.BLOCKED and self.became[booking_id] == "open"
            if outcome.terms.deposit != deposit or (moved and unpaid and deposit is not None):
                self.asked[booking_id] = (outcome.terms.deposit, outcome.version)
                if before.status is BookingStatus.BLOCKED:
                    self.became[booking_id] = "open"
            assert not self.pairs(outcome) & others, "sold twice"
            if moved:
                self.fits(outcome)

    @rule(booking_id=Bookings, status=st.sampled_from(["CONFIRMED", "CANCELLED", "AVAILED", "NO_SHOW"]))
    def mark(self, booking_id: BookingId, status: str) -> None:
        before = self.desk.bookings[booking_id]
        outcome = self.desk.change(SetStatus(booking_id, HOUSE, BookingStatus(status)))
        if isinstance(outcome, Booking):
            if status == "CONFIRMED" and before.terms.deposit is not None and self.became[booking_id] == "open":
                self.became[booking_id] = "waived"
            assert self.pairs(outcome) <= self.pairs(before)
            assert bool(self.pairs(outcome)) == (status != "CANCELLED" and bool(self.pairs(before)))

    @rule(booking_id=Bookings, late=st.sampled_from([False, False, False, True]))
    def pay(self, booking_id: BookingId, late: bool) -> None:
        """The deposit came, for the booking as it stands or as it stood."""
        before = self.desk.bookings[booking_id]
        version = before.version - 1 if late else before.version
        outcome = self.desk.mark(before, BookingStatus.CONFIRMED, by=SYSTEM, expected_version=version)
        dead = before.hold_expires_at is not None and before.hold_expires_at <= self.desk.now
        waits = before.status is BookingStatus.BLOCKED and not dead and not late
        assert isinstance(outcome, Booking) == (
            waits and before.terms.deposit is not None and self.became[booking_id] == "open"
        )
        if isinstance(outcome, Booking):
            self.became[booking_id] = "paid"
            assert outcome.status == ("BLOCKED" if before.terms.by_hand else "CONFIRMED")
            assert self.pairs(outcome) == self.pairs(before)

    @rule(deposit=st.sampled_from(DEPOSITS), by_hand=st.booleans())
    def change_policy(self, deposit: Deposit, by_hand: bool) -> None:
        approval = Approval.MANUAL if by_hand else Approval.AUTOMATIC
        policy = replace(self.desk.vendor.policy, deposit=deposit, approval=approval)
        assert not isinstance(self.desk.update(policy=policy), Rejection)

    @rule(booking_id=consumes(Bookings))
    def expire(self, booking_id: BookingId) -> None:
        before = self.desk.bookings[booking_id]
        outcome = self.desk.expire(before)
        due = before.status is BookingStatus.BLOCKED and before.hold_expires_at is not None
        assert isinstance(outcome, Booking) == (due and before.hold_expires_at <= self.desk.now)

    @rule(minutes=st.sampled_from([1, 30, 61, 600, 2000]))
    def wait(self, minutes: int) -> None:
        self.desk.wait(minutes=minutes)

    @rule()
    def reload(self) -> None:
        self.desk.reload()

    @rule(every=st.sampled_from([5, 15, 30]))
    def change_hours(self, every: int) -> None:
        if self.desk.vendor.kind is VendorKind.RESTAURANT:
            outcome = self.desk.update(
                services=tuple(replace(one, every_minutes=every) for one in self.desk.vendor.services)
            )
            assert not isinstance(outcome, Rejection)

    @rule(quantity=st.integers(1, 5))
    def change_seats(self, quantity: int) -> None:
        seats = tuple(replace(g, quantity=quantity) if g.quantity > 1 else g for g in self.desk.vendor.seats)
        needed = {seat.seat_no for booking in self.desk.standing() for seat in booking.seats}
        outcome = self.desk.update(seats=seats)
        if isinstance(outcome, Rejection):
            assert outcome.reason is Reason.WOULD_STRAND_BOOKINGS
        else:
            assert needed <= {number for group in outcome.seats for number in group.seat_nos}

    @invariant()
    def words_are_what_bookings_hold(self) -> None:
        if not hasattr(self, "desk"):
            return
        step = self.desk.vendor.step_minutes
        held: list[Pair] = []
        for booking in self.desk.bookings.values():
            assert (booking.held_slot_count > 0) == (booking.status in HELD)
            held += finer(booking, step)
        assert len(held) == len(set(held)), "two bookings hold one seat and slot"
        assert {
            (number, slot) for (number, word), mask in self.desk.words.items() for slot in slots_of(word, mask)
        } == set(held)
        assert remembered(self.desk.state) == {pair for pair in held if pair[0] in self.desk.state.facts.plan.seat_nos}

    @invariant()
    def deposits_are_as_they_were_agreed_on(self) -> None:
        if not hasattr(self, "desk"):
            return
        for booking in self.desk.bookings.values():
            terms, became = booking.terms, self.became[booking.booking_id]
            assert (terms.deposit, terms.deposit_version) == self.asked[booking.booking_id]
            assert (booking.deposit_paid, booking.deposit_waived) == (became == "paid", became == "waived")
            if booking.status is BookingStatus.BLOCKED:
                # Never is a hold left that waits for nothing: no deposit to come, no vendor to ask.
                assert terms.by_hand or (terms.deposit is not None and became == "open")
            assert booking.bill_minor is None or booking.status is BookingStatus.AVAILED
            assert not booking.cancelled_late or booking.status is BookingStatus.CANCELLED

    @invariant()
    def the_pace_is_kept(self) -> None:
        if not hasattr(self, "desk") or self.desk.vendor.covers_per_step is None:
            return
        by_start: dict[datetime, int] = {}
        for booking in self.desk.bookings.values():
            if booking.held_slot_count:
                by_start[booking.starts_at] = by_start.get(booking.starts_at, 0) + booking.party_size
        assert max(by_start.values(), default=0) <= self.desk.vendor.covers_per_step
        step = self.desk.vendor.step_minutes
        assert {slot: n for slot, n in self.desk.state.covers.items() if n} == {
            int(starts_at.timestamp()) // 60 // step: n for starts_at, n in by_start.items()
        }

    def time(self, day: int, step: int) -> str:
        return (at("01T16:00") + timedelta(days=day, minutes=15 * step)).isoformat()

    def nights(self, day: int, nights: int) -> tuple[str, str]:
        first = date(2026, 12, 1) + timedelta(days=day)
        return first.isoformat(), (first + timedelta(days=nights)).isoformat()

    def taken(self) -> set[Pair]:
        step = self.desk.vendor.step_minutes
        return {pair for booking in self.desk.bookings.values() for pair in finer(booking, step)}

    def pairs(self, booking: Booking) -> set[Pair]:
        return set(finer(booking, self.desk.vendor.step_minutes))

    def seats(self) -> Iterable[tuple[int, SeatGroup]]:
        return ((number, group) for group in self.desk.vendor.seats for number in group.seat_nos)

    def fits(self, booking: Booking) -> None:
        groups = dict(self.seats())
        chosen = [groups[seat.seat_no] for seat in booking.seats]
        assert booking.party_size <= sum(group.capacity_max for group in chosen)
        if len(chosen) == 1 or booking.kind is VendorKind.HOTEL:
            assert booking.party_size >= sum(group.capacity_min for group in chosen)
            assert len({group.seat_type for group in chosen}) == 1
        else:
            assert frozenset(group.name for group in chosen) in map(frozenset, self.desk.vendor.combinations)
        assert len({seat.seat_no for seat in booking.seats}) == len(booking.seats)

    def nothing_fits(self, when: str | tuple[str, str], party: int, taken: set[Pair]) -> None:
        """Refused for want of a seat: try the same on an empty house, and see each place it could have had taken."""
        if self.desk.vendor.covers_per_step is not None:
            return
        empty = Desk(self.desk.vendor, self.desk.now)
        trial = empty.booked(when, party)
        slots = {slot for _, slot in finer(trial, self.desk.vendor.step_minutes)}
        for number, group in self.seats():
            if group.capacity_min <= party <= group.capacity_max:
                assert any((number, slot) in taken for slot in slots)

    def is_the_best_seat(self, booking: Booking, taken: set[Pair]) -> None:
        slots = {slot for _, slot in finer(booking, self.desk.vendor.step_minutes)}
        ranks = {
            number: (group.capacity_max, gap(number, slots, taken))
            for number, group in self.seats()
            if group.capacity_min <= booking.party_size <= group.capacity_max
            and not any((number, slot) in taken for slot in slots)
        }
        assert ranks[booking.seats[0].seat_no] == min(ranks.values())


def gap(number: int, slots: set[int], taken: set[Pair]) -> int:
    """Free slots next to the run on both sides, as far as the next word's end."""
    first, last = min(slots), max(slots)
    before = first
    while (number, before - 1) not in taken and before - 1 >= ((first >> 6) - 1) * 64:
        before -= 1
    after = last
    while (number, after + 1) not in taken and after + 1 < ((last >> 6) + 2) * 64:
        after += 1
    return first - before + after - last


def finer(booking: Booking, step: int) -> list[Pair]:
    scale = booking.step_minutes // step if step else 1
    slots = range(booking.first_slot * scale, (booking.first_slot + booking.held_slot_count) * scale)
    return [(seat.seat_no, slot) for seat in booking.seats for slot in slots]


def remembered(state: VendorState) -> set[Pair]:
    return {
        (number, slot)
        for word, column in state.columns.items()
        for number, mask in zip(state.facts.plan.seat_nos, column, strict=True)
        for slot in slots_of(word, mask)
    }


def slots_of(word: int, mask: int) -> Iterable[int]:
    while mask:
        lowest = mask & -mask
        yield word * 64 + lowest.bit_length() - 1
        mask ^= lowest


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(
    max_examples=200, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def test_the_machine_reaches_what_it_is_for() -> None:
    """Its houses really do sell out, combine tables and refuse by pace; else the machine would prove nothing."""
    for house, parties_, refused in ((HOUSES[0], (6, 6, 1), True), (HOUSES[1], (2,) * 6, True)):
        desk = Desk(house)
        outcomes = [desk.hold("2026-12-02T19:00", party) for party in parties_]
        assert (reason(outcomes[-1]) is Reason.NO_AVAILABILITY) == refused
    events: tuple[type, ...] = BookingEvent.__args__  # type: ignore[attr-defined]
    assert len(events) == 8
