"""Opening and changing a vendor: what makes sense, lasting seat numbers, the step, and bookings that must keep a seat."""

from dataclasses import replace
from datetime import UTC, date, time, timedelta
from itertools import combinations, islice

import pytest

from domain.booking import Booking
from domain.command import Caller, CreateVendor, SetStatus, UpdateVendor
from domain.decide_vendor import decide_create, decide_update, seats_at_stake
from domain.event import VendorCreated, VendorUpdated
from domain.ids import SEAT_NO_MAX
from domain.money import Money
from domain.rejection import Reason, Rejection
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
from tests.domain.desk import (
    EVERY_DAY,
    GUEST,
    HOUSE,
    NOW,
    OPERATOR,
    OTHER_HOUSE,
    Desk,
    hotel,
    opened,
    reason,
    restaurant,
    room,
    seat_names,
    service,
    table,
)

NAN, INF = float("nan"), float("inf")
TOO_LONG = "x" * 201
EUR, USD = Money(100, "EUR"), Money(100, "USD")


ROOMFUL = tuple(table(f"T{number}") for number in range(60))


def many_types(count: int) -> tuple[SeatGroup, ...]:
    return tuple(table(f"T{number}", seat_type=f"type {number}") for number in range(count))


def pairs(count: int) -> tuple[tuple[str, ...], ...]:
    return tuple(islice(combinations([seat.name for seat in ROOMFUL], 2), count))


def created(vendor: Vendor) -> VendorCreated | Rejection:
    return decide_create(CreateVendor(vendor, "Anna@Example.ORG", "hash"), now=NOW)


