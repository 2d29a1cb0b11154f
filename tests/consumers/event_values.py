"""What the frozen messages in event_samples/ tell, as values of today's domain."""

from dataclasses import replace
from datetime import UTC, date, datetime, time
from uuid import UUID

from consumers.event import BookingHappened, Happened, PaymentRefunded, VendorHappened
from domain.booking import BookedSeat, Booking, BookingStatus, Contact, Terms
from domain.ids import BookingId, UserId, VendorId
from domain.money import Money
from domain.vendor import (
    Approval,
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
from storage.event_log import Topic

_HOTEL = VendorId(UUID("0b800000-1111-8222-8333-444444400000"))
_GUEST = UserId(UUID("7c9e6679-7425-40de-944b-e07fc1f90ae7"))
_CREATED = datetime(2026, 11, 23, 10, 15, 2, 123456, tzinfo=UTC)
_UPDATED = datetime(2026, 11, 23, 10, 16, tzinfo=UTC)

DINNER = Booking(
    booking_id=BookingId(UUID("0a7fffff-0000-8000-8000-00000000002a")),
    vendor_id=VendorId(UUID("0a700000-1111-8222-8333-444444400000")),
    user_id=_GUEST,
    kind=VendorKind.RESTAURANT,
    status=BookingStatus.CONFIRMED,
    version=2,
    party_size=4,
    seats=(BookedSeat(3, "Window 3", "table"), BookedSeat(4, "Window 4", "table")),
    step_minutes=30,
    first_slot=998436,
    slot_count=3,
    held_slot_count=3,
    starts_at=datetime(2026, 12, 24, 18, tzinfo=UTC),
    ends_at=datetime(2026, 12, 24, 19, 30, tzinfo=UTC),
    created_at=_CREATED,
    updated_at=_UPDATED,
    terms=Terms(Money(2000, "EUR"), 24, 50, deposit_version=1),
    notes="Geburtstag, “bitte” leise",
    contact=Contact("Ana Example", "ana@example.org", "+49301234567"),
)
STAY = Booking(
    booking_id=BookingId(UUID("0b8fffff-0000-8000-8000-00000000002b")),
    vendor_id=_HOTEL,
    user_id=_GUEST,
    kind=VendorKind.HOTEL,
    status=BookingStatus.AVAILED,
    version=5,
    party_size=2,
    seats=(BookedSeat(1, "Room", "double"),),
    step_minutes=0,
    first_slot=20811,
    slot_count=2,
    held_slot_count=2,
    starts_at=datetime(2026, 12, 24, 14, tzinfo=UTC),
    ends_at=datetime(2026, 12, 26, 10, tzinfo=UTC),
    created_at=_CREATED,
    updated_at=_UPDATED,
    terms=Terms(),
    check_in=date(2026, 12, 24),
    check_out=date(2026, 12, 26),
    seat_type="double",
    price=Money(24000, "EUR"),
    deposit_waived=True,
)
HOTEL = Vendor(
    vendor_id=_HOTEL,
    version=7,
    kind=VendorKind.HOTEL,
    name="Pensión Ñandú",
    city="Berlin",
    location=Location(52.52, 13.405),
    time_zone="Europe/Berlin",
    currency="EUR",
    seats=(
        SeatGroup(
            "Room",
            "double",
            1,
            2,
            quantity=2,
            price=Money(12000, "EUR"),
            closures=(Closure(date(2027, 1, 1), date(2027, 1, 3), "painting"),),
            seat_nos=(1, 2),
        ),
    ),
    created_at=_CREATED,
    updated_at=_UPDATED,
    policy=Policy(900, Deposit(DepositKind.PERCENT, 0, 20), 48, 100, 200, 30, Approval.MANUAL),
    description="Klein",
    address="Example Street 1",
    phone="+49301234567",
    cuisines=("german",),
    amenities=("wifi", "parking"),
    services=(Service((0, 6), time(12), time(23, 30), 30),),
    turn_minutes=(TurnTime(4, 90),),
    combinations=(("A", "B"),),
    check_in=time(14),
    check_out=time(10, 30),
    stay=StayRules(2, 30, (6,), (0,)),
    covers_per_step=12,
    closures=(Closure(date(2026, 12, 31), date(2026, 12, 31)),),
    step_minutes=0,
    next_seat_no=3,
)

_CANCELLED = replace(DINNER, version=3, status=BookingStatus.CANCELLED, held_slot_count=0, cancel_reason="ill")
_NO_SHOW = replace(
    DINNER,
    version=3,
    status=BookingStatus.NO_SHOW,
    held_slot_count=1,
    no_show_at=datetime(2026, 12, 24, 18, 20, tzinfo=UTC),
)
_EXPIRED = replace(
    DINNER,
    status=BookingStatus.EXPIRED,
    held_slot_count=0,
    hold_expires_at=datetime(2026, 11, 23, 10, 25, 2, tzinfo=UTC),
    contact=None,
    notes=None,
    terms=Terms(),
)

_PAID_STAY = replace(
    STAY,
    terms=Terms(Money(4800, "EUR"), 48, 100, by_hand=True, deposit_version=3),
    deposit_waived=False,
    deposit_paid=True,
    bill_minor=31050,
)
_NEVER_PAID = replace(
    DINNER,
    status=BookingStatus.EXPIRED,
    held_slot_count=0,
    hold_expires_at=datetime(2026, 11, 23, 10, 25, 2, tzinfo=UTC),
)
_CANCELLED_LATE = replace(_CANCELLED, deposit_paid=True, cancelled_late=True)

TOLD: dict[Topic, Happened] = {
    Topic.NEW_BOOKING: BookingHappened("3-7-1200-0", Topic.NEW_BOOKING, DINNER),
    Topic.BOOKING_AMENDED: BookingHappened(
        "3-7-1201-0", Topic.BOOKING_AMENDED, replace(DINNER, version=3, party_size=3)
    ),
    Topic.BOOKING_CANCELLED: BookingHappened("3-7-1202-0", Topic.BOOKING_CANCELLED, _CANCELLED, late=True),
    Topic.BOOKING_AVAILED: BookingHappened("3-7-1203-0", Topic.BOOKING_AVAILED, STAY, bill_minor=31050),
    Topic.BOOKING_NO_SHOW: BookingHappened("3-7-1204-0", Topic.BOOKING_NO_SHOW, _NO_SHOW),
    Topic.BOOKING_EXPIRED: BookingHappened("3-7-1205-0", Topic.BOOKING_EXPIRED, _EXPIRED),
    Topic.PAYMENT_REFUNDED: PaymentRefunded(
        "5b0f6a4e-8a57-5a3b-9d1c-3a54d1a0c001-refund-1",
        Topic.PAYMENT_REFUNDED,
        _NEVER_PAID,
        1,
        1,
        Money(2000, "EUR"),
        datetime(2026, 11, 23, 10, 21, tzinfo=UTC),
    ),
    Topic.NEW_VENDOR: VendorHappened("3-7-1300-0", Topic.NEW_VENDOR, HOTEL),
}

# Since bookings carry what became of their deposits.
TOLD_SINCE: dict[str, Happened] = {
    "booking_availed.2": BookingHappened("3-7-1203-0", Topic.BOOKING_AVAILED, _PAID_STAY, bill_minor=31050),
    "booking_cancelled.2": BookingHappened("3-7-1202-0", Topic.BOOKING_CANCELLED, _CANCELLED_LATE, late=True),
}
