"""Which seats a party gets, and why it gets none."""

from datetime import timedelta
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.booking import Booking
from domain.ids import seat_id_of
from domain.local_time import day_of
from domain.rejection import Reason, Rejection
from domain.request import QUANTITY_MAX
from domain.room_choice import rooms_for
from domain.vendor import Closure, SeatGroup, TurnTime, Vendor
from domain.vendor_facts import compile_facts
from domain.vendor_state import VendorState
from tests.domain.desk import Desk, day, hotel, opened, reason, restaurant, room, seat_names, table

TABLES = restaurant(table("two", 2), table("four", 4), table("six", 6), table("eight", 8))
MINIMA = restaurant(table("two", 2), table("four", 4, 3), table("eight", 8, 5))


@pytest.mark.parametrize(
    ("vendor", "party", "seats"),
    [
        (TABLES, 1, ["two"]),
        (TABLES, 2, ["two"]),
        (TABLES, 3, ["four"]),
        (TABLES, 5, ["six"]),
        (TABLES, 8, ["eight"]),
        (MINIMA, 2, ["two"]),
        (MINIMA, 3, ["four"]),
        (MINIMA, 5, ["eight"]),
        (restaurant(table("large", 6), table("small", 2)), 2, ["small"]),
        (restaurant(table("first", 4), table("second", 4)), 2, ["first"]),
        (restaurant(table("dear", 4, price=None), table("four", 4)), 2, ["dear"]),
    ],
)
def test_the_smallest_that_fits(vendor: Vendor, party: int, seats: list[str]) -> None:
    assert seat_names(Desk(vendor).hold("24T19:00", party)) == seats


@pytest.mark.parametrize(
    ("vendor", "party", "refused"),
    [
        (TABLES, 9, Reason.PARTY_TOO_LARGE),
        (TABLES, 10_000, Reason.PARTY_TOO_LARGE),
        (MINIMA, 9, Reason.PARTY_TOO_LARGE),
        (restaurant(table("T", 6, 4)), 3, Reason.NO_AVAILABILITY),
        (restaurant(table("T", 6, 4)), 7, Reason.PARTY_TOO_LARGE),
    ],
)
def test_too_large_and_too_small(vendor: Vendor, party: int, refused: Reason) -> None:
    assert reason(Desk(vendor).hold("24T19:00", party)) is refused


def test_a_vendor_without_seats_takes_nobody() -> None:
    assert reason(Desk(restaurant(table("T"))).hold("24T19:00", 2)) is None
    empty = Desk(restaurant(SeatGroup("T", "table", 1, 2)))
    assert empty.update(seats=()) is not None
    assert reason(empty.hold("24T19:00", 1)) is Reason.PARTY_TOO_LARGE


def test_a_larger_table_when_the_small_ones_are_taken_and_then_none() -> None:
    desk = Desk(TABLES)
    assert [seat_names(desk.hold("24T19:00")) for _ in range(4)] == [["two"], ["four"], ["six"], ["eight"]]
    refusal = desk.hold("24T19:00")
    assert reason(refusal) is Reason.NO_AVAILABILITY


def test_full_is_transient_and_too_large_is_not() -> None:
    assert Reason.NO_AVAILABILITY.transient
    assert not Reason.PARTY_TOO_LARGE.transient


COMBINED = restaurant(
    table("A", 4),
    table("B", 4),
    table("C", 6),
    table("bar", 2, seat_type="bar"),
    combinations=(("A", "B", "C"), ("A", "C"), ("A", "B"), ("C", "bar")),
)


@pytest.mark.parametrize(
    ("party", "seats"),
    [
        (4, ["A"]),
        (6, ["C"]),
        (7, ["A", "B"]),
        (8, ["A", "B"]),
        (9, ["A", "C"]),
        (11, ["A", "B", "C"]),
        (14, ["A", "B", "C"]),
    ],
)
def test_a_single_seat_before_a_combination_and_the_smallest_of_those(party: int, seats: list[str]) -> None:
    assert seat_names(Desk(COMBINED).hold("24T19:00", party)) == seats


