"""When a vendor takes guests: services, closures, and clocks that change."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.booking import Booking
from domain.rejection import Reason
from domain.start_table import start_table
from domain.vendor import Closure, Vendor
from tests.domain.desk import Desk, at, day, hotel, reason, restaurant, room, seat_names, service, table, utc

CLOSED = Reason.OUTSIDE_OPENING_HOURS
LATE = restaurant(services=(service("18:00", "01:30", days=(4, 5)),))  # Fridays and Saturdays
LUNCH_AND_DINNER = restaurant(services=(service("12:00", "14:00", 15), service("18:00", "22:00", 30, (0, 1, 2))))


@pytest.mark.parametrize(
    ("vendor", "when", "refused"),
    [
        (restaurant(), "24T12:00", None),
        (restaurant(), "24T22:00", None),
        (restaurant(), "24T11:30", CLOSED),
        (restaurant(), "24T22:30", CLOSED),
        (restaurant(), "24T19:15", CLOSED),
        (restaurant(), "24T19:00:30", CLOSED),
        (restaurant(), "24T19:00:00.5", CLOSED),
        (restaurant(), "24T19:00:00Z", None),
        (restaurant(), "24T20:00:00+01:00", None),
        (restaurant(), "24T19:00:01Z", CLOSED),
        (restaurant(), "24T19:01:00Z", CLOSED),
        (LUNCH_AND_DINNER, "22T12:15", None),
        (LUNCH_AND_DINNER, "22T18:15", CLOSED),
        (LUNCH_AND_DINNER, "22T19:00", None),
        (LUNCH_AND_DINNER, "24T19:00", CLOSED),  # a Thursday
        (restaurant(services=()), "24T19:00", CLOSED),
        # past midnight: the service of the evening before
        (LATE, "25T18:00", None),
        (LATE, "26T00:30", None),
        (LATE, "27T01:30", None),
        (LATE, "27T02:00", CLOSED),
        (LATE, "25T00:30", CLOSED),
        (LATE, "28T00:30", CLOSED),
        # the week's own seam: Sunday's service into Monday
        (restaurant(services=(service("22:00", "01:00", days=(6,)),)), "28T00:30", None),
        (restaurant(services=(service("22:00", "01:00", days=(6,)),)), "21T01:00", None),
        (restaurant(services=(service("22:00", "01:00", days=(6,)),)), "22T00:30", CLOSED),
        # every_minutes that step over midnight
        (restaurant(services=(service("23:00", "01:00", 40),)), "24T23:40", None),
        (restaurant(services=(service("23:00", "01:00", 40),)), "24T00:20", None),
        (restaurant(services=(service("23:00", "01:00", 40),)), "24T00:00", CLOSED),
    ],
)
def test_services(vendor: Vendor, when: str, refused: Reason | None) -> None:
    assert reason(Desk(vendor).hold(when)) == refused


def closed(first: str, last: str) -> tuple[Closure, ...]:
    return (Closure(day("01"), day("02")), Closure(day(first), day(last), "holiday"))


@pytest.mark.parametrize(
    ("vendor", "when", "refused"),
    [
        (restaurant(closures=closed("24", "26")), "23T19:00", None),
        (restaurant(closures=closed("24", "26")), "24T19:00", CLOSED),
        (restaurant(closures=closed("24", "26")), "26T19:00", CLOSED),
        (restaurant(closures=closed("24", "26")), "27T19:00", None),
        # a service that runs past midnight is closed with the day it began on, and with the day it runs into
        (restaurant(services=LATE.services, closures=closed("25", "25")), "26T00:30", CLOSED),
        (restaurant(services=LATE.services, closures=closed("26", "26")), "25T23:30", None),
        (restaurant(services=LATE.services, closures=closed("26", "26")), "26T00:30", CLOSED),
        (hotel(closures=closed("24", "26")), ("22", "24"), None),
        (hotel(closures=closed("24", "26")), ("22", "25"), CLOSED),
        (hotel(closures=closed("24", "26")), ("26", "27"), CLOSED),
        (hotel(closures=closed("24", "26")), ("20", "30"), CLOSED),
        (hotel(closures=closed("24", "26")), ("27", "28"), None),
    ],
)
def test_closures_of_the_house(vendor: Vendor, when: str | tuple[str, str], refused: Reason | None) -> None:
    assert reason(Desk(vendor).hold(when)) == refused


def test_a_closed_table_is_out_of_sale_on_its_dates_only() -> None:
    desk = Desk(restaurant(table("A", closures=(Closure(day("24"), day("25")),)), table("B", 6)))
    assert seat_names(desk.hold("23T19:00")) == ["A"]
    assert seat_names(desk.hold("24T19:00")) == ["B"]
    assert reason(desk.hold("24T19:00")) is Reason.NO_AVAILABILITY
    assert seat_names(desk.hold("26T19:00")) == ["A"]


def test_a_closed_room_is_out_of_sale_for_any_stay_over_it() -> None:
    desk = Desk(hotel(room("R", closures=(Closure(day("24"), day("25")),))))
    assert reason(desk.hold(("22", "25"))) is Reason.NO_AVAILABILITY
    assert reason(desk.hold(("25", "27"))) is Reason.NO_AVAILABILITY
    assert reason(desk.hold(("22", "24"))) is None
    assert reason(desk.hold(("26", "27"))) is None


def test_a_closed_table_takes_its_combinations_with_it() -> None:
    closures = (Closure(day("24"), day("24")),)
    desk = Desk(restaurant(table("A", closures=closures), table("B"), combinations=(("A", "B"),)))
    assert reason(desk.hold("24T19:00", 6)) is Reason.NO_AVAILABILITY
    assert seat_names(desk.hold("25T19:00", 6)) == ["A", "B"]


NIGHT_BAR = (service("00:00", "23:30", 30),)
YEAR = {"book_ahead_days_max": 365}


@pytest.mark.parametrize(
    ("zone", "when", "starts_at"),
    [
        ("Europe/Berlin", "2027-03-28T01:30", "2027-03-28T00:30+00:00"),
        ("Europe/Berlin", "2027-03-28T02:00", None),
        ("Europe/Berlin", "2027-03-28T02:30", None),
        ("Europe/Berlin", "2027-03-28T03:00", "2027-03-28T01:00+00:00"),
        ("Europe/Berlin", "2027-10-31T02:30", "2027-10-31T00:30+00:00"),
        ("Europe/Berlin", "2027-10-31T00:30+00:00", "2027-10-31T00:30+00:00"),
        ("Europe/Berlin", "2027-10-31T01:30+00:00", None),
        ("Europe/Berlin", "2027-10-31T02:00+00:00", "2027-10-31T02:00+00:00"),
        ("America/New_York", "2027-03-14T02:30", None),
        ("America/New_York", "2027-11-07T01:30", "2027-11-07T05:30+00:00"),
        ("America/New_York", "2027-11-07T06:30+00:00", None),
        ("Australia/Lord_Howe", "2027-10-03T02:00", None),
        ("Australia/Lord_Howe", "2027-10-03T02:30", "2027-10-02T15:30+00:00"),
        ("Australia/Lord_Howe", "2027-04-04T01:30", "2027-04-03T14:30+00:00"),
        ("Australia/Lord_Howe", "2027-04-03T15:00+00:00", None),
        ("Asia/Kathmandu", "2027-06-01T12:00", "2027-06-01T06:15+00:00"),
        ("Asia/Kathmandu", "2027-06-01T06:00+00:00", None),
        ("Pacific/Chatham", "2027-09-26T03:00", None),
        ("Pacific/Chatham", "2027-09-26T04:00", "2027-09-25T14:15+00:00"),
        ("Pacific/Chatham", "2027-04-03T14:15+00:00", None),
        ("Pacific/Chatham", "2027-04-03T14:45+00:00", None),
        ("Pacific/Chatham", "2027-04-03T15:15+00:00", "2027-04-03T15:15+00:00"),
    ],
)
def test_clock_changes(zone: str, when: str, starts_at: str | None) -> None:
    outcome = Desk(restaurant(services=NIGHT_BAR, time_zone=zone)).hold(when)
    if starts_at is None:
        assert reason(outcome) is CLOSED
    else:
        assert isinstance(outcome, Booking), outcome
        assert outcome.starts_at == datetime.fromisoformat(starts_at)
        assert outcome.starts_at.tzinfo is UTC
        assert outcome.ends_at - outcome.starts_at == timedelta(minutes=90)


def test_a_sitting_over_the_spring_change_lasts_its_elapsed_time() -> None:
    desk = Desk(restaurant(services=NIGHT_BAR, time_zone="Europe/Berlin"))
    booking = desk.booked("2027-03-28T01:30")
    assert booking.ends_at == utc("2027-03-28T02:00")  # 04:00 on the wall
    assert reason(desk.hold("2027-03-28T03:30")) is Reason.NO_AVAILABILITY
    assert reason(desk.hold("2027-03-28T04:00")) is None


def test_a_sitting_over_midnight_blocks_the_next_day_too() -> None:
    desk = Desk(restaurant(services=(service("00:00", "23:30", 30),)))
    desk.booked("24T23:30")
    assert reason(desk.hold("25T00:30")) is Reason.NO_AVAILABILITY
    assert reason(desk.hold("25T01:00")) is None


def test_a_stay_begins_and_ends_at_the_vendors_clock() -> None:
    booking = Desk(hotel(time_zone="America/New_York")).booked(("24", "26"))
    assert booking.starts_at == utc("24T20:00")
    assert booking.ends_at == utc("26T16:00")
    assert (booking.check_in, booking.check_out) == (day("24"), day("26"))
    assert (booking.slot_count, booking.step_minutes) == (2, 0)


def test_a_check_in_that_the_clocks_skip_moves_on() -> None:
    vendor = hotel(time_zone="Europe/Berlin", check_in=at("24T02:30").time())
    assert Desk(vendor).booked(("2027-03-28", "2027-03-29")).starts_at == utc("2027-03-28T01:30")


def test_a_start_table_knows_whole_steps_only() -> None:
    table_of_the_week = start_table((service(),), 30)
    assert table_of_the_week.service_day(12 * 60) == 0
    assert table_of_the_week.service_day(12 * 60 + 7) is None
    assert table_of_the_week.starts_on(3) == [3 * 1440 + minute for minute in range(12 * 60, 22 * 60 + 1, 30)]
