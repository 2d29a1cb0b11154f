"""Who may write: the actor that the directory names, and of its leases only the newest."""

from dataclasses import replace

import pytest

from domain.event import VendorCreated, VendorUpdated
from storage.errors import Fenced
from tests.conformance.stores import ACTOR, OTHER, booking, house, ids, placing
from tests.fakes.houses import OPENED, vendor_id


async def test_nobody_takes_a_shard_that_names_nobody(store):
    assert await store.take(0, ACTOR) is None


async def test_only_the_named_actor_takes_the_shard(world, store):
    await world.claim(0, OTHER.actor_id)
    assert await store.take(0, ACTOR) is None
    assert await store.take(0, OTHER) is not None


async def test_a_shard_that_does_not_exist_is_nobodys(store):
    assert await store.take(7, ACTOR) is None


async def test_every_take_raises_the_epoch(world, store, lease):
    again = await world.store().take(0, ACTOR)
    assert again == replace(lease, epoch=lease.epoch + 1)
    assert not await store.is_current(lease)
    assert await store.is_current(again)


async def test_naming_a_successor_does_not_stop_the_owner(world, store, lease, vendor):
    await world.claim(0, OTHER.actor_id)
    await store.commit(placing(lease, 1, booking(vendor, 1)))
    assert await store.is_current(lease)


async def test_an_owner_with_a_successor_writes_nothing(world, store, lease, vendor):
    await world.claim(0, OTHER.actor_id)
    successor = world.store()
    newer = await successor.take(0, OTHER)
    one = booking(vendor, 1)
    with pytest.raises(Fenced):
        await store.commit(placing(lease, 1, one))
    with pytest.raises(Fenced):
        await store.commit_vendor(lease, 2, VendorCreated(house(vendor_id(2)), "two@example.org", "h"))
    assert await successor.load_bookings(ids([one])) == {}
    assert await successor.load_vendors([vendor_id(2)]) == {}
    await successor.commit(placing(newer, 1, one))
    assert await world.problems() == []


async def test_an_owner_with_a_successor_cannot_raise_its_epoch(world, store, lease):
    await world.claim(0, OTHER.actor_id)
    await world.store().take(0, OTHER)
    with pytest.raises(Fenced):
        await store.retake(lease)


async def test_retaking_ends_our_own_older_lease(store, lease, vendor):
    newer = await store.retake(lease)
    assert newer.epoch > lease.epoch
    with pytest.raises(Fenced):
        await store.commit(placing(lease, 1, booking(vendor, 1)))
    await store.commit(placing(newer, 1, booking(vendor, 1)))


async def test_a_batch_is_found_by_its_old_lease_and_number(store, lease, vendor):
    await store.commit(placing(lease, 5, booking(vendor, 1)))
    newer = await store.retake(lease)
    assert await store.committed(lease, 5)
    assert not await store.committed(lease, 6)
    assert not await store.committed(newer, 5)
    await store.commit(placing(newer, 1, booking(vendor, 2, seats=(2,))))
    assert await store.committed(lease, 5)
    assert await store.committed(newer, 1)


async def test_moving_a_bucket_ends_the_givers_lease(world, store, vendor, lease):
    await world.seed(2)
    bucket = min(await store.buckets(0))
    await world.move_bucket(bucket, 1)
    assert bucket in await store.buckets(1)
    assert bucket not in await store.buckets(0)
    with pytest.raises(Fenced):
        await store.commit(placing(lease, 1, booking(vendor, 1)))


async def test_the_newest_instant_never_goes_back(store, lease, vendor):
    assert await store.last_instant(0) == OPENED
    later = replace(booking(vendor, 1), updated_at=OPENED.replace(hour=20))
    await store.commit(placing(lease, 1, later))
    await store.commit(placing(lease, 2, booking(vendor, 2, seats=(2,))))
    assert await store.last_instant(0) == OPENED.replace(hour=20)


async def test_a_refused_batch_leaves_the_lease_as_it_was(store, lease, vendor):
    facts = house(vendor)
    stale = VendorUpdated(replace(facts, version=4), replace(facts, version=3))
    with pytest.raises(Exception, match="version"):
        await store.commit_vendor(lease, 9, stale)
    assert not await store.committed(lease, 9)
    await store.commit(placing(lease, 9, booking(vendor, 1)))
    assert await store.committed(lease, 9)