def test_a_combination_needs_all_its_seats() -> None:
    desk = Desk(COMBINED)
    desk.booked("24T18:00", 4)  # A until 19:30
    assert seat_names(desk.hold("24T19:00", 7)) == ["C", "bar"]
    assert reason(desk.hold("24T19:00", 9)) is Reason.NO_AVAILABILITY
    assert seat_names(desk.hold("24T20:30", 9)) == ["A", "C"]
    assert reason(desk.hold("24T20:30", 15)) is Reason.PARTY_TOO_LARGE


def test_a_combination_is_for_parties_that_none_of_its_seats_takes() -> None:
    desk = Desk(restaurant(table("A", 4, 4), table("B", 4, 4), combinations=(("A", "B"),)))
    assert reason(desk.hold("24T19:00", 2)) is Reason.NO_AVAILABILITY
    assert seat_names(desk.hold("24T19:00", 5)) == ["A", "B"]


def test_the_seat_type_asked_for() -> None:
    desk = Desk(COMBINED)
    assert seat_names(desk.hold("24T19:00", 1)) == ["bar"]
    assert seat_names(desk.hold("24T19:00", 1, seat_type="table")) == ["A"]
    assert reason(desk.hold("24T19:00", 1, seat_type="bar")) is Reason.NO_AVAILABILITY
    assert reason(desk.hold("24T19:00", 3, seat_type="bar")) is Reason.PARTY_TOO_LARGE
    assert reason(Desk(COMBINED).hold("24T19:00", 8, seat_type="bar")) is Reason.PARTY_TOO_LARGE
    booking = Desk(COMBINED).booked("24T19:00", 8, seat_type="table")
    assert (seat_names(booking), booking.seat_type) == (["A", "B"], "table")
    blocked = Desk(COMBINED)
    blocked.booked("24T19:00", 4)
    assert (
        reason(blocked.hold("24T19:00", 8, seat_type="table")) is Reason.NO_AVAILABILITY
    )  # C with the bar will not do


@pytest.mark.parametrize(
    ("taken", "asked", "seat"),
    [
        # B is free 15:00-19:00 only, A the whole day: a sitting at 15:00 goes into the tighter place
        ({"B": ["24T13:30", "24T19:00"]}, "24T15:00", "B"),
        ({"A": ["24T13:30", "24T19:00"]}, "24T15:00", "A"),
        # flush against what is there on one side, over flush on none
        ({"A": ["24T12:00"], "B": ["24T13:00"]}, "24T14:30", "B"),
        # both equally tight: as listed
        ({"A": ["24T12:00"], "B": ["24T12:00"]}, "24T14:30", "A"),
        # the gap before midnight counts as well as the one after
        ({"B": ["23T22:00"]}, "24T12:00", "B"),
    ],
)
def test_the_tightest_gap_among_equals(taken: dict[str, list[str]], asked: str, seat: str) -> None:
    desk = Desk(restaurant(table("A", seat_type="a"), table("B", seat_type="b")))
    for name, times in taken.items():
        for when in times:
            desk.booked(when, seat_type=name.lower())
    assert seat_names(desk.hold(asked)) == [seat]


def test_the_gap_is_seen_across_the_edge_of_a_word() -> None:
    """Half-hours fill a word in 32 hours; 2026-12-27T16:00Z is the first slot of one."""
    desk = Desk(restaurant(table("A", seat_type="a"), table("B", seat_type="b")))
    assert int(desk.booked("27T16:00", seat_type="a").starts_at.timestamp()) // 1800 % 64 == 0
    desk = Desk(restaurant(table("A", seat_type="a"), table("B", seat_type="b")))
    desk.booked("27T14:30", seat_type="b")
    assert seat_names(desk.hold("27T16:00")) == ["B"]
    other = Desk(restaurant(table("A", seat_type="a"), table("B", seat_type="b")))
    other.booked("27T16:00", seat_type="b")
    assert seat_names(other.hold("27T14:30")) == ["B"]


def test_a_booking_over_the_edge_of_a_word_takes_both_words() -> None:
    desk = Desk(restaurant())
    booking = desk.booked("27T15:00")
    assert len(desk.words) == 2
    assert desk.held(1) == set(range(booking.first_slot, booking.first_slot + 3))
    for when in ("27T14:00", "27T15:00", "27T16:00"):
        assert reason(desk.hold(when)) is Reason.NO_AVAILABILITY
    assert reason(desk.hold("27T16:30")) is None


