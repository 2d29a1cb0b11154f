"""Shards in virtual time over a database in memory. No Ray: what is tested here must not need it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from actors.limits import ShardLimits
from actors.shard import Ending, Shard
from storage.shard_store import Owner
from tests.fakes.memory_store import MemoryDatabase, MemoryShardStore, Script
from tests.fakes.virtual_time import Clock, loop_factories


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "real_time: this test waits for sockets, so time must pass by itself")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, type[asyncio.SelectorEventLoop]]:
    if item.get_closest_marker("real_time"):
        return {"real-time": asyncio.SelectorEventLoop}
    return loop_factories()


@pytest.fixture(autouse=True)
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plain classes do their work without a cluster, or they are not plain."""
    import ray

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a test of a plain class started Ray")

    monkeypatch.setattr(ray, "init", forbidden)


@dataclass
class House:
    """A database, a clock, and the shards that a test starts on them."""

    database: MemoryDatabase
    clock: Clock
    faults: Script
    limits: ShardLimits
    endings: list[Ending] = field(default_factory=list)
    shards: list[Shard] = field(default_factory=list)
    stores: list[MemoryShardStore] = field(default_factory=list)

    async def start(self, actor_id: str = "a", *, shard_id: int = 0, claim: bool = True, **limits: Any) -> Shard:
        if claim:
            self.database.claim(shard_id, actor_id)
        store = MemoryShardStore(self.database, self.faults)
        shard = Shard(
            shard_id,
            store,
            Owner(actor_id, "node", 1),
            self.clock,
            replace(self.limits, **limits),
            on_end=self.endings.append,
        )
        self.stores.append(store)
        self.shards.append(shard)
        assert await shard.start()
        return shard

    @property
    def steps(self) -> list[str]:
        return [step for store in self.stores for step in store.steps]


@pytest.fixture
async def house() -> AsyncIterator[House]:
    database = MemoryDatabase()
    database.seed(1)
    house = House(database, Clock(), Script(), ShardLimits())
    yield house
    house.faults.clear()
    for shard in house.shards:
        await shard.stop()
    assert database.problems() == []
