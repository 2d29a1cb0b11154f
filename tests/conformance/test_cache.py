"""The cache: newest version wins whatever the order, nothing breaks without it, and a failed write is made good first."""

import asyncio
import socket
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from storage.cache import VersionedCache
from storage.vendors import VendorReads
from tests.conformance.stores import house
from tests.conformance.waiting import until
from tests.fakes.houses import vendor_id


def client(url):
    return Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5, retry=Retry(NoBackoff(), 0))


@pytest.fixture
async def redis(valkey_server):
    made = client(valkey_server.url)
    await made.flushall()
    yield made
    await made.aclose()


@pytest.fixture
async def cache(redis):
    made = VersionedCache(redis, rest_seconds=0.02)
    yield made
    await made.close()


def paid(cache):
    async def owes_nothing():
        return not cache.owes

    return owes_nothing


class Road:
    """A road to Valkey that can be closed: a relay that refuses or cuts connections when told to."""

    def __init__(self, port):
        self.to = port
        self.server = None
        self.open_connections = []

    async def open(self, port=0):
        self.server = await asyncio.start_server(self.carry, "127.0.0.1", port)
        return self.server.sockets[0].getsockname()[1]

    async def close(self):
        self.server.close()
        for writer in self.open_connections:
            writer.close()
        self.open_connections.clear()

    async def carry(self, reader, writer):
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self.to)
        self.open_connections += [writer, inner_writer]

        async def pump(source, sink):
            try:
                while data := await source.read(65536):
                    sink.write(data)
            except ConnectionError:
                pass
            finally:
                sink.close()

        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))


async def test_a_document_comes_back(cache):
    assert await cache.get("a") is None
    await cache.put("a", 1, b"one")
    assert await cache.get("a") == b"one"


async def test_versions_never_go_backwards(cache):
    await cache.put("a", 10, b"ten")
    await cache.put("a", 9, b"nine")
    await cache.fill("a", 2, b"two")
    assert await cache.get("a") == b"ten"
    await cache.fill("a", 11, b"eleven")
    assert await cache.get("a") == b"eleven"


async def test_an_entry_has_an_end(redis, cache):
    await cache.put("a", 1, b"one")
    assert 0 < await redis.ttl("holdfast:a") <= 300


async def test_without_a_server_it_misses_and_does_not_raise(free_port):
    redis = client(f"redis://127.0.0.1:{free_port}/0")
    cache = VersionedCache(redis, rest_seconds=0.01)
    await cache.put("a", 1, b"one")
    await cache.fill("b", 1, b"one")
    assert await cache.get("a") is None
    assert cache.owes
    await cache.close()
    await redis.aclose()


async def test_while_it_rests_nobody_waits_for_it(free_port):
    """A server that accepts and never answers costs one timeout, not one per request."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", free_port))
        silent.listen()
        redis = client(f"redis://127.0.0.1:{free_port}/0")
        cache = VersionedCache(redis, rest_seconds=60)
        await cache.get("a")
        started = asyncio.get_running_loop().time()
        for _ in range(100):
            await cache.get("a")
        assert asyncio.get_running_loop().time() - started < 0.1
        await redis.aclose()


async def test_a_failed_write_is_made_good_before_anything_is_read(redis, valkey_server):
    road = Road(int(valkey_server.url.rsplit(":", 1)[1].split("/")[0]))
    port = await road.open()
    mine = client(f"redis://127.0.0.1:{port}/0")
    cache = VersionedCache(mine, rest_seconds=0.01)
    await cache.put("a", 1, b"old")
    await road.close()
    await cache.put("a", 2, b"new")
    assert await redis.get("holdfast:a") is not None  # the old one still lies there
    assert await cache.get("a") is None
    await road.open(port)
    await until(paid(cache))
    assert await cache.get("a") is None
    other = VersionedCache(redis)
    assert await other.get("a") is None
    await other.fill("a", 1, b"old")  # a slow reader of the old version
    assert await other.get("a") is None
    await other.fill("a", 2, b"new")
    assert await other.get("a") == b"new"
    await cache.close()
    await mine.aclose()
    await road.close()


async def test_too_much_owed_empties_the_cache(redis, valkey_server):
    road = Road(int(valkey_server.url.rsplit(":", 1)[1].split("/")[0]))
    port = await road.open()
    mine = client(f"redis://127.0.0.1:{port}/0")
    cache = VersionedCache(mine, rest_seconds=0.01, owed_max=3)
    await cache.put("bystander", 1, b"x")
    await redis.set("somebody elses", b"y")
    await road.close()
    for number in range(5):
        await cache.put(f"k{number}", 2, b"new")
    await road.open(port)
    await until(paid(cache))
    assert await redis.get("holdfast:bystander") is None
    assert await redis.get("somebody elses") == b"y"
    await cache.close()
    await mine.aclose()
    await road.close()


class Rows:
    """The vendor table as `VendorReads` asks for it."""

    def __init__(self):
        self.asked = 0
        self.vendor = house(vendor_id(1))

    async def row(self, name, key):
        from storage.vendor_rows import vendor_json

        self.asked += 1
        if key != self.vendor.vendor_id:
            return None
        return {"facts": vendor_json(self.vendor).decode(), "version": self.vendor.version}


async def test_a_vendor_is_read_from_the_cache_first(cache):
    rows = Rows()
    reads = VendorReads(rows, cache)
    assert await reads.by_id(rows.vendor.vendor_id) == rows.vendor
    assert await reads.by_id(rows.vendor.vendor_id) == rows.vendor
    assert rows.asked == 1
    assert await reads.by_id(vendor_id(9)) is None


async def test_a_vendor_just_committed_is_what_everybody_reads(cache, redis):
    from dataclasses import replace

    rows = Rows()
    reads = VendorReads(rows, cache)
    await reads.by_id(rows.vendor.vendor_id)
    newer = replace(rows.vendor, version=2, name="Chez Nouveau", updated_at=datetime(2026, 11, 2, tzinfo=UTC))
    await reads.note(newer)
    assert await VendorReads(rows, VersionedCache(redis)).by_id(rows.vendor.vendor_id) == newer


async def test_a_vendor_is_read_without_a_cache(free_port):
    rows = Rows()
    assert await VendorReads(rows).by_id(rows.vendor.vendor_id) == rows.vendor
    redis = client(f"redis://127.0.0.1:{free_port}/0")
    away = VersionedCache(redis, rest_seconds=0.01)
    assert await VendorReads(rows, away).by_id(rows.vendor.vendor_id) == rows.vendor
    await VendorReads(rows, away).note(rows.vendor)
    await away.close()
    await redis.aclose()