@pytest.mark.parametrize(("party", "minutes"), [(1, 60), (2, 60), (3, 120), (4, 120), (5, 150), (9, 150)])
def test_turn_times_round_up_to_whole_steps_and_end_with_the_last_row(party: int, minutes: int) -> None:
    turns = (TurnTime(6, 125), TurnTime(2, 45), TurnTime(4, 120))
    booking = Desk(restaurant(table("T", 10), turn_minutes=turns)).booked("24T19:00", party)
    assert (booking.ends_at - booking.starts_at).total_seconds() == minutes * 60
    assert booking.slot_count * booking.step_minutes == minutes


def test_each_seat_of_a_quantity_is_its_own() -> None:
    desk = Desk(restaurant(table("T", quantity=3)))
    numbers = [desk.booked("24T19:00").seats[0].seat_no for _ in range(3)]
    assert sorted(numbers) == [1, 2, 3]
    assert len({seat_id_of(desk.vendor.vendor_id, number) for number in numbers}) == 3
    assert reason(desk.hold("24T19:00")) is Reason.NO_AVAILABILITY


ROOMS = hotel(
    room("single", 1, seat_type="single", price=6000),
    room("double", 2, quantity=3),
    room("cheap", 2, price=8000, seat_type="attic"),
    room("suite", 4, price=30_000, seat_type="suite", quantity=2),
)


@pytest.mark.parametrize(
    ("party", "asked", "seats"),
    [
        (1, {}, ["single"]),
        (2, {}, ["cheap"]),
        (2, {"seat_type": "double"}, ["double"]),
        (3, {}, ["suite"]),
        (2, {"quantity": 2}, ["double", "double"]),
        (4, {"quantity": 2}, ["double", "double"]),
        (6, {"quantity": 3, "seat_type": "double"}, ["double"] * 3),
        (5, {"quantity": 2}, ["suite", "suite"]),
        (8, {"quantity": 2, "seat_type": "suite"}, ["suite", "suite"]),
    ],
)
def test_rooms(party: int, asked: dict[str, object], seats: list[str]) -> None:
    assert seat_names(Desk(ROOMS).hold(("24", "26"), party, **asked)) == seats


@pytest.mark.parametrize(
    ("party", "asked", "refused"),
    [
        (5, {}, Reason.PARTY_TOO_LARGE),
        (7, {"quantity": 3, "seat_type": "double"}, Reason.PARTY_TOO_LARGE),
        (9, {"quantity": 2}, Reason.PARTY_TOO_LARGE),
        (4, {"quantity": 4, "seat_type": "double"}, Reason.NO_AVAILABILITY),
        (1, {"quantity": 2, "seat_type": "double"}, Reason.NO_AVAILABILITY),
        (9, {"quantity": 5}, Reason.PARTY_TOO_LARGE),
        (2, {"quantity": QUANTITY_MAX}, Reason.NO_AVAILABILITY),
        (10_000, {"quantity": QUANTITY_MAX}, Reason.PARTY_TOO_LARGE),
    ],
)
def test_rooms_refused(party: int, asked: dict[str, object], refused: Reason) -> None:
    assert reason(Desk(ROOMS).hold(("24", "26"), party, **asked)) is refused


@pytest.mark.parametrize(
    ("party", "quantity", "seats"),
    [
        (4, 2, ["small", "small"]),
        (5, 2, ["middle", "small"]),
        (6, 2, ["large", "small"]),
        (7, 2, ["large", "middle"]),
        (8, 3, ["large", "small", "small"]),
        (9, 3, ["large", "middle", "small"]),
        (11, 3, None),
    ],
)
def test_rooms_of_one_type_and_several_sizes(party: int, quantity: int, seats: list[str] | None) -> None:
    desk = Desk(hotel(room("large", 4), room("small", 2, quantity=2), room("middle", 3)))
    outcome = desk.hold(("24", "26"), party, quantity=quantity)
    if seats is None:
        assert reason(outcome) is not None
    else:
        assert seat_names(outcome) == seats


def test_rooms_that_are_free_may_be_too_small() -> None:
    desk = Desk(hotel(room("large", 4), room("small", 2, quantity=3)))
    desk.booked(("24", "26"), 4)
    assert reason(desk.hold(("24", "26"), 5, quantity=2)) is Reason.NO_AVAILABILITY
    assert seat_names(desk.hold(("24", "26"), 4, quantity=2)) == ["small", "small"]


