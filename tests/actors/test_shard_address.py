"""A shard listens where its own machine says, whatever machine its configuration was written on."""

import asyncio
import time

import pytest

from actors.shard_host import ShardConfig
from tests.actors.test_shard_host import Process
from tests.fakes.memory_store import MemoryDatabase

pytestmark = pytest.mark.real_time


@pytest.fixture
def database():
    made = MemoryDatabase()
    made.seed(1)
    made.claim(0, "me")
    return made


async def test_it_listens_on_and_tells_the_address_of_its_own_machine(monkeypatch, database):
    process = Process(monkeypatch, database, config=ShardConfig(0, "x:y", express_host=""))
    process.parts.express_host = "127.0.0.3"
    await process.until("serving")
    [(_, address)] = process.parts.announced
    assert address == process.host.address
    assert address.startswith("127.0.0.3:")
    await process.host.stop()
    await process.task


async def test_an_address_of_another_machine_is_named_at_once(monkeypatch, database, caplog):
    foreign = "192.0.2.1"  # RFC 5737: nobody has it
    began = time.monotonic()
    process = Process(monkeypatch, database, config=ShardConfig(0, "x:y", express_host=foreign))
    await asyncio.wait_for(process.task, 5)
    assert time.monotonic() - began < 5
    assert process.left == [False]
    assert f"shard 0: {foreign} is no address of this machine" in caplog.text
    assert "stays taken" not in caplog.text
