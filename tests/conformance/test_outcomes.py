"""What Postgres alone can show: lost connections, locks that somebody holds, and callers that go away."""

import asyncio

import asyncpg
import pytest

from domain.event import HoldPlaced, VendorCreated
from holdfast.embedded_postgres import EmbeddedPostgres
from storage.directory import Directory
from storage.errors import Fenced, OutcomeUnknown, StoreUnavailable
from storage.migrate import migrate
from storage.postgres import Database
from storage.postgres_shard_store import PostgresShardStore
from storage.shard_store import Batch, WordChange
from tests.conformance.stores import ACTOR, booking, house, ids, placing
from tests.conformance.waiting import until
from tests.fakes.houses import vendor_id

OURS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
WRITERS = f"{OURS} AND application_name LIKE 'holdfast shard=0 epoch=%'"
WAITERS = f"{OURS} AND wait_event_type = 'Lock'"


@pytest.fixture
async def store(database):
    directory = Database(database, "test", 2)
    await Directory(directory).seed(1)
    await Directory(directory).claim(0, ACTOR.actor_id)
    await directory.close()
    made = PostgresShardStore(database)
    yield made
    await made.close()


@pytest.fixture
async def lease(store):
    return await store.take(0, ACTOR)


@pytest.fixture
async def vendor(store, lease):
    of = vendor_id(1)
    await store.commit_vendor(lease, 1000, VendorCreated(house(of), "house@example.org", "hash"))
    return of


async def waiting(admin):
    """Until a statement waits for a lock."""
    await until(lambda: admin.fetchval(f"SELECT count(*) FROM ({WAITERS}) AS waiter"))


async def test_the_connection_says_which_shard_and_epoch_it_writes_for(store, lease, admin):
    names = await admin.fetch("SELECT application_name FROM pg_stat_activity WHERE datname = current_database()")
    assert f"holdfast shard=0 epoch={lease.epoch}" in [row["application_name"] for row in names]


async def test_a_connection_lost_under_a_statement_is_unknown(store, lease, vendor, admin, database):
    one = booking(vendor, 1)
    async with admin.transaction():
        await admin.execute("SELECT FROM shard FOR UPDATE")
        commit = asyncio.create_task(store.commit(placing(lease, 1, one)))
        watcher = await asyncpg.connect(database)
        await waiting(watcher)
        await watcher.execute(f"SELECT pg_terminate_backend(pid) FROM ({WAITERS}) AS waiter")
        with pytest.raises(OutcomeUnknown):
            await commit
        await watcher.close()
    newer = await store.retake(lease)
    assert not await store.committed(lease, 1)
    await store.commit(placing(newer, 1, one))
    assert list(await store.load_bookings(ids([one])))


async def test_a_statement_lost_on_its_way_can_no_longer_commit_after_a_retake(store, lease, vendor, admin, database):
    """The trap: the look-up says no, and the old backend commits a second later."""
    one = booking(vendor, 1)
    blocker = await asyncpg.connect(database)
    transaction = blocker.transaction()
    await transaction.start()
    await blocker.execute("INSERT INTO seat_word SELECT seat_id_of($1, 1), $2, 0", vendor, one.first_slot >> 6)
    old = asyncio.create_task(store.commit(placing(lease, 1, one)))
    await waiting(admin)  # the old statement holds the fence's row and waits for a word
    other = PostgresShardStore(database)
    other._holder = store._holder
    newer = await other.retake(lease)  # has to end the old backend first
    assert newer.epoch == lease.epoch + 1
    assert not await other.committed(lease, 1)
    await transaction.rollback()
    with pytest.raises((OutcomeUnknown, Fenced)):
        await old
    assert not await other.committed(lease, 1)
    assert await other.load_bookings(ids([one])) == {}
    await other.close()
    await blocker.close()


async def test_a_successor_ends_a_statement_that_holds_the_fence(store, lease, vendor, admin, database):
    """A zombie stopped with its statement in the server."""
    blocker = await asyncpg.connect(database)
    transaction = blocker.transaction()
    await transaction.start()
    one = booking(vendor, 1)
    await blocker.execute("INSERT INTO seat_word SELECT seat_id_of($1, 1), $2, 0", vendor, one.first_slot >> 6)
    old = asyncio.create_task(store.commit(placing(lease, 1, one)))
    await waiting(admin)
    successor = PostgresShardStore(database)
    newer = await successor.take(0, ACTOR)
    assert newer is not None
    with pytest.raises(OutcomeUnknown):
        await old
    await transaction.rollback()
    with pytest.raises(Fenced):
        await store.commit(placing(lease, 2, one))
    await successor.commit(placing(newer, 1, one))
    await successor.close()
    await blocker.close()


