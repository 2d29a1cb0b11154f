"""Many vendors judged for one search: by both clients, loaded when memory lacks them, and never in the way of bookings."""

import asyncio
import itertools
from dataclasses import replace
from datetime import timedelta

import pytest

from actors.addressing import BucketMap
from actors.client import JUDGED_MAX
from actors.direct_client import DirectClient
from actors.errors import CallLost, CallTimedOut, NobodyThere
from actors.judging import JUDGED_AT_ONCE, LOADED_AT_ONCE
from actors.mailbox import Asked
from actors.outcome import Done, Trouble, Unavailable
from actors.remote_client import RemoteClient
from actors.remote_lane import RemoteLimits
from domain.command import SittingTime
from domain.search import SeatWish, Verdict
from domain.vendor import Closure
from storage.errors import StoreUnavailable
from tests.fakes.houses import EVENING, changing, guest, hold, opening, restaurant, vendor_id
from tests.fakes.memory_store import Fault

WISH = SeatWish(SittingTime(EVENING), 2)


class Calls:
    """Calls straight into shards; `errors` are raised first, one for each call."""

    def __init__(self, *shards) -> None:
        self.shards = {shard.shard_id: shard for shard in shards}
        self.judged = []
        self.errors = []

    async def judge(self, shard_id, vendor_ids, wish):
        self.judged.append((shard_id, len(vendor_ids)))
        if self.errors:
            raise self.errors.pop(0)
        if self.shards.get(shard_id) is None:
            raise NobodyThere
        return await self.shards[shard_id].judge(vendor_ids, wish)


def direct(house, *shards):
    return DirectClient(shards)


def remote(house, *shards, calls=None, **limits):
    async def buckets():
        return house.database.bucket_shard

    async def nothing(booking_id):
        return None

    return RemoteClient(calls or Calls(*shards), BucketMap(buckets), nothing, RemoteLimits(**limits))


async def opened(house, ids, **limits):
    """A shard with so many restaurants, none of them in its memory."""
    first = await house.start("first")
    for of in ids:
        await first.ask(opening(restaurant(of)))
    await first.stop()
    return await house.start("second", sweep_vendors=1, sweep_share_percent=1, **limits)


def by_id(verdicts):
    assert not isinstance(verdicts, Unavailable), verdicts
    assert len({verdict.vendor_id for verdict in verdicts}) == len(verdicts)
    return {verdict.vendor_id: verdict for verdict in verdicts}


@pytest.mark.parametrize("client_of", [direct, remote])
async def test_many_vendors_are_judged_together(house, client_of):
    ids = [vendor_id(number) for number in range(1, 131)]
    shard = await opened(house, ids)
    client = client_of(house, shard)
    for of in ids[::3]:
        assert isinstance(await shard.ask(hold(of)), Done)
    unknown = [vendor_id(number) for number in range(500, 510)]
    verdicts = by_id(await client.judge([*unknown, *ids], WISH))
    assert verdicts == {of: Verdict(of, available=place % 3 != 0) for place, of in enumerate(ids)}
    later = SeatWish(SittingTime(EVENING + timedelta(hours=2)), 2)
    assert {verdict.available for verdict in by_id(await client.judge(ids, later)).values()} == {True}
    assert await client.judge([], WISH) == []


async def test_what_memory_lacks_is_read_many_at_a_time(house):
    ids = [vendor_id(number) for number in range(1, 2 * LOADED_AT_ONCE + 1)]
    shard = await opened(house, ids)
    house.steps.clear()
    before = house.stores[-1].steps.count("load_vendors")
    assert len(by_id(await shard.judge(ids, WISH))) == len(ids)
    assert house.stores[-1].steps.count("load_vendors") == before + 2
    assert len(by_id(await shard.judge(ids, WISH))) == len(ids)
    assert house.stores[-1].steps.count("load_vendors") == before + 2


