"""Memory of one vendor: overlays that read through, merging, forgetting, its size, and words in another step."""

from array import array
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.booking import Booking
from domain.event import BookingAmended
from domain.evolve import evolve, word_changes
from domain.rescale import in_step, rescale_words
from domain.seat_plan import compile_plan
from domain.slots import run_words
from domain.vendor import Closure, Vendor, VendorKind
from domain.vendor_facts import compile_facts
from domain.vendor_state import VendorState
from tests.domain.desk import Desk, hotel, opened, restaurant, room, service, table


def test_what_the_database_holds_is_what_memory_shows() -> None:
    vendor = opened(restaurant(table("A", 4, quantity=2), table("B", 2), covers_per_step=9))
    state = VendorState.of(vendor, [(1, 5, 0b11), (3, 5, 1 << 63), (1, 7, 1), (99, 5, 1), (2, 8, 0)], {320: 4})
    assert (state.vendor_id, state.version, state.kind, state.step_minutes) == (
        vendor.vendor_id,
        1,
        VendorKind.RESTAURANT,
        30,
    )
    assert list(state.facts.plan.seat_nos) == [3, 1, 2]  # the smallest first
    assert state.column(5) == array("Q", [1 << 63, 0b11, 0])
    assert state.column(7) == array("Q", [0, 1, 0])
    assert state.column(8) is None
    assert (state.covers_at(320), state.covers_at(321)) == (4, 0)


def test_covers_are_kept_only_where_there_is_a_pace() -> None:
    state = VendorState.of(opened(restaurant()), [], {320: 4})
    state.change_covers(320, 2)
    assert state.covers_at(320) == 0


def test_a_fork_reads_through_keeps_to_itself_and_is_merged() -> None:
    state = VendorState.of(opened(restaurant(table("A", quantity=2), covers_per_step=9)), [(1, 5, 0b1)], {320: 4})
    fork = state.fork()
    fork.change_word(0, 5, 0b1, 0b110)
    fork.change_word(1, 6, 0, 0b1)
    fork.change_covers(320, 3)
    deeper = fork.fork()
    deeper.change_word(0, 5, 0, 0b1000)
    assert state.column(5) == array("Q", [0b1, 0])
    assert state.column(6) is None
    assert fork.column(5) == array("Q", [0b110, 0])
    assert deeper.column(5) == array("Q", [0b1110, 0])
    assert (state.covers_at(320), fork.covers_at(320), deeper.covers_at(320)) == (4, 7, 7)
    fork.merge(deeper)
    state.merge(fork)
    assert state.column(5) == array("Q", [0b1110, 0])
    assert state.column(6) == array("Q", [0, 0b1])
    assert state.covers_at(320) == 7


def test_a_fork_copies_a_column_once_and_a_shared_one_is_never_changed_in_place() -> None:
    """One booking may take hundreds of seats of a large house, and a copy of its column each time stopped the shard."""
    state = VendorState.of(opened(hotel(room("R", quantity=3))), [(1, 5, 0b1)], {})
    seen = state.column(5)
    fork = state.fork()
    fork.change_word(0, 5, 0, 0b10)
    own = fork.column(5)
    fork.change_word(1, 5, 0, 0b100)
    assert fork.column(5) is own is not seen
    state.merge(fork)
    assert seen == array("Q", [0b1, 0, 0])
    assert state.column(5) is own
    fork.change_word(2, 5, 0, 0b1000)
    state.change_word(2, 5, 0, 0b10000)
    assert own == array("Q", [0b11, 0b100, 0])


@pytest.mark.parametrize("count", [1, 64, 65, 300])
def test_a_seat_is_found_by_its_number_however_many_there_are(count: int) -> None:
    """Every other group is dearer, so that positions do not follow the numbers."""
    groups = [room(f"R{n}", price=n % 2, quantity=1 + n % 3) for n in range(count)]
    seats = opened(hotel(*groups)).seats[:: 2 if count > 1 else 1]
    plan = compile_plan(seats, ())
    for position, seat_no in enumerate(plan.seat_nos):
        assert plan.position_of(seat_no) == position
    known = set(plan.seat_nos)
    assert all(plan.position_of(seat_no) is None for seat_no in range(max(known) + 3) if seat_no not in known)


def test_a_dropped_fork_leaves_no_trace() -> None:
    desk = Desk(restaurant())
    before = {word: column[:] for word, column in desk.state.columns.items()}
    booking = desk.booked("24T19:00")
    after = {word: column[:] for word, column in desk.state.columns.items()}
    fork = desk.state.fork()
    evolve(fork, BookingAmended(replace(booking, first_slot=booking.first_slot + 1), booking))
    assert fork.columns
    assert {word: column[:] for word, column in desk.state.columns.items()} == after != before