async def test_a_lock_that_nobody_can_end_is_unavailable(store, lease, admin, database, monkeypatch):
    monkeypatch.setattr("storage.shard_connection._TAKE_TRIES", 1)
    async with admin.transaction():
        await admin.execute("SELECT FROM shard FOR UPDATE")
        successor = PostgresShardStore(database)
        with pytest.raises(StoreUnavailable):
            await successor.take(0, ACTOR)
        await successor.close()


async def test_an_idle_connection_that_died_is_replaced(store, lease, vendor, admin):
    await admin.execute(f"SELECT pg_terminate_backend(pid) FROM ({WRITERS}) AS writer")
    await until(lambda: admin.fetchval(f"SELECT count(*) = 0 FROM ({WRITERS}) AS writer"))
    for seq in (1, 2):
        try:
            await store.commit(placing(lease, seq, booking(vendor, 1)))
            break
        except OutcomeUnknown:
            lease = await store.retake(lease)
    assert await admin.fetchval("SELECT count(*) FROM booking") == 1


async def test_a_caller_that_goes_away_does_not_interrupt_a_commit(store, lease, vendor, admin, database):
    one = booking(vendor, 1)
    blocker = await asyncpg.connect(database)
    async with blocker.transaction():
        await blocker.execute("SELECT FROM shard FOR UPDATE")
        commit = asyncio.create_task(store.commit(placing(lease, 1, one)))
        await waiting(admin)
        commit.cancel()
        with pytest.raises(asyncio.CancelledError):
            await commit
    await store.commit(placing(lease, 2, booking(vendor, 2, seats=(2,))))  # waits for the first, so it is done
    assert await store.committed(lease, 2)
    assert list(await store.load_bookings(ids([one])))
    await blocker.close()


async def test_a_statement_that_waits_too_long_wrote_nothing(store, lease, vendor, admin, database):
    one = booking(vendor, 1)
    blocker = await asyncpg.connect(database)
    async with blocker.transaction():
        await blocker.execute("SELECT FROM shard FOR UPDATE")
        commit = asyncio.create_task(store.commit(placing(lease, 1, one)))
        await waiting(admin)
        await admin.execute(f"SELECT pg_cancel_backend(pid) FROM ({WAITERS}) AS waiter")
        with pytest.raises(StoreUnavailable):
            await commit
    await store.commit(placing(lease, 1, one))
    await blocker.close()


async def test_an_event_without_its_booking_is_a_bug(store, lease, vendor):
    with pytest.raises(KeyError):
        await store.commit(Batch(lease, 1, events=[HoldPlaced(booking(vendor, 1))]))


async def test_a_number_too_large_for_its_column_is_a_bug_and_not_a_lost_connection(store, lease, vendor):
    with pytest.raises(asyncpg.DataError):
        await store.commit(Batch(lease, 1, words=[WordChange(vendor, 1, 1 << 40, 0, 1)]))
    await store.commit(placing(lease, 1, booking(vendor, 1)))


async def test_a_database_that_is_away_is_unavailable_until_it_is_back(tmp_path, free_port):
    server = EmbeddedPostgres(tmp_path / "postgres", free_port)
    await asyncio.to_thread(server.start)
    try:
        await migrate(server.url)
        database = Database(server.url, "test", 1)
        await Directory(database).seed(1)
        await Directory(database).claim(0, ACTOR.actor_id)
        store = PostgresShardStore(server.url)
        lease = await store.take(0, ACTOR)
        await store.commit_vendor(lease, 1, VendorCreated(house(vendor_id(1)), "a@example.org", "h"))
        await asyncio.to_thread(server.stop)
        with pytest.raises((StoreUnavailable, OutcomeUnknown)):
            await store.commit(placing(lease, 2, booking(vendor_id(1), 1)))
        with pytest.raises(StoreUnavailable):
            await store.load_holds(0)
        with pytest.raises(StoreUnavailable):
            await store.retake(lease)
        with pytest.raises(StoreUnavailable):
            await Directory(database).shards()
        await asyncio.to_thread(server.start)
        newer = await store.retake(lease)
        assert await store.committed(lease, 1)
        assert not await store.committed(lease, 2)
        await store.commit(placing(newer, 1, booking(vendor_id(1), 1)))
        await store.close()
        await database.close()
    finally:
        await asyncio.to_thread(server.stop)