def test_a_vendor_is_opened() -> None:
    later = NOW + timedelta(hours=1)
    event = decide_create(
        CreateVendor(restaurant(table("A", quantity=2), table("B")), "Anna@Example.ORG", "hash"), now=later
    )
    assert isinstance(event, VendorCreated)
    vendor = event.vendor
    assert (event.email, event.password_hash) == ("anna@example.org", "hash")
    assert (vendor.version, vendor.step_minutes, vendor.next_seat_no) == (1, 30, 4)
    assert [group.seat_nos for group in vendor.seats] == [(1, 2), (3,)]
    assert (vendor.created_at, vendor.updated_at) == (later, later)
    assert opened(hotel()).step_minutes == 0


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"name": ""}, "name"),
        ({"name": "  "}, "name"),
        ({"name": TOO_LONG}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"city": ""}, "city"),
        ({"address": TOO_LONG}, "address"),
        ({"phone": "1\0"}, "phone"),
        ({"description": "\0"}, "description"),
        ({"cuisines": ("thai", "")}, "cuisines[1]"),
        ({"amenities": ("x\0",)}, "amenities[0]"),
        ({"cuisines": ("x",) * 1001}, "cuisines"),
        ({"location": Location(90.1, 0)}, "location.lat"),
        ({"location": Location(NAN, 0)}, "location.lat"),
        ({"location": Location(0, -180.1)}, "location.lon"),
        ({"location": Location(0, INF)}, "location.lon"),
        ({"time_zone": "Mars/Base"}, "time_zone"),
        ({"time_zone": "../../etc/passwd"}, "time_zone"),
        ({"currency": "EURO"}, "currency"),
        ({"currency": "eur"}, "currency"),
        ({"currency": "ZZZ"}, "currency"),
        ({"seats": (table("A"), table("A"))}, "seats[1].name"),
        ({"seats": (table(""),)}, "seats[0].name"),
        ({"seats": (table("A", seat_type=" "),)}, "seats[0].seat_type"),
        ({"seats": (table("A", 4, 0),)}, "seats[0].capacity_min"),
        ({"seats": (table("A", 3, 4),)}, "seats[0].capacity_max"),
        ({"seats": (table("A", 10**9),)}, "seats[0].capacity_max"),
        ({"seats": (table("A", quantity=0),)}, "seats[0].quantity"),
        ({"seats": (table("A", quantity=-1),)}, "seats[0].quantity"),
        ({"seats": (table("A", quantity=10**9),)}, "seats[0].quantity"),
        ({"seats": (table("A", quantity=6000), table("B", quantity=6000))}, "seats"),
        ({"seats": (table("A", 10_000, quantity=101),)}, "seats"),
        ({"seats": (table("A", price=USD),)}, "seats[0].price.currency"),
        ({"seats": (table("A", price=Money(-1, "EUR")),)}, "seats[0].price.amount_minor"),
        ({"seats": (table("A", price=Money(10**18, "EUR")),)}, "seats[0].price.amount_minor"),
        ({"seats": (table("A", closures=(Closure(date(2026, 1, 2), date(2026, 1, 1)),)),)}, "seats[0].closures[0].to"),
        ({"closures": (Closure(date(2026, 1, 2), date(2026, 1, 1)),)}, "closures[0].to"),
        ({"closures": (Closure(date(2026, 1, 1), date(2026, 1, 1), TOO_LONG),)}, "closures[0].reason"),
        ({"services": (service(days=()),)}, "services[0].days"),
        ({"services": (service(days=(7,)),)}, "services[0].days"),
        ({"services": (service(days=(1, 1)),)}, "services[0].days"),
        ({"services": (service(every=0),)}, "services[0].every_minutes"),
        ({"services": (service(every=-30),)}, "services[0].every_minutes"),
        ({"services": (service(every=1441),)}, "services[0].every_minutes"),
        ({"services": (service(), service(every=7))}, "services[1].every_minutes"),
        ({"services": (service("12:07"),)}, "services[0].first"),
        ({"services": (service("12:00:30"),)}, "services[0].first"),
        ({"services": (Service(EVERY_DAY, time(12), time(14, tzinfo=UTC), 30),)}, "services[0].last"),
        ({"turn_minutes": ()}, "turn_minutes"),
        ({"turn_minutes": (TurnTime(0, 90),)}, "turn_minutes[0].party_max"),
        ({"turn_minutes": (TurnTime(2, 90), TurnTime(2, 60))}, "turn_minutes[1].party_max"),
        ({"turn_minutes": (TurnTime(2, 0),)}, "turn_minutes[0].minutes"),
        ({"turn_minutes": (TurnTime(2, 1441),)}, "turn_minutes[0].minutes"),
        ({"seats": (table("A"),), "combinations": (("A",),)}, "combinations[0]"),
        ({"seats": (table("A"),), "combinations": (("A", "A"),)}, "combinations[0]"),
        ({"seats": (table("A"),), "combinations": (("A", "B"),)}, "combinations[0][1]"),
        ({"seats": (table("A"), table("B", quantity=2)), "combinations": (("A", "B"),)}, "combinations[0][1]"),
        ({"seats": (table("A"), table("B")), "combinations": (("A", "B"), ("B", "A"))}, "combinations[1]"),
        ({"seats": many_types(101)}, "seats[100].seat_type"),
        ({"seats": ROOMFUL, "combinations": pairs(201)}, "combinations"),
        ({"seats": ROOMFUL, "combinations": (tuple(seat.name for seat in ROOMFUL[:51]),)}, "combinations[0]"),
        ({"seats": many_types(7), "services": (service("00:00", "23:55", 5),)}, "services"),
        ({"seats": many_types(7), "services": (service("12:00", "11:55", 5),)}, "services"),
        ({"covers_per_step": 0}, "pacing.covers_per_step"),
        ({"stay": StayRules(min_nights=2)}, "stay"),
        ({"check_in": time(15, 0, 1)}, "check_in"),
        ({"policy": Policy(hold_ttl_seconds=0)}, "policy.hold_ttl_seconds"),
        ({"policy": Policy(hold_ttl_seconds=86_401)}, "policy.hold_ttl_seconds"),
        ({"policy": Policy(book_ahead_days_max=731)}, "policy.book_ahead_days_max"),
        ({"policy": Policy(book_ahead_days_max=-1)}, "policy.book_ahead_days_max"),
        ({"policy": Policy(book_ahead_minutes_min=-1)}, "policy.book_ahead_minutes_min"),
        ({"policy": Policy(cancel_before_hours=-1)}, "policy.cancel_before_hours"),
        ({"policy": Policy(keep_on_late_cancel_percent=101)}, "policy.keep_on_late_cancel_percent"),
        ({"policy": Policy(deposit=Deposit(DepositKind.PER_BOOKING, -1))}, "policy.deposit.amount_minor"),
        ({"policy": Policy(deposit=Deposit(DepositKind.PERCENT, percent=101))}, "policy.deposit.percent"),
        ({"policy": Policy(deposit=Deposit(DepositKind.PERCENT, percent=10))}, "policy.deposit.percent"),
    ],
)
def test_what_makes_no_sense_is_refused_by_field(changes: dict[str, object], path: str) -> None:
    for refusal in (created(replace(restaurant(), **changes)), Desk(restaurant()).update(**changes)):
        assert isinstance(refusal, Rejection)
        assert (refusal.reason, refusal.path) == (Reason.INVALID_REQUEST, path)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"services": (service(),)}, "services"),
        ({"turn_minutes": (TurnTime(2, 90),)}, "turn_minutes"),
        ({"combinations": (("R1", "R2"),)}, "combinations"),
        ({"covers_per_step": 4}, "pacing"),
        ({"stay": StayRules(min_nights=0)}, "stay.min_nights"),
        ({"stay": StayRules(min_nights=9, max_nights=8)}, "stay.min_nights"),
        ({"stay": StayRules(max_nights=366)}, "stay.max_nights"),
        ({"stay": StayRules(closed_to_arrival=(-1,))}, "stay.closed_to_arrival"),
        ({"stay": StayRules(closed_to_departure=(3, 3))}, "stay.closed_to_departure"),
    ],
)
def test_what_makes_no_sense_for_a_hotel(changes: dict[str, object], path: str) -> None:
    refusal = created(hotel(room("R1"), room("R2"), **changes))
    assert isinstance(refusal, Rejection)
    assert (refusal.reason, refusal.path) == (Reason.INVALID_REQUEST, path)


