"""The client of other processes: batches, bounds, shards on the move, and calls that are lost on either way."""

import asyncio
from dataclasses import replace

import pytest

from actors.addressing import BucketMap, bucket_of_command
from actors.errors import CallLost, DecisionFailed, NobodyThere
from actors.outcome import Done, Trouble, Unavailable, VendorDone
from actors.remote_client import RemoteClient
from actors.remote_lane import RemoteLimits
from domain.availability import AvailabilityQuery
from domain.booking import BookingStatus
from domain.rejection import Reason
from storage.errors import StoreUnavailable
from tests.fakes.houses import (
    EVENING,
    amend,
    cancel,
    changing,
    confirm,
    guest,
    hold,
    new_booking_id,
    opening,
    restaurant,
    vendor_id,
)

V = vendor_id(1)
QUERY = AvailabilityQuery(EVENING.date(), EVENING.date())


class Calls:
    """Calls straight into shards, which can be lost before or after they were carried out."""

    def __init__(self, *shards) -> None:
        self.shards = {shard.shard_id: shard for shard in shards}
        self.batches = []
        self.lose_before = 0
        self.lose_after = 0
        self.under_way = 0
        self.most_under_way = 0

    def shard(self, shard_id):
        if self.lose_before:
            self.lose_before -= 1
            raise CallLost
        if self.shards.get(shard_id) is None:
            raise NobodyThere
        return self.shards[shard_id]

    def lose(self):
        if self.lose_after:
            self.lose_after -= 1
            raise CallLost

    async def ask_batch(self, shard_id, commands):
        self.batches.append([again for _, again in commands])
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(0.001)
            answers = await self.shard(shard_id).ask_batch(commands)
            self.lose()
            return answers
        finally:
            self.under_way -= 1

    async def availability(self, shard_id, vendor_id, query):
        return await self.shard(shard_id).availability(vendor_id, query)

    async def settled_since(self, shard_id, epoch, position, wait_seconds):
        return await self.shard(shard_id).settled_since(epoch, position, wait_seconds)


class Setup:
    def __init__(self, house, *shards, **limits) -> None:
        self.house = house
        self.calls = Calls(*shards)
        self.loads = 0
        self.away = False
        self.client = RemoteClient(self.calls, BucketMap(self.buckets), self.read, RemoteLimits(**limits))

    async def buckets(self):
        self.loads += 1
        if self.away:
            raise StoreUnavailable
        return self.house.database.bucket_shard

    async def read(self, booking_id):
        if self.away:
            raise StoreUnavailable
        return self.house.database.bookings.get(booking_id)


async def setup(house, tables=1, **limits):
    shard = await house.start()
    await shard.ask(opening(restaurant(V, tables=tables, deposit=100)))
    return shard, Setup(house, shard, **limits)


async def test_commands_of_one_moment_share_a_call(house):
    _, s = await setup(house, tables=30)
    outcomes = await asyncio.gather(*(s.client.ask(hold(V, by=guest(n))) for n in range(30)))
    assert all(isinstance(outcome, Done) for outcome in outcomes)
    assert [len(batch) for batch in s.calls.batches] == [30]
    assert s.loads == 1


async def test_a_few_calls_are_under_way_and_batches_have_a_limit(house):
    _, s = await setup(house, tables=30, calls_in_flight=2, batch_commands_max=4)
    tasks = [asyncio.ensure_future(s.client.ask(hold(V, by=guest(n)))) for n in range(30)]
    await asyncio.gather(*tasks)
    assert s.calls.most_under_way == 2
    assert max(len(batch) for batch in s.calls.batches) == 4


async def test_the_queue_has_a_limit(house):
    _, s = await setup(house, tables=30, calls_in_flight=1, batch_commands_max=1, queue_commands_max=2)
    outcomes = await asyncio.gather(*(s.client.ask(hold(V, by=guest(n))) for n in range(9)))
    overloaded = [o for o in outcomes if isinstance(o, Unavailable) and o.trouble is Trouble.OVERLOADED]
    assert overloaded
    assert len(house.database.bookings) == 9 - len(overloaded)


@pytest.mark.parametrize("side", ["lose_before", "lose_after"])
async def test_a_lost_hold_is_made_once_and_answered(house, side):
    _, s = await setup(house)
    setattr(s.calls, side, 1)
    outcome = await s.client.ask(hold(V))
    assert isinstance(outcome, Done)
    assert len(house.database.bookings) == 1
    assert s.calls.batches == [[False], [True]]


