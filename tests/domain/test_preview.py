"""What a search says of a vendor is what `decide_hold` would say: the one is put to the test by the other."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.booking import Booking
from domain.command import PlaceHold, SittingTime, StayDates, When
from domain.decide import decide_hold
from domain.event import HoldPlaced
from domain.ids import booking_id_from
from domain.money import Money
from domain.preview import STARTS_COST_MAX, preview
from domain.search import SeatWish, Verdict, folded
from domain.seating import can_seat, seat_cost
from domain.vendor import Closure, Policy, StayRules, Vendor
from tests.domain.desk import GUEST, VENDOR_ID, Desk, at, day, hotel, restaurant, room, service, table, utc
from tests.fakes.cheap_enough import cheap_enough

SPRING = datetime(2027, 3, 26, 20, tzinfo=UTC)  # two days before the clocks of Europe change
HOUSES: dict[str, tuple[Vendor, datetime]] = {
    "berlin": (
        restaurant(
            table("A", 2),
            table("B", 4, 2, closures=(Closure(date(2027, 3, 27), date(2027, 3, 28)),)),
            table("C", 6, 3, seat_type="sofa"),
            combinations=(("A", "B"), ("B", "C")),
            time_zone="Europe/Berlin",
            services=(service("00:00", "04:00", 30), service("20:00", "01:30", 90, (5, 6))),
            covers_per_step=7,
        ),
        SPRING,
    ),
    "lord howe": (
        restaurant(table("A", quantity=3), time_zone="Australia/Lord_Howe", services=(service("00:30", "03:30", 15),)),
        datetime(2027, 4, 3, tzinfo=UTC),
    ),
    "lead": (restaurant(table("A"), policy=Policy(book_ahead_days_max=2, book_ahead_minutes_min=90)), SPRING),
    "closed": (
        restaurant(services=(service("22:00", "02:00"),), closures=(Closure(date(2027, 3, 28), date(2027, 3, 28)),)),
        SPRING,
    ),
    "combined": (
        restaurant(table("A", 2), table("B", 4), table("C", 4), combinations=(("A", "B"), ("B", "C"))),
        SPRING,
    ),
    "priced tables": (
        restaurant(
            table("A", 2, seat_type="Séparée", price=Money(1000, "EUR")),
            table("B", 4, seat_type="separee", price=Money(3000, "EUR")),
            table("C", 4, seat_type="SEPAREE"),
            table("D", 4, seat_type="separee", price=Money(2000, "EUR")),
            combinations=(("A", "B"), ("B", "C"), ("B", "D")),
        ),
        SPRING,
    ),
    "no seats": (restaurant(seats=()), SPRING),
    "many alike": (restaurant(table("T", 4, quantity=70, closures=(Closure(date(2027, 3, 27), date(2027, 3, 27)),))), SPRING),
    "hotel": (
        hotel(
            room("S", 1, price=3000),
            room("D", 2, quantity=3, closures=(Closure(date(2027, 3, 29), date(2027, 3, 29)),)),
            room("E", 2, price=2000, seat_type="Double", quantity=2),
            room("F", 3, price=None),
            room("X", 4, 3, seat_type="suite", quantity=2),
            closures=(Closure(date(2027, 3, 31), date(2027, 3, 31)),),
            policy=Policy(book_ahead_days_max=8, book_ahead_minutes_min=200),
            stay=StayRules(min_nights=1, max_nights=3, closed_to_arrival=(0,)),
            time_zone="America/New_York",
        ),
        SPRING,
    ),
}  # fmt: skip
PRICES = st.sampled_from([None, 0, 999, 1000, 2000, 2500, 3000, 10_000, 10**12])
WAYS_TO_TYPE: st.SearchStrategy[Callable[[str], str]] = st.sampled_from([str, str.upper, folded])


def whens(house: str) -> st.SearchStrategy[When]:
    """Times round about the house's first days: local and as instants, on its steps and off them; or dates."""
    vendor, now = HOUSES[house]
    if vendor.kind == "hotel":
        nights = st.tuples(st.integers(-1, 10), st.integers(1, 4))
        return nights.map(lambda n: StayDates(now.date() + timedelta(n[0]), now.date() + timedelta(n[0] + n[1])))
    minutes = st.one_of(st.integers(-4, 4 * 24 * 4).map(lambda step: step * 15), st.integers(0, 4 * 1440))
    local = minutes.map(lambda minute: now.replace(tzinfo=None) + timedelta(minutes=minute))
    return st.tuples(local, st.booleans()).map(lambda t: SittingTime(t[0].replace(tzinfo=UTC) if t[1] else t[0]))


