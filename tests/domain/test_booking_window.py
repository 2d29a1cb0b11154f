"""How far ahead and how late one may book, what a stay may be, and times that make no sense."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from domain.booking import Booking
from domain.command import Caller, PlaceHold, SittingTime, StayDates, When
from domain.decide import decide_hold, may_hold
from domain.ids import booking_id_from
from domain.rejection import Reason, Rejection
from domain.vendor import Policy, StayRules, Vendor
from tests.domain.desk import (
    GUEST,
    HOUSE,
    NOW,
    OPERATOR,
    VENDOR_ID,
    Desk,
    at,
    hotel,
    reason,
    restaurant,
    room,
    service,
    table,
)

WINDOW = Reason.OUTSIDE_BOOKING_WINDOW
ALL_DAY = (service("00:00", "23:30", 30),)


def ahead(days: int, minutes: int = 0) -> Policy:
    return Policy(book_ahead_days_max=days, book_ahead_minutes_min=minutes)


# It is 09:00 on Monday the 23rd of November in UTC.
@pytest.mark.parametrize(
    ("changes", "when", "refused"),
    [
        ({}, "2026-11-23T09:00", None),
        ({}, "2026-11-23T08:30", WINDOW),
        ({}, "2020-01-01T12:00", WINDOW),
        ({}, "1969-07-20T20:00", WINDOW),
        ({"policy": ahead(0)}, "2026-11-23T23:30", None),
        ({"policy": ahead(0)}, "2026-11-24T00:00", WINDOW),
        ({"policy": ahead(1)}, "2026-11-24T23:30", None),
        ({"policy": ahead(365)}, "2027-11-23T23:30", None),
        ({"policy": ahead(365)}, "2027-11-24T00:00", WINDOW),
        ({"policy": ahead(730)}, "9999-12-31T23:30", WINDOW),
        ({"policy": ahead(730)}, "0001-01-01T00:00", WINDOW),
        ({"policy": ahead(10, 120)}, "2026-11-23T11:00", None),
        ({"policy": ahead(10, 120)}, "2026-11-23T10:30", WINDOW),
        # the vendor's own today
        ({"policy": ahead(0), "time_zone": "Pacific/Kiritimati"}, "2026-11-24T00:00", WINDOW),
        ({"policy": ahead(0), "time_zone": "Pacific/Kiritimati"}, "2026-11-23T23:30", None),
        ({"policy": ahead(0), "time_zone": "Pacific/Honolulu"}, "2026-11-22T23:30", None),
        ({"policy": ahead(0), "time_zone": "Pacific/Honolulu"}, "2026-11-23T00:00", WINDOW),
    ],
)
def test_the_window_of_a_restaurant(changes: dict[str, object], when: str, refused: Reason | None) -> None:
    assert reason(Desk(restaurant(services=ALL_DAY, **changes)).hold(when)) == refused


@pytest.mark.parametrize("when", ["9999-12-31T23:59", "9999-12-31T23:30:01", "0001-01-01T00:00"])
def test_hours_are_judged_before_the_window_to_the_ends_of_the_calendar(when: str) -> None:
    evening = restaurant(services=(service("18:00", "23:30", 30),))
    assert reason(Desk(evening).hold(when)) is Reason.OUTSIDE_OPENING_HOURS
    assert reason(Desk(evening).hold("9999-12-31T23:30")) is WINDOW


@pytest.mark.parametrize(("seconds", "refused"), [(0, None), (1, WINDOW), (0.001, WINDOW)])
def test_a_start_is_past_as_soon_as_it_was(seconds: float, refused: Reason | None) -> None:
    now = NOW + timedelta(seconds=seconds)
    assert reason(Desk(restaurant(services=ALL_DAY), now).hold("2026-11-23T09:00")) == refused
    lead = restaurant(services=ALL_DAY, policy=ahead(9, 60))
    assert reason(Desk(lead, now).hold("2026-11-23T10:00")) == refused


@pytest.mark.parametrize(
    ("changes", "when", "refused"),
    [
        ({}, ("2026-11-23", "2026-11-24"), None),
        ({}, ("2026-11-22", "2026-11-24"), WINDOW),
        ({}, ("0001-01-01", "0001-01-02"), WINDOW),
        ({}, ("9999-12-30", "9999-12-31"), WINDOW),
        ({}, ("2026-11-24", "9999-12-31"), Reason.STAY_NOT_ALLOWED),
        ({"policy": ahead(1)}, ("2026-11-24", "2026-12-24"), None),
        ({"policy": ahead(1)}, ("2026-11-25", "2026-11-26"), WINDOW),
        ({"policy": ahead(9, 359)}, ("2026-11-23", "2026-11-24"), None),  # check-in is at 15:00
        ({"policy": ahead(9, 361)}, ("2026-11-23", "2026-11-24"), WINDOW),
        ({"time_zone": "Pacific/Honolulu"}, ("2026-11-22", "2026-11-23"), None),
        ({"time_zone": "Pacific/Kiritimati"}, ("2026-11-23", "2026-11-24"), None),
        ({"time_zone": "Pacific/Kiritimati"}, ("2026-11-22", "2026-11-24"), WINDOW),
    ],
)
def test_the_window_of_a_hotel(changes: dict[str, object], when: tuple[str, str], refused: Reason | None) -> None:
    assert reason(Desk(hotel(**changes)).hold(when)) == refused


def test_a_hotel_takes_guests_on_the_day_also_after_check_in_time() -> None:
    assert reason(Desk(hotel(), NOW + timedelta(hours=14)).hold(("2026-11-23", "2026-11-24"))) is None


# The 24th of December 2026 is a Thursday.
@pytest.mark.parametrize(
    ("rules", "when", "refused"),
    [
        (StayRules(), ("24", "25"), None),
        (StayRules(min_nights=2), ("24", "25"), Reason.STAY_NOT_ALLOWED),
        (StayRules(min_nights=2), ("24", "26"), None),
        (StayRules(max_nights=2), ("24", "26"), None),
        (StayRules(max_nights=2), ("24", "27"), Reason.STAY_NOT_ALLOWED),
        (StayRules(), ("2026-12-24", "2027-12-24"), None),
        (StayRules(), ("2026-12-24", "2027-12-25"), Reason.STAY_NOT_ALLOWED),
        (StayRules(closed_to_arrival=(3,)), ("24", "25"), Reason.STAY_NOT_ALLOWED),
        (StayRules(closed_to_arrival=(3,)), ("23", "25"), None),
        (StayRules(closed_to_departure=(4, 5)), ("24", "25"), Reason.STAY_NOT_ALLOWED),
        (StayRules(closed_to_departure=(4, 5)), ("24", "27"), None),
        (StayRules(), ("24", "24"), Reason.INVALID_REQUEST),
        (StayRules(), ("24", "23"), Reason.INVALID_REQUEST),
    ],
)
def test_stay_rules(rules: StayRules, when: tuple[str, str], refused: Reason | None) -> None:
    assert reason(Desk(hotel(stay=rules)).hold(when)) == refused


SITTING = SittingTime(at("24T19:00"))
NIGHTS = StayDates(date(2026, 12, 24), date(2026, 12, 26))


@pytest.mark.parametrize(
    ("vendor", "command", "path"),
    [
        (restaurant(), {"party_size": 0}, "party_size"),
        (restaurant(), {"party_size": -3}, "party_size"),
        (restaurant(), {"when": NIGHTS}, "starts_at"),
        (restaurant(), {"quantity": 2}, "quantity"),
        (restaurant(), {"quantity": 0}, "quantity"),
        (restaurant(), {"seat_type": "throne"}, "seat_type"),
        (hotel(), {"when": SITTING}, "check_in"),
        (hotel(), {"when": NIGHTS, "quantity": -1}, "quantity"),
        (hotel(), {"when": NIGHTS, "seat_type": "throne"}, "seat_type"),
        (hotel(), {"when": StayDates(date(2026, 12, 24), date(2026, 12, 24))}, "check_out"),
    ],
)
def test_requests_that_make_no_sense_are_refused_by_field(
    vendor: Vendor, command: dict[str, object], path: str
) -> None:
    refusal = decided(vendor, **command)
    assert isinstance(refusal, Rejection)
    assert (refusal.reason, refusal.path) == (Reason.INVALID_REQUEST, path)


@pytest.mark.parametrize("caller", [HOUSE, OPERATOR])
def test_only_users_book(caller: Caller) -> None:
    refused = decided(restaurant(), caller=caller)
    assert reason(refused) is Reason.FORBIDDEN
    assert reason(may_hold(placed(restaurant(), caller=caller))) is Reason.FORBIDDEN
    assert may_hold(placed(restaurant())) is None


EXTREMES: list[When] = [
    SittingTime(at("0001-01-01T00:00")),
    SittingTime(at("9999-12-31T23:59:59.999999")),
    SittingTime(datetime.min.replace(tzinfo=UTC)),
    SittingTime(datetime.max.replace(tzinfo=UTC)),
    SittingTime(datetime.max.replace(tzinfo=timezone(timedelta(hours=-23)))),
    SittingTime(datetime.min.replace(tzinfo=timezone(timedelta(hours=23)))),
    StayDates(date.min, date.max),
    StayDates(date.max - timedelta(days=1), date.max),
    StayDates(date.min, date.min + timedelta(days=1)),
    StayDates(date(2026, 12, 24), date.max),
]


@pytest.mark.parametrize("when", EXTREMES)
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Honolulu", "UTC", "Europe/Berlin"])
@pytest.mark.parametrize("size", [1, 10_000, 10**30])
def test_no_request_however_odd_raises(when: When, zone: str, size: int) -> None:
    for vendor in (restaurant(services=ALL_DAY, time_zone=zone), hotel(time_zone=zone)):
        for quantity in (1, size):
            assert isinstance(decided(vendor, when=when, party_size=size, quantity=quantity), Rejection)


def test_the_order_of_refusals() -> None:
    """A request that is wrong in every way is refused for the first; mend that, and the next comes up."""
    vendor = hotel(room("R", 2), stay=StayRules(min_nights=2), policy=ahead(60))
    desk = Desk(vendor)
    desk.booked(("20", "30"))
    far = ("2027-12-24", "2027-12-25")
    wrong: dict[str, object] = {"when": StayDates(date(2027, 12, 24), date(2027, 12, 24)), "caller": HOUSE}
    assert reason(decided(vendor, party_size=9, **wrong)) is Reason.INVALID_REQUEST
    wrong["when"] = StayDates(date(2027, 12, 24), date(2027, 12, 25))
    assert reason(decided(vendor, party_size=9, **wrong)) is Reason.FORBIDDEN
    assert reason(desk.hold(far, 9)) is WINDOW
    assert reason(desk.hold(("24", "25"), 9)) is Reason.STAY_NOT_ALLOWED
    assert reason(desk.hold(("24", "26"), 9)) is Reason.PARTY_TOO_LARGE
    assert reason(desk.hold(("24", "26"), 2)) is Reason.NO_AVAILABILITY


def test_hours_come_before_the_window_and_the_window_before_the_party() -> None:
    desk = Desk(restaurant(table("T"), policy=ahead(30)))
    assert reason(desk.hold("2027-12-24T03:00", 50)) is Reason.OUTSIDE_OPENING_HOURS
    assert reason(desk.hold("2027-12-24T19:00", 50)) is WINDOW
    assert reason(desk.hold("2026-12-20T19:00", 50)) is Reason.PARTY_TOO_LARGE


def placed(vendor: Vendor, **changes: object) -> PlaceHold:
    when: When = NIGHTS if vendor.kind == "hotel" else SITTING
    return replace(PlaceHold(booking_id_from(VENDOR_ID, 1), VENDOR_ID, GUEST, 2, when), **changes)


def decided(vendor: Vendor, **changes: object) -> Booking | Rejection:
    outcome = decide_hold(Desk(vendor).state, placed(vendor, **changes), now=NOW)
    return outcome if isinstance(outcome, Rejection) else outcome.booking