def test_the_past_is_forgotten_by_whole_words() -> None:
    state = VendorState.of(opened(restaurant(covers_per_step=5)), [(1, 5, 1), (1, 6, 1)], {330: 1, 390: 2})
    state.forget_before(6 * 64 - 1)
    assert sorted(state.columns) == [5, 6]
    state.forget_before(6 * 64)
    assert sorted(state.columns) == [6]
    assert state.covers == {390: 2}


def test_what_was_forgotten_can_still_be_given_back() -> None:
    desk = Desk(restaurant())
    booking = desk.booked("24T19:00")
    desk.state.forget_before(booking.first_slot + 1000)
    assert desk.state.columns == {}
    assert isinstance(desk.mark(booking, "CANCELLED"), Booking)


def test_bytes_grow_with_seats_and_taken_words() -> None:
    small = VendorState.of(opened(restaurant()), [], {})
    busy = VendorState.of(opened(restaurant()), [(1, word, 1) for word in range(10)], {})
    many = [table(f"T{n}", 4, closures=(Closure(date(2026, 1, 1), date(2026, 1, 2)),)) for n in range(200)]
    large = VendorState.of(opened(restaurant(*many, combinations=(("T1", "T2"),))), [], {})
    assert small.bytes_held() < busy.bytes_held() < 10_000
    assert small.bytes_held() < large.bytes_held()


def test_alike_vendors_share_what_is_alike() -> None:
    one, other = compile_facts(opened(restaurant())), compile_facts(opened(restaurant()))
    assert one.policy is other.policy
    assert one.starts is other.starts
    assert one.plan.classes is other.plan.classes
    assert one.plan.group_names is other.plan.group_names


def test_seats_that_nothing_tells_apart_are_one_class() -> None:
    plan = compile_plan(
        opened(hotel(room("A"), room("B"), room("C", seat_type="attic"), room("D", price=1), room("E", 3))).seats, ()
    )
    assert [(c.start, c.end, c.tier, c.price_minor) for c in plan.classes] == [
        (0, 1, 0, 1),
        (1, 3, 1, 10_000),
        (3, 4, 1, 10_000),
        (4, 5, 2, 10_000),
    ]
    assert [seat.name for seat in plan.booked(range(5))] == ["D", "A", "B", "C", "E"]
    assert plan.position_of(99) is None
    assert len(plan) == 5


@given(
    st.sets(st.integers(0, 400), max_size=60),
    st.sampled_from([(60, 30), (60, 5), (30, 15), (30, 30), (15, 5), (60, 20), (12, 3)]),
)
def test_words_are_rewritten_exactly_for_a_finer_step(slots: set[int], steps: tuple[int, int]) -> None:
    old, new = steps
    minutes = {slot * old + minute for slot in slots for minute in range(old)}
    rescaled = rescale_words(rows(slots), old, new)
    assert rescaled == sorted(rescaled)
    taken = {word * 64 + bit for _, word, mask in rescaled for bit in range(64) if mask >> bit & 1}
    assert {slot * new + minute for slot in taken for minute in range(new)} == minutes


def rows(slots: set[int]) -> list[tuple[int, int, int]]:
    masks: dict[int, int] = {}
    for slot in slots:
        for word, mask in run_words(slot, 1):
            masks[word] = masks.get(word, 0) | mask
    return [(7, word, mask) for word, mask in masks.items()]


@pytest.mark.parametrize(("old", "new"), [(15, 30), (15, 10), (15, 0), (0, 15)])
def test_a_coarser_or_crooked_step_is_a_bug(old: int, new: int) -> None:
    with pytest.raises(ValueError, match="cannot be counted"):
        rescale_words([(1, 1, 1)], old, new)


def test_a_booking_in_its_own_step_is_itself() -> None:
    booking = Desk(hotel()).booked(("24", "26"))
    assert in_step(booking, 0) is booking


def test_words_count_in_the_step_of_the_booking_after_the_event() -> None:
    desk = Desk(restaurant())
    before = desk.booked("24T12:00")
    assert isinstance(desk.update(services=(service(every=15),)), Vendor)
    after = replace(in_step(before, 15), version=2, first_slot=before.first_slot * 2 + 1)
    changes = word_changes(BookingAmended(after, before))
    assert sum(clear.bit_count() for _, _, clear, _ in changes) == 6
    assert sum(set_.bit_count() for _, _, _, set_ in changes) == 6


def test_an_event_that_moves_nothing_changes_no_word() -> None:
    desk = Desk(restaurant())
    booking = desk.booked("24T12:00")
    assert word_changes(BookingAmended(replace(booking, version=2, notes="x"), booking)) == []
    ended = replace(booking, held_slot_count=0)
    assert word_changes(BookingAmended(replace(ended, first_slot=1), ended)) == []
