"""Which server lists are read from: a replica while it is less than a second behind, else the primary."""

import asyncio
import socket
from collections import deque
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg
import pytest

from storage.errors import StoreUnavailable
from storage.postgres import Database
from storage.replicas import LAG_SECONDS_MAX, ReplicaReads, _Replica, replica_at
from tests.conformance.waiting import until
from tests.fakes.road import Road

WHERE = "wal_replayed"
"""Null from a primary: it tells who answered."""


@pytest.fixture
async def primary(replicated_database):
    made = Database(replicated_database.url, "test", 2)
    yield made
    await made.close()


@asynccontextmanager
async def reading(primary, *replica_urls):
    made = ReplicaReads(primary, [replica_at(url, "test replica", 2) for url in replica_urls], probe_seconds=0.02)
    made.start()
    try:
        yield made
    finally:
        await made.close()


@asynccontextmanager
async def road_to(url):
    """The replica over a road that can be closed, and how to open it again at the same place."""
    place = urlsplit(url)
    road = Road(place.port)
    port = await road.open()
    try:
        yield road, port, place._replace(netloc=place.netloc.replace(f":{place.port}", f":{port}")).geturl()
    finally:
        await road.close()


def uses(reads, *numbers):
    async def fresh():
        return list(reads.fresh) == list(numbers)

    return fresh


async def answered_by_a_replica(reads):
    return await reads.value(WHERE) is not None


@asynccontextmanager
async def replay_held_up(database):
    """Somebody reads a table on the replica that the primary changes: replay waits for the reader, and all else with it.

    Gives what changes the table.
    """
    ahead, behind = await asyncpg.connect(database.url), await asyncpg.connect(database.replica_url)
    try:
        await ahead.execute("CREATE TABLE held_up (n integer)")
        await until(lambda: behind.fetchval("SELECT to_regclass('held_up')"))
        reader = behind.transaction()
        await reader.start()
        await behind.execute("SELECT FROM held_up")
        yield lambda: ahead.execute("ALTER TABLE held_up ADD COLUMN m integer")
        await reader.rollback()
    finally:
        await behind.close()
        await ahead.close()


async def test_a_replica_that_follows_is_read(primary, replicated_database):
    async with reading(primary, replicated_database.replica_url) as reads:
        await until(uses(reads, 0))
        assert await answered_by_a_replica(reads)
        assert await reads.rows("list_shards") == []
        assert await reads.row("booking_by_id", "00000000-0000-0000-0000-000000000000") is None


async def test_one_that_lags_is_left_out_and_comes_back(primary, replicated_database):
    """An idle primary is no lag, however long ago it wrote; a write that is not replayed is."""
    async with reading(primary, replicated_database.replica_url) as reads:
        await until(uses(reads, 0))
        async with replay_held_up(replicated_database) as write:
            await until(uses(reads, 0))
            assert await answered_by_a_replica(reads)
            await write()
            await until(uses(reads))
            assert not await answered_by_a_replica(reads)
        await until(uses(reads, 0))
        assert await answered_by_a_replica(reads)


async def test_it_is_left_out_a_second_after_what_it_does_not_have(primary, replicated_database):
    loop = asyncio.get_running_loop()
    async with reading(primary, replicated_database.replica_url) as reads:
        await until(uses(reads, 0))
        async with replay_held_up(replicated_database) as write:
            await until(uses(reads, 0))
            await write()
            written = loop.time()
            await until(uses(reads))
            assert loop.time() - written < LAG_SECONDS_MAX + 1


def test_lag_is_judged_by_what_was_replayed():
    """Samples of the primary at 10, 10.5 and 11 s; 500 bytes were written between the last two."""
    samples = deque([(10.0, 1000), (10.5, 1000), (11.0, 1500)])
    replica = _Replica(None, 0)
    assert not replica.fresh(samples, 11.0)  # nothing heard yet
    replica.replayed(0, 1499)
    assert replica.fresh(samples, 11.4)
    assert not replica.fresh(samples, 11.5)
    replica.replayed(0, 1500)
    assert replica.fresh(samples, 11.9)
    assert not replica.fresh(samples, 12.0)  # the primary was not heard of for a second
    replica.replayed(0, 999)
    assert not replica.fresh(samples, 11.0)
    replica.replayed(0, None)
    assert not replica.fresh(samples, 11.0)


async def test_a_dead_one_is_left_out_and_comes_back(primary, replicated_database):
    async with (
        road_to(replicated_database.replica_url) as (road, port, url),
        reading(primary, url) as reads,
    ):
        await until(uses(reads, 0))
        await road.close()
        assert not await answered_by_a_replica(reads)  # at once, while the probes may not know it yet
        await until(uses(reads))
        await road.open(port)
        await until(uses(reads, 0))
        assert await answered_by_a_replica(reads)


async def test_one_that_hangs_costs_a_moment_and_no_answer(primary, replicated_database):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        hanging = f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/none"
        async with reading(primary, hanging, replicated_database.replica_url) as reads:
            await until(uses(reads, 1))
            assert await answered_by_a_replica(reads)


async def test_one_that_refuses_is_asked_again(primary, replicated_database):
    refusing = f"{replicated_database.replica_url}_that_is_not_there"
    async with reading(primary, refusing, replicated_database.replica_url) as reads:
        await until(uses(reads, 1))
        asked = len(reads._samples)

        async def later():
            return len(reads._samples) > asked + 5

        await until(later)
        assert not any(probing.done() for probing in reads._probing)


async def test_reads_are_shared_out(primary, replicated_database):
    async with reading(primary, replicated_database.replica_url, replicated_database.replica_url) as reads:
        await until(uses(reads, 0, 1))
        asked = []
        for replica in reads._replicas:
            replica.database.value = lambda name, number=replica.number: _answer(asked, number)
        for _ in range(6):
            await reads.value(WHERE)
        assert sorted(asked) == [0, 0, 0, 1, 1, 1]


async def _answer(asked, number):
    asked.append(number)


async def test_a_server_that_is_no_standby_is_no_replica(primary, replicated_database):
    """Named by mistake, say: what it has of the primary, nobody knows."""
    async with reading(primary, replicated_database.url, replicated_database.replica_url) as reads:
        await until(uses(reads, 1))
        assert list(reads.fresh) == [1]


async def test_without_replicas_it_is_the_primary(database):
    primary = Database(database, "test", 2)
    async with reading(primary) as reads:
        assert await reads.value(WHERE) is None
        assert reads.fresh == []
    await primary.close()


async def test_only_the_primarys_failure_is_the_callers(free_port):
    nowhere = f"postgresql://nobody@127.0.0.1:{free_port}/none"
    primary = Database(nowhere, "test", 2)
    async with reading(primary, nowhere) as reads:
        with pytest.raises(StoreUnavailable):
            await reads.value(WHERE)
    await primary.close()
