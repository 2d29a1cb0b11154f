"""One owner at a time: who is fenced leaves and answers so, an idle one finds out by itself, buckets come and go."""

import asyncio

from actors.limits import ShardLimits
from actors.outcome import Done, Trouble, Unavailable
from actors.shard import Ending, Shard
from domain.availability import AvailabilityQuery
from domain.booking import BookingStatus
from domain.ids import bucket_of
from storage.shard_store import Owner
from tests.fakes.houses import EVENING, guest, hold, opening, restaurant, vendor_id
from tests.fakes.memory_store import Fault, MemoryShardStore

V = vendor_id(1)
QUERY = AvailabilityQuery(EVENING.date(), EVENING.date())


async def test_a_shard_starts_only_where_the_directory_names_it(house):
    house.database.claim(0, "somebody else")
    shard = Shard(0, MemoryShardStore(house.database), Owner("me", "node", 1), house.clock, house.limits)
    assert not await shard.start()
    assert not shard.serving
    assert (await shard.ask(hold(V))).trouble is Trouble.SHARD_MOVING
    await shard.stop()


async def test_a_restart_of_the_same_actor_takes_again(house):
    first = await house.start("a")
    await first.ask(opening(restaurant(V)))
    second = await house.start("a")
    assert second.lease.epoch == first.lease.epoch + 1
    assert isinstance(await second.ask(hold(V)), Done)


async def test_the_fenced_owner_writes_nothing_answers_everybody_and_ends(house):
    old = await house.start("a")
    await old.ask(opening(restaurant(V, tables=5)))
    house.faults.next("commit", 1.0)
    in_flight = asyncio.ensure_future(old.ask(hold(V)))
    await asyncio.sleep(0.2)
    queued = asyncio.ensure_future(old.ask(hold(V, by=guest(2))))
    new = await house.start("b")
    for outcome in await asyncio.gather(in_flight, queued):
        assert isinstance(outcome, Unavailable)
        assert outcome.trouble is Trouble.SHARD_MOVING
    assert house.database.bookings == {}
    assert house.endings == [Ending.FENCED]
    assert not old.serving
    assert (await old.ask(hold(V))).trouble is Trouble.SHARD_MOVING
    assert isinstance(await new.ask(hold(V)), Done)


async def test_an_idle_owner_learns_that_it_has_a_successor(house):
    await house.start("a")
    await house.start("b")
    await asyncio.sleep(3)
    assert house.endings == [Ending.FENCED]


async def test_a_sleeper_that_wakes_proves_its_lease_before_it_reads_memory(house):
    old = await house.start("a", lease_check_seconds=1000.0)
    await old.ask(opening(restaurant(V)))
    placed = await old.ask(hold(V))
    assert await old.booking(placed.booking.booking_id) == placed.booking
    await house.start("b")
    await asyncio.sleep(5)
    assert (await old.booking(placed.booking.booking_id)).trouble is Trouble.SHARD_MOVING
    assert (await old.availability(V, QUERY)).trouble is Trouble.SHARD_MOVING
    await asyncio.sleep(0.1)
    assert house.endings == [Ending.FENCED]


async def test_reads_with_a_stale_lease_and_no_database_say_so(house):
    shard = await house.start(lease_check_seconds=1000.0)
    await shard.ask(opening(restaurant(V)))
    placed = await shard.ask(hold(V))
    await asyncio.sleep(5)
    house.faults.always("is_current", Fault.UNAVAILABLE)
    assert (await shard.booking(placed.booking.booking_id)).trouble is Trouble.DEPENDENCY_UNAVAILABLE
    house.faults.clear()
    assert await shard.booking(placed.booking.booking_id) == placed.booking


async def test_a_check_that_crosses_a_retake_does_not_end_the_shard(house):
    shard = await house.start(lease_check_seconds=1.0)
    await shard.ask(opening(restaurant(V)))
    house.faults.next("is_current", 2.0)
    await asyncio.sleep(1.1)
    house.faults.next("commit", Fault.LOST_DONE)
    assert isinstance(await shard.ask(hold(V)), Done)
    await asyncio.sleep(3)
    assert house.endings == []
    assert shard.serving


async def test_a_bucket_of_another_shard_is_moving(house):
    house.database.seed(2)
    await house.start("a", shard_id=0)
    shard = house.shards[0]
    elsewhere = vendor_id(1, bucket=1)
    assert (await shard.ask(opening(restaurant(elsewhere)))).trouble is Trouble.SHARD_MOVING
    [answer] = await shard.ask_batch([(opening(restaurant(elsewhere)), False)])
    assert answer.trouble is Trouble.SHARD_MOVING
    assert (await shard.availability(elsewhere, QUERY)).trouble is Trouble.SHARD_MOVING
    assert (await shard.booking(hold(elsewhere).booking_id)).trouble is Trouble.SHARD_MOVING
    assert not shard.has(1)
    assert shard.has(0)


async def test_a_bucket_that_comes_is_served_and_its_holds_expire(house):
    house.database.seed(2)
    giver = await house.start("a", shard_id=1)
    taker = await house.start("b", shard_id=0)
    moved = vendor_id(1, bucket=1)
    await giver.ask(opening(restaurant(moved, deposit=100, hold_ttl_seconds=60)))
    placed = await giver.ask(hold(moved))
    house.database.move_bucket(bucket_of(moved), 0)
    await asyncio.sleep(1.5)
    assert isinstance(await taker.ask(hold(moved, by=guest(2), at=EVENING.replace(hour=14))), Done)
    assert house.endings == [Ending.FENCED]
    await asyncio.sleep(61)
    assert house.database.bookings[placed.booking.booking_id].status is BookingStatus.EXPIRED


async def test_a_bucket_that_comes_unasked_for_is_noticed(house):
    house.database.seed(2)
    taker = await house.start("b", shard_id=0)
    house.database.move_bucket(1, 0)
    await asyncio.sleep(ShardLimits().buckets_every_seconds + 1)
    assert taker.has(1)


async def test_looking_for_a_bucket_survives_a_database_that_is_away(house):
    house.database.seed(2)
    shard = await house.start("a", shard_id=0)
    await asyncio.sleep(2)
    house.faults.always("buckets", Fault.UNAVAILABLE)
    assert (await shard.ask(hold(vendor_id(1, bucket=1)))).trouble is Trouble.SHARD_MOVING
    await asyncio.sleep(10)
    assert shard.serving
