"""What is shown as free is exactly what can be booked: every row is put to the test by `decide_hold`."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.availability import NIGHTS_A_SLICE, AvailabilityQuery, FreeSeats, availability, availability_slices
from domain.command import PlaceHold, SittingTime, StayDates
from domain.decide import decide_hold
from domain.ids import booking_id_from
from domain.money import Money
from domain.rejection import Reason, Rejection
from domain.vendor import Closure, Policy, Vendor
from tests.domain.desk import (
    GUEST,
    NOW,
    VENDOR_ID,
    Desk,
    at,
    day,
    hotel,
    reason,
    restaurant,
    room,
    seat_names,
    service,
    table,
    utc,
)


def shown(desk: Desk, first: str, last: str, **query: object) -> list[FreeSeats]:
    outcome = availability(desk.state, AvailabilityQuery(day(first), day(last), **query), now=desk.now)
    assert not isinstance(outcome, Rejection), outcome
    return outcome


def test_a_restaurants_evening() -> None:
    desk = Desk(restaurant(table("A", 2), table("B", 4), services=(service("19:00", "20:00"),)))
    desk.booked("24T19:00")
    assert shown(desk, "24", "24", party_size=2) == [
        FreeSeats(day("24"), utc("24T19:00"), "table", 1),
        FreeSeats(day("24"), utc("24T19:30"), "table", 1),
        FreeSeats(day("24"), utc("24T20:00"), "table", 1),
    ]
    assert len(shown(desk, "24", "26")) == 9
    desk.booked("24T20:00", 4)
    assert shown(desk, "24", "24") == []


def test_a_hotels_nights() -> None:
    desk = Desk(
        hotel(room("S", 1, price=50), room("D", 2, price=90, quantity=2), room("X", 4, price=None, seat_type="x"))
    )
    desk.booked(("24", "26"), 2, seat_type="double")
    assert shown(desk, "24", "26", party_size=1) == [
        FreeSeats(day("24"), None, "double", 2, Money(50, "EUR")),
        FreeSeats(day("24"), None, "x", 1),
        FreeSeats(day("25"), None, "double", 2, Money(50, "EUR")),
        FreeSeats(day("25"), None, "x", 1),
        FreeSeats(day("26"), None, "double", 3, Money(50, "EUR")),
        FreeSeats(day("26"), None, "x", 1),
    ]
    assert [row.from_price for row in shown(desk, "24", "24", party_size=2, seat_type="double")] == [Money(90, "EUR")]
    assert shown(desk, "24", "24", party_size=5) == []


def test_combinations_count_where_no_single_table_is_free() -> None:
    tables = (table("A", 4), table("B", 4), table("C", 4, seat_type="sofa"))
    desk = Desk(restaurant(*tables, services=(service("19:00", "19:00"),), combinations=(("A", "B"), ("B", "C"))))
    assert [(row.seat_type, row.free) for row in shown(desk, "24", "24", party_size=6)] == [("table", 2)]
    desk.booked("24T19:00", seat_type="table")
    assert [(row.seat_type, row.free) for row in shown(desk, "24", "24", party_size=6)] == [("table", 1)]
    desk.booked("24T19:00", seat_type="sofa")
    assert shown(desk, "24", "24", party_size=6) == []


def test_a_full_pace_is_not_free() -> None:
    desk = Desk(restaurant(table("T", 6, quantity=9), services=(service("19:00", "19:00"),), covers_per_step=6))
    desk.booked("24T19:00", 4)
    assert [row.free for row in shown(desk, "24", "24", party_size=2)] == [8]
    assert shown(desk, "24", "24", party_size=3) == []


@pytest.mark.parametrize(
    ("query", "path"),
    [
        (AvailabilityQuery(day("24"), day("23")), "to"),
        (AvailabilityQuery(day("01"), day("01") + timedelta(days=62)), "to"),
        (AvailabilityQuery(date.min, date.max), "to"),
        (AvailabilityQuery(day("24"), day("24"), 0), "party_size"),
        (AvailabilityQuery(day("24"), day("24"), 2, "throne"), "seat_type"),
    ],
)
def test_questions_that_make_no_sense(query: AvailabilityQuery, path: str) -> None:
    refusal = availability(Desk(restaurant()).state, query, now=NOW)
    assert isinstance(refusal, Rejection)
    assert (refusal.reason, refusal.path) == (Reason.INVALID_REQUEST, path)


@pytest.mark.parametrize(
    ("first", "last"), [(date.min, date.min), (date.max, date.max), (date(1969, 1, 1), date(1969, 1, 9))]
)
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Honolulu"])
def test_days_out_of_reach_have_nothing_free(first: date, last: date, zone: str) -> None:
    for vendor in (restaurant(time_zone=zone), hotel(time_zone=zone)):
        assert availability(Desk(vendor).state, AvailabilityQuery(first, last, 10**30), now=NOW) == []


def test_sixty_two_days_and_a_vendor_without_seats() -> None:
    desk = Desk(restaurant())
    assert len(shown(desk, "2026-12-01", "2027-01-31")) == 62 * 21
    empty = Desk(hotel(seats=()))
    assert shown(empty, "24", "26") == []


VENDORS = {
    "berlin": restaurant(
        table("A", 2),
        table("B", 4, 2, closures=(Closure(date(2027, 3, 27), date(2027, 3, 28)),)),
        table("C", 6, 3, seat_type="sofa"),
        combinations=(("A", "B"), ("B", "C")),
        time_zone="Europe/Berlin",
        services=(service("00:00", "04:00", 30), service("20:00", "01:30", 90, (5, 6))),
        covers_per_step=7,
    ),
    "lord howe": restaurant(table("A"), time_zone="Australia/Lord_Howe", services=(service("00:30", "03:30", 15),)),
    "chatham": restaurant(table("A"), time_zone="Pacific/Chatham", services=(service("01:00", "05:00", 15),)),
    "lead": restaurant(table("A"), policy=Policy(book_ahead_days_max=2, book_ahead_minutes_min=90)),
    "closed": restaurant(
        services=(service("22:00", "02:00"),), closures=(Closure(date(2027, 3, 28), date(2027, 3, 28)),)
    ),
    "hotel": hotel(
        room("S", 1),
        room("D", 2, quantity=2, closures=(Closure(date(2027, 3, 29), date(2027, 3, 29)),)),
        room("X", 4, 3, seat_type="suite"),
        closures=(Closure(date(2027, 3, 31), date(2027, 3, 31)),),
        policy=Policy(book_ahead_days_max=8, book_ahead_minutes_min=200),
        time_zone="America/New_York",
    ),
}
CLOCKS_CHANGE = {"lord howe": datetime(2027, 4, 3, tzinfo=UTC), "chatham": datetime(2027, 9, 24, 12, tzinfo=UTC)}


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(sorted(VENDORS)), st.integers(1, 11), st.integers(0, 24), st.data())
def test_free_is_what_can_be_booked(name: str, party: int, holds: int, data: st.DataObject) -> None:
    desk = Desk(VENDORS[name], CLOCKS_CHANGE.get(name, datetime(2027, 3, 26, 20, tzinfo=UTC)))
    first = desk.now.date()
    last = first + timedelta(days=4)
    moments = list(every_moment(desk.vendor, first, last))
    for when in data.draw(st.lists(st.sampled_from(moments), max_size=holds)):
        desk.hold(when, data.draw(st.integers(1, 6)))
    seat_type = data.draw(st.sampled_from([None, *desk.state.facts.plan.types]))
    rows = availability(desk.state, AvailabilityQuery(first, last, party, seat_type), now=desk.now)
    assert not isinstance(rows, Rejection)
    free = {row.starts_at or row.date for row in rows if row.free}
    assert len({(row.date, row.starts_at, row.seat_type) for row in rows}) == len(rows)
    for when in moments:
        asked = SittingTime(at(when)) if isinstance(when, str) else StayDates(day(when[0]), day(when[1]))
        command = PlaceHold(booking_id_from(VENDOR_ID, 1), VENDOR_ID, GUEST, party, asked, seat_type)
        outcome = decide_hold(desk.state, command, now=desk.now)
        if isinstance(outcome, Rejection):
            assert outcome.reason is not Reason.INVALID_REQUEST
        else:
            booking = outcome.booking
            moment = booking.check_in or booking.starts_at
            assert moment in free, (moment, reason(outcome))
            free.discard(moment)
    if seat_type is None:
        assert not free


def test_days_come_one_by_one_and_show_what_was_booked_meanwhile() -> None:
    desk = Desk(restaurant(table("A"), services=(service("19:00", "19:00"),)))
    slices = availability_slices(desk.state, AvailabilityQuery(day("24"), day("27")), now=desk.now)
    assert not isinstance(slices, Rejection)
    assert [row.date for row in next(slices)] == [day("24")]
    desk.booked("24T19:00")
    desk.booked("26T19:00")
    assert [[row.date for row in rows] for rows in slices] == [[day("25")], [], [day("27")]]
    house = Desk(hotel())
    nights = availability_slices(house.state, AvailabilityQuery(day("01"), day("31")), now=house.now)
    assert not isinstance(nights, Rejection)
    assert [len(rows) for rows in nights] == [NIGHTS_A_SLICE, 31 - NIGHTS_A_SLICE]


TABLES = (
    table("A", 2, price=Money(500, "EUR")),
    table("B", 2, price=Money(300, "EUR")),
    table("C", 4, 2, seat_type="sofa", closures=(Closure(date(2026, 12, 24), date(2026, 12, 24)),)),
    table("D", 4, 3, price=Money(900, "EUR")),
    table("E", 2, seat_type="sofa"),
)
COMBINED = (("A", "B"), ("B", "D"), ("D", "A"), ("C", "E"), ("E", "A"), ("A", "B", "D"))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["24T19:00", "25T19:00"]), st.integers(1, 9)), max_size=4), st.integers(1, 9))
def test_counts_and_prices_are_those_of_counting_one_by_one(holds: list[tuple[str, int]], party: int) -> None:
    desk = Desk(restaurant(*TABLES, services=(service("19:00", "19:00"),), combinations=COMBINED))
    busy = [(when, desk.hold(when, size)) for when, size in holds]
    expected = []
    for on in ("24", "25"):
        taken = {
            name
            for when, booking in busy
            if when.startswith(on) and reason(booking) is None
            for name in seat_names(booking)
        }
        free = {
            seat.name: seat
            for seat in TABLES
            if seat.name not in taken and not any(closure.first <= day(on) <= closure.last for closure in seat.closures)
        }
        for seat_type in ("table", "sofa"):
            single = [
                s for s in free.values() if s.seat_type == seat_type and s.capacity_min <= party <= s.capacity_max
            ]
            together = [
                [seat for seat in TABLES if seat.name in names]
                for names in COMBINED
                if set(names) <= set(free) and free[names[0]].seat_type == seat_type
            ]
            count = len(single) or sum(
                max(s.capacity_max for s in seats) < party <= sum(s.capacity_max for s in seats) for seats in together
            )
            prices = [seat.price for seat in single]
            price = None if None in prices else min(prices, key=lambda price: price.amount_minor, default=None)
            if count:
                expected.append(FreeSeats(day(on), utc(f"{on}T19:00"), seat_type, count, price))
    assert shown(desk, "24", "25", party_size=party) == expected


def every_moment(vendor: Vendor, first: date, last: date) -> Iterator[str | tuple[str, str]]:
    """Every local quarter of an hour, or every night."""
    for offset in range((last - first).days + 1):
        today = first + timedelta(days=offset)
        if vendor.kind == "hotel":
            yield today.isoformat(), (today + timedelta(days=1)).isoformat()
        else:
            for minute in range(0, 1440, 15):
                yield datetime.combine(today, time(minute // 60, minute % 60)).isoformat()