@pytest.mark.parametrize("side", ["lose_before", "lose_after"])
async def test_a_lost_hold_is_told_the_truth_by_a_new_owner(house, side):
    _, s = await setup(house)
    setattr(s.calls, side, 1)
    asked = asyncio.ensure_future(s.client.ask(hold(V)))
    await asyncio.sleep(0.02)
    s.calls.shards[0] = await house.start("b")
    assert isinstance(await asked, Done)
    assert len(house.database.bookings) == 1


@pytest.mark.parametrize("side", ["lose_before", "lose_after"])
@pytest.mark.parametrize("key", [None, "k"])
async def test_a_lost_change_is_made_once_and_answered(house, side, key):
    _, s = await setup(house)
    placed = await s.client.ask(hold(V))
    booking_id = placed.booking.booking_id
    for number, command in enumerate(
        (
            amend(booking_id, notes="window", key=key),
            confirm(booking_id, V, key=key),
            cancel(booking_id, key=key and "c"),
        )
    ):
        setattr(s.calls, side, 1)
        outcome = await s.client.ask(command)
        assert isinstance(outcome, Done)
        assert outcome.booking.version == number + 2


async def test_what_takes_its_owner_down_with_it_is_not_sent_to_every_successor(house):
    """The moments in which nobody answers do not count: only owners that had it in hand do."""
    shard, s = await setup(house)
    taken_down = []

    async def falls(commands):
        taken_down.append([again for _, again in commands])
        s.calls.shards[0] = None
        asyncio.get_running_loop().call_later(1.0, s.calls.shards.__setitem__, 0, shard)
        raise CallLost

    shard.ask_batch = falls
    outcome = await s.client.ask(hold(V))
    assert outcome.trouble is Trouble.OUTCOME_UNKNOWN
    assert taken_down == [[False], [True]]


async def test_a_command_survives_the_loss_of_one_owner_however_long_nobody_answers(house):
    shard, s = await setup(house, tables=3)
    s.calls.lose_before = 1
    asked = [asyncio.ensure_future(s.client.ask(hold(V, by=guest(n)))) for n in range(3)]
    await asyncio.sleep(0.01)
    s.calls.shards[0] = None
    s.calls.lose_before = 6
    asyncio.get_running_loop().call_later(5.0, s.calls.shards.__setitem__, 0, shard)
    assert all(isinstance(outcome, Done) for outcome in await asyncio.gather(*asked))
    assert s.calls.batches[0] == [False] * 3
    assert len(house.database.bookings) == 3


async def test_a_lost_opening_is_made_once_and_a_lost_change_of_a_vendor_is_unknown(house):
    _, s = await setup(house)
    s.calls.lose_after = 1
    assert isinstance(await s.client.ask(opening(restaurant(vendor_id(2)))), VendorDone)
    s.calls.lose_after = 1
    assert (await s.client.ask(changing(V, name="x"))).trouble is Trouble.OUTCOME_UNKNOWN


async def test_a_shard_on_the_move_is_waited_for(house):
    shard, s = await setup(house)
    await shard.stop()
    s.calls.shards[0] = None
    asked = asyncio.ensure_future(s.client.ask(hold(V)))
    looked = asyncio.ensure_future(s.client.availability(V, QUERY))
    await asyncio.sleep(3)
    assert not asked.done()
    s.calls.shards[0] = await house.start("b")
    assert isinstance(await asked, Done)
    assert await looked


async def test_the_wait_for_a_shard_has_an_end(house):
    shard, s = await setup(house, wait_seconds=4.0)
    await shard.stop()
    outcome = await s.client.ask(hold(V))
    assert outcome.trouble is Trouble.SHARD_MOVING
    assert (await s.client.availability(V, QUERY)).trouble is Trouble.SHARD_MOVING
    assert asyncio.get_running_loop().time() < 9
    s.calls.lose_before = 10_000
    assert (await s.client.ask(hold(V))).trouble is Trouble.OUTCOME_UNKNOWN
    assert (await s.client.availability(V, QUERY)).trouble is Trouble.SHARD_MOVING


async def test_once_lost_a_trouble_of_the_next_send_is_not_taken_for_the_truth(house):
    shard, s = await setup(house)
    shard_ask = shard.ask_batch
    troubles = [Trouble.OVERLOADED, Trouble.DEPENDENCY_UNAVAILABLE]

    async def troubled(commands):
        if troubles and commands[0][1]:
            return [Unavailable(troubles.pop(0), "")]
        return await shard_ask(commands)

    shard.ask_batch = troubled
    s.calls.lose_after = 1
    assert isinstance(await s.client.ask(hold(V)), Done)
    assert not troubles


