"""An owner that stops in the middle (SIGSTOP), is replaced, and wakes: it writes nothing, leaves, and does not return.

Real processes and a real Postgres, without Ray, so that nobody kills the zombie before it can do harm. What the
supervisor does with one is at the end, on the whole product.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import asyncpg
import httpx
import pytest

from actors.limits import ShardLimits
from actors.outcome import VendorDone
from actors.shard import Shard
from domain.command import Role
from holdfast.ray_head import root_of_code
from storage.audit import Audit
from storage.directory import Directory
from storage.postgres import Database
from storage.postgres_shard_store import PostgresShardStore
from storage.shard_store import Owner
from tests.fakes.houses import guest, opening, restaurant, vendor_id
from tests.system.shard_process import (
    AFTER_WRITING,
    BEFORE_READING,
    BEFORE_WRITING,
    LEFT_FOR_GOOD,
    NEVER,
    tokens,
    utc_now,
)

MODULE = ("-m", "tests.system.shard_process")
V = vendor_id(1)
TABLES = 8
FATAL_PARTY = 3
EVENING = (utc_now() + timedelta(days=7)).replace(hour=18, minute=0, second=0, microsecond=0)


class Ground:
    """A database with one house, and the processes that own its shard one after the other."""

    def __init__(self, url, port):
        self.url = url
        self.port = port
        self.database = Database(url, "test", 2)
        self.directory = Directory(self.database)
        self.processes = []

    async def open_house(self):
        await self.directory.seed(1)
        await self.directory.claim(0, "opener")
        opener = Shard(0, PostgresShardStore(self.url), Owner("opener", "node", 1), utc_now, ShardLimits())
        assert await opener.start()
        assert isinstance(await opener.ask(opening(restaurant(V, tables=TABLES))), VendorDone)
        await opener.stop()

    async def start_owner(self, actor_id, step=NEVER):
        """Started and named, not yet waited for."""
        options = {"url": self.url, "step": step, "party_size": str(FATAL_PARTY)}
        process = started([*MODULE, json.dumps({"actor_id": actor_id, "port": self.port, "options": options})])
        self.processes.append(process)
        await self.directory.claim(0, actor_id)
        return process

    async def epoch_and_pid(self):
        [row] = await self.directory.shards()
        return row.epoch, row.pid

    async def wait_for_owner(self, process):
        """Until that process owns the shard; its epoch."""
        for _ in range(2000):
            epoch, pid = await self.epoch_and_pid()
            if pid == process.pid:
                return epoch
            await asyncio.sleep(0.01)
        raise AssertionError(f"process {process.pid} did not take the shard")

    async def wait_until_served(self):
        for _ in range(1500):
            try:
                async with httpx.AsyncClient(trust_env=False) as client:
                    if (await client.get(f"http://127.0.0.1:{self.port}/booking/healthz")).status_code == 200:
                        return
            except httpx.TransportError:
                await asyncio.sleep(0.02)
        raise AssertionError("nobody serves the express port")

    async def book(self, party_size=2, number=1):
        token = tokens().issue(Role.USER, guest(number).account_id)
        async with httpx.AsyncClient(trust_env=False, timeout=40) as client:
            return await client.post(
                f"http://127.0.0.1:{self.port}/booking/vendor/{V}",
                json={"party_size": party_size, "starts_at": EVENING.isoformat()},
                headers={"Authorization": f"Bearer {token}", "Idempotency-Key": f"{number}"},
            )

    async def written(self):
        """How many batches each epoch wrote, and the ids of all bookings."""
        connection = await asyncpg.connect(self.url)
        try:
            batches = await connection.fetch("SELECT epoch, count(*) FROM outbox GROUP BY epoch ORDER BY epoch")
            bookings = await connection.fetch("SELECT booking_id, party_size FROM booking")
        finally:
            await connection.close()
        return dict(map(tuple, batches)), {str(row["booking_id"]): row["party_size"] for row in bookings}

    async def faults(self):
        report = await Audit(self.database, buckets_at_once=4096).run()
        return {figure.name: figure.faults for figure in report.figures if figure.faults}

    async def close(self):
        await self.database.close()
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait(10)


@pytest.fixture
async def ground(database, free_port):
    made = Ground(database, free_port)
    await made.open_house()
    yield made
    await made.close()


def stopped(pid):
    """Whether the process stands still."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def started(words):
    environment = os.environ | {"PYTHONPATH": str(root_of_code())}
    return subprocess.Popen([sys.executable, *words], cwd=root_of_code(), env=environment)


async def until(true, what):
    for _ in range(2000):
        if await true() if asyncio.iscoroutinefunction(true) else true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"waited 20 s for {what}")


async def left(process):
    await until(lambda: process.poll() is not None, "the zombie to leave")
    return process.returncode


async def the_new_owner_serves(ground, zombie, successor, epoch, before):
    """What must hold after the zombie woke, whatever it was doing when it stopped."""
    os.kill(zombie.pid, signal.SIGCONT)
    assert await left(zombie) == LEFT_FOR_GOOD
    await ground.wait_until_served()
    answer = await ground.book(number=50)
    assert answer.status_code == 201
    assert await ground.epoch_and_pid() == (epoch, successor.pid)
    [row] = await ground.directory.shards()
    assert row.address == f"127.0.0.1:{ground.port}"
    batches, bookings = await ground.written()
    old_batches, old_bookings = before
    assert {e: n for e, n in batches.items() if e < epoch} == old_batches
    assert bookings.keys() - old_bookings.keys() == {answer.json()["booking_id"]}
    assert await ground.faults() == {}


