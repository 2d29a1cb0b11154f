"""What is written out by hand for speed is what the answer models say, member by member."""

from dataclasses import replace
from datetime import UTC, date, datetime, time

import pytest

from domain.booking import BookedSeat, Booking, BookingStatus, Contact, Terms
from domain.ids import UserId, VendorId, booking_id_from, seat_id_of, vendor_id_from
from domain.money import Money
from domain.user import User
from domain.vendor import (
    Closure,
    Deposit,
    DepositKind,
    Location,
    Policy,
    SeatGroup,
    Service,
    StayRules,
    TurnTime,
    Vendor,
    VendorKind,
)
from serve_app.answer import json_answer
from serve_app.booking_models import BookingShown, BookingStatusShown, booking_content, status_content
from serve_app.user_models import UserShown, user_content
from serve_app.vendor_shown import VendorShown, vendor_content

VENDOR = vendor_id_from(0xABCDEF << 90)
MOMENT = datetime(2026, 12, 24, 18, 30, 0, 1, tzinfo=UTC)
USER = UserId(booking_id_from(VENDOR, 99))

BARE = Booking(
    booking_id_from(VENDOR, 7),
    VENDOR,
    USER,
    VendorKind.RESTAURANT,
    BookingStatus.CONFIRMED,
    1,
    2,
    (BookedSeat(1, "T1", "table"), BookedSeat(0xFFFFF, "T2", "table")),
    15,
    1,
    6,
    6,
    MOMENT,
    MOMENT,
    MOMENT,
    MOMENT,
    Terms(),
)
FULL = replace(
    BARE,
    check_in=date(2026, 12, 24),
    check_out=date(2026, 12, 26),
    hold_expires_at=MOMENT,
    price=Money(100, "EUR"),
    notes="Notes",
    contact=Contact("Ada", None, "+43"),
    cancel_reason="Ill",
)


def read(model, content):
    """The content as a client gets it; the model refuses a member too many, too few or of another type."""
    return model.model_validate_json(json_answer(content).body)


@pytest.mark.parametrize("booking", [BARE, FULL])
@pytest.mark.parametrize("status", list(BookingStatus))
def test_a_booking(booking, status):
    booking = replace(booking, status=status)
    shown = read(BookingShown, booking_content(booking))
    assert (shown.booking_id, shown.user_id, shown.vendor_id) == (booking.booking_id, booking.user_id, VENDOR)
    assert [seat.seat_id for seat in shown.seats] == [seat_id_of(VENDOR, seat.seat_no) for seat in booking.seats]
    assert (shown.status, shown.starts_at, shown.hold_expires_at) == (status, MOMENT, booking.hold_expires_at)
    assert set(booking_content(booking)) == set(BookingShown.model_fields)
    assert read(BookingStatusShown, status_content(booking)).version == booking.version


def test_a_user():
    user = User(USER, 3, "ada@x.org", "Ada", MOMENT, MOMENT, None, "de")
    assert read(UserShown, user_content(user)).locale == "de"


RESTAURANT = Vendor(
    VendorId(VENDOR), 1, VendorKind.RESTAURANT, "R", "Vienna", Location(1.5, -2.0), "Europe/Vienna", "EUR",
    (SeatGroup("T", "t", 1, 2, 1, Money(5, "EUR"), (Closure(date(2027, 1, 1), date(2027, 1, 2), "Why"),), (1,)),),
    MOMENT, MOMENT,
    services=(Service((0, 6), time(12), time(0, 30), 15),),
    turn_minutes=(TurnTime(2, 90),),
    combinations=(("A", "B"),),
    covers_per_step=4,
    policy=Policy(deposit=Deposit(DepositKind.PERCENT, 0, 20)),
    closures=(Closure(date(2027, 1, 1), date(2027, 1, 2)),),
)  # fmt: skip
HOTEL = replace(
    RESTAURANT, kind=VendorKind.HOTEL, services=(), turn_minutes=(), combinations=(), stay=StayRules(2, 9, (6,), ())
)


@pytest.mark.parametrize("vendor", [RESTAURANT, HOTEL])
def test_a_vendor(vendor):
    content = vendor_content(vendor, email="a@x.org")
    shown = read(VendorShown, content)
    assert shown.kind is vendor.kind
    assert set(content) == set(VendorShown.model_fields)
    assert (shown.stay is None) == (vendor.kind is VendorKind.RESTAURANT)
    assert (shown.services is None) == (vendor.kind is VendorKind.HOTEL)
    assert shown.policy.deposit.percent == 20
    assert shown.policy.deposit.amount_minor is None
