"""Opening and changing vendors through the shard: one order of events, and never a stale seat."""

import asyncio
from dataclasses import replace
from datetime import time, timedelta

from actors.outcome import Done, VendorDone
from domain.money import Money
from domain.rejection import Reason, Rejection
from domain.vendor import SeatGroup, Service
from tests.fakes.houses import EVENING, cancel, changing, guest, hold, opening, restaurant, vendor_id
from tests.fakes.memory_store import Fault

V = vendor_id(1)
W = vendor_id(2)


async def test_a_vendor_gets_its_seat_numbers_and_its_step(house):
    shard = await house.start()
    outcome = await shard.ask(opening(restaurant(V, tables=3)))
    assert outcome == VendorDone(house.database.vendors[V].vendor)
    assert outcome.vendor.seats[0].seat_nos == (1, 2, 3)
    assert outcome.vendor.step_minutes == 30


async def test_an_e_mail_address_opens_one_vendor(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V), email="same@example.org"))
    refused = await shard.ask(opening(restaurant(W), email="same@example.org"))
    assert refused.reason is Reason.EMAIL_TAKEN
    assert refused.path == "email"


async def test_the_echo_of_an_opening_is_not_told_that_its_own_address_is_taken(house):
    shard = await house.start()
    first = await shard.ask(opening(restaurant(V)))
    assert await shard.ask(opening(restaurant(V)), again=True) == first
    other = await shard.ask(opening(restaurant(W), email=f"{V}@example.org"), again=True)
    assert other.reason is Reason.EMAIL_TAKEN


async def test_an_opening_that_committed_unseen_is_known_by_its_vendor(house):
    shard = await house.start()
    real = house.stores[0].load_vendor

    async def nothing_yet(_vendor_id):
        house.stores[0].load_vendor = real

    await shard.ask(opening(restaurant(V)))
    house.stores[0].load_vendor = nothing_yet
    assert isinstance(await shard.ask(opening(restaurant(V)), again=True), VendorDone)


async def test_an_unknown_vendor_cannot_be_changed(house):
    shard = await house.start()
    assert (await shard.ask(changing(V, name="x"))).reason is Reason.NOT_FOUND


async def test_a_stale_version_is_refused(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V)))
    assert isinstance(await shard.ask(changing(V, expected_version=1, name="x")), VendorDone)
    assert (await shard.ask(changing(V, expected_version=1, name="y"))).reason is Reason.VERSION_CONFLICT


async def test_the_next_booking_sees_the_changed_seats(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V, tables=1)))
    await shard.ask(hold(V))
    more = (SeatGroup("T", "table", 1, 4, quantity=2),)
    changed, taken = await asyncio.gather(shard.ask(changing(V, seats=more)), shard.ask(hold(V, by=guest(2))))
    assert isinstance(changed, VendorDone)
    assert isinstance(taken, Done)


async def test_a_seat_with_a_live_booking_cannot_be_taken_away(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V, tables=1)))
    placed = await shard.ask(hold(V))
    other = (SeatGroup("U", "table", 1, 4),)
    refused = await shard.ask(changing(V, seats=other))
    assert refused.reason is Reason.WOULD_STRAND_BOOKINGS
    assert refused.bookings == (placed.booking.booking_id,)
    await shard.ask(cancel(placed.booking.booking_id))
    assert isinstance(await shard.ask(changing(V, seats=other)), VendorDone)


async def test_bookings_are_looked_at_only_where_seats_are_at_stake(house):
    """A large house has hundreds of thousands of them, and nobody is served meanwhile."""
    shard = await house.start()
    await shard.ask(opening(restaurant(V, tables=2)))
    placed = await shard.ask(hold(V))
    (tables,) = house.database.vendors[V].vendor.seats
    looks = {"load_seats_in_use", "load_stranded", "load_vendors", "load_bookings"}

    async def looked(**changes):
        house.stores[0].steps.clear()
        outcome = await shard.ask(changing(V, **changes))
        return type(outcome), [step for step in house.stores[0].steps if step in looks]

    harmless = (replace(tables, quantity=3, price=Money(100, "EUR"), capacity_max=6), SeatGroup("U", "table", 1, 2))
    for changes in ({"name": "x"}, {"services": ()}, {"seats": (tables,)}, {"seats": harmless}):
        assert await looked(**changes) == (VendorDone, [])
    assert await looked(seats=harmless[:1]) == (VendorDone, ["load_seats_in_use"])
    assert await looked(seats=(replace(harmless[0], quantity=1),)) == (
        VendorDone,
        ["load_seats_in_use", "load_stranded"],
    )
    assert await looked(seats=(), name="") == (Rejection, [])
    assert house.database.vendors[V].vendor.seats[0].seat_nos == (placed.booking.seats[0].seat_no,)


async def test_a_refusal_names_a_bounded_number_of_bookings(house):
    shard = await house.start(stranded_listed_max=2)
    await shard.ask(opening(restaurant(V, tables=3)))
    for number in range(3):
        await shard.ask(hold(V, by=guest(number + 1)))
    refused = await shard.ask(changing(V, seats=(SeatGroup("U", "table", 1, 4),)))
    assert refused.reason is Reason.WOULD_STRAND_BOOKINGS
    assert refused.bookings == tuple(sorted(house.database.bookings))[:2]


async def test_a_finer_step_rewrites_the_words_and_bookings_go_on(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V, tables=1)))
    placed = await shard.ask(hold(V))
    finer = (Service((0, 1, 2, 3, 4, 5, 6), time(12), time(23), 15),)
    outcome = await shard.ask(changing(V, services=finer))
    assert outcome.vendor.step_minutes == 15
    assert house.database.problems() == []
    inside = EVENING + timedelta(minutes=75)
    assert (await shard.ask(hold(V, at=inside, by=guest(2)))).reason is Reason.NO_AVAILABILITY
    cancelled, taken = await asyncio.gather(
        shard.ask(cancel(placed.booking.booking_id)), shard.ask(hold(V, at=inside, by=guest(2)))
    )
    assert isinstance(cancelled, Done)
    assert isinstance(taken, Done)


async def test_expiries_that_are_due_go_before_a_vendors_command(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V, deposit=100, hold_ttl_seconds=60)))
    await shard.ask(hold(V))
    house.clock.jump(timedelta(seconds=70))
    other = (SeatGroup("U", "table", 1, 4),)
    assert isinstance(await shard.ask(changing(V, seats=other)), VendorDone)


async def test_a_vendors_command_waits_for_no_outcome_that_stays_unknown(house):
    shard = await house.start(patience_seconds=1.0)
    await shard.ask(opening(restaurant(V, deposit=100, hold_ttl_seconds=60)))
    await shard.ask(hold(V))
    house.clock.jump(timedelta(seconds=70))
    house.faults.next("commit", Fault.LOST_DONE)
    house.faults.always("retake", Fault.UNAVAILABLE)
    outcome = await shard.ask(changing(V, name="x"))
    assert outcome.trouble.value == "dependency_unavailable"


async def test_a_vendor_that_failed_to_change_is_as_before(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V)))
    house.faults.next("commit_vendor", Fault.LOST_UNDONE)
    outcome = await shard.ask(changing(V, name="x"))
    assert outcome.vendor.version == 2
    assert house.database.vendors[V].vendor == replace(outcome.vendor)