def filled(house: str, data: st.DataObject) -> Desk:
    vendor, now = HOUSES[house]
    desk = Desk(vendor, now)
    for _ in range(data.draw(st.integers(0, 12))):
        when = data.draw(whens(house))
        asked = (
            when.starts_at.isoformat()
            if isinstance(when, SittingTime)
            else (when.check_in.isoformat(), when.check_out.isoformat())
        )
        seat_type = data.draw(st.sampled_from([None, *desk.state.facts.plan.types]))
        desk.hold(asked, data.draw(st.integers(1, 6)), seat_type=seat_type)
    return desk


def seat_types(desk: Desk, data: st.DataObject) -> str | None:
    seat_type: str | None = data.draw(st.sampled_from([None, *desk.state.facts.plan.types, "throne"]))
    return seat_type and data.draw(WAYS_TO_TYPE)(seat_type)


def can_be_booked(desk: Desk, wish: SeatWish, when: When | None = None) -> bool:
    """Whether the house would give a seat of any type that the wish may mean, had it none but those that are cheap enough."""
    state = cheap_enough(desk.vendor, desk.state, wish.price_max_minor)
    meant = (
        [None] if wish.seat_type is None else [t for t in state.facts.plan.types if folded(t) == folded(wish.seat_type)]
    )
    commands = [
        PlaceHold(booking_id_from(VENDOR_ID, 1), VENDOR_ID, GUEST, wish.party_size, when or wish.when, seat_type, wish.quantity)
        for seat_type in meant
    ]  # fmt: skip
    return any(isinstance(decide_hold(state, command, now=desk.now), HoldPlaced) for command in commands)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(HOUSES)), st.integers(1, 11), st.integers(1, 3), st.data())
def test_available_is_what_can_be_booked(house: str, party: int, quantity: int, data: st.DataObject) -> None:
    desk = filled(house, data)
    wish = SeatWish(data.draw(whens(house)), party, seat_types(desk, data), quantity, price_max_minor=data.draw(PRICES))
    assert preview(desk.state, wish, now=desk.now) == Verdict(VENDOR_ID, can_be_booked(desk, wish))


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(sorted(HOUSES.keys() - {"hotel"})), st.integers(1, 8), st.integers(0, 4), st.data())
def test_alternatives_are_the_nearest_starts_that_can_be_booked(
    house: str, party: int, most: int, data: st.DataObject
) -> None:
    desk = filled(house, data)
    price = data.draw(PRICES)
    wish = SeatWish(
        data.draw(whens(house)), party, seat_types(desk, data), alternatives_max=most, price_max_minor=price
    )
    verdict = preview(desk.state, wish, now=desk.now)
    assert isinstance(wish.when, SittingTime)
    if verdict.available:
        assert verdict.alternatives == ()
        return
    zone = desk.state.facts.time_zone
    local = on_the_wall(wish.when.starts_at, zone)
    midnight = local.replace(hour=0, minute=0, second=0)
    starts = set()
    for minute in range(0, 1440, 15):
        naive = SittingTime(midnight + timedelta(minutes=minute))
        if can_be_booked(desk, wish, naive):
            starts.add(instant(naive.starts_at, zone))
    asked = wish.when.starts_at if wish.when.starts_at.tzinfo else instant(local, zone)
    expected = sorted(starts, key=lambda start: (abs(start - asked.replace(second=0)), start))
    assert verdict.alternatives == tuple(expected[:most])


def test_alternatives_of_an_evening() -> None:
    desk = Desk(restaurant(table("A", 2), services=(service("18:00", "21:00"),)))
    desk.booked("24T19:30")
    wish = SeatWish(SittingTime(at("24T19:30")), 2, alternatives_max=3)
    assert preview(desk.state, wish, now=desk.now).alternatives == (utc("24T18:00"), utc("24T21:00"))
    assert preview(desk.state, SeatWish(SittingTime(utc("24T20:00")), 2, alternatives_max=1), now=desk.now) == Verdict(
        VENDOR_ID, available=False, alternatives=(utc("24T21:00"),)
    )
    closed_day = SeatWish(SittingTime(at("2026-11-20T19:00")), 2, alternatives_max=3)
    assert preview(desk.state, closed_day, now=desk.now) == Verdict(VENDOR_ID, available=False)


