"""`holdfast reindex`: everything that is in Postgres is found, what is not is gone, and replicas may be behind."""

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console
from rich.progress import Progress

from domain.event import VendorCreated
from domain.search import CandidateQuery
from holdfast.reindex import _all_vendors, run_reindex
from holdfast.settings import Settings
from storage.directory import Directory
from storage.postgres import Database
from storage.postgres_shard_store import PostgresShardStore
from storage.search_index_url import search_index_at
from tests.conformance.stores import ACTOR, house
from tests.fakes.houses import vendor_id


@pytest.fixture
async def vendors(database):
    """As shards write them: 1,203 of them, so that the last page is a short one."""
    opened = Database(database, "test", 1)
    await Directory(opened).seed(1)
    await Directory(opened).claim(0, ACTOR.actor_id)
    await opened.close()
    store = PostgresShardStore(database)
    lease = await store.take(0, ACTOR)
    made = [house(vendor_id(number)) for number in range(1, 1204)]
    for number, vendor in enumerate(made, start=1):
        await store.commit_vendor(lease, number, VendorCreated(vendor, f"house-{number}@example.org", "hash"))
    await store.close()
    return made


@pytest.mark.parametrize("servers", ["embedded", "full"])
async def test_every_vendor_is_found_afterwards_and_nothing_else(request, database, vendors, servers, tmp_path):
    search_url = f"{request.getfixturevalue('elasticsearch_url')}-reindex" if servers == "full" else ""
    index = search_index_at(search_url, database)
    await index.put([house(vendor_id(9999))])
    settings = Settings(data_dir=tmp_path, postgres_url=database, search_url=search_url)
    assert await run_reindex(settings, Console(file=io.StringIO())) == len(vendors)
    found = await index.candidates(CandidateQuery(), after=None, limit=5000)
    assert [candidate.vendor_id for candidate in found] == [vendor.vendor_id for vendor in vendors]
    await index.close()


async def test_what_a_replica_does_not_have_yet_is_read_from_the_primary_at_the_end():
    now = datetime.now(UTC)
    old, newer = house(vendor_id(1)), replace(house(vendor_id(1)), version=2, updated_at=now)

    class Pages:
        def __init__(self, *vendors):
            self.vendors = vendors

        async def count(self):
            return len(self.vendors)

        async def all(self):
            yield list(self.vendors)

        async def changed_since(self, instant):
            assert now - timedelta(minutes=11) < instant < now
            yield [vendor for vendor in self.vendors if vendor.updated_at >= instant]

    with Progress(console=Console(file=io.StringIO())) as progress:
        pages = [page async for page in _all_vendors(Pages(old), Pages(newer), progress)]
    assert pages == [[old], [newer]]
