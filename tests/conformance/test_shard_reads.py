"""What a shard reads when it begins, and later by the clock."""

from dataclasses import replace
from datetime import timedelta

from domain.booking import BookingStatus
from domain.event import BookingCancelled, DepositPaid, VendorCreated
from tests.conformance.stores import booking, cancelled, changing, confirmed, house, ids, placing
from tests.fakes.houses import vendor_id


async def test_every_bucket_has_a_shard(world, store):
    assert await store.buckets(0) == frozenset(range(4096))
    await world.seed(3)
    assert frozenset().union(*[await store.buckets(shard) for shard in range(3)]) == frozenset(range(4096))


async def test_live_holds_are_found_at_once(store, lease, vendor):
    held = [booking(vendor, n, seats=(n,), status=BookingStatus.BLOCKED) for n in (1, 2, 3)]
    await store.commit(placing(lease, 1, *held))
    await store.commit(changing(lease, 2, confirmed(held[0]), cancelled(held[1])))
    assert list(await store.load_holds(0)) == [held[2]]
    assert list(await store.load_holds(1)) == []


async def test_holds_follow_their_bucket(world, store, lease):
    await world.seed(2)
    of = vendor_id(1, bucket=5)
    await store.commit_vendor(lease, 1, VendorCreated(house(of), "b@example.org", "h"))
    held = booking(of, 1, status=BookingStatus.BLOCKED)
    await store.commit(placing(lease, 2, held))
    owner = 0 if 5 in await store.buckets(0) else 1
    await world.move_bucket(5, 1 - owner)
    assert list(await store.load_holds(owner)) == []
    assert list(await store.load_holds(1 - owner)) == [held]


async def test_confirmed_bookings_that_ended_come_oldest_first(store, lease, vendor):
    start = booking(vendor, 1).first_slot
    late, early, middle = (booking(vendor, n, first_slot=start + at, slots=1) for n, at in ((1, 20), (2, 0), (3, 10)))
    blocked = booking(vendor, 4, seats=(2,), status=BookingStatus.BLOCKED)
    await store.commit(placing(lease, 1, late, early, middle, blocked))
    assert list(await store.load_ended(0, late.ends_at, 10)) == [early, middle]
    assert list(await store.load_ended(0, late.ends_at + timedelta(seconds=1), 2)) == [early, middle]
    assert list(await store.load_ended(1, late.ends_at + timedelta(days=1), 10)) == []


async def test_ended_bookings_go_on_after_a_position_also_within_one_instant(store, lease, vendor):
    start = booking(vendor, 1).first_slot
    first, second = (booking(vendor, n, seats=(n,), first_slot=start, slots=1) for n in (1, 2))
    third = booking(vendor, 3, seats=(3,), first_slot=start + 10, slots=1)
    await store.commit(placing(lease, 1, third, second, first))
    before, found, after = third.ends_at + timedelta(seconds=1), [], None
    while page := await store.load_ended(0, before, 1, after):
        found += page
        after = page[-1].ends_at, page[-1].booking_id
    assert first.ends_at == second.ends_at
    assert found == [*sorted((first, second), key=lambda each: each.booking_id.int), third]
    assert list(await store.load_ended(0, before, 10, (second.ends_at, second.booking_id))) == [third]


async def test_seats_in_use_are_those_with_slots_ahead(store, lease, vendor):
    start = booking(vendor, 1).first_slot
    past, ahead, gone = (
        booking(vendor, n, first_slot=start + at, seats=seats)
        for n, at, seats in ((1, 0, (1,)), (2, 10, (2, 3)), (3, 20, (1,)))
    )
    await store.commit(placing(lease, 1, past, ahead, gone))
    await store.commit(changing(lease, 2, cancelled(gone)))
    assert await store.load_seats_in_use(vendor, past.ends_at, [1, 2, 3, 4]) == {2, 3}
    assert await store.load_seats_in_use(vendor, past.starts_at, [1, 2]) == {1, 2}
    assert await store.load_seats_in_use(vendor, past.starts_at, []) == frozenset()
    assert await store.load_seats_in_use(vendor_id(50), past.starts_at, [1, 2, 3]) == frozenset()


async def test_stranded_are_those_whose_seats_go_or_no_longer_take_them(store, lease, vendor):
    """A party of two each: alone on 1, on 2 and 3 together, and alone on 3 in the past and once cancelled."""
    start = booking(vendor, 1).first_slot
    alone, together = booking(vendor, 1, first_slot=start + 20), booking(vendor, 2, first_slot=start + 10, seats=(2, 3))
    past, gone = booking(vendor, 3, first_slot=start, seats=(3,)), booking(vendor, 4, first_slot=start + 30, seats=(3,))
    await store.commit(placing(lease, 1, alone, together, past, gone))
    await store.commit(changing(lease, 2, cancelled(gone)))
    for capacities, expected in (
        ({1: 2, 2: 1, 3: 1}, []),
        ({1: 1, 2: 1, 3: 1}, [alone]),
        ({1: 2, 2: 9}, [together]),
        ({2: 1, 3: 1, 4: 9}, [alone]),
        ({}, [together, alone]),
    ):
        assert list(await store.load_stranded(vendor, past.ends_at, capacities, 10)) == ids(expected)
    assert list(await store.load_stranded(vendor, past.ends_at, {}, 1)) == ids([together])
    assert list(await store.load_stranded(vendor_id(50), past.ends_at, {}, 10)) == []


async def test_what_became_of_a_deposit_is_stored_and_changed(store, lease, vendor):
    held = booking(vendor, 1, status=BookingStatus.BLOCKED)
    held = replace(held, terms=replace(held.terms, by_hand=True))
    paid = replace(held, version=2, deposit_paid=True)
    late = replace(
        paid, version=3, status=BookingStatus.CANCELLED, held_slot_count=0, cancelled_late=True, bill_minor=7
    )
    await store.commit(placing(lease, 1, held))
    for seq, event in enumerate((DepositPaid(paid, held), BookingCancelled(late, paid, late=True)), start=2):
        await store.commit(changing(lease, seq, event))
        assert await store.load_bookings([held.booking_id]) == {held.booking_id: event.booking}
    born = replace(booking(vendor, 2, seats=(2,)), deposit_paid=True, cancelled_late=True, bill_minor=2**40)
    await store.commit(placing(lease, 4, born))
    assert await store.load_bookings([born.booking_id]) == {born.booking_id: born}


async def test_a_stay_of_a_year_stands_until_it_ends(store, lease, vendor):
    long_stay = replace(booking(vendor, 1), slot_count=1, held_slot_count=1)
    long_stay = replace(long_stay, ends_at=long_stay.starts_at + timedelta(days=366))
    await store.commit(placing(lease, 1, long_stay))
    last_hour = long_stay.ends_at - timedelta(hours=1)
    assert await store.load_seats_in_use(vendor, last_hour, [1]) == {1}
    assert list(await store.load_stranded(vendor, last_hour, {}, 1)) == ids([long_stay])


async def test_a_vendor_comes_alone(store, vendor):
    assert await store.load_vendor(vendor) == house(vendor)
    assert await store.load_vendor(vendor_id(50)) is None


async def test_unknown_ids_are_absent(store, vendor):
    assert await store.load_bookings([]) == {}
    assert await store.load_bookings(ids([booking(vendor, 9)])) == {}
    assert await store.load_vendors([]) == {}
    assert await store.load_answers([]) == {}