def test_all_rooms_or_none() -> None:
    desk = Desk(hotel(room("R", quantity=3)))
    desk.booked(("25", "26"), 4, quantity=2)
    assert reason(desk.hold(("24", "27"), 4, quantity=2)) is Reason.NO_AVAILABILITY
    assert reason(desk.hold(("24", "27"), 2)) is None
    assert reason(desk.hold(("26", "27"), 4, quantity=2)) is None


def test_back_to_back_stays_share_a_room() -> None:
    desk = Desk(hotel())
    desk.booked(("24", "26"))
    assert reason(desk.hold(("25", "26"))) is Reason.NO_AVAILABILITY
    assert reason(desk.hold(("26", "28"))) is None
    assert reason(desk.hold(("23", "24"))) is None


def test_stays_pack_the_tightest_rooms() -> None:
    desk = Desk(hotel(room("R", quantity=4)))
    first = desk.booked(("20", "24"))
    assert seat_numbers(desk.booked(("24", "26"))) == seat_numbers(first)
    pair = desk.booked(("26", "28"), 4, quantity=2)
    assert seat_numbers(first)[0] in seat_numbers(pair)


def test_a_house_of_many_like_rooms_fills_up() -> None:
    desk = Desk(hotel(room("R", quantity=150)))
    numbers = {seat_numbers(desk.booked(("24", "26")))[0] for _ in range(150)}
    assert len(numbers) == 150
    assert reason(desk.hold(("25", "26"))) is Reason.NO_AVAILABILITY


def test_a_long_stay_spans_many_words() -> None:
    desk = Desk(hotel())
    booking = desk.booked(("2026-12-24", "2027-12-24"))
    assert booking.slot_count == 365
    assert len(desk.held(1)) == 365
    assert len(desk.words) >= 6
    assert reason(desk.hold(("2027-06-01", "2027-06-02"))) is Reason.NO_AVAILABILITY
    assert day("2027-12-24") == booking.check_out


def seat_numbers(booking: object) -> list[int]:
    return [seat.seat_no for seat in booking.seats]  # type: ignore[attr-defined]


def test_one_booking_takes_so_many_rooms_and_no_more() -> None:
    """The shard serves nobody else while it takes them, each for as many nights as a stay may have."""
    desk = Desk(hotel(room("R", quantity=500)))
    booking = desk.booked(("24", "26"), QUANTITY_MAX, quantity=QUANTITY_MAX)
    assert len(booking.seats) == QUANTITY_MAX
    for refused in (
        desk.hold(("24", "26"), QUANTITY_MAX + 1, quantity=QUANTITY_MAX + 1),
        desk.amend(booking, quantity=QUANTITY_MAX + 1, party_size=QUANTITY_MAX + 1),
    ):
        assert isinstance(refused, Rejection)
        assert (refused.reason, refused.path) == (Reason.INVALID_REQUEST, "quantity")
    assert isinstance(desk.amend(booking, check_out="27"), Booking)


PACED = restaurant(table("T", 6, quantity=10), covers_per_step=8)


def test_pacing_counts_covers_that_start_in_the_step() -> None:
    desk = Desk(PACED)
    desk.booked("24T19:00", 5)
    assert reason(desk.hold("24T19:00", 4)) is Reason.NO_AVAILABILITY
    desk.booked("24T19:00", 3)
    assert reason(desk.hold("24T19:00", 1)) is Reason.NO_AVAILABILITY
    assert reason(desk.hold("24T19:30", 6)) is None
    assert reason(desk.hold("24T19:00", 7)) is Reason.PARTY_TOO_LARGE


def test_what_is_given_back_may_be_taken_again_by_pace() -> None:
    desk = Desk(PACED)
    booking = desk.booked("24T19:00", 6)
    assert reason(desk.hold("24T19:00", 3)) is Reason.NO_AVAILABILITY
    desk.mark(booking, "CANCELLED")
    assert reason(desk.hold("24T19:00", 6)) is None


