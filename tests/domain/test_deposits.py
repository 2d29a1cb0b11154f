"""What a booking says of its deposit: when it was agreed on, that it came or was waived, and what the house may keep."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain.booking import Booking, BookingStatus, Terms
from domain.command import AmendBooking, Caller, SetStatus
from domain.event import BookingAmended, BookingConfirmed, DepositPaid
from domain.evolve import word_changes
from domain.money import Money
from domain.rejection import Reason, Rejection
from domain.vendor import Approval, Deposit, DepositKind, Policy
from tests.domain.desk import GUEST, HOUSE, OPERATOR, SYSTEM, Desk, reason, restaurant, utc

EURO_20 = Deposit(DepositKind.PER_BOOKING, 2000)
PER_PERSON = Deposit(DepositKind.PER_PERSON, 500)
NONE = Deposit(DepositKind.NONE)
MANUAL, AUTOMATIC = Approval.MANUAL, Approval.AUTOMATIC
ILLEGAL = Reason.ILLEGAL_TRANSITION


def house(deposit: Deposit = EURO_20, approval: Approval = AUTOMATIC) -> Desk:
    return Desk(restaurant(policy=Policy(deposit=deposit, approval=approval)))


def done(outcome: Booking | Rejection) -> Booking:
    assert isinstance(outcome, Booking), outcome
    return outcome


def policed(desk: Desk, deposit: Deposit, approval: Approval = AUTOMATIC, **more: object) -> None:
    outcome = desk.update(policy=Policy(deposit=deposit, approval=approval), **more)
    assert not isinstance(outcome, Rejection), outcome


@pytest.mark.parametrize(
    ("deposit", "approval", "terms", "status"),
    [
        (NONE, AUTOMATIC, Terms(), "CONFIRMED"),
        (NONE, MANUAL, Terms(by_hand=True), "BLOCKED"),
        (EURO_20, AUTOMATIC, Terms(Money(2000, "EUR"), deposit_version=1), "BLOCKED"),
        (EURO_20, MANUAL, Terms(Money(2000, "EUR"), by_hand=True, deposit_version=1), "BLOCKED"),
    ],
)
def test_the_terms_of_a_new_booking(deposit: Deposit, approval: Approval, terms: Terms, status: str) -> None:
    booking = house(deposit, approval).booked("24T19:00")
    assert (booking.terms, booking.status) == (terms, status)
    assert (booking.deposit_paid, booking.deposit_waived, booking.cancelled_late, booking.bill_minor) == (
        False,
        False,
        False,
        None,
    )


@pytest.mark.parametrize("by", [HOUSE, OPERATOR])
@pytest.mark.parametrize(
    ("deposit", "approval", "paid", "status", "is_paid", "is_waived"),
    [
        (NONE, MANUAL, False, "CONFIRMED", False, False),
        (EURO_20, AUTOMATIC, False, "CONFIRMED", False, True),
        (EURO_20, MANUAL, False, "CONFIRMED", False, True),
        (EURO_20, MANUAL, True, "CONFIRMED", True, False),
    ],
)
def test_the_houses_confirm_waives_what_was_not_paid(
    by: Caller, deposit: Deposit, approval: Approval, paid: bool, status: str, is_paid: bool, is_waived: bool
) -> None:
    desk = house(deposit, approval)
    booking = desk.booked("24T19:00")
    if paid:
        booking = done(desk.mark(booking, "CONFIRMED", by=SYSTEM))
    event = desk.event(SetStatus(booking.booking_id, by, BookingStatus.CONFIRMED))
    assert isinstance(event, BookingConfirmed)
    after = event.booking
    assert (after.status, after.deposit_paid, after.deposit_waived) == (status, is_paid, is_waived)
    assert (after.terms, after.hold_expires_at) == (booking.terms, None)
    assert reason(desk.mark(done(desk.mark(booking, "CONFIRMED", by=by)), "CONFIRMED", by=SYSTEM)) is ILLEGAL


@pytest.mark.parametrize(
    ("deposit", "approval", "status", "refused"),
    [
        (NONE, MANUAL, None, ILLEGAL),
        (NONE, AUTOMATIC, None, ILLEGAL),
        (EURO_20, AUTOMATIC, "CONFIRMED", None),
        (EURO_20, MANUAL, "BLOCKED", None),
    ],
)
def test_the_deposit_came(deposit: Deposit, approval: Approval, status: str | None, refused: Reason | None) -> None:
    desk = house(deposit, approval)
    booking = desk.booked("24T19:00")
    outcome = desk.mark(booking, "CONFIRMED", by=SYSTEM, expected_version=1)
    assert reason(outcome) is refused
    if isinstance(outcome, Booking):
        assert (outcome.status, outcome.version) == (status, 2)
        assert (outcome.deposit_paid, outcome.deposit_waived) == (True, False)
        assert reason(desk.mark(booking, "CONFIRMED", by=SYSTEM, expected_version=1)) is Reason.VERSION_CONFLICT
        assert reason(desk.mark(booking, "CONFIRMED", by=SYSTEM)) is ILLEGAL


def test_paid_by_hand_it_is_the_same_hold_as_before() -> None:
    desk = house(approval=MANUAL)
    booking = desk.booked("24T19:00")
    desk.wait(seconds=1)
    event = desk.event(SetStatus(booking.booking_id, SYSTEM, BookingStatus.CONFIRMED))
    assert isinstance(event, DepositPaid)
    assert event.before == booking
    assert event.booking == replace(booking, version=2, updated_at=desk.now, deposit_paid=True)
    assert word_changes(event) == []


def test_paid_and_never_approved_it_expires() -> None:
    desk = house(approval=MANUAL)
    booking = done(desk.mark(desk.booked("24T19:00"), "CONFIRMED", by=SYSTEM))
    desk.wait(seconds=600)
    assert reason(desk.mark(booking, "CONFIRMED")) is Reason.HOLD_EXPIRED
    expired = done(desk.expire(booking))
    assert (expired.status, expired.deposit_paid, expired.held_slot_count) == ("EXPIRED", True, 0)


def test_money_for_a_hold_that_has_died_confirms_nothing() -> None:
    desk = house()
    booking = desk.booked("24T19:00")
    desk.wait(seconds=600)
    assert reason(desk.mark(booking, "CONFIRMED", by=SYSTEM)) is Reason.HOLD_EXPIRED
    done(desk.expire(booking))
    assert reason(desk.mark(booking, "CONFIRMED", by=SYSTEM)) is Reason.HOLD_EXPIRED


@pytest.mark.parametrize(
    ("before", "after", "changes", "version"),
    [
        (NONE, NONE, {}, 0),
        (NONE, EURO_20, {}, 2),
        (EURO_20, EURO_20, {}, 2),
        (EURO_20, NONE, {}, 2),
        (EURO_20, Deposit(DepositKind.PER_BOOKING, 2001), {}, 2),
        (PER_PERSON, PER_PERSON, {}, 2),
        (PER_PERSON, Deposit(DepositKind.PER_BOOKING, 1500), {}, 2),
        (EURO_20, Deposit(DepositKind.PER_PERSON, 1000), {"party_size": 2, "starts_at": "24T20:00"}, 2),
        (EURO_20, EURO_20, {"notes": "a"}, 1),
    ],
)
def test_which_version_agreed_on_the_deposit(
    before: Deposit, after: Deposit, changes: dict[str, object], version: int
) -> None:
    desk = house(before)
    booking = desk.booked("24T19:00", 2)
    policed(desk, after)
    amended = done(desk.amend(booking, **(changes or {"party_size": 3})))
    assert amended.terms.deposit_version == version
    assert done(desk.amend(amended, notes="b")).terms.deposit_version == version


def test_the_same_sum_in_another_currency_is_another_deposit() -> None:
    desk = house()
    booking = desk.booked("24T19:00", 2)
    policed(desk, EURO_20, currency="USD")
    assert done(desk.amend(booking, party_size=3)).terms.deposit_version == 2


def test_a_deposit_taken_away_stays_so_in_the_version_that_took_it() -> None:
    desk = house()
    booking = desk.booked("24T19:00", 2)
    policed(desk, NONE)
    assert [done(desk.amend(booking, party_size=party)).terms.deposit_version for party in (3, 4, 1)] == [2, 2, 2]


@pytest.mark.parametrize(
    ("new", "approval", "status", "paid"),
    [
        (EURO_20, MANUAL, "BLOCKED", True),
        (EURO_20, AUTOMATIC, "CONFIRMED", True),
        (PER_PERSON, MANUAL, "BLOCKED", False),
        (PER_PERSON, AUTOMATIC, "BLOCKED", False),
        (NONE, MANUAL, "BLOCKED", False),
        (NONE, AUTOMATIC, "CONFIRMED", False),
    ],
)
def test_amending_a_hold_that_is_paid_and_waits_for_approval(
    new: Deposit, approval: Approval, status: str, paid: bool
) -> None:
    desk = house(approval=MANUAL)
    booking = done(desk.mark(desk.booked("24T19:00"), "CONFIRMED", by=SYSTEM))
    policed(desk, new, approval)
    event = desk.amend(booking, party_size=3)
    after = done(event)
    assert (after.status, after.deposit_paid, after.deposit_waived) == (status, paid, False)
    assert after.terms.by_hand == (approval is MANUAL)
    assert after.hold_expires_at == (None if status == "CONFIRMED" else booking.hold_expires_at)


def test_a_hold_whose_deposit_changed_is_paid_anew() -> None:
    desk = house(PER_PERSON, MANUAL)
    booking = done(desk.mark(desk.booked("24T19:00"), "CONFIRMED", by=SYSTEM))
    changed = done(desk.amend(booking, party_size=4))
    assert not changed.deposit_paid
    again = done(desk.mark(changed, "CONFIRMED", by=SYSTEM))
    assert (again.status, again.deposit_paid) == ("BLOCKED", True)
    assert done(desk.mark(again, "CONFIRMED")).status == "CONFIRMED"


@pytest.mark.parametrize(("by", "paid", "waived"), [(HOUSE, False, True), (SYSTEM, True, False)])
@pytest.mark.parametrize("new", [EURO_20, PER_PERSON, NONE])
def test_what_is_confirmed_stays_paid_or_waived_over_amendments(
    by: Caller, paid: bool, waived: bool, new: Deposit
) -> None:
    desk = house()
    booking = done(desk.mark(desk.booked("24T19:00"), "CONFIRMED", by=by))
    policed(desk, new, MANUAL)
    event = desk.amend(booking, party_size=4)
    after = done(event)
    assert (after.status, after.deposit_paid, after.deposit_waived) == ("CONFIRMED", paid, waived)


def test_an_amendment_is_told_as_one_whatever_it_did_to_the_deposit() -> None:
    desk = house()
    booking = desk.booked("24T19:00")
    policed(desk, NONE)
    event = desk.event(AmendBooking(booking.booking_id, GUEST, party_size=3))
    assert isinstance(event, BookingAmended)
    assert event.booking.status == "CONFIRMED"


@pytest.mark.parametrize(
    ("by", "hours_before", "late"), [(GUEST, 25, False), (GUEST, 24, True), (GUEST, 1, True), (HOUSE, 1, False)]
)
@pytest.mark.parametrize("confirmed_by", [None, SYSTEM, HOUSE])
def test_a_cancelled_booking_says_whether_it_was_late(
    confirmed_by: Caller | None, by: Caller, hours_before: int, late: bool
) -> None:
    desk = Desk(restaurant(policy=Policy(deposit=EURO_20, cancel_before_hours=24, hold_ttl_seconds=86_400)))
    desk.now = utc("24T19:00") - timedelta(hours=hours_before)
    booking = desk.booked("24T19:00")
    if confirmed_by is not None:
        booking = done(desk.mark(booking, "CONFIRMED", by=confirmed_by))
    cancelled = done(desk.mark(booking, "CANCELLED", by=by))
    assert cancelled.cancelled_late is (late and confirmed_by is not None)
    assert (cancelled.deposit_paid, cancelled.deposit_waived) == (booking.deposit_paid, booking.deposit_waived)


def test_a_paid_deposit_that_stays_the_same_is_not_asked_for_again() -> None:
    """Neither of a hold that waits for approval, nor of a booking that is confirmed; what is unpaid is asked for anew."""
    desk = house(EURO_20, Approval.MANUAL)
    held = desk.booked("24T19:00", 2)
    assert done(desk.amend(held, starts_at="24T20:00")).terms.deposit_version == 2
    paid = done(desk.mark(desk.booked("25T19:00", 2), "CONFIRMED", by=SYSTEM))
    moved = done(desk.amend(paid, starts_at="25T20:00"))
    assert (moved.terms.deposit_version, moved.deposit_paid) == (1, True)
    approved = done(desk.mark(moved, "CONFIRMED"))
    assert done(desk.amend(approved, starts_at="25T19:00")).terms.deposit_version == 1
