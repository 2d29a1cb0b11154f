"""The suite runs once on Postgres and once on the database in memory that simulation uses."""

from collections.abc import AsyncIterator
from itertools import count

import asyncpg
import pytest

from domain.event import VendorCreated
from domain.ids import VendorId
from storage.audit import Audit
from storage.directory import Directory
from storage.postgres import Connection, Database
from storage.postgres_shard_store import PostgresShardStore
from storage.search_index import SearchIndex
from storage.search_index_url import search_index_at
from storage.shard_store import Lease, ShardStore
from tests.conformance.stores import ACTOR, World, house
from tests.fakes.houses import vendor_id
from tests.fakes.memory_store import MemoryDatabase, MemoryShardStore

_numbers = count(1)


@pytest.fixture
async def open_database(database: str) -> AsyncIterator[Database]:
    made = Database(database, "test", 2)
    yield made
    await made.close()


@pytest.fixture
async def admin(database: str) -> AsyncIterator[Connection]:
    """A connection beside the code under test, to look and to change behind its back."""
    connection: Connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


class MemoryWorld:
    def __init__(self) -> None:
        self.database = MemoryDatabase()

    def store(self) -> ShardStore:
        return MemoryShardStore(self.database)

    async def seed(self, shards: int) -> None:
        self.database.seed(shards)

    async def claim(self, shard_id: int, actor_id: str) -> None:
        self.database.claim(shard_id, actor_id)

    async def move_bucket(self, bucket: int, to_shard: int) -> None:
        self.database.move_bucket(bucket, to_shard)

    async def problems(self) -> list[str]:
        return self.database.problems()

    async def close(self) -> None:
        return


class PostgresWorld:
    def __init__(self, url: str) -> None:
        self.url = url
        self.database = Database(url, "test", 2)
        self.directory = Directory(self.database)
        self.stores: list[PostgresShardStore] = []

    def store(self) -> ShardStore:
        self.stores.append(PostgresShardStore(self.url))
        return self.stores[-1]

    async def seed(self, shards: int) -> None:
        await self.directory.seed(shards)

    async def claim(self, shard_id: int, actor_id: str) -> None:
        await self.directory.claim(shard_id, actor_id)

    async def move_bucket(self, bucket: int, to_shard: int) -> None:
        await self.directory.move_buckets({bucket: to_shard})

    async def problems(self) -> list[str]:
        report = await Audit(self.database, buckets_at_once=4096).run()
        return [f"{figure.name}: {figure.faults} {figure.examples}" for figure in report.figures if figure.faults]

    async def close(self) -> None:
        for store in self.stores:
            await store.close()
        await self.database.close()


@pytest.fixture(params=["postgres", "memory"])
def database_url(request: pytest.FixtureRequest) -> str | None:
    """Where Postgres is; None for the database in memory."""
    return request.getfixturevalue("database") if request.param == "postgres" else None


@pytest.fixture
async def world(database_url: str | None) -> AsyncIterator[World]:
    """A database with one shard, owned by nobody."""
    made = MemoryWorld() if database_url is None else PostgresWorld(database_url)
    await made.seed(1)
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
async def store(world: World) -> ShardStore:
    return world.store()


@pytest.fixture
async def lease(world: World, store: ShardStore) -> Lease:
    await world.claim(0, ACTOR.actor_id)
    taken = await store.take(0, ACTOR)
    assert taken is not None
    return taken


@pytest.fixture
async def vendor(store: ShardStore, lease: Lease) -> VendorId:
    """A restaurant with three tables, committed as batch 1000."""
    of = vendor_id(1)
    await store.commit_vendor(lease, 1000, VendorCreated(house(of), "house@example.org", "hash"))
    return of


@pytest.fixture(params=["postgres", "elasticsearch"])
def search_urls(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The search index's address and Postgres', as settings give them; each test has an index of its own."""
    if request.param == "postgres":
        return "", request.getfixturevalue("database")
    return f"{request.getfixturevalue('elasticsearch_url')}-{next(_numbers)}", "postgresql://nobody@127.0.0.1:1/none"


@pytest.fixture
async def index(search_urls: tuple[str, str]) -> AsyncIterator[SearchIndex]:
    made = search_index_at(*search_urls)
    yield made
    await made.close()