async def test_troubles_and_refusals_of_a_first_send_are_passed_on(house):
    shard, s = await setup(house)
    assert (await s.client.ask(hold(V, party=500))).reason is Reason.PARTY_TOO_LARGE

    async def troubled(commands):
        return [Unavailable(trouble, "") for _ in commands]

    shard.ask_batch = troubled
    for trouble in (Trouble.OVERLOADED, Trouble.DEPENDENCY_UNAVAILABLE, Trouble.OUTCOME_UNKNOWN):
        assert (await s.client.ask(hold(V))).trouble is trouble


async def test_a_bug_is_raised_where_the_command_came_from(house):
    shard, s = await setup(house)

    async def buggy(commands):
        return [DecisionFailed("x") for _ in commands]

    shard.ask_batch = buggy
    with pytest.raises(DecisionFailed):
        await s.client.ask(hold(V))


async def test_bookings_are_read_from_the_primary_also_during_a_take_over(house):
    shard, s = await setup(house)
    placed = await s.client.ask(hold(V))
    await shard.stop()
    assert await s.client.booking(placed.booking.booking_id) == placed.booking
    assert await s.client.booking(new_booking_id(V)) is None
    s.away = True
    assert (await s.client.booking(placed.booking.booking_id)).trouble is Trouble.DEPENDENCY_UNAVAILABLE


async def test_the_map_of_buckets_is_read_again_when_a_shard_moved(house):
    house.database.seed(2)
    first, second = await house.start("a", shard_id=0), await house.start("b", shard_id=1)
    s = Setup(house, first, second)
    far = vendor_id(1, bucket=1)
    assert isinstance(await s.client.ask(opening(restaurant(far))), VendorDone)
    house.database.move_bucket(1, 0)
    assert isinstance(await s.client.ask(hold(far)), Done)
    assert 2 <= s.loads <= 4


async def test_without_a_map_the_shard_is_moving(house):
    _, s = await setup(house, wait_seconds=2.0)
    s.away = True
    assert (await s.client.ask(hold(V))).trouble is Trouble.SHARD_MOVING
    assert (await s.client.availability(V, QUERY)).trouble is Trouble.SHARD_MOVING
    blocked = replace(house_booking(), status=BookingStatus.BLOCKED)
    assert await s.client.settled(blocked, 1) == blocked


async def test_waiting_for_a_booking_to_settle(house):
    _, s = await setup(house)
    placed = await s.client.ask(hold(V))
    waiting = [asyncio.ensure_future(s.client.settled(placed.booking, 30)) for _ in range(2)]
    await asyncio.sleep(1)
    confirmed = await s.client.ask(confirm(placed.booking.booking_id, V))
    assert await asyncio.gather(*waiting) == [confirmed.booking] * 2
    assert await s.client.settled(confirmed.booking, 30) is confirmed.booking
    assert await s.client.settled(placed.booking, 0) is placed.booking


async def test_a_caller_that_gave_up_does_not_disturb_the_call(house):
    _, s = await setup(house, tables=2)
    gone = asyncio.ensure_future(s.client.ask(hold(V)))
    stays = asyncio.ensure_future(s.client.ask(hold(V, by=guest(2))))
    await asyncio.sleep(0)
    gone.cancel()
    assert isinstance(await stays, Done)


def test_every_command_names_its_bucket():
    v = vendor_id(1, bucket=77)
    booking_id = new_booking_id(v)
    for command in (hold(v), opening(restaurant(v)), changing(v), cancel(booking_id), amend(booking_id)):
        assert bucket_of_command(command) == 77


def house_booking():
    from domain.booking import Booking, Terms
    from domain.vendor import VendorKind

    return Booking(
        booking_id=new_booking_id(V),
        vendor_id=V,
        user_id=guest().account_id,
        kind=VendorKind.RESTAURANT,
        status=BookingStatus.CONFIRMED,
        version=1,
        party_size=2,
        seats=(),
        step_minutes=30,
        first_slot=1,
        slot_count=1,
        held_slot_count=1,
        starts_at=EVENING,
        ends_at=EVENING,
        created_at=EVENING,
        updated_at=EVENING,
        terms=Terms(),
    )
