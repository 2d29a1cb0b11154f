"""Every ended booking of a batch is in the archive once the batch is handled, in its newest version."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

from consumers.archiver import Archiver
from consumers.event import BookingHappened, VendorHappened
from domain.booking import Booking, BookingStatus
from domain.ids import BookingId
from storage.archive_url import archive_at
from storage.booking_page import PageAsked
from storage.errors import StoreUnavailable
from storage.event_log import Topic
from tests.conformance.stores import booking, house
from tests.fakes.houses import vendor_id

V = vendor_id(1)
TOPIC_OF = {
    BookingStatus.AVAILED: Topic.BOOKING_AVAILED,
    BookingStatus.CANCELLED: Topic.BOOKING_CANCELLED,
    BookingStatus.NO_SHOW: Topic.BOOKING_NO_SHOW,
    BookingStatus.EXPIRED: Topic.BOOKING_EXPIRED,
}


@pytest.fixture
async def archive(database):
    made = archive_at("", database)
    yield made
    await made.close()


@pytest.fixture
def archiver(archive):
    return Archiver(archive)


def ended(number: int, status: BookingStatus = BookingStatus.AVAILED, *, version: int = 2) -> Booking:
    return replace(booking(V, number, status=status), version=version)


def told(made: Booking) -> BookingHappened:
    return BookingHappened(f"0-1-{made.version}-0", TOPIC_OF[made.status], made)


@dataclass
class Calls:
    """An archive that only counts, or is away."""

    stored: list[Sequence[Booking]] = field(default_factory=list)
    away: bool = False

    async def store(self, bookings: Sequence[Booking]) -> None:
        if self.away:
            raise StoreUnavailable("away")
        self.stored.append(bookings)

    async def versions(self, booking_ids: Sequence[BookingId]) -> Mapping[BookingId, int]:
        raise AssertionError("nobody asks")


def test_it_reads_the_four_ends_of_a_booking(archiver):
    assert set(archiver.topics) == set(TOPIC_OF.values())


async def test_each_end_is_archived(archiver, archive):
    made = [ended(number, status) for number, status in enumerate(TOPIC_OF, start=1)]
    await archiver.handle([told(one) for one in made])
    for one in made:
        assert await archive.by_id(one.booking_id) == one


async def test_the_newest_of_a_batch_goes_to_the_archive_alone():
    """Two topics have no common order: an undone no-show may come before the no-show itself."""
    no_show = ended(1, BookingStatus.NO_SHOW, version=3)
    availed = replace(no_show, status=BookingStatus.AVAILED, version=4)
    calls = Calls()
    await Archiver(calls).handle([told(availed), told(no_show), told(availed)])
    assert calls.stored == [[availed]]


async def test_an_older_version_changes_nothing_later_either(archiver, archive):
    no_show = ended(1, BookingStatus.NO_SHOW, version=3)
    availed = replace(no_show, status=BookingStatus.AVAILED, version=4)
    await archiver.handle([told(availed)])
    await archiver.handle([told(no_show)])
    assert await archive.by_id(availed.booking_id) == availed


async def test_a_replay_from_the_beginning_changes_nothing(archiver, archive):
    made = [ended(number) for number in range(1, 30)]
    events = [told(one) for one in made]
    await archiver.handle(events)
    before = await archive.of_vendor(V, PageAsked(100))
    for start in range(0, len(events), 7):
        await archiver.handle(events[start : start + 7])
    assert await archive.of_vendor(V, PageAsked(100)) == before
    assert len(before) == 29


async def test_an_archive_that_is_away_has_the_batch_come_again():
    """The runtime pauses upon StoreUnavailable and parks nothing."""
    calls = Calls(away=True)
    archiver = Archiver(calls)
    with pytest.raises(StoreUnavailable):
        await archiver.handle([told(ended(1))])
    calls.away = False
    await archiver.handle([told(ended(1))])
    assert calls.stored == [[ended(1)]]


async def test_what_is_no_booking_is_left_alone():
    calls = Calls()
    await Archiver(calls).handle([VendorHappened("0-1-1-0", Topic.NEW_VENDOR, house(V))])
    assert not any(calls.stored)
