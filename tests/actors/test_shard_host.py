"""A process's life around a shard, with a real socket and in real time, but without Ray."""

import asyncio
import socket
import time
from dataclasses import replace

import httpx
import pytest

from actors.outcome import VendorDone
from actors.shard import Ending
from actors.shard_host import ShardConfig, ShardHost, load_callable, this_process
from storage.errors import StoreUnavailable
from tests.fakes.houses import opening, restaurant, vendor_id
from tests.fakes.memory_store import MemoryDatabase, MemoryShardStore, Script

pytestmark = pytest.mark.real_time

V = vendor_id(1)


class Parts:
    def __init__(self, database, faults, *, app=True, announces=True) -> None:
        self.store = MemoryShardStore(database, faults)
        self.announced = []
        self.closed = False
        self._app = app
        self._announces = announces

    async def express_app(self, shard):
        return answer_ok if self._app else None

    async def announce(self, lease, address):
        if not self._announces:
            raise StoreUnavailable
        self.announced.append((lease, address))

    async def close(self):
        self.closed = True


async def answer_ok(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


class Process:
    """A host, its parts, and how it left."""

    def __init__(self, monkeypatch, database, *, config=None, **parts) -> None:
        self.faults = Script()
        self.parts = Parts(database, self.faults, **parts)
        self.left = []
        self.config = config or ShardConfig(0, "nowhere:at_all", named_wait_seconds=0.2, port_wait_seconds=0.3)
        self.host = ShardHost(self.config, this_process("me", "node"), lambda *, for_good: self.left.append(for_good))

        async def make_parts(config, owner):
            return self.parts

        monkeypatch.setattr("actors.shard_host.load_callable", lambda path: make_parts)
        self.task = asyncio.ensure_future(self.host.run())

    async def until(self, state):
        async with asyncio.timeout(10):
            while self.host.state != state:  # noqa: ASYNC110 - the host tells its state to whoever asks, and to nobody else
                await asyncio.sleep(0.01)


@pytest.fixture
def database():
    made = MemoryDatabase()
    made.seed(1)
    made.claim(0, "me")
    return made


async def test_it_takes_serves_and_leaves_for_good_when_stopped(monkeypatch, database):
    process = Process(monkeypatch, database)
    await process.until("serving")
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://{process.host.address}/booking/healthz")
    assert answer.text == "ok"
    assert isinstance(await process.host.shard.ask(opening(restaurant(V))), VendorDone)
    [(lease, address)] = process.parts.announced
    assert (lease.epoch, address) == (1, process.host.address)
    await process.host.stop()
    await process.task
    assert process.left == [True]
    assert process.parts.closed
    assert process.host.state == "left"


async def test_it_waits_a_moment_to_be_named(monkeypatch, database):
    database.claim(0, "somebody else")
    config = ShardConfig(0, "x:y", named_wait_seconds=5.0)
    process = Process(monkeypatch, database, config=config)
    await asyncio.sleep(0.15)
    assert process.host.state == "starting"
    database.claim(0, "me")
    await process.until("serving")
    await process.host.stop()
    await process.task


async def test_it_leaves_for_good_when_somebody_else_is_named(monkeypatch, database):
    database.claim(0, "somebody else")
    process = Process(monkeypatch, database)
    await process.task
    assert process.left == [True]
    assert database.shards[0].epoch == 0


async def test_fenced_it_leaves_for_good(monkeypatch, database):
    process = Process(monkeypatch, database, app=False)
    await process.until("serving")
    assert process.host.address == ""
    database.shards[0].epoch += 1
    await process.host.shard.ask(opening(restaurant(V)))
    await process.task
    assert process.left == [True]
    assert process.host.shard.ending is Ending.FENCED


async def test_broken_it_is_started_again(monkeypatch, database):
    process = Process(monkeypatch, database)
    await process.until("serving")
    process.host.shard._break(ZeroDivisionError())
    await process.task
    assert process.left == [False]


async def test_without_a_database_it_is_started_again(monkeypatch, database):
    config = ShardConfig(0, "x:y")
    process = Process(
        monkeypatch, database, config=replace(config, limits=replace(config.limits, patience_seconds=0.1))
    )
    process.faults.always("take", fault())
    await process.task
    assert process.left == [False]


async def test_an_address_that_cannot_be_announced_does_not_stop_it(monkeypatch, database):
    process = Process(monkeypatch, database, announces=False)
    await process.until("serving")
    await process.host.stop()
    await process.task


async def test_it_waits_for_its_port_and_then_takes_another(monkeypatch, database):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = ShardConfig(0, "x:y", express_port=port, port_wait_seconds=0.3)
        process = Process(monkeypatch, database, config=config)
        await process.until("serving")
        assert not process.host.address.endswith(f":{port}")
        await process.host.stop()
        await process.task
    config = ShardConfig(0, "x:y", express_port=port)
    process = Process(monkeypatch, database, config=config)
    await process.until("serving")
    assert process.host.address.endswith(f":{port}")
    await process.host.stop()
    await process.task


async def test_stopped_before_it_serves_it_leaves(monkeypatch, database):
    process = Process(monkeypatch, database)
    await process.host.stop()
    await process.task
    assert process.left == [True]


def test_a_callable_is_named_by_its_module():
    assert load_callable("actors.shard_host:load_callable") is load_callable


def fault():
    from tests.fakes.memory_store import Fault

    return Fault.UNAVAILABLE


async def test_it_reports_how_the_shard_fares_every_few_seconds_whatever_the_report_raises(
    monkeypatch, database, caplog
):
    config = ShardConfig(0, "parts:make", make_report="metrics:make", report_seconds=0.02)
    process = Process(monkeypatch, database, config=config, app=False)
    told, twice = [], asyncio.Event()

    def report(stats):
        told.append(stats)
        if len(told) == 1:
            raise ZeroDivisionError
        twice.set()

    async def make_parts(config, owner):
        return process.parts

    monkeypatch.setattr(
        "actors.shard_host.load_callable",
        {"parts:make": make_parts, "metrics:make": lambda: report}.__getitem__,
    )
    async with asyncio.timeout(10):
        await twice.wait()
    assert process.host.state == "serving"
    assert told[0] == process.host.shard.stats()
    assert "shard 0 could not be reported of" in caplog.text
    await process.host.stop()
    await process.task
    count = len(told)
    await asyncio.sleep(0.1)
    assert len(told) == count


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