def test_the_pace_moves_with_an_amendment() -> None:
    desk = Desk(PACED)
    booking = desk.booked("24T19:00", 5)
    assert reason(desk.amend(booking, party_size=6)) is None
    desk.booked("24T19:00", 2)
    other = desk.booked("24T20:00", 4)
    assert reason(desk.amend(other, starts_at="24T19:00")) is Reason.NO_AVAILABILITY
    assert reason(desk.amend(booking, party_size=7)) is Reason.PARTY_TOO_LARGE
    assert reason(desk.amend(booking, starts_at="24T21:00")) is None
    assert reason(desk.amend(other, starts_at="24T19:00")) is None
    assert desk.state.covers_at(desk.bookings[other.booking_id].first_slot) == 6


MINIMA_OF_ROOMS = hotel(room("A", 2, 2, quantity=2), room("B", 4, quantity=2))


@pytest.mark.parametrize(
    ("vendor", "party", "seats"),
    [
        (MINIMA_OF_ROOMS, 3, ["A", "B"]),
        (MINIMA_OF_ROOMS, 2, ["B", "B"]),
        (MINIMA_OF_ROOMS, 4, ["A", "A"]),
        (hotel(room("A", 2), room("B", 4, 4), room("C", 5)), 4, ["A", "C"]),
        (hotel(room("dear", 2, 2, price=9), room("cheap", 2, price=8), room("small", 1)), 2, ["cheap", "small"]),
    ],
)
def test_rooms_whose_least_party_counts(vendor: Vendor, party: int, seats: list[str]) -> None:
    assert seat_names(Desk(vendor).hold(("24", "26"), party, quantity=2)) == seats


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, 4), st.integers(1, 3)), min_size=1, max_size=6),
    st.integers(1, 4),
    st.integers(1, 20),
)
def test_rooms_are_the_best_of_all_choices(sizes: list[tuple[int, int, int]], quantity: int, party: int) -> None:
    seats = [room(str(i), least + more, least, price=price) for i, (least, more, price) in enumerate(sizes)]
    costs = [
        (sum(seat.capacity_max for seat in chosen), sum(seat.price.amount_minor for seat in chosen if seat.price))
        for chosen in combinations(seats, quantity)
        if sum(seat.capacity_min for seat in chosen) <= party <= sum(seat.capacity_max for seat in chosen)
    ]
    outcome = Desk(hotel(*seats)).hold(("24", "25"), party, quantity=quantity)
    if not costs:
        assert reason(outcome) in {Reason.NO_AVAILABILITY, Reason.PARTY_TOO_LARGE}
        return
    chosen = [seats[int(name)] for name in seat_names(outcome)]
    assert len(chosen) == quantity
    assert sum(seat.capacity_min for seat in chosen) <= party
    cost = sum(seat.capacity_max for seat in chosen), sum(seat.price.amount_minor for seat in chosen if seat.price)
    assert cost == min(costs)


def test_a_house_of_too_many_sizes_is_still_answered() -> None:
    """No two rooms alike: not every choice is weighed, and what is chosen still fits."""
    plan = VendorState.of(opened(hotel(*(room(str(i), i + 1, i % 3 + 1) for i in range(600)))), (), {}).facts.plan
    free = [(seat_class.start, seat_class) for seat_class in plan.classes]
    rooms = rooms_for(free, 9_000, 100, 1_000)
    assert rooms is not None
    assert len({position for position, _ in rooms}) == 100
    assert sum(c.capacity_min for _, c in rooms) <= 9_000 <= sum(c.capacity_max for _, c in rooms)


def test_closures_of_a_large_group_are_kept_once() -> None:
    closures = tuple(Closure(day("24") + timedelta(days=2 * n), day("24") + timedelta(days=2 * n)) for n in range(150))
    vendor = opened(hotel(room("R", quantity=9_999, closures=closures), room("S", seat_type="s")))
    plan = compile_facts(vendor).plan
    assert len(plan.closures) == 150
    first = day_of(day("24"))
    closed = plan.closed_between(first, first)
    assert (len(closed), sum(closed)) == (10_000, 9_999)
    assert not plan.closed_between(first + 1, first + 1)
    desk = Desk(vendor)
    assert seat_names(desk.hold(("24", "25"))) == ["S"]
    assert seat_names(desk.hold(("25", "26"))) == ["R"]
    assert reason(desk.hold(("24", "26"))) is Reason.NO_AVAILABILITY
