"""Candidates in a real Valkey: kept for a moment, whole, by what was asked; and a cache that is away is nobody's trouble."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from math import inf

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from domain.ids import vendor_id_from
from domain.search import CandidateQuery, SearchOrder, SortPosition
from domain.vendor import Location, VendorKind
from holdfast.embedded_valkey import EmbeddedValkey
from storage.candidate_cache import CandidateCache
from storage.errors import StoreUnavailable
from tests.domain.desk import hotel, restaurant
from tests.fakes.memory_search_index import MemorySearchIndex

EVERYTHING = CandidateQuery()
NEAR = CandidateQuery(near=Location(64.0, -21.0), order=SearchOrder.DISTANCE)
BY_PRICE = CandidateQuery(order=SearchOrder.PRICE)


@pytest.fixture
async def redis(valkey_server: EmbeddedValkey) -> AsyncIterator[Redis]:
    client: Redis = Redis.from_url(valkey_server.url)
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture
def index() -> MemorySearchIndex:
    return MemorySearchIndex(
        [
            restaurant(vendor_id=vendor_id_from(1 << 20), cuisines=("thai", "français"), name="Ö\0 \U0001f600"),
            hotel(vendor_id=vendor_id_from(2 << 20), amenities=("pool",)),
            restaurant(vendor_id=vendor_id_from(3 << 20), version=7),
        ]
    )


@pytest.mark.parametrize("query", [EVERYTHING, NEAR, BY_PRICE, CandidateQuery(kind=VendorKind.HOTEL)])
async def test_what_is_kept_comes_back_whole(redis, index, query):
    cache = CandidateCache(index, redis, ttl_seconds=60)
    first = await cache.candidates(query, after=None, limit=10)
    assert first
    assert await cache.candidates(query, after=None, limit=10) == list(first)
    assert len(index.asked) == 1
    if query is BY_PRICE:
        assert first[-1].position.key == inf


async def test_nobody_found_is_kept_too(redis, index):
    cache = CandidateCache(index, redis, ttl_seconds=60)
    for _ in range(2):
        assert list(await cache.candidates(CandidateQuery(city="Nowhere"), after=None, limit=10)) == []
    assert len(index.asked) == 1


async def test_another_question_is_another_entry(redis, index):
    cache = CandidateCache(index, redis, ttl_seconds=60)
    after = SortPosition(0.0, vendor_id_from(1 << 20))
    asked = [
        (EVERYTHING, None, 10),
        (EVERYTHING, None, 11),
        (EVERYTHING, after, 10),
        (EVERYTHING, replace(after, key=0.5), 10),
        (NEAR, None, 10),
        (replace(EVERYTHING, city="x"), None, 10),
        (replace(EVERYTHING, text="x"), None, 10),
        (replace(EVERYTHING, party_size=2), None, 10),
    ]
    for query, position, limit in [*asked, *asked]:
        await cache.candidates(query, after=position, limit=limit)
    assert index.asked == asked


async def test_it_is_kept_for_a_second(redis, index):
    cache = CandidateCache(index, redis)
    await cache.candidates(EVERYTHING, after=None, limit=10)
    [key] = await redis.keys("holdfast:candidates:*")
    assert 0 < await redis.pttl(key) <= 1000


async def test_the_index_away_is_not_hidden_and_not_kept(redis, index):
    cache = CandidateCache(index, redis, ttl_seconds=60)
    index.away = True
    with pytest.raises(StoreUnavailable):
        await cache.candidates(EVERYTHING, after=None, limit=10)
    index.away = False
    assert len(await cache.candidates(EVERYTHING, after=None, limit=10)) == 3


async def test_without_a_cache_the_index_answers(index, unused_tcp_port_factory: Callable[[], int]):
    redis: Redis = Redis.from_url(f"redis://127.0.0.1:{unused_tcp_port_factory()}/0", retry=Retry(NoBackoff(), 0))
    cache = CandidateCache(index, redis)
    for number in range(1, 4):
        assert len(await cache.candidates(EVERYTHING, after=None, limit=10)) == 3
        assert len(index.asked) == number
    await redis.aclose()


async def test_a_cache_that_was_away_is_asked_again_after_a_rest(redis, index, monkeypatch):
    cache = CandidateCache(index, redis, ttl_seconds=60, rest_seconds=30)
    get, asked = redis.get, []

    async def failing(key):
        asked.append(key)
        raise ConnectionResetError

    monkeypatch.setattr(redis, "get", failing)
    for _ in range(3):
        await cache.candidates(EVERYTHING, after=None, limit=10)
    assert len(asked) == 1
    monkeypatch.setattr(redis, "get", get)
    now = asyncio.get_running_loop().time
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now() + 31)
    for _ in range(2):
        await cache.candidates(EVERYTHING, after=None, limit=10)
    assert len(index.asked) == 4
