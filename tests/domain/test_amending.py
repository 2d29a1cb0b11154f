"""Changing a booking: what may change, what is judged again, and that the old seats are held until the new are sure."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain.booking import Booking
from domain.money import Money
from domain.rejection import Reason, Rejection
from domain.vendor import Approval, Closure, Deposit, DepositKind, Policy, StayRules, TurnTime
from tests.domain.desk import NOW, Desk, day, hotel, reason, restaurant, room, seat_names, service, table, utc

MANUAL = Policy(approval=Approval.MANUAL)


def amended(desk: Desk, booking: Booking, **fields: object) -> Booking:
    outcome = desk.amend(booking, **fields)
    assert isinstance(outcome, Booking), outcome
    return outcome


def reloaded(desk: Desk, **changes: object) -> None:
    outcome = desk.update(**changes)
    assert not isinstance(outcome, Rejection), outcome


def test_notes_alone_touch_nothing_else() -> None:
    desk = Desk(restaurant(policy=replace(MANUAL, hold_ttl_seconds=3600)))
    booking = desk.booked("24T19:00", notes="window")
    reloaded(desk, services=(), policy=Policy(cancel_before_hours=1))
    desk.wait(minutes=1)
    after = amended(desk, booking, notes="quiet corner")
    assert after == replace(booking, notes="quiet corner", version=2, updated_at=desk.now)
    cleared = amended(desk, after, clear_notes=True)
    assert cleared.notes is None
    assert amended(desk, cleared, party_size=2).version == 4


@pytest.mark.parametrize("starts_at", ["24T19:30", "24T20:00", "24T18:00", "24T20:30", "25T19:00"])
def test_it_may_move_over_its_own_old_seats(starts_at: str) -> None:
    desk = Desk(restaurant())
    booking = desk.booked("24T19:00")
    after = amended(desk, booking, starts_at=starts_at)
    assert after.starts_at == utc(starts_at)
    assert after.seats == booking.seats
    assert desk.held(1) == set(range(after.first_slot, after.first_slot + 3))


def test_on_refusal_the_old_seats_are_still_held() -> None:
    desk = Desk(restaurant())
    booking = desk.booked("24T19:00")
    desk.booked("24T20:30")
    held = desk.held(1)
    for fields, refused in (
        ({"starts_at": "24T20:00"}, Reason.NO_AVAILABILITY),
        ({"starts_at": "24T23:00"}, Reason.OUTSIDE_OPENING_HOURS),
        ({"starts_at": "2029-12-24T19:00"}, Reason.OUTSIDE_BOOKING_WINDOW),
        ({"starts_at": "2026-11-22T19:00"}, Reason.OUTSIDE_BOOKING_WINDOW),
        ({"party_size": 5}, Reason.PARTY_TOO_LARGE),
    ):
        assert reason(desk.amend(booking, **fields)) is refused
        assert desk.held(1) == held
        assert desk.bookings[booking.booking_id] == booking


def test_a_party_keeps_its_table_while_it_fits() -> None:
    desk = Desk(restaurant(table("two", 2), table("four", 4, 2), table("six", 6)))
    booking = desk.booked("24T19:00", 4)
    assert seat_names(amended(desk, booking, party_size=2)) == ["four"]
    assert seat_names(amended(desk, booking, party_size=3, starts_at="24T20:00")) == ["four"]
    assert seat_names(amended(desk, booking, party_size=1)) == ["two"]
    assert seat_names(amended(desk, booking, party_size=5)) == ["six"]


def test_a_larger_party_sits_longer_and_may_have_to_move_for_it() -> None:
    turns = (TurnTime(2, 60), TurnTime(8, 120))
    desk = Desk(restaurant(table("A", 4), table("B", 4), turn_minutes=turns))
    booking = desk.booked("24T19:00", 2)
    desk.booked("24T20:00", 2)
    assert seat_names(desk.bookings[booking.booking_id]) == ["A"]
    after = amended(desk, booking, party_size=3)
    assert (seat_names(after), after.ends_at) == (["B"], utc("24T21:00"))


def test_combinations_are_kept_left_and_taken_up() -> None:
    desk = Desk(restaurant(table("A", 4), table("B", 4), table("C", 4), combinations=(("A", "B"), ("B", "C"))))
    desk.booked("24T18:00", 2)  # A until 19:30
    booking = desk.booked("24T19:00", 8)
    assert seat_names(booking) == ["B", "C"]
    booking = amended(desk, booking, starts_at="24T20:00")
    assert seat_names(booking) == ["B", "C"]
    booking = amended(desk, booking, party_size=6)
    assert seat_names(booking) == ["B", "C"]
    booking = amended(desk, booking, party_size=3)
    assert len(booking.seats) == 1
    assert len(amended(desk, booking, party_size=7).seats) == 2


def test_a_combination_declared_no_longer_is_not_kept() -> None:
    desk = Desk(restaurant(table("A", 4), table("B", 4), table("C", 4), combinations=(("A", "B"),)))
    booking = desk.booked("24T19:00", 8)
    reloaded(desk, combinations=(("B", "C"),))
    assert seat_names(amended(desk, booking, party_size=7)) == ["B", "C"]


def test_a_closed_seat_is_not_kept() -> None:
    desk = Desk(restaurant(table("A"), table("B")))
    booking = desk.booked("24T19:00")
    reloaded(desk, seats=(table("A", closures=(Closure(day("25"), day("25")),)), table("B")))
    assert seat_names(amended(desk, booking, starts_at="25T19:00")) == ["B"]


def test_what_stays_as_it_is_is_not_judged_again() -> None:
    desk = Desk(restaurant(table("A", 4)))
    booking = desk.booked("24T19:00", 2)
    reloaded(
        desk,
        services=(service("12:00", "14:00"),),
        closures=(Closure(day("24"), day("24")),),
        policy=Policy(book_ahead_days_max=1),
        covers_per_step=1,
    )
    for unmoved in ("24T19:00", "24T19:00:00Z", "24T20:00:00+01:00"):
        assert amended(desk, booking, party_size=1, starts_at=unmoved).party_size == 1
    assert reason(desk.amend(booking, starts_at="24T19:30")) is Reason.OUTSIDE_OPENING_HOURS
    assert reason(desk.amend(booking, starts_at="24T19:00:30")) is Reason.OUTSIDE_OPENING_HOURS
    assert reason(desk.amend(booking, party_size=3)) is Reason.NO_AVAILABILITY  # the pace


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"check_in": "25"}, "check_in"),
        ({"check_out": "25"}, "check_out"),
        ({"quantity": 2}, "quantity"),
        ({"party_size": 0}, "party_size"),
        ({"seat_type": "throne"}, "seat_type"),
    ],
)
def test_a_sitting_is_not_amended_by_what_it_has_not(fields: dict[str, object], path: str) -> None:
    desk = Desk(restaurant())
    refusal = desk.amend(desk.booked("24T19:00"), **fields)
    assert isinstance(refusal, Rejection)
    assert (refusal.reason, refusal.path) == (Reason.INVALID_REQUEST, path)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"starts_at": "24T19:00"}, "starts_at"),
        ({"check_in": "28"}, "check_out"),
        ({"check_out": "20"}, "check_out"),
        ({"quantity": 0}, "quantity"),
    ],
)
def test_a_stay_is_not_amended_by_what_it_has_not(fields: dict[str, object], path: str) -> None:
    desk = Desk(hotel())
    refusal = desk.amend(desk.booked(("24", "26")), **fields)
    assert isinstance(refusal, Rejection)
    assert (refusal.reason, refusal.path) == (Reason.INVALID_REQUEST, path)


@pytest.mark.parametrize(
    ("extreme", "refused"),
    [
        ("0001-01-01T00:00", Reason.OUTSIDE_OPENING_HOURS),
        ("9999-12-31T23:59", Reason.OUTSIDE_OPENING_HOURS),
        ("9999-12-31T19:00", Reason.OUTSIDE_BOOKING_WINDOW),
        ("9999-12-31T23:59:00-12:00", Reason.OUTSIDE_BOOKING_WINDOW),
    ],
)
def test_no_time_however_odd_raises(extreme: str, refused: Reason) -> None:
    desk = Desk(restaurant(time_zone="America/New_York"))
    booking = desk.booked("24T19:00")
    assert reason(desk.amend(booking, starts_at=extreme)) is refused
    stay = Desk(hotel())
    assert reason(stay.amend(stay.booked(("24", "26")), check_out="9999-12-31")) is Reason.STAY_NOT_ALLOWED
    assert (
        reason(stay.amend(next(iter(stay.bookings.values())), check_in="0001-01-01")) is Reason.OUTSIDE_BOOKING_WINDOW
    )


def test_only_until_the_cancellation_deadline() -> None:
    desk = Desk(restaurant(policy=Policy(cancel_before_hours=24)))
    booking = desk.booked("24T19:00")
    desk.now = utc("23T18:59")
    assert reason(desk.amend(booking, notes="a")) is None
    desk.now = utc("23T19:00")
    for fields in ({"notes": "b"}, {"starts_at": "25T19:00"}):
        assert reason(desk.amend(booking, **fields)) is Reason.PAST_CANCELLATION_DEADLINE
    free = Desk(restaurant())
    booking = free.booked("24T19:00")
    free.now = utc("24T18:59")
    assert reason(free.amend(booking, party_size=3)) is None
    free.now = utc("24T19:00")
    assert reason(free.amend(booking, party_size=4)) is Reason.PAST_CANCELLATION_DEADLINE


@pytest.mark.parametrize("status", ["CANCELLED", "AVAILED"])
def test_a_booking_that_is_over_is_not_amended(status: str) -> None:
    desk = Desk(restaurant())
    booking = desk.booked("24T19:00")
    desk.mark(booking, status)
    assert reason(desk.amend(booking, notes="a")) is Reason.ILLEGAL_TRANSITION


def test_stays_grow_shrink_and_move() -> None:
    desk = Desk(hotel(room("R", quantity=2)))
    booking = desk.booked(("24", "26"))
    neighbour = desk.booked(("26", "28"))
    assert neighbour.seats == booking.seats
    longer = amended(desk, booking, check_out="27")
    assert longer.seats != booking.seats  # the room next door is free for all three nights
    assert (longer.slot_count, longer.price) == (3, Money(30_000, "EUR"))
    earlier = amended(desk, longer, check_in="22", check_out="23")
    assert (earlier.seats, earlier.check_in, earlier.check_out) == (longer.seats, day("22"), day("23"))
    assert earlier.starts_at == utc("22T15:00")
    wider = amended(desk, earlier, quantity=2, party_size=3)
    assert (len(wider.seats), wider.price) == (2, Money(20_000, "EUR"))
    assert len(amended(desk, wider, quantity=1, party_size=2).seats) == 1


def test_stay_rules_hold_for_changed_dates_only() -> None:
    desk = Desk(hotel(policy=Policy(book_ahead_minutes_min=600)))
    booking = desk.booked(("24", "26"))
    reloaded(desk, stay=StayRules(min_nights=3))
    assert reason(desk.amend(booking, check_in="25")) is Reason.STAY_NOT_ALLOWED
    assert reason(desk.amend(booking, party_size=1)) is None
    desk.now = utc("24T14:00")  # too soon to book for today, but arrival is as agreed
    assert reason(desk.amend(booking, check_out="28")) is None
    assert reason(desk.hold(("24", "28"))) is not None


def test_a_type_is_asked_for_and_given_up() -> None:
    desk = Desk(hotel(room("D", quantity=1), room("A", seat_type="attic"), room("S", 4, seat_type="suite")))
    booking = desk.booked(("24", "26"))
    assert (seat_names(booking), booking.seat_type) == (["D"], None)
    attic = amended(desk, booking, seat_type="attic")
    assert (seat_names(attic), attic.seat_type) == (["A"], "attic")
    assert reason(desk.amend(attic, party_size=3)) is Reason.PARTY_TOO_LARGE
    whatever = amended(desk, attic, clear_seat_type=True, party_size=3)
    assert (seat_names(whatever), whatever.seat_type) == (["S"], None)


def test_a_type_that_the_vendor_renamed_does_not_stand_in_the_way() -> None:
    desk = Desk(hotel(room("D")))
    booking = desk.booked(("24", "26"), seat_type="double")
    reloaded(desk, seats=(room("D", seat_type="queen"),))
    assert seat_names(amended(desk, booking, check_out="27")) == ["D"]


def test_terms_and_price_are_those_of_the_amendment() -> None:
    desk = Desk(restaurant(policy=Policy(deposit=Deposit(DepositKind.PER_PERSON, 500))))
    booking = desk.booked("24T19:00", 2)
    expires_at = booking.hold_expires_at
    desk.wait(minutes=5)
    more = amended(desk, booking, party_size=4)
    assert (more.terms.deposit, more.status) == (Money(2000, "EUR"), "BLOCKED")
    assert more.hold_expires_at == expires_at
    desk.mark(more, "CONFIRMED")
    fewer = amended(desk, more, party_size=1)
    assert (fewer.terms.deposit, fewer.status, fewer.deposit_waived) == (Money(500, "EUR"), "CONFIRMED", True)
    assert [one.terms.deposit_version for one in (booking, more, fewer)] == [1, 2, 4]


def test_a_hold_for_which_nothing_is_due_any_more_is_confirmed() -> None:
    desk = Desk(restaurant(policy=Policy(deposit=Deposit(DepositKind.PER_BOOKING, 500))))
    booking = desk.booked("24T19:00", 2)
    reloaded(desk, policy=Policy())
    after = amended(desk, booking, party_size=3)
    assert (after.status, after.hold_expires_at, after.terms.deposit) == ("CONFIRMED", None, None)
    manual = Desk(restaurant(policy=MANUAL))
    assert amended(manual, manual.booked("24T19:00"), party_size=3).status == "BLOCKED"


def test_a_seat_that_is_gone_is_replaced() -> None:
    """An update that takes a standing booking's seat is refused; should one be gone all the same, others are sought."""
    desk = Desk(restaurant(table("A"), table("B")))
    booking = desk.booked("24T19:00")
    desk.vendor = replace(desk.vendor, seats=desk.vendor.seats[1:])
    desk.reload()
    assert seat_names(amended(desk, booking, starts_at="24T20:00")) == ["B"]


