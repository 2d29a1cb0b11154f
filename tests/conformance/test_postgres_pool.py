"""A pool whose server hangs, or whose connections are all busy, says so soon: nobody stands in a queue without end."""

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from storage.errors import StoreUnavailable
from storage.postgres import Database
from tests.conformance.waiting import until

LIMIT_SECONDS = 0.5


class Gate:
    """A listener before a real server. While it is shut it accepts whoever comes, and says nothing."""

    def __init__(self, url):
        self._url = url
        self._open = asyncio.Event()
        self._pipes = asyncio.TaskGroup()
        self.connected = 0

    async def __aenter__(self):
        await self._pipes.__aenter__()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = self._url.replace(f":{urlsplit(self._url).port}/", f":{port}/")
        return self

    async def __aexit__(self, *_):
        self._server.close()
        self._open.set()
        await self._pipes.__aexit__(None, None, None)

    def open(self):
        self._open.set()

    def shut(self):
        """Also for those who are connected: what they say arrives nowhere until it is open again."""
        self._open.clear()

    async def _serve(self, reader, writer):
        self.connected += 1
        try:
            there, away = await asyncio.open_connection("127.0.0.1", urlsplit(self._url).port)
            answers = self._pipes.create_task(self._pipe(there, writer))
            await self._pipe(reader, away)
            await answers
        finally:
            self.connected -= 1

    async def _pipe(self, reader, writer):
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr("storage.postgres.FREE_SECONDS_MAX", LIMIT_SECONDS)
    monkeypatch.setattr("storage.postgres.CONNECT_SECONDS_MAX", LIMIT_SECONDS)


@pytest.fixture
async def gate(database):
    async with Gate(database) as made:
        yield made


@pytest.fixture
async def pool(gate):
    made = Database(gate.url, "test", 2)
    yield made
    gate.open()
    await made.close()


async def failed(pool):
    """How long it took, and what was said."""
    clock = asyncio.get_running_loop().time
    began = clock()
    with pytest.raises(StoreUnavailable) as caught:
        await pool.value("count_vendors")
    return clock() - began, str(caught.value)


async def test_a_server_that_says_nothing_costs_everybody_the_limit_and_not_the_queue(gate, pool):
    told = await asyncio.gather(*(failed(pool) for _ in range(40)))
    assert max(seconds for seconds, _ in told) < 3 * LIMIT_SECONDS
    assert sum("2 connections" in message for _, message in told) >= 36


async def test_once_the_server_answers_the_whole_pool_works_again(gate, pool):
    for _ in range(2):
        await asyncio.gather(*(failed(pool) for _ in range(10)))
    gate.open()
    for _ in range(2):
        assert await asyncio.gather(*(pool.value("count_vendors") for _ in range(40))) == [0] * 40
    await until(lambda: asyncio.sleep(0, gate.connected == 2))


async def test_a_caller_that_gives_up_first_takes_no_connection_with_it(gate, pool):
    """Those who wait for a connection, and those who wait for the server, with a patience of their own."""
    for seconds in (LIMIT_SECONDS / 8, LIMIT_SECONDS / 4, LIMIT_SECONDS / 2):
        calls = [asyncio.create_task(pool.value("count_vendors")) for _ in range(10)]
        _, pending = await asyncio.wait(calls, timeout=seconds)
        assert len(pending) == 10
        for call in pending:
            call.cancel()
        await asyncio.wait(pending)
    gate.open()
    assert await asyncio.gather(*(pool.value("count_vendors") for _ in range(40))) == [0] * 40


async def test_a_pool_that_is_all_busy_says_so(gate, pool, admin):
    """With statements that wait for a lock, on a server that is well."""
    gate.open()
    async with admin.transaction():
        await admin.execute("LOCK vendor")
        busy = [asyncio.create_task(pool.value("count_vendors")) for _ in range(2)]
        told = await asyncio.gather(*(failed(pool) for _ in range(8)))
    assert {message for _, message in told} == {"Postgres: none of the pool's 2 connections came free within 0.5 s"}
    assert await asyncio.gather(*busy) == [0, 0]
