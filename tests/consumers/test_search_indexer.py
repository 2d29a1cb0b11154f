"""The search indexer on a real index: the newest version is found, whatever comes twice, late or together."""

from dataclasses import replace

import pytest

from consumers.event import BookingHappened, VendorHappened
from consumers.search_indexer import SearchIndexer
from domain.search import CandidateQuery
from storage.errors import StoreUnavailable
from storage.event_log import Topic
from storage.search_index_url import search_index_at
from tests.conformance.stores import booking
from tests.fakes.houses import restaurant, vendor_id


@pytest.fixture
async def index(database):
    made = search_index_at("", database)
    yield made
    await made.close()


@pytest.fixture
def indexer(index):
    return SearchIndexer(index)


def told(number, version, name):
    vendor = replace(restaurant(vendor_id(number)), version=version, name=name)
    return VendorHappened(f"0-1-{number}-{version}", Topic.NEW_VENDOR, vendor)


async def names(index):
    return [found.name for found in await index.candidates(CandidateQuery(), after=None, limit=100)]


def test_it_listens_to_vendors_alone(indexer):
    assert list(indexer.topics) == [Topic.NEW_VENDOR]


async def test_a_vendor_is_found_and_a_changed_one_as_it_is_now(indexer, index):
    await indexer.handle([told(1, 1, "Old"), told(2, 1, "Other")])
    assert await names(index) == ["Old", "Other"]
    await indexer.handle([told(1, 2, "New")])
    assert await names(index) == ["New", "Other"]


async def test_of_one_batch_the_newest_version_stays_whatever_the_order(indexer, index):
    await indexer.handle([told(1, 3, "Third"), told(1, 2, "Second"), told(2, 1, "First"), told(2, 2, "Second")])
    assert await names(index) == ["Third", "Second"]


async def test_repeats_and_a_replay_from_the_beginning_change_nothing(indexer, index):
    history = [told(1, 1, "One"), told(2, 1, "Two"), told(1, 2, "One anew"), told(1, 3, "One at last")]
    for event in history:
        await indexer.handle([event, event])
    after = await names(index)
    for batch in (history[:2], history, history[::-1]):
        await indexer.handle(batch)
        assert await names(index) == after == ["One at last", "Two"]


async def test_an_empty_batch_and_what_is_no_vendor_are_nothing_to_do(indexer, index):
    await indexer.handle([])
    await indexer.handle([BookingHappened("0-1-1-1", Topic.NEW_BOOKING, booking(vendor_id(1), 1))])
    assert await index.count() == 0


async def test_an_index_that_is_away_has_the_events_come_again(free_port):
    away = search_index_at("", f"postgresql://nobody@127.0.0.1:{free_port}/none")
    with pytest.raises(StoreUnavailable):
        await SearchIndexer(away).handle([told(1, 1, "One")])
    await away.close()