@asynccontextmanager
async def asking(ground):
    """A client whose request the owner will never finish properly; gives its outcome afterwards."""
    request = asyncio.create_task(ground.book(party_size=FATAL_PARTY, number=2))
    try:
        yield request
    finally:
        if not request.done():
            request.cancel()
        await asyncio.gather(request, return_exceptions=True)


async def truth_was_told(request, bookings):
    """An acknowledged booking is there; one that is not there was not acknowledged."""
    try:
        answer = await asyncio.wait_for(request, 20)
    except httpx.TransportError:
        return  # the connection went down with the zombie: the client knows that it knows nothing
    if answer.status_code == 201:
        assert answer.json()["booking_id"] in bookings
    else:
        assert answer.status_code == 503
        if answer.json()["code"] != "outcome_unknown":
            assert FATAL_PARTY not in bookings.values()


@pytest.mark.parametrize("step", [BEFORE_READING, BEFORE_WRITING, AFTER_WRITING])
async def test_an_owner_that_stops_at_a_step_of_a_batch(ground, step):
    zombie = await ground.start_owner("first", step)
    await ground.wait_until_served()
    if step != BEFORE_READING:  # reading happens once, when the house is first asked for
        assert (await ground.book()).status_code == 201
    async with asking(ground) as request:
        await until(lambda: stopped(zombie.pid), "the owner to stop")
        successor = await ground.start_owner("second")
        epoch = await ground.wait_for_owner(successor)
        before = await ground.written()
        assert (FATAL_PARTY in before[1].values()) == (step == AFTER_WRITING)
        await the_new_owner_serves(ground, zombie, successor, epoch, before)
        await truth_was_told(request, (await ground.written())[1])


async def test_an_owner_that_stops_between_two_batches(ground):
    zombie = await ground.start_owner("first")
    await ground.wait_until_served()
    assert (await ground.book()).status_code == 201
    os.kill(zombie.pid, signal.SIGSTOP)
    await until(lambda: stopped(zombie.pid), "the owner to stop")
    async with asking(ground) as request:  # reaches the zombie's port, and is decided when it wakes
        successor = await ground.start_owner("second")
        epoch = await ground.wait_for_owner(successor)
        await the_new_owner_serves(ground, zombie, successor, epoch, await ground.written())
        await truth_was_told(request, (await ground.written())[1])


@pytest.mark.parametrize("statement", ["waits until it is ended", "commits before the take-over"])
async def test_an_owner_that_stops_with_its_statement_in_the_server(ground, statement):
    zombie = await ground.start_owner("first")
    await ground.wait_until_served()
    assert (await ground.book()).status_code == 201
    blocker = await asyncpg.connect(ground.url)
    watcher = await asyncpg.connect(ground.url)
    try:
        hindrance = blocker.transaction()
        await hindrance.start()
        await blocker.execute("LOCK TABLE outbox IN SHARE MODE")  # the statement's last part waits for this
        async with asking(ground) as request:

            async def waiting():
                return await watcher.fetchval(
                    "SELECT count(*) FROM pg_stat_activity"
                    " WHERE application_name LIKE 'holdfast shard=0 epoch=%' AND wait_event_type = 'Lock'"
                )

            async def idle():
                return not await watcher.fetchval(
                    "SELECT count(*) FROM pg_stat_activity"
                    " WHERE application_name LIKE 'holdfast shard=0 epoch=%' AND state = 'active'"
                )

            await until(waiting, "the statement to be in the server")
            os.kill(zombie.pid, signal.SIGSTOP)
            await until(lambda: stopped(zombie.pid), "the owner to stop")
            if statement == "commits before the take-over":
                await hindrance.rollback()
                await until(idle, "the statement to be done")
            successor = await ground.start_owner("second")
            epoch = await ground.wait_for_owner(successor)
            if statement == "waits until it is ended":
                await hindrance.rollback()
            before = await ground.written()
            assert (FATAL_PARTY in before[1].values()) == (statement == "commits before the take-over")
            await the_new_owner_serves(ground, zombie, successor, epoch, before)
            await truth_was_told(request, (await ground.written())[1])
    finally:
        await blocker.close()
        await watcher.close()


async def test_one_that_was_replaced_does_not_come_back(ground):
    """Started again under its old name, as Ray would after a crash: the directory names another, so it leaves for good."""
    first = await ground.start_owner("first")
    await ground.wait_until_served()
    first.kill()
    first.wait(10)
    successor = await ground.start_owner("second")
    await ground.wait_for_owner(successor)
    given = {"actor_id": "first", "port": ground.port, "options": {"url": ground.url, "step": NEVER, "party_size": "0"}}
    again = started(["-c", _IMPATIENT, json.dumps(given)])
    ground.processes.append(again)
    assert await left(again) == LEFT_FOR_GOOD
    await ground.wait_until_served()
    assert (await ground.book()).status_code == 201


_IMPATIENT = """
import json, sys
import uvloop
from actors.shard_host import ShardConfig, ShardHost
from tests.system import shard_process as process
from storage.shard_store import Owner
given = json.loads(sys.argv[1])
config = ShardConfig(0, "tests.system.shard_process:make_parts", options=given["options"], named_wait_seconds=1.0)
uvloop.run(ShardHost(config, Owner(given["actor_id"], "node", 1), process.leave).run())
"""
