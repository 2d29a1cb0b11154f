"""Memory has bounds, and what falls out of it is read again."""

import asyncio
from datetime import timedelta

from actors.outcome import Done
from domain.rejection import Reason
from tests.fakes.houses import EVENING, cancel, confirm, guest, hold, hotel, opening, restaurant, vendor_id
from tests.fakes.memory_store import Fault


async def test_bookings_beyond_the_bound_are_read_from_the_database(house):
    shard = await house.start(bookings_kept_max=2)
    v = vendor_id()
    await shard.ask(opening(restaurant(v, tables=6)))
    placed = [await shard.ask(hold(v, by=guest(n))) for n in range(6)]
    assert shard.stats().bookings_in_memory == 2
    outcomes = await asyncio.gather(
        *(shard.ask(cancel(p.booking.booking_id, by=guest(n))) for n, p in enumerate(placed))
    )
    assert all(isinstance(outcome, Done) for outcome in outcomes)
    assert shard.stats().bookings_in_memory == 2


async def test_vendors_beyond_the_bound_are_loaded_when_touched(house):
    shard = await house.start(vendor_bytes_max=1)
    vendors = [vendor_id(n) for n in range(1, 5)]
    for of in vendors:
        await shard.ask(opening(restaurant(of, tables=2)))
        await shard.ask(hold(of))
    assert shard.stats().vendors_loaded == 1
    outcomes = await asyncio.gather(*(shard.ask(hold(of, by=guest(2))) for of in vendors))
    assert all(isinstance(outcome, Done) for outcome in outcomes)
    assert shard.stats().vendors_loaded == 1
    for of in vendors:
        assert (await shard.ask(hold(of, by=guest(3)))).reason is Reason.NO_AVAILABILITY


async def test_a_new_owner_fills_its_memory_in_the_background(house):
    shard = await house.start()
    for n in range(1, 8):
        await shard.ask(opening(restaurant(vendor_id(n))))
        await shard.ask(hold(vendor_id(n)))
    house.faults.next("load_vendor_page", None, Fault.UNAVAILABLE)
    fresh = await house.start("b", sweep_vendors=3)
    await asyncio.sleep(5)
    assert fresh.stats().vendors_loaded == 7
    assert (await fresh.ask(hold(vendor_id(1), by=guest(2)))).reason is Reason.NO_AVAILABILITY
    assert "load_vendors" not in house.stores[-1].steps


async def test_the_background_stops_at_the_bound(house):
    shard = await house.start()
    for n in range(1, 8):
        await shard.ask(opening(restaurant(vendor_id(n))))
    fresh = await house.start("b", sweep_vendors=1, vendor_bytes_max=1)
    await asyncio.sleep(5)
    assert fresh.stats().vendors_loaded == 1


async def test_a_page_read_before_a_commit_does_not_hide_it(house):
    """The page was read, then a batch took the seat and the vendor fell out of memory, then the page arrived."""
    shard = await house.start()
    v = vendor_id()
    await shard.ask(opening(restaurant(v)))
    house.faults.next("load_vendor_page", 1000.0)
    fresh = await house.start("b")
    await asyncio.sleep(0.1)
    store = house.stores[-1]
    memory = fresh._memory
    memory.begin_sweep()
    page = await store.load_vendor_page(0, None, 10)
    await fresh.ask(hold(v))
    memory.forget_vendor(v)
    memory.keep_swept(page)
    assert v not in memory.vendors
    memory.end_sweep()
    assert (await fresh.ask(hold(v, by=guest(2)))).reason is Reason.NO_AVAILABILITY
    assert fresh.stats().guard_refusals == 0


async def test_a_guest_holds_only_so_many_unpaid_bookings(house):
    shard = await house.start(holds_per_guest_max=2)
    v = vendor_id()
    await shard.ask(opening(restaurant(v, tables=9, deposit=100)))
    outcomes = await asyncio.gather(*(shard.ask(hold(v)) for _ in range(3)))
    assert [isinstance(outcome, Done) for outcome in outcomes] == [True, True, False]
    assert outcomes[2].reason is Reason.RATE_LIMITED
    assert isinstance(await shard.ask(hold(v, by=guest(2))), Done)
    assert (await shard.ask(hold(v))).reason is Reason.RATE_LIMITED
    await shard.ask(confirm(outcomes[0].booking.booking_id, v))
    assert isinstance(await shard.ask(hold(v)), Done)
    await shard.ask(cancel(outcomes[1].booking.booking_id))
    assert isinstance(await shard.ask(hold(v)), Done)


async def test_past_days_are_forgotten(house):
    shard = await house.start(forget_every_seconds=60.0)
    v, w = vendor_id(1), vendor_id(2)
    await shard.ask(opening(restaurant(v)))
    await shard.ask(opening(hotel(w)))
    await shard.ask(hold(v))
    assert shard._memory.vendors[v].columns
    house.clock.jump(EVENING - house.clock() + timedelta(days=6))
    await asyncio.sleep(121)
    assert not shard._memory.vendors[v].columns
    shard._memory.forget_past(vendor_id(77), house.clock())


async def test_a_vendor_dropped_while_the_outcome_was_unknown_is_read_anew(house):
    shard = await house.start(patience_seconds=1.0)
    v = vendor_id()
    await shard.ask(opening(restaurant(v)))
    house.faults.next("commit", Fault.LOST_DONE)
    house.faults.always("retake", Fault.UNAVAILABLE)
    asked = asyncio.ensure_future(shard.ask(hold(v)))
    await asked
    shard._memory.forget_vendor(v)
    house.faults.clear()
    await asyncio.sleep(2)
    assert (await shard.ask(hold(v, by=guest(2)))).reason is Reason.NO_AVAILABILITY
