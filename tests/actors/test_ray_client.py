"""How long a Ray call waits, over a handle that calls into a shard of this process. No Ray runs."""

import asyncio

import pytest

from actors.addressing import BucketMap
from actors.errors import CallTimedOut
from actors.outcome import Done, Trouble
from actors.ray_client import RayCalls
from actors.remote_client import RemoteClient
from actors.remote_lane import RemoteLimits
from actors.wire import pack, unpack
from domain.availability import AvailabilityQuery
from tests.fakes.houses import EVENING, hold, opening, restaurant, vendor_id
from tests.fakes.memory_store import Fault

V = vendor_id(1)


class Method:
    def __init__(self, call) -> None:
        self._call = call
        self.called_at = []

    def remote(self, *arguments):
        self.called_at.append(asyncio.get_running_loop().time())
        return asyncio.ensure_future(self._call(*arguments))


class Handle:
    """What `ray.get_actor` gives, as far as the calls use it."""

    def __init__(self, shard) -> None:
        async def ask_batch(packed):
            return pack(await shard.ask_batch(unpack(packed)))

        async def settled_since(*arguments):
            return pack(await shard.settled_since(*arguments))

        async def never(*_):
            await asyncio.Event().wait()

        self.ask_batch = Method(ask_batch)
        self.settled_since = Method(settled_since)
        self.availability = Method(never)


@pytest.fixture
async def shard(house):
    shard = await house.start(patience_seconds=8.0)
    await shard.ask(opening(restaurant(V)))
    return shard


@pytest.fixture
def handle(shard, monkeypatch):
    handle = Handle(shard)
    monkeypatch.setattr("actors.ray_client._named", lambda _: handle)
    return handle


def client(house, calls):
    async def buckets():
        return house.database.bucket_shard

    async def read(booking_id):
        return house.database.bookings.get(booking_id)

    return RemoteClient(calls, BucketMap(buckets), read, RemoteLimits(wait_seconds=8.0))


async def test_a_command_is_waited_for_longer_than_its_shard_waits_for_the_database(house, handle):
    house.faults.always("commit", Fault.UNAVAILABLE)
    outcome = await client(house, RayCalls(patience_seconds=8.0)).ask(hold(V))
    assert outcome.trouble is Trouble.DEPENDENCY_UNAVAILABLE, "as the express lane says it: nothing was changed"
    assert len(handle.ask_batch.called_at) == 1


async def test_a_look_is_not(house, handle):
    started = asyncio.get_running_loop().time()
    with pytest.raises(CallTimedOut):
        await RayCalls(patience_seconds=30.0).availability(0, V, AvailabilityQuery(EVENING.date(), EVENING.date()))
    assert asyncio.get_running_loop().time() - started == pytest.approx(5.0)


async def test_a_command_that_a_hanging_process_kept_goes_to_its_successor(house, handle):
    """However late the loss is known: the wait for a shard on the move begins with it."""
    answered, kept = handle.ask_batch, Method(lambda _: asyncio.Event().wait())
    handle.ask_batch = kept
    asked = asyncio.ensure_future(client(house, RayCalls(patience_seconds=8.0)).ask(hold(V)))
    await asyncio.sleep(10.0)
    assert not asked.done()
    handle.ask_batch = answered
    assert isinstance(await asked, Done)
    assert len(kept.called_at) == len(answered.called_at) == 1