async def test_a_memory_too_small_for_all_of_them_misses_none(house):
    ids = [vendor_id(number) for number in range(1, 61)]
    shard = await opened(house, ids, vendor_bytes_max=1)
    assert len(by_id(await shard.judge(ids, WISH))) == len(ids)
    assert shard.stats().vendors_loaded == 1


async def test_bookings_go_on_between_a_few_vendors_and_the_next(house):
    ids = [vendor_id(number) for number in range(1, 401)]
    shard = await opened(house, ids)
    await shard.judge(ids, WISH)
    asked = asyncio.ensure_future(shard.judge(ids, WISH))
    booked = asyncio.ensure_future(shard.ask(hold(ids[-1])))
    turns = 0
    while not asked.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns >= len(ids) // LOADED_AT_ONCE * (LOADED_AT_ONCE // JUDGED_AT_ONCE)
    assert isinstance(await booked, Done)
    # What was committed meanwhile shows in what is judged after it.
    assert not by_id(await asked)[ids[-1]].available


async def test_slow_vendors_give_way_one_by_one(house, monkeypatch):
    """However long one takes: others have their turn after it."""
    ids = [vendor_id(number) for number in range(1, 9)]
    shard = await opened(house, ids)
    await shard.judge(ids, WISH)
    clock = itertools.count()
    monkeypatch.setattr("actors.judging.perf_counter", lambda: next(clock))
    asked = asyncio.ensure_future(shard.judge(ids, WISH))
    turns = 0
    while not asked.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns >= len(ids)


async def test_a_changed_vendor_is_judged_by_its_new_facts(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(vendor_id(1))))
    assert [verdict.available for verdict in await shard.judge([vendor_id(1)], WISH)] == [True]
    await shard.ask(changing(vendor_id(1), closures=(Closure(EVENING.date(), EVENING.date()),)))
    assert [verdict.available for verdict in await shard.judge([vendor_id(1)], WISH)] == [False]


async def test_the_bounds(house):
    shard = await house.start(mailbox_commands_max=1, looks_at_once=1, looks_waiting_max=0)
    too_many = [vendor_id(number) for number in range(JUDGED_MAX + 1)]
    for judge in (shard.judge, direct(house, shard).judge, remote(house, shard).judge):
        with pytest.raises(ValueError, match="2001"):
            await judge(too_many, WISH)
    await shard.ask(opening(restaurant(vendor_id(1))))
    await shard.judge([vendor_id(1)], WISH)
    shard._looks._waiting_max = 0
    assert (await shard.judge([vendor_id(1)], WISH)).trouble is Trouble.OVERLOADED


async def test_a_full_mailbox_is_overloaded(house):
    shard = await house.start(mailbox_commands_max=1)
    shard._mailbox.put(Asked(hold(vendor_id(1)), None))
    assert (await shard.judge([vendor_id(2)], WISH)).trouble is Trouble.OVERLOADED


async def test_a_database_away_is_told(house):
    ids = [vendor_id(number) for number in range(1, 4)]
    shard = await opened(house, ids, patience_seconds=1.0)
    house.faults.always("load_vendors", Fault.UNAVAILABLE)
    house.faults.always("load_vendor_page", Fault.UNAVAILABLE)
    assert (await shard.judge(ids, WISH)).trouble is Trouble.DEPENDENCY_UNAVAILABLE
    assert (await direct(house, shard).judge(ids, WISH)).trouble is Trouble.DEPENDENCY_UNAVAILABLE
    assert (await remote(house, shard).judge(ids, WISH)).trouble is Trouble.DEPENDENCY_UNAVAILABLE


async def test_somebody_elses_vendors_are_not_judged(house):
    house.database.seed(2)
    first, second = await house.start("a", shard_id=0), await house.start("b", shard_id=1)
    near, far = vendor_id(1, bucket=0), vendor_id(1, bucket=1)
    await first.ask(opening(restaurant(near)))
    await second.ask(opening(restaurant(far)))
    assert (await first.judge([near, far], WISH)).trouble is Trouble.SHARD_MOVING
    await second.stop()
    assert (await second.judge([far], WISH)).trouble is Trouble.SHARD_MOVING


