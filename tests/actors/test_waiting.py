"""Who waits for a payment or a confirmation hears of it, from the shard's own process and from another."""

import asyncio

import pytest

from actors.direct_client import DirectClient
from actors.errors import CallLost
from actors.outcome import Done, Trouble
from actors.remote_lane import RemoteLimits
from actors.settled_poll import SettledPoll
from actors.waiting import News, WaitingRoom
from domain.availability import AvailabilityQuery
from domain.booking import BookingStatus
from tests.fakes.houses import EVENING, cancel, confirm, guest, hold, new_booking_id, opening, restaurant, vendor_id
from tests.fakes.memory_store import Fault

V = vendor_id(1)


async def place(shard, *, tables=5, ttl=600):
    await shard.ask(opening(restaurant(V, tables=tables, deposit=100, hold_ttl_seconds=ttl)))
    return (await shard.ask(hold(V))).booking


def elapsed():
    return asyncio.get_running_loop().time()


async def test_the_wait_ends_with_the_confirmation(house):
    shard = await house.start()
    client = DirectClient([shard])
    booking = await place(shard)
    waiting = [asyncio.ensure_future(client.settled(booking, 30)) for _ in range(3)]
    await asyncio.sleep(5)
    assert not any(task.done() for task in waiting)
    await client.ask(confirm(booking.booking_id, V))
    for task in waiting:
        assert (await task).status is BookingStatus.CONFIRMED
    assert elapsed() < 6


async def test_the_wait_ends_when_the_time_is_up_or_the_hold_dies(house):
    shard = await house.start()
    client = DirectClient([shard])
    booking = await place(shard, ttl=20)
    assert (await client.settled(booking, 10)).status is BookingStatus.BLOCKED
    assert 10 <= elapsed() < 11
    assert (await client.settled(booking, 30)).status is BookingStatus.EXPIRED
    assert elapsed() < 22


async def test_nobody_waits_for_what_is_settled(house):
    shard = await house.start()
    client = DirectClient([shard])
    booking = await place(shard)
    assert await client.settled(booking, 0) is booking
    done = await client.ask(confirm(booking.booking_id, V))
    started = elapsed()
    assert await client.settled(done.booking, 30) is done.booking
    assert (await client.settled(booking, 30)).status is BookingStatus.CONFIRMED
    assert elapsed() - started < 0.1


async def test_a_wait_outlives_a_shard_that_ends(house):
    shard = await house.start()
    client = DirectClient([shard])
    booking = await place(shard)
    waiting = asyncio.ensure_future(client.settled(booking, 10))
    await asyncio.sleep(1)
    await shard.stop()
    assert await waiting == booking


async def test_news_are_read_from_a_position(house):
    shard = await house.start()
    booking = await place(shard)
    start = await shard.settled_since(None, None, 10)
    assert start == News(1, 0, gap=False, bookings=())
    reading = asyncio.ensure_future(shard.settled_since(start.epoch, start.position, 10))
    await asyncio.sleep(1)
    await shard.ask(confirm(booking.booking_id, V))
    news = await reading
    assert [b.status for b in news.bookings] == [BookingStatus.CONFIRMED]
    assert elapsed() < 2
    empty = await shard.settled_since(news.epoch, news.position, 3)
    assert empty.bookings == []
    assert elapsed() >= 4
    again = await shard.settled_since(start.epoch, start.position, 3)
    assert again.bookings == news.bookings


async def test_what_is_forgotten_is_a_gap(house):
    shard = await house.start(settled_news_kept_max=1)
    await place(shard)
    for _ in range(2):
        placed = await shard.ask(hold(V, by=guest(2)))
        await shard.ask(cancel(placed.booking.booking_id, by=guest(2)))
    assert (await shard.settled_since(1, 0, 1)).gap
    assert (await shard.settled_since(1, 999, 1)).gap
    assert (await shard.settled_since(77, 1, 1)).gap
    assert not (await shard.settled_since(1, 1, 1)).gap


async def test_a_leaving_shard_lets_its_readers_go(house):
    shard = await house.start()
    reading = asyncio.ensure_future(shard.settled_since(1, 0, 1000))
    await asyncio.sleep(1)
    await shard.stop()
    assert (await reading).trouble is Trouble.SHARD_MOVING
    assert (await shard.settled_since(1, 0, 1000)).trouble is Trouble.SHARD_MOVING
    assert elapsed() < 2


