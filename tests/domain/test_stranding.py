"""A change of seats looks at few bookings, and answers as if it had looked at all of them."""

from hypothesis import event as seen
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.booking import Booking
from domain.command import UpdateVendor
from domain.decide_vendor import capacities, decide_update, would_strand
from domain.event import VendorUpdated
from domain.rejection import Rejection
from domain.vendor import SeatGroup
from tests.domain.desk import HOUSE, VENDOR_ID, Desk, hotel, restaurant, room, table
from tests.fakes.stranding import seats_in_use, stranded

groups = st.dictionaries(
    st.sampled_from("ABCD"), st.tuples(st.integers(1, 5), st.integers(1, 4)), min_size=1, max_size=4
).map(lambda found: [(name, most, quantity) for name, (most, quantity) in found.items()])
stays = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9), st.integers(1, 3), st.booleans()), max_size=12)


def rooms(found: list[tuple[str, int, int]]) -> tuple[SeatGroup, ...]:
    return tuple(room(name, most, quantity=quantity) for name, most, quantity in found)


@settings(max_examples=300, deadline=None)
@given(before=groups, booked=stays, updates=st.lists(groups, min_size=1, max_size=3))
def test_a_hotels_seats_change_as_if_every_booking_had_been_looked_at(
    before: list[tuple[str, int, int]],
    booked: list[tuple[int, int, int, bool]],
    updates: list[list[tuple[str, int, int]]],
) -> None:
    desk = Desk(hotel(*rooms(before)))
    for day, party, quantity, gone in booked:
        outcome = desk.hold((f"{24 + day}", f"{25 + day}"), party, quantity=quantity)
        if gone and isinstance(outcome, Booking):
            desk.mark(outcome, "CANCELLED")
    for update in updates:
        agree(desk, seats=rooms(update))


@settings(max_examples=200, deadline=None)
@given(before=groups, parties=st.lists(st.integers(1, 9), max_size=8), update=groups)
def test_tables_that_were_put_together_count_together(
    before: list[tuple[str, int, int]], parties: list[int], update: list[tuple[str, int, int]]
) -> None:
    names = tuple(name for name, _, _ in before)
    desk = Desk(restaurant(*(table(name, most) for name, most, _ in before), combinations=(names,) * (len(names) > 1)))
    for party in parties:
        desk.hold("24T19:00", party)
    agree(desk, seats=tuple(table(name, most, quantity=quantity) for name, most, quantity in update), combinations=())


def agree(desk: Desk, **changes: object) -> None:
    command = UpdateVendor(VENDOR_ID, HOUSE, changes)
    expected = looking_at_all(desk, command)
    assert desk.sparing(command) == expected
    seen("stranded" if isinstance(expected, Rejection) else "changed")
    desk.update(**changes)


def looking_at_all(desk: Desk, command: UpdateVendor) -> VendorUpdated | Rejection:
    event = decide_update(desk.vendor, command, now=desk.now, needed=seats_in_use(desk.standing()))
    if isinstance(event, Rejection):
        return event
    lost = stranded(desk.standing(), capacities(event.vendor))
    return would_strand(lost) if lost else event
