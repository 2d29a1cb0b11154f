"""Both search indexes are rebuilt while they are searched and written, by several processes, and lose nothing."""

import asyncio
from dataclasses import replace
from itertools import count

import asyncpg
import httpx
import pytest

from domain.search import CandidateQuery
from storage.errors import StoreError
from storage.search_index_url import search_index_at
from tests.conformance.search_oracle import tavern
from tests.fakes.houses import vendor_id


async def pages(*vendors):
    for vendor in vendors:
        yield [vendor]


async def versions(index):
    candidates = await index.candidates(CandidateQuery(), after=None, limit=5000)
    return {candidate.vendor_id: candidate.version for candidate in candidates}


async def kept(search_urls):
    """How many indexes, or generations of one, take up room."""
    search_url, postgres_url = search_urls
    if search_url:
        server, alias = search_url.rsplit("/", 1)
        async with httpx.AsyncClient() as client:
            return len((await client.get(f"{server}/{alias}-*")).json())
    connection = await asyncpg.connect(postgres_url)
    try:
        return await connection.fetchval("SELECT count(DISTINCT generation) FROM search_vendor")
    finally:
        await connection.close()


@pytest.fixture
async def other(search_urls):
    """The same index, as another process has it open."""
    made = search_index_at(*search_urls)
    yield made
    await made.close()


class Gate:
    """Vendors that are read for a rebuild, with a stop in the middle."""

    def __init__(self, first, then):
        self.first, self.then = first, then
        self.reached, self.open = asyncio.Event(), asyncio.Event()

    async def pages(self):
        yield self.first
        self.reached.set()
        await self.open.wait()
        yield self.then


async def test_a_rebuild_has_what_it_was_given_and_nothing_else(index, search_urls):
    await index.put([tavern(1), tavern(2)])
    await index.rebuild(pages(tavern(2), tavern(3)))
    assert await versions(index) == {vendor_id(2): 1, vendor_id(3): 1}
    assert await index.count() == 2
    assert await kept(search_urls) == 1


async def test_an_index_that_was_never_used_can_be_rebuilt(index):
    await index.rebuild(pages(tavern(1)))
    assert await versions(index) == {vendor_id(1): 1}


async def test_searches_see_the_old_index_whole_and_then_the_new_one_whole(index, other):
    old, new = {vendor_id(number): 1 for number in range(1, 51)}, {vendor_id(number): 2 for number in range(1, 71)}
    await index.put([tavern(number) for number in range(1, 51)])
    fresh = [replace(tavern(number), version=2) for number in range(1, 71)]
    gate = Gate(fresh[:35], fresh[35:])
    rebuilding = asyncio.create_task(index.rebuild(gate.pages()))
    await gate.reached.wait()
    assert await versions(other) == old
    gate.open.set()
    seen = []
    while not rebuilding.done():
        seen.append(await versions(other))
    await rebuilding
    assert all(found in (old, new) for found in seen)
    assert await versions(other) == new


async def test_what_is_put_meanwhile_is_in_the_old_index_and_in_the_new_one(index, other):
    stale = [tavern(1), tavern(2), tavern(3)]
    await index.put(stale)
    gate = Gate([tavern(1)], [tavern(2), tavern(3)])
    rebuilding = asyncio.create_task(index.rebuild(gate.pages()))
    await gate.reached.wait()
    newer = [replace(tavern(number), version=2) for number in (1, 2, 4)]
    await other.put(newer)
    expected = {vendor_id(1): 2, vendor_id(2): 2, vendor_id(3): 1, vendor_id(4): 2}
    assert await versions(index) == expected
    gate.open.set()
    await rebuilding
    assert await versions(index) == expected


async def test_no_change_is_lost_however_puts_and_rebuilds_meet(index, search_urls):
    """Vendors change, each change committed (`truth`) before it is put, while the index is rebuilt again and again."""
    truth = {vendor_id(number): tavern(number) for number in range(1, 21)}
    writers = [search_index_at(*search_urls) for _ in range(3)]
    await index.put(list(truth.values()))
    stop = asyncio.Event()

    async def change(writer, first):
        for turn in count():
            if stop.is_set():
                return
            of = vendor_id(first + turn % 7)
            truth[of] = replace(truth[of], version=truth[of].version + 1)
            await writer.put([truth[of]])

    async def read():
        for of in list(truth):
            yield [truth[of]]
            await asyncio.sleep(0)

    changing = [asyncio.create_task(change(writer, 1 + 7 * at)) for at, writer in enumerate(writers[:2])]
    for _ in range(4):
        await index.rebuild(read())
    stop.set()
    await asyncio.gather(*changing)
    assert await versions(index) == {of: vendor.version for of, vendor in truth.items()}
    assert await kept(search_urls) == 1
    for writer in writers:
        await writer.close()


async def test_a_rebuild_that_fails_leaves_everything_as_it_was(index, other, search_urls):
    await index.put([tavern(1)])

    async def broken():
        yield [tavern(2)]
        raise RuntimeError("the database is away")

    with pytest.raises(RuntimeError, match="away"):
        await index.rebuild(broken())
    await other.put([tavern(3)])
    assert await versions(index) == {vendor_id(1): 1, vendor_id(3): 1}
    await index.rebuild(pages(tavern(4)))
    assert await versions(index) == {vendor_id(4): 1}
    assert await kept(search_urls) == 1


async def test_a_rebuild_that_is_broken_off_leaves_everything_as_it_was(index, search_urls):
    await index.put([tavern(1)])
    gate = Gate([tavern(2)], [])
    rebuilding = asyncio.create_task(index.rebuild(gate.pages()))
    await gate.reached.wait()
    rebuilding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rebuilding
    assert await versions(index) == {vendor_id(1): 1}
    await index.rebuild(pages(tavern(3)))
    assert await kept(search_urls) == 1


async def test_of_two_rebuilds_the_later_one_wins(index, other, search_urls):
    await index.put([tavern(1)])
    gate = Gate([tavern(2)], [tavern(3)])
    earlier = asyncio.create_task(index.rebuild(gate.pages()))
    await gate.reached.wait()
    await other.rebuild(pages(tavern(4), tavern(5)))
    gate.open.set()
    with pytest.raises(StoreError, match="another rebuild"):
        await earlier
    assert await versions(index) == {vendor_id(4): 1, vendor_id(5): 1}
    await index.put([tavern(6)])
    assert await versions(other) == {vendor_id(4): 1, vendor_id(5): 1, vendor_id(6): 1}
    assert await kept(search_urls) == 1


async def test_what_another_rebuild_has_given_up_is_never_taken_into_use(elasticsearch_url):
    """In Elasticsearch giving up is two steps, and a rebuild may end in between."""
    server, alias = elasticsearch_url.rsplit("/", 1)
    index = search_index_at(f"{elasticsearch_url}-given-up", "postgresql://nobody@127.0.0.1:1/none")
    await index.put([tavern(1)])
    gate = Gate([tavern(2)], [tavern(3)])
    rebuilding = asyncio.create_task(index.rebuild(gate.pages()))
    await gate.reached.wait()
    async with httpx.AsyncClient() as client:
        building = f"{alias}-given-up-building"
        actions = [{"remove": {"index": f"{alias}-given-up-*", "alias": building}}]
        (await client.post(f"{server}/_aliases", json={"actions": actions})).raise_for_status()
    gate.open.set()
    with pytest.raises(StoreError, match="another rebuild"):
        await rebuilding
    assert await versions(index) == {vendor_id(1): 1}
    await index.rebuild(pages(tavern(4)))
    assert await kept((f"{elasticsearch_url}-given-up", "")) == 1
    await index.close()