async def test_each_shard_is_called_once(house):
    house.database.seed(2)
    first, second = await house.start("a", shard_id=0), await house.start("b", shard_id=1)
    ids = [vendor_id(number, bucket=number % 2) for number in range(1, 21)]
    for of in ids:
        await (first, second)[of.int >> 116].ask(opening(restaurant(of)))
    calls = Calls(first, second)
    client = remote(house, calls=calls)
    assert by_id(await client.judge(ids, WISH)).keys() == set(ids)
    assert sorted(calls.judged) == [(0, 10), (1, 10)]
    both = DirectClient([first], client)
    assert by_id(await both.judge(ids, WISH)).keys() == set(ids)
    assert calls.judged[2:] == [(1, 10)]
    alone = DirectClient([first, second])
    assert by_id(await alone.judge(ids, WISH)).keys() == set(ids)
    await second.stop()
    assert (await DirectClient([first, second]).judge(ids, WISH)).trouble is Trouble.SHARD_MOVING


async def test_a_shard_on_the_move_is_waited_for_and_the_others_not_asked_again(house):
    house.database.seed(2)
    first, second = await house.start("a", shard_id=0), await house.start("b", shard_id=1)
    near, far = vendor_id(1, bucket=0), vendor_id(1, bucket=1)
    await first.ask(opening(restaurant(near)))
    await second.ask(opening(restaurant(far)))
    await second.stop()
    calls = Calls(first)
    asked = asyncio.ensure_future(remote(house, calls=calls).judge([near, far], WISH))
    await asyncio.sleep(3)
    assert not asked.done()
    calls.shards[1] = await house.start("c", shard_id=1)
    assert by_id(await asked).keys() == {near, far}
    assert [shard_id for shard_id, _ in calls.judged].count(0) == 1


async def test_vendors_that_moved_to_another_shard_are_asked_there(house):
    house.database.seed(2)
    first, second = await house.start("a", shard_id=0), await house.start("b", shard_id=1)
    far = vendor_id(1, bucket=1)
    await second.ask(opening(restaurant(far)))
    client = remote(house, first, second)
    assert by_id(await client.judge([far], WISH)).keys() == {far}
    house.database.move_bucket(1, 0)
    assert by_id(await client.judge([far], WISH)).keys() == {far}


async def test_the_wait_for_a_shard_has_an_end(house):
    shard = await house.start()
    await shard.stop()
    client = remote(house, shard, wait_seconds=4.0)
    assert (await client.judge([vendor_id(1)], WISH)).trouble is Trouble.SHARD_MOVING
    assert asyncio.get_running_loop().time() < 9

    async def away():
        raise StoreUnavailable

    unmapped = RemoteClient(Calls(shard), BucketMap(away), away, RemoteLimits(wait_seconds=1.0))
    assert (await unmapped.judge([vendor_id(1)], WISH)).trouble is Trouble.SHARD_MOVING


async def test_lost_calls(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(vendor_id(1))))
    calls = Calls(shard)
    client = remote(house, calls=calls)
    calls.errors = [CallLost(), CallLost()]
    assert by_id(await client.judge([vendor_id(1)], WISH)).keys() == {vendor_id(1)}
    # One that took too long is not asked to do it twice at once.
    calls.errors = [CallTimedOut()]
    assert (await client.judge([vendor_id(1)], WISH)).trouble is Trouble.OVERLOADED
    assert len(calls.judged) == 4


async def test_alternatives_come_with_the_verdict(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(vendor_id(1))))
    await shard.ask(hold(vendor_id(1), by=guest(2)))
    [verdict] = await shard.judge([vendor_id(1)], replace(WISH, alternatives_max=2))
    ninety = timedelta(minutes=90)
    assert verdict == Verdict(vendor_id(1), available=False, alternatives=(EVENING - ninety, EVENING + ninety))