def test_tables_put_together_count() -> None:
    desk = Desk(restaurant(table("A", 4), table("B", 4), combinations=(("A", "B"),)))
    wish = SeatWish(SittingTime(at("24T19:00")), 7)
    assert preview(desk.state, wish, now=desk.now).available
    desk.booked("24T19:00")
    assert not preview(desk.state, wish, now=desk.now).available


@pytest.mark.parametrize(
    ("price_max", "free"), [(None, True), (4999, False), (5000, False), (11_999, False), (12_000, True)]
)
def test_only_seats_that_are_cheap_enough_count(price_max: int | None, free: bool) -> None:
    desk = Desk(
        hotel(room("S", 1, price=5000, seat_type="single"), room("D", 2, price=12_000), room("X", 3, price=None))
    )
    wish = SeatWish(StayDates(day("24"), day("25")), 1, price_max_minor=price_max)
    assert preview(desk.state, wish, now=desk.now).available == (price_max != 4999)
    desk.booked(("24", "25"), 1, seat_type="single")
    assert preview(desk.state, wish, now=desk.now).available == free


@pytest.mark.parametrize(("price_max", "free"), [(3000, True), (2999, False)])
def test_of_tables_put_together_each_must_be_cheap_enough(price_max: int, free: bool) -> None:
    dear, cheap = table("A", price=Money(3000, "EUR")), table("B", price=Money(1000, "EUR"))
    desk = Desk(restaurant(dear, cheap, combinations=(("A", "B"),)))
    wish = SeatWish(SittingTime(at("24T19:00")), 7, price_max_minor=price_max)
    assert preview(desk.state, wish, now=desk.now).available == free


def test_other_times_are_of_seats_that_are_cheap_enough_and_of_the_type() -> None:
    cheap, dear = (
        table(name, 2, seat_type="Fenster", price=Money(price, "EUR")) for name, price in (("A", 1), ("B", 9))
    )
    desk = Desk(restaurant(cheap, dear, table("C", 2), services=(service("18:00", "21:00"),)))
    desk.booked("24T19:30", seat_type="Fenster")
    wish = SeatWish(SittingTime(at("24T19:30")), 2, "fenster", alternatives_max=3, price_max_minor=5)
    assert preview(desk.state, wish, now=desk.now).alternatives == (utc("24T18:00"), utc("24T21:00"))
    assert preview(desk.state, replace(wish, price_max_minor=9), now=desk.now).available


def counting_looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one for each time of the day that is tried."""
    looks: list[int] = []

    def counted(*asked: Any) -> bool:
        looks.append(1)
        return can_seat(*asked)

    monkeypatch.setattr("domain.preview.can_seat", counted)
    return looks


def test_a_house_that_could_never_take_the_party_for_the_price_is_not_looked_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seats = [table(f"T{number}", 8, price=Money(1000, "EUR")) for number in range(50)]
    desk = Desk(restaurant(table("bait", 1, price=Money(1, "EUR")), *seats, services=(service("00:00", "23:55", 5),)))
    looks = counting_looks(monkeypatch)
    wish = SeatWish(SittingTime(at("24T19:00")), 2, price_max_minor=1, alternatives_max=3)
    assert preview(desk.state, wish, now=desk.now) == Verdict(VENDOR_ID, available=False)
    assert len(looks) == 1


def test_a_huge_full_house_is_looked_at_so_long_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of its tables is another class, and all are closed that day: the worst that the API lets in."""
    closed = (Closure(date(2026, 12, 24), date(2026, 12, 24)),)
    seats = [table(f"T{number}", 2 + number, closures=closed) for number in range(500)]
    desk = Desk(restaurant(*seats, services=(service("00:00", "23:55", 5),)))
    looks = counting_looks(monkeypatch)
    wish = SeatWish(SittingTime(at("24T19:00")), 2, alternatives_max=3)
    assert not preview(desk.state, wish, now=desk.now).available
    assert len(looks) == 1 + STARTS_COST_MAX // seat_cost(desk.state.facts.plan)
    assert len(looks) < 20


