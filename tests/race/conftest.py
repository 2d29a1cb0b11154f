"""A house of three tables in a real Postgres, and stores whose SQL a test may spoil on purpose."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from domain.event import VendorCreated
from storage.audit import Audit
from storage.directory import Directory
from storage.postgres import Database, sql
from storage.postgres_shard_store import PostgresShardStore
from storage.shard_store import Lease
from tests.conformance.stores import ACTOR, house
from tests.fakes.houses import vendor_id

V = vendor_id(1)


class Ground:
    """One database, many writers."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.database = Database(url, "test", 2)
        self.directory = Directory(self.database)
        self.stores: list[PostgresShardStore] = []

    def store(self, *spoilt: tuple[str, str]) -> PostgresShardStore:
        """A store; each pair replaces a passage of the batch's statement, which must be there exactly as given."""
        made = PostgresShardStore(self.url)
        text = sql("commit_batch")
        for old, new in spoilt:
            assert text.count(old) == 1, f"the statement no longer has this passage: {old}"
            text = text.replace(old, new)
        made._commit_sql = text
        self.stores.append(made)
        return made

    async def faults(self) -> dict[str, int]:
        report = await Audit(self.database, buckets_at_once=4096).run()
        return {figure.name: figure.faults for figure in report.figures if figure.faults}

    async def close(self) -> None:
        for store in self.stores:
            await store.close()
        await self.database.close()


@pytest.fixture
async def ground(database: str) -> AsyncIterator[Ground]:
    made = Ground(database)
    await made.directory.seed(1)
    await made.directory.claim(0, ACTOR.actor_id)
    yield made
    await made.close()


@pytest.fixture
async def lease(ground: Ground) -> Lease:
    """Of the house's first owner, which wrote it and was never replaced."""
    store = ground.store()
    taken = await store.take(0, ACTOR)
    assert taken is not None
    await store.commit_vendor(taken, 1000, VendorCreated(house(V), "house@example.org", "h"))
    return taken


@pytest.fixture
async def admin(database: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()