async def test_the_room_is_empty_again_after_every_wait():
    room = WaitingRoom()
    booking_id = new_booking_id(V)
    with room.seat(booking_id), room.seat(booking_id):
        assert room.booking_ids == [booking_id]
    assert not room
    with pytest.raises(TimeoutError):
        await interrupted(room, booking_id)
    assert not room


async def interrupted(room, booking_id):
    async with asyncio.timeout(1):
        with room.seat(booking_id) as settled:
            await settled


class ShardNews:
    """The calls of another process, straight into the shard."""

    def __init__(self, shard) -> None:
        self.shard = shard
        self.calls = 0
        self.lost = 0

    async def look_up(self, booking_id):
        return await self.shard.booking(booking_id)

    async def settled_since(self, shard_id, epoch, position, wait_seconds):
        self.calls += 1
        if self.lost:
            self.lost -= 1
            raise CallLost
        return await self.shard.settled_since(epoch, position, wait_seconds)


async def test_one_poll_serves_everybody_who_waits_in_a_process(house):
    shard = await house.start()
    await place(shard)
    bookings = [(await shard.ask(hold(V, by=guest(n)))).booking for n in range(4)]
    calls = ShardNews(shard)
    poll = SettledPoll(0, calls, shard.booking, RemoteLimits())
    waiting = [asyncio.ensure_future(poll.wait(b.booking_id, 30)) for b in bookings]
    await asyncio.sleep(1)
    assert calls.calls == 2
    for booking in bookings:
        await shard.ask(confirm(booking.booking_id, V))
    await asyncio.gather(*waiting)
    assert elapsed() < 3


async def test_a_poll_survives_lost_calls_and_a_new_owner(house):
    shard = await house.start()
    booking = await place(shard)
    calls = ShardNews(shard)
    poll = SettledPoll(0, calls, calls.look_up, RemoteLimits())
    waiting = asyncio.ensure_future(poll.wait(booking.booking_id, 60))
    await asyncio.sleep(1)
    calls.lost = 2
    fresh = await house.start("b")
    await asyncio.sleep(10)
    assert not waiting.done()
    calls.shard = fresh
    await fresh.ask(confirm(booking.booking_id, V))
    await waiting
    assert elapsed() < 20


async def test_a_poll_that_missed_the_news_looks_for_itself(house):
    shard = await house.start()
    booking = await place(shard)
    calls = ShardNews(shard)
    calls.lost = 1
    poll = SettledPoll(0, calls, shard.booking, RemoteLimits())
    waiting = asyncio.ensure_future(poll.wait(booking.booking_id, 60))
    await asyncio.sleep(0)
    await shard.ask(confirm(booking.booking_id, V))
    await waiting
    assert elapsed() < 2


async def test_a_poll_gives_up_in_time(house):
    shard = await house.start()
    booking = await place(shard)
    poll = SettledPoll(0, ShardNews(shard), shard.booking, RemoteLimits())
    await poll.wait(booking.booking_id, 7)
    assert 7 <= elapsed() < 8


async def test_the_direct_client_passes_on_what_belongs_elsewhere(house):
    house.database.seed(2)
    here = await house.start("a", shard_id=0)
    there = await house.start("b", shard_id=1)
    far = vendor_id(1, bucket=1)
    client = DirectClient([here], elsewhere=DirectClient([there]))
    await client.ask(opening(restaurant(far, deposit=100)))
    placed = await client.ask(hold(far))
    assert isinstance(placed, Done)
    assert await client.booking(placed.booking.booking_id) == placed.booking
    query = AvailabilityQuery(EVENING.date(), EVENING.date())
    assert await client.availability(far, query)
    waiting = asyncio.ensure_future(client.settled(placed.booking, 30))
    await asyncio.sleep(1)
    await client.ask(confirm(placed.booking.booking_id, far))
    assert (await waiting).status is BookingStatus.CONFIRMED


async def test_the_direct_client_alone_says_what_it_does_not_have(house):
    house.database.seed(2)
    shards = [await house.start("a", shard_id=0), await house.start("b", shard_id=1)]
    client = DirectClient(shards)
    far = vendor_id(1, bucket=1)
    await client.ask(opening(restaurant(far)))
    assert isinstance(await client.ask(hold(far)), Done)
    await shards[1].stop()
    assert (await client.ask(hold(far))).trouble is Trouble.SHARD_MOVING
    assert (await client.booking(new_booking_id(far))).trouble is Trouble.SHARD_MOVING
    query = AvailabilityQuery(EVENING.date(), EVENING.date())
    assert (await client.availability(far, query)).trouble is Trouble.SHARD_MOVING
    house.faults.always("load_bookings", Fault.UNAVAILABLE)