@pytest.mark.parametrize(
    "vendor",
    [
        restaurant(policy=Policy(hold_ttl_seconds=1, book_ahead_days_max=0)),
        restaurant(policy=Policy(hold_ttl_seconds=86_400, book_ahead_days_max=730, keep_on_late_cancel_percent=100)),
        restaurant(location=Location(-90, 180), services=()),
        restaurant(time_zone="Pacific/Chatham", services=(service(every=15),)),
        hotel(room("R", price=0), policy=Policy(deposit=Deposit(DepositKind.PERCENT, percent=100))),
        hotel(stay=StayRules(365, 365)),
        hotel(seats=()),
        hotel(*many_types(100)),
        restaurant(*many_types(100), services=(service("12:00", "14:15", 15), service("12:00", "14:00", 15))),
        restaurant(*many_types(6), services=(service("00:00", "23:55", 5), service("00:00", "23:55", 15))),
        restaurant(*ROOMFUL, combinations=pairs(200)),
        restaurant(*ROOMFUL, combinations=(tuple(seat.name for seat in ROOMFUL[:50]),)),
    ],
)
def test_the_bounds_themselves_are_allowed(vendor: Vendor) -> None:
    assert not isinstance(created(vendor), Rejection)


@pytest.mark.parametrize(
    ("caller", "refused"),
    [(HOUSE, None), (OPERATOR, None), (GUEST, Reason.FORBIDDEN), (OTHER_HOUSE, Reason.FORBIDDEN)],
)
def test_who_may_change_a_vendor(caller: Caller, refused: Reason | None) -> None:
    assert reason(Desk(restaurant()).update(by=caller, name="New")) is refused