def test_a_booking_counted_in_an_older_step_is_moved_whole() -> None:
    desk = Desk(restaurant())
    booking = desk.booked("24T19:00")
    assert booking.step_minutes == 30
    outcome = desk.update(services=(service(every=15),))
    assert not isinstance(outcome, Rejection)
    assert outcome.step_minutes == 15
    after = amended(desk, booking, starts_at="24T19:15")
    assert (after.step_minutes, after.slot_count, after.held_slot_count) == (15, 6, 6)
    assert desk.held(1) == set(range(after.first_slot, after.first_slot + 6))
    desk.now = NOW + timedelta(days=1)
    desk.mark(after, "CANCELLED")
    assert desk.held(1) == set()


def test_a_seats_later_closure_does_not_touch_the_booking() -> None:
    """Only a new time or date, or another seat, must be in sale."""
    closed = (Closure(day("24"), day("25")),)
    desk = Desk(restaurant(table("A", 4)))
    booking = desk.booked("24T19:00")
    reloaded(desk, seats=(table("A", 4, closures=closed),))
    assert seat_names(amended(desk, booking, party_size=3)) == ["A"]
    assert reason(desk.amend(booking, starts_at="24T20:00")) is Reason.NO_AVAILABILITY
    assert reason(desk.hold("24T12:00")) is Reason.NO_AVAILABILITY
    house = Desk(hotel(room("R"), room("S")))
    stay = house.booked(("24", "26"), 1)
    reloaded(house, seats=(room("R", closures=closed), room("S")))
    assert seat_names(amended(house, stay, party_size=2)) == ["R"]
    assert seat_names(amended(house, stay, quantity=2, party_size=3)) == ["R", "S"]
    assert seat_names(amended(house, stay, quantity=1, party_size=1, check_out="27")) == ["S"]
