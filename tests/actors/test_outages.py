"""The database is away: a bounded wait, then a plain answer, nothing half done, and everything as before afterwards."""

import asyncio

import pytest

from actors.limits import ShardLimits
from actors.outcome import Done, Trouble, VendorDone
from actors.shard import Shard
from domain.availability import AvailabilityQuery
from domain.booking import BookingStatus
from storage.errors import StoreUnavailable
from storage.shard_store import Owner
from tests.fakes.houses import EVENING, cancel, changing, guest, hold, new_booking_id, opening, restaurant, vendor_id
from tests.fakes.memory_store import Fault, MemoryShardStore, Script

V = vendor_id(1)
AWAY = Fault.UNAVAILABLE


async def test_a_short_outage_is_waited_out(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V)))
    house.faults.next("commit", AWAY, AWAY, AWAY)
    assert isinstance(await shard.ask(hold(V)), Done)
    assert len(house.database.bookings) == 1


async def test_a_long_one_is_answered_within_our_patience(house):
    shard = await house.start(patience_seconds=4.0)
    await shard.ask(opening(restaurant(V)))
    house.faults.always("commit", AWAY)
    started = asyncio.get_running_loop().time()
    outcome = await shard.ask(hold(V))
    assert outcome.trouble is Trouble.DEPENDENCY_UNAVAILABLE
    assert asyncio.get_running_loop().time() - started <= 4.0
    started = asyncio.get_running_loop().time()
    assert (await shard.ask(hold(V))).trouble is Trouble.DEPENDENCY_UNAVAILABLE
    assert asyncio.get_running_loop().time() - started < 0.1, "known to be away: one try"
    house.faults.clear()
    assert isinstance(await shard.ask(hold(V)), Done)


@pytest.mark.parametrize("step", ["load_vendors", "load_bookings", "load_answers"])
async def test_reads_before_and_after_deciding_may_fail_too(house, step):
    shard = await house.start()
    await shard.ask(opening(restaurant(V)))
    placed = await shard.ask(hold(V, key="k"))
    fresh = await house.start("b", patience_seconds=1.0)
    house.faults.always(step, AWAY)
    command = cancel(placed.booking.booking_id) if step == "load_bookings" else hold(V, key="k")
    assert (await fresh.ask(command)).trouble is Trouble.DEPENDENCY_UNAVAILABLE
    house.faults.clear()
    assert isinstance(await fresh.ask(command), Done)


async def test_reading_again_after_a_refused_guard_may_fail(house):
    shard = await house.start(patience_seconds=1.0)
    await shard.ask(opening(restaurant(V)))
    await shard.ask(hold(V))
    shard._memory.vendors[V].columns.clear()
    house.faults.always("load_bookings", AWAY)
    assert (await shard.ask(hold(V, by=guest(2)))).trouble is Trouble.DEPENDENCY_UNAVAILABLE


async def test_vendor_commands_and_reads_say_so_as_well(house):
    shard = await house.start(patience_seconds=1.0)
    await shard.ask(opening(restaurant(V)))
    house.faults.always("load_vendor", AWAY)
    assert (await shard.ask(changing(V, name="x"))).trouble is Trouble.DEPENDENCY_UNAVAILABLE
    house.faults.always("load_vendors", AWAY)
    query = AvailabilityQuery(EVENING.date(), EVENING.date())
    assert (await shard.availability(V, query)).trouble is Trouble.DEPENDENCY_UNAVAILABLE
    house.faults.always("load_bookings", AWAY)
    assert (await shard.booking(new_booking_id(V))).trouble is Trouble.DEPENDENCY_UNAVAILABLE
    house.faults.clear()
    house.faults.always("commit_vendor", AWAY)
    assert (await shard.ask(opening(restaurant(vendor_id(2))))).trouble is Trouble.DEPENDENCY_UNAVAILABLE
    house.faults.clear()
    assert isinstance(await shard.ask(changing(V, name="x")), VendorDone)


async def test_a_hold_that_could_not_expire_expires_when_the_database_is_back(house):
    shard = await house.start(patience_seconds=1.0)
    await shard.ask(opening(restaurant(V, deposit=100, hold_ttl_seconds=10)))
    placed = await shard.ask(hold(V))
    house.faults.always("commit", AWAY)
    await asyncio.sleep(20)
    tries = house.steps.count("commit")
    assert tries < 40, "an idle shard does not hammer a database that is away"
    house.faults.clear()
    await asyncio.sleep(2)
    assert house.database.bookings[placed.booking.booking_id].status is BookingStatus.EXPIRED


async def test_starting_waits_a_while_and_then_fails(house):
    faults = Script()
    house.database.claim(0, "a")
    store = MemoryShardStore(house.database, faults)
    shard = Shard(0, store, Owner("a", "n", 1), house.clock, ShardLimits(patience_seconds=2.0))
    faults.next("load_holds", AWAY, AWAY)
    faults.next("take", AWAY)
    assert await shard.start()
    await shard.stop()
    faults.always("take", AWAY)
    late = Shard(0, store, Owner("a", "n", 1), house.clock, ShardLimits(patience_seconds=2.0))
    with pytest.raises(StoreUnavailable):
        await late.start()


async def test_reads_of_one_moment_share_a_query(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V, tables=5)))
    placed = [await shard.ask(hold(V, by=guest(n))) for n in range(5)]
    fresh = await house.start("b")
    house.faults.next("load_bookings", 1.0)
    reads = [asyncio.ensure_future(fresh.booking(p.booking.booking_id)) for p in placed for _ in range(2)]
    assert await asyncio.gather(*reads) == [p.booking for p in placed for _ in range(2)]
    assert house.stores[-1].steps.count("load_bookings") <= 2