def test_an_update_counts_the_version_and_replaces_what_was_given() -> None:
    desk = Desk(restaurant())
    desk.wait(hours=1)
    after = desk.update(expected_version=1, name="Chez Elle", closures=(Closure(date(2026, 1, 1), date(2026, 1, 2)),))
    assert isinstance(after, Vendor)
    assert (after.version, after.name, after.city) == (2, "Chez Elle", "Reykjavik")
    assert (after.created_at, after.updated_at) == (NOW, desk.now)
    assert reason(desk.update(expected_version=1, name="X")) is Reason.VERSION_CONFLICT
    assert not isinstance(desk.update(), Rejection)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": VendorKind.HOTEL},
        {"version": 9},
        {"step_minutes": 5},
        {"next_seat_no": 1},
        {"vendor_id": OTHER_HOUSE.account_id},
        {"email": "b@example.org"},
    ],
)
def test_what_is_not_for_the_vendor_to_change(changes: dict[str, object]) -> None:
    refusal = Desk(restaurant()).update(**changes)
    assert isinstance(refusal, Rejection)
    assert (refusal.reason, refusal.path) == (Reason.INVALID_REQUEST, next(iter(changes)))


def test_its_own_kind_may_be_repeated() -> None:
    assert not isinstance(Desk(restaurant()).update(kind=VendorKind.RESTAURANT), Rejection)


def numbers(vendor: Vendor | Rejection) -> dict[str, tuple[int, ...]]:
    assert isinstance(vendor, Vendor), vendor
    return {group.name: group.seat_nos for group in vendor.seats}


def test_seats_keep_their_numbers_by_name_and_none_is_given_twice() -> None:
    desk = Desk(restaurant(table("A", quantity=3), table("B")))
    assert numbers(desk.vendor) == {"A": (1, 2, 3), "B": (4,)}
    assert numbers(desk.update(seats=(table("B"), table("C"), table("A", quantity=4)))) == {
        "B": (4,),
        "C": (5,),
        "A": (1, 2, 3, 6),
    }
    assert numbers(desk.update(seats=(table("A", quantity=2), table("B")))) == {"A": (1, 2), "B": (4,)}
    assert numbers(desk.update(seats=(table("A", quantity=3), table("C")))) == {"A": (1, 2, 7), "C": (8,)}
    assert desk.vendor.next_seat_no == 9


def test_seat_numbers_run_out_some_day() -> None:
    desk = Desk(restaurant())
    desk.vendor = replace(desk.vendor, next_seat_no=SEAT_NO_MAX)
    assert not isinstance(desk.update(seats=(table("T1", quantity=2),)), Rejection)
    assert reason(desk.update(seats=(table("T1", quantity=3),))) is Reason.INVALID_REQUEST


def test_a_smaller_quantity_gives_up_seats_without_bookings_first() -> None:
    desk = Desk(restaurant(table("A", quantity=4)))
    bookings = [desk.booked("24T19:00") for _ in range(4)]
    for booking in bookings:
        if booking.seats[0].seat_no in (1, 3):
            desk.mark(booking, "CANCELLED")
    assert numbers(desk.update(seats=(table("A", quantity=3),)))["A"] == (1, 2, 4)
    assert numbers(desk.update(seats=(table("A", quantity=2),)))["A"] == (2, 4)
    refusal = desk.update(seats=(table("A", quantity=1),))
    assert isinstance(refusal, Rejection)
    assert refusal.reason is Reason.WOULD_STRAND_BOOKINGS
    assert refusal.bookings == tuple(b.booking_id for b in bookings if b.seats[0].seat_no == 4)


@pytest.mark.parametrize(
    ("seats", "stranded"),
    [
        ((table("A", 4),), False),
        ((table("A", 3),), False),
        ((table("A", 9, 8),), False),
        ((table("A", 4, seat_type="sofa"),), False),
        ((table("A", 2),), True),
        ((table("B", 4),), True),
        ((), True),
    ],
)
def test_no_standing_booking_is_stranded(seats: tuple[SeatGroup, ...], stranded: bool) -> None:
    desk = Desk(restaurant(table("A", 4)))
    booking = desk.booked("24T19:00", 3)
    outcome = desk.update(seats=seats)
    assert reason(outcome) is (Reason.WOULD_STRAND_BOOKINGS if stranded else None)
    if isinstance(outcome, Rejection):
        assert outcome.bookings == (booking.booking_id,)
    desk.mark(booking, "CANCELLED")
    assert not isinstance(desk.update(seats=seats), Rejection)