def test_a_house_of_common_size_is_looked_through_to_its_last_start() -> None:
    seats = [table(f"T{number}", 2 + number % 8, quantity=3) for number in range(16)]
    desk = Desk(restaurant(*seats, services=(service("00:00", "23:55", 5),)))
    assert STARTS_COST_MAX // seat_cost(desk.state.facts.plan) > 24 * 60 // 5


@pytest.mark.parametrize("asked", ["Séparée", "separee", "SEPAREE", "se\u0301pare\u0301e"])
def test_a_type_is_meant_however_it_is_written(asked: str) -> None:
    house = restaurant(table("T", 8), table("A", 2, seat_type="Séparée"), table("B", 2, seat_type="separee"))
    desk = Desk(house)
    wish = SeatWish(SittingTime(at("24T19:00")), 2, asked)
    for seat_type in ("Séparée", "separee"):
        assert preview(desk.state, wish, now=desk.now).available
        desk.booked("24T19:00", seat_type=seat_type)
    assert not preview(desk.state, wish, now=desk.now).available


def test_a_pace_that_is_reached_is_not_free_elsewhere_it_is() -> None:
    desk = Desk(restaurant(table("T", quantity=9), services=(service("19:00", "20:00"),), covers_per_step=4))
    desk.booked("24T19:00", 4)
    verdict = preview(desk.state, SeatWish(SittingTime(at("24T19:00")), 2, alternatives_max=3), now=desk.now)
    assert verdict == Verdict(VENDOR_ID, available=False, alternatives=(utc("24T19:30"), utc("24T20:00")))


@pytest.mark.parametrize("offset", ["", "+00:00"])
@pytest.mark.parametrize("wall", ["0001-01-01T00:00:00", "1899-12-31T19:00:00", "9999-12-31T23:59:59"])
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Honolulu"])
def test_times_out_of_reach_are_not_free(wall: str, offset: str, zone: str) -> None:
    desk = Desk(restaurant(time_zone=zone))
    when = datetime.fromisoformat(wall + offset)
    assert preview(desk.state, SeatWish(SittingTime(when), 2, alternatives_max=3), now=desk.now) == Verdict(
        VENDOR_ID, available=False
    )


@pytest.mark.parametrize(
    "wish",
    [
        SeatWish(StayDates(day("24"), day("25")), 2, alternatives_max=3),
        SeatWish(SittingTime(at("24T19:00")), 2, "throne", alternatives_max=3),
        SeatWish(SittingTime(at("24T19:00")), 0, alternatives_max=3),
        SeatWish(SittingTime(at("24T19:00")), 10**9, alternatives_max=3),
    ],
)
def test_wishes_that_make_no_sense_to_a_restaurant(wish: SeatWish) -> None:
    assert preview(Desk(restaurant()).state, wish, now=utc("01T12:00")) == Verdict(VENDOR_ID, available=False)


@pytest.mark.parametrize(
    "dates", [(date.min, date.max), (date(9999, 12, 30), date.max), (date.min, date(1, 1, 2)), (day("24"), day("24"))]
)
def test_stays_out_of_reach(dates: tuple[date, date]) -> None:
    wish = SeatWish(StayDates(*dates), 2, alternatives_max=3)
    assert preview(Desk(hotel()).state, wish, now=utc("01T12:00")) == Verdict(VENDOR_ID, available=False)


def test_a_hotel_has_no_other_times() -> None:
    desk = Desk(hotel())
    assert isinstance(desk.hold(("24", "26")), Booking)
    wish = SeatWish(StayDates(day("24"), day("25")), 2, alternatives_max=3)
    assert preview(desk.state, wish, now=desk.now) == Verdict(VENDOR_ID, available=False)


def on_the_wall(starts_at: datetime, zone: str) -> datetime:
    from zoneinfo import ZoneInfo

    return starts_at.astimezone(ZoneInfo(zone)).replace(tzinfo=None) if starts_at.tzinfo else starts_at


def instant(local: datetime, zone: str) -> datetime:
    from zoneinfo import ZoneInfo

    return local.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
