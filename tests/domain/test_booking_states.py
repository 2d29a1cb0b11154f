"""How a booking moves from state to state, who may move it, and what it still holds then."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain.booking import Booking, BookingStatus
from domain.command import AmendBooking, Caller, ExpireHold, SetStatus, SettleEnded
from domain.decide import decide_change, may_change
from domain.event import (
    BookingAvailed,
    BookingCancelled,
    BookingConfirmed,
    BookingEvent,
    BookingNoShow,
    HoldExpired,
)
from domain.evolve import word_changes
from domain.money import Money
from domain.rejection import Reason, Rejection
from domain.vendor import Approval, Deposit, DepositKind, Policy
from tests.domain.desk import (
    GUEST,
    HOUSE,
    NOW,
    OPERATOR,
    OTHER_GUEST,
    OTHER_HOUSE,
    SYSTEM,
    Desk,
    hotel,
    reason,
    restaurant,
    room,
    table,
    utc,
)

MANUAL = Policy(approval=Approval.MANUAL)
DEPOSIT = Policy(deposit=Deposit(DepositKind.PER_BOOKING, 2000))
ILLEGAL = Reason.ILLEGAL_TRANSITION


def desk_with(status: str) -> tuple[Desk, Booking]:
    """A desk at the start of a booking that is in the status."""
    desk = Desk(restaurant(policy=replace(MANUAL, hold_ttl_seconds=86_400)), utc("24T11:00"))
    booking = desk.booked("24T12:00")
    if status not in ("BLOCKED", "EXPIRED", "CANCELLED"):
        booking = moved(desk, booking, "CONFIRMED")
    desk.wait(hours=1)
    if status == "EXPIRED":
        desk.wait(days=1)
        outcome = desk.expire(booking)
        assert isinstance(outcome, Booking)
        booking = outcome
    elif status not in ("BLOCKED", "CONFIRMED"):
        booking = moved(desk, booking, status)
    assert booking.status == status
    return desk, booking


def moved(desk: Desk, booking: Booking, status: str, **more: object) -> Booking:
    outcome = desk.mark(booking, status, **more)
    assert isinstance(outcome, Booking), outcome
    return outcome


ALLOWED = {
    ("BLOCKED", "CONFIRMED"),
    ("BLOCKED", "CANCELLED"),
    ("CONFIRMED", "CANCELLED"),
    ("CONFIRMED", "AVAILED"),
    ("CONFIRMED", "NO_SHOW"),
    ("NO_SHOW", "AVAILED"),
}


@pytest.mark.parametrize("target", ["CONFIRMED", "CANCELLED", "AVAILED", "NO_SHOW"])
@pytest.mark.parametrize("status", list(BookingStatus))
def test_every_transition(status: str, target: str) -> None:
    desk, booking = desk_with(status)
    outcome = desk.mark(booking, target)
    if (status, target) in ALLOWED:
        assert isinstance(outcome, Booking)
        assert (outcome.status, outcome.version) == (target, booking.version + 1)
        assert outcome.updated_at == desk.now
    else:
        expected = Reason.HOLD_EXPIRED if (status, target) == ("EXPIRED", "CONFIRMED") else ILLEGAL
        assert reason(outcome) is expected


@pytest.mark.parametrize("target", ["BLOCKED", "EXPIRED"])
@pytest.mark.parametrize("caller", [GUEST, OTHER_GUEST, HOUSE])
def test_nobody_sets_a_status_of_ours(target: str, caller: Caller) -> None:
    desk, booking = desk_with("CONFIRMED")
    refusal = desk.mark(booking, target, by=caller)
    assert isinstance(refusal, Rejection)
    assert (refusal.reason, refusal.path) == (Reason.INVALID_REQUEST, "status")


OK, FORBIDDEN, NOT_FOUND = None, Reason.FORBIDDEN, Reason.NOT_FOUND


@pytest.mark.parametrize(
    ("caller", "cancel", "confirm", "amend"),
    [
        (GUEST, OK, FORBIDDEN, OK),
        (OTHER_GUEST, NOT_FOUND, NOT_FOUND, NOT_FOUND),
        (HOUSE, OK, OK, FORBIDDEN),
        (OTHER_HOUSE, NOT_FOUND, NOT_FOUND, NOT_FOUND),
        (OPERATOR, OK, OK, FORBIDDEN),
        (SYSTEM, OK, OK, FORBIDDEN),
    ],
)
def test_who_may_what(caller: Caller, cancel: Reason | None, confirm: Reason | None, amend: Reason | None) -> None:
    desk = Desk(restaurant(policy=DEPOSIT))
    booking = desk.booked("24T19:00")
    commands = {
        SetStatus(booking.booking_id, caller, BookingStatus.CANCELLED): cancel,
        SetStatus(booking.booking_id, caller, BookingStatus.CONFIRMED): confirm,
        AmendBooking(booking.booking_id, caller, notes="window"): amend,
    }
    for command, expected in commands.items():
        assert reason(may_change(booking, command)) is expected
        assert reason(desk.event(command)) is expected


def test_the_shards_own_commands_need_nobodys_leave() -> None:
    booking = Desk(restaurant()).booked("24T19:00")
    assert may_change(booking, ExpireHold(booking.booking_id)) is None
    assert may_change(booking, SettleEnded(booking.booking_id)) is None


def test_who_comes_before_the_version_and_the_version_before_the_transition() -> None:
    desk, booking = desk_with("CANCELLED")
    stale = booking.version - 1
    assert reason(desk.mark(booking, "CANCELLED", by=OTHER_GUEST, expected_version=stale)) is NOT_FOUND
    assert reason(desk.mark(booking, "CANCELLED", by=GUEST, expected_version=stale)) is Reason.VERSION_CONFLICT
    assert reason(desk.amend(booking, party_size=99, expected_version=stale)) is Reason.VERSION_CONFLICT
    assert reason(desk.mark(booking, "CANCELLED", expected_version=booking.version)) is ILLEGAL


@pytest.mark.parametrize(
    ("policy", "party", "status", "deposit"),
    [
        (Policy(), 2, "CONFIRMED", None),
        (MANUAL, 2, "BLOCKED", None),
        (DEPOSIT, 2, "BLOCKED", 2000),
        (Policy(deposit=Deposit(DepositKind.PER_PERSON, 700)), 3, "BLOCKED", 2100),
        (Policy(deposit=Deposit(DepositKind.PER_PERSON, 0)), 3, "CONFIRMED", None),
    ],
)
def test_a_new_booking(policy: Policy, party: int, status: str, deposit: int | None) -> None:
    policy = replace(policy, hold_ttl_seconds=90, cancel_before_hours=3, keep_on_late_cancel_percent=40)
    booking = Desk(restaurant(policy=policy)).booked("24T19:00", party, notes="birthday")
    assert (booking.status, booking.version, booking.party_size) == (status, 1, party)
    assert booking.terms.deposit == (None if deposit is None else Money(deposit, "EUR"))
    assert (booking.terms.cancel_before_hours, booking.terms.keep_on_late_cancel_percent) == (3, 40)
    assert booking.hold_expires_at == (NOW + timedelta(seconds=90) if status == "BLOCKED" else None)
    assert (booking.created_at, booking.updated_at, booking.notes) == (NOW, NOW, "birthday")
    assert (booking.held_slot_count, booking.slot_count, booking.price) == (3, 3, None)
    assert booking.live


@pytest.mark.parametrize(
    ("percent", "price", "due"), [(30, 10_001, 6000), (33, 101, 66), (1, 49, None), (0, 10_000, None)]
)
def test_a_percentage_of_the_whole_stay_rounds_down(percent: int, price: int, due: int | None) -> None:
    policy = Policy(deposit=Deposit(DepositKind.PERCENT, percent=percent))
    booking = Desk(hotel(room("R", price=price), policy=policy)).booked(("24", "26"))
    assert booking.price == Money(2 * price, "EUR")
    assert booking.terms.deposit == (None if due is None else Money(due, "EUR"))


def test_the_price_is_all_rooms_and_nights_or_none() -> None:
    desk = Desk(hotel(room("R", quantity=3, price=5000), room("X", price=None, seat_type="attic")))
    assert desk.booked(("24", "27"), 4, quantity=2).price == Money(30_000, "EUR")
    assert desk.booked(("24", "27"), 2, seat_type="attic").price is None
    assert desk.booked(("24", "25"), 2, seat_type="double").price == Money(5000, "EUR")


def test_a_percentage_of_nothing_known_is_nothing() -> None:
    """The rules ask for a price on each seat; a booking must not fall over where there is none all the same."""
    desk = Desk(hotel(room("R", price=None)))
    desk.vendor = replace(desk.vendor, policy=Policy(deposit=Deposit(DepositKind.PERCENT, percent=20)))
    desk.reload()
    assert desk.booked(("24", "25")).terms.deposit is None


def test_a_hold_dies_at_its_time_and_not_before() -> None:
    desk = Desk(restaurant(policy=replace(MANUAL, hold_ttl_seconds=60)))
    booking = desk.booked("24T19:00")
    desk.wait(seconds=59.999)
    assert reason(desk.expire(booking)) is ILLEGAL
    assert reason(desk.hold("24T19:00")) is Reason.NO_AVAILABILITY
    desk.wait(seconds=0.001)
    for refused in (
        desk.mark(booking, "CONFIRMED"),
        desk.amend(booking, notes="late"),
        desk.amend(booking, party_size=3),
    ):
        assert reason(refused) is Reason.HOLD_EXPIRED
    assert reason(desk.mark(booking, "CANCELLED")) is ILLEGAL
    expired = desk.expire(booking)
    assert isinstance(expired, Booking)
    assert (expired.status, expired.held_slot_count) == ("EXPIRED", 0)
    assert desk.held(1) == set()
    assert reason(desk.hold("24T19:00")) is None
    assert reason(desk.expire(expired)) is ILLEGAL
    assert reason(desk.mark(expired, "CONFIRMED")) is Reason.HOLD_EXPIRED
    assert reason(desk.amend(expired, party_size=1)) is Reason.HOLD_EXPIRED


def test_a_confirmed_booking_does_not_expire() -> None:
    desk = Desk(restaurant())
    booking = desk.booked("24T19:00")
    desk.wait(days=60)
    assert reason(desk.expire(booking)) is ILLEGAL


@pytest.mark.parametrize(
    ("by", "hours_before", "late", "refused"),
    [
        (GUEST, 24.01, False, None),
        (GUEST, 24, True, None),
        (GUEST, 1, True, None),
        (GUEST, 0, None, Reason.PAST_CANCELLATION_DEADLINE),
        (GUEST, -1, None, Reason.PAST_CANCELLATION_DEADLINE),
        (HOUSE, 30, False, None),
        (HOUSE, 1, False, None),
        (HOUSE, -1, False, None),
        (OPERATOR, 1, False, None),
    ],
)
def test_cancelling(by: Caller, hours_before: float, late: bool | None, refused: Reason | None) -> None:
    desk = Desk(restaurant(policy=Policy(cancel_before_hours=24)))
    booking = desk.booked("24T19:00")
    desk.now = booking.starts_at - timedelta(hours=hours_before)
    event = desk.event(SetStatus(booking.booking_id, by, BookingStatus.CANCELLED, reason="ill"))
    assert reason(event) is refused
    if refused is None:
        assert isinstance(event, BookingCancelled)
        assert event.late is late
        assert event.booking.cancelled_late is late
        assert event.booking.cancel_reason == "ill"
        assert event.booking.held_slot_count == 0
        assert event.before == booking
        assert word_changes(event) == [(1, *word) for word in cleared(booking)]


def cleared(booking: Booking) -> list[tuple[int, int, int]]:
    mask = ((1 << booking.slot_count) - 1) << (booking.first_slot & 63)
    return [(booking.first_slot >> 6, mask, 0)]


def test_without_a_deadline_a_guest_cancels_for_nothing_until_the_start() -> None:
    desk = Desk(restaurant())
    booking = desk.booked("24T19:00")
    desk.now = booking.starts_at - timedelta(seconds=1)
    event = desk.event(SetStatus(booking.booking_id, GUEST, BookingStatus.CANCELLED))
    assert isinstance(event, BookingCancelled)
    assert not event.late


def test_the_terms_of_a_booking_are_those_it_was_made_under() -> None:
    desk = Desk(restaurant(policy=Policy(cancel_before_hours=2)))
    booking = desk.booked("24T19:00")
    desk.update(policy=Policy(cancel_before_hours=48))
    desk.now = booking.starts_at - timedelta(hours=3)
    event = desk.event(SetStatus(booking.booking_id, GUEST, BookingStatus.CANCELLED))
    assert isinstance(event, BookingCancelled)
    assert not event.late


def test_availed_at_any_time_and_the_seats_stay_taken() -> None:
    desk = Desk(restaurant())
    booking = moved(desk, desk.booked("24T19:00"), "AVAILED")
    assert booking.held_slot_count == 3
    assert reason(desk.hold("24T19:00")) is Reason.NO_AVAILABILITY


@pytest.mark.parametrize(
    ("bill", "status", "path"),
    [
        (Money(100, "EUR"), "NO_SHOW", "bill"),
        (Money(-1, "EUR"), "AVAILED", "bill.amount_minor"),
        (Money(1, "USD"), "AVAILED", "bill.currency"),
    ],
)
def test_a_bill_that_makes_no_sense(bill: Money, status: str, path: str) -> None:
    desk = Desk(restaurant())
    refusal = desk.mark(desk.booked("24T19:00"), status, bill=bill)
    assert isinstance(refusal, Rejection)
    assert (refusal.reason, refusal.path) == (Reason.INVALID_REQUEST, path)


def test_a_bill_is_in_the_currency_that_was_agreed_on() -> None:
    desk = Desk(hotel())
    booking = desk.booked(("24", "26"))
    assert booking.price is not None
    desk.update(currency="JPY", seats=tuple(replace(group, price=None) for group in hotel().seats))
    in_new = desk.mark(booking, "AVAILED", bill=Money(100, "JPY"))
    assert isinstance(in_new, Rejection)
    assert in_new.path == "bill.currency"
    in_old = desk.event(SetStatus(booking.booking_id, HOUSE, BookingStatus.AVAILED, bill=Money(100, "EUR")))
    assert isinstance(in_old, BookingAvailed)


def test_a_bill_goes_with_the_event() -> None:
    desk = Desk(restaurant())
    booking = desk.booked("24T19:00")
    event = desk.event(SetStatus(booking.booking_id, HOUSE, BookingStatus.AVAILED, bill=Money(4200, "EUR")))
    assert isinstance(event, BookingAvailed)
    assert event.bill_minor == event.booking.bill_minor == 4200
    assert moved(desk, booking, "AVAILED").bill_minor is None


def test_a_no_show_has_no_bill_and_gets_one_when_it_is_undone() -> None:
    desk = Desk(restaurant())
    booking = desk.booked("24T19:00")
    desk.now = booking.starts_at
    missing = moved(desk, booking, "NO_SHOW")
    assert missing.bill_minor is None
    assert moved(desk, missing, "AVAILED", bill=Money(4200, "EUR")).bill_minor == 4200


@pytest.mark.parametrize(
    ("minutes", "held"), [(0, 1), (29.99, 1), (30, 2), (59, 2), (60, 3), (89, 3), (90, 3), (100_000, 3)]
)
def test_a_no_show_keeps_the_slots_begun_and_frees_the_rest(minutes: float, held: int) -> None:
    desk = Desk(restaurant())
    booking = desk.booked("24T19:00")
    desk.now = booking.starts_at + timedelta(minutes=minutes)
    after = moved(desk, booking, "NO_SHOW")
    assert (after.held_slot_count, after.slot_count, after.no_show_at) == (held, 3, desk.now)
    assert desk.held(1) == set(range(booking.first_slot, booking.first_slot + held))


@pytest.mark.parametrize(
    ("when", "held"),
    [("24T15:00", 1), ("25T01:00", 1), ("25T14:59", 1), ("25T15:00", 2), ("26T20:00", 3), ("28T20:00", 3)],
)
def test_a_no_show_at_a_hotel_frees_the_nights_not_begun(when: str, held: int) -> None:
    desk = Desk(hotel())
    booking = desk.booked(("24", "27"))
    desk.now = utc(when)
    assert moved(desk, booking, "NO_SHOW").held_slot_count == held
    assert len(desk.held(1)) == held


def test_a_hotel_that_moved_its_check_in_time_still_counts_the_first_night() -> None:
    desk = Desk(hotel())
    booking = desk.booked(("24", "27"))
    desk.now = utc("24T15:00")
    desk.update(check_in=utc("24T18:00").time())
    assert moved(desk, booking, "NO_SHOW").held_slot_count == 1


def test_nobody_is_a_no_show_before_the_start() -> None:
    desk = Desk(restaurant())
    booking = desk.booked("24T19:00")
    desk.now = booking.starts_at - timedelta(seconds=1)
    assert reason(desk.mark(booking, "NO_SHOW")) is ILLEGAL


@pytest.mark.parametrize(("hours", "refused"), [(0, None), (23.9, None), (24, None), (24.01, ILLEGAL)])
def test_a_no_show_is_undone_within_a_day_and_takes_nothing_back(hours: float, refused: Reason | None) -> None:
    desk = Desk(restaurant(table("A")))
    booking = desk.booked("24T19:00")
    desk.now = booking.starts_at
    missing = moved(desk, booking, "NO_SHOW")
    assert reason(desk.hold("24T19:30")) is None
    desk.wait(hours=hours)
    outcome = desk.mark(missing, "AVAILED")
    assert reason(outcome) is refused
    if isinstance(outcome, Booking):
        assert (outcome.held_slot_count, outcome.no_show_at) == (1, None)
        assert len(desk.held(1)) == 4


def test_a_no_show_without_its_time_cannot_be_undone() -> None:
    desk, booking = desk_with("NO_SHOW")
    desk.bookings[booking.booking_id] = replace(booking, no_show_at=None)
    assert reason(desk.mark(booking, "AVAILED")) is ILLEGAL


def test_the_system_settles_what_nobody_marked() -> None:
    desk = Desk(restaurant())
    booking = desk.booked("24T19:00")
    desk.now = booking.ends_at - timedelta(seconds=1)
    assert reason(desk.settle(booking)) is ILLEGAL
    desk.now = booking.ends_at
    settled = desk.settle(booking)
    assert isinstance(settled, Booking)
    assert settled.status == "AVAILED"
    assert reason(desk.settle(settled)) is ILLEGAL


def test_events_are_named_for_what_happened() -> None:
    kinds: dict[tuple[str, str], type[BookingEvent]] = {
        ("BLOCKED", "CONFIRMED"): BookingConfirmed,
        ("CONFIRMED", "NO_SHOW"): BookingNoShow,
        ("NO_SHOW", "AVAILED"): BookingAvailed,
        ("BLOCKED", "CANCELLED"): BookingCancelled,
    }
    for (status, target), kind in kinds.items():
        desk, booking = desk_with(status)
        event = desk.event(SetStatus(booking.booking_id, HOUSE, BookingStatus(target)))
        assert type(event) is kind
        assert event.before == booking
    desk, booking = desk_with("BLOCKED")
    desk.wait(days=1)
    expired = decide_change(desk.state, booking, ExpireHold(booking.booking_id), now=desk.now)
    assert type(expired) is HoldExpired