def test_bookings_that_are_over_strand_nobody() -> None:
    desk = Desk(restaurant(table("A", 4)))
    booking = desk.booked("24T19:00", 3)
    desk.now = booking.ends_at
    assert not isinstance(desk.update(seats=(table("B"),)), Rejection)
    # and the release of a seat that the vendor has no longer is harmless
    outcome = desk.change(SetStatus(booking.booking_id, HOUSE, booking.status.CANCELLED))
    assert isinstance(outcome, Booking)
    assert all(mask == 0 for mask in desk.words.values())


def test_rooms_together_must_still_take_the_party() -> None:
    desk = Desk(hotel(room("R", 3, quantity=2)))
    desk.booked(("24", "26"), 5, quantity=2)
    assert reason(desk.update(seats=(room("R", 2, quantity=2),))) is Reason.WOULD_STRAND_BOOKINGS
    assert reason(desk.update(seats=(room("R", 3, quantity=1),))) is Reason.WOULD_STRAND_BOOKINGS
    assert not isinstance(desk.update(seats=(room("R", 3, quantity=2, price=1),)), Rejection)


def test_hours_and_closures_do_not_touch_bookings_already_made() -> None:
    desk = Desk(restaurant())
    desk.booked("24T19:00")
    changes = {"services": (service("08:00", "09:00"),), "closures": (Closure(date(2026, 1, 1), date(2027, 12, 31)),)}
    assert not isinstance(desk.update(**changes), Rejection)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((30, 15), 15),
        ((30, 60), 30),
        ((15, 20), 5),
        ((60, 30, 15, 5, 60), 5),
        ((12, 15), 3),
    ],
)
def test_the_step_only_ever_becomes_finer_and_bookings_keep_their_time(steps: tuple[int, ...], expected: int) -> None:
    desk = Desk(restaurant(services=(service(every=steps[0]),), turn_minutes=(TurnTime(9, 120),)))
    booking = desk.booked("24T18:00")
    for step in steps[1:]:
        assert not isinstance(desk.update(services=(service(every=step),)), Rejection)
    assert desk.vendor.step_minutes == expected
    minutes = {slot * expected for slot in desk.held(1)}
    start = int(booking.starts_at.timestamp()) // 60
    assert minutes == set(range(start, start + 120, expected))
    assert reason(desk.hold("24T19:00")) is Reason.NO_AVAILABILITY
    assert seat_names(desk.hold("24T20:00")) == ["T1"]
    assert isinstance(desk.mark(booking, "CANCELLED"), Booking)
    assert seat_names(desk.hold("24T18:00")) == ["T1"]


def test_only_seats_that_go_or_shrink_are_at_stake() -> None:
    desk = Desk(restaurant(table("A", 4), table("B", 4, quantity=3), table("C", 6)))
    seats = desk.vendor.seats
    for same in ({"name": "X"}, {"seats": seats}, {"seats": (*seats, table("D"))}, {"seats": (seats[2], *seats[:2])}):
        assert at_stake(desk, **same) == frozenset()
    assert at_stake(desk, seats=(table("A", 9, 8), table("B", 4, quantity=4), table("C", 6, price=EUR))) == frozenset()
    assert at_stake(desk, seats=(table("A", 3), table("B", 4, quantity=2))) == {1, 2, 3, 4, 5}


def at_stake(desk: Desk, **changes: object) -> frozenset[int]:
    event = decide_update(desk.vendor, change(**changes), now=NOW)
    assert isinstance(event, VendorUpdated)
    return seats_at_stake(event)


def change(**changes: object) -> UpdateVendor:
    return UpdateVendor(HOUSE.account_id, HOUSE, changes)  # type: ignore[arg-type]
