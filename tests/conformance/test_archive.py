"""Both archives keep the newest version of each ended booking, whatever the order, and list them whole and in order."""

import asyncio
import random
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from domain.booking import BookedSeat, BookingStatus, Contact, Terms
from domain.booking_list import ListPosition
from domain.ids import UserId, booking_id_from, vendor_id_from
from domain.money import Money
from storage.archive_url import archive_at
from storage.booking_page import PageAsked
from storage.cassandra import CassandraAddress
from storage.errors import StoreUnavailable
from tests.conformance.stores import booking, ids
from tests.conformance.waiting import until
from tests.fakes.road import Road

START = datetime(2026, 11, 30, 18, tzinfo=UTC)
ENDED = (BookingStatus.AVAILED, BookingStatus.CANCELLED, BookingStatus.NO_SHOW, BookingStatus.EXPIRED)
ALL = 100_000


@pytest.fixture(params=["postgres", "cassandra"])
def addresses(request):
    """The archive's address and Postgres', as settings give them."""
    if request.param == "postgres":
        return "", request.getfixturevalue("database")
    return request.getfixturevalue("cassandra_url"), "postgresql://nobody@127.0.0.1:1/none"


@pytest.fixture
async def archive(addresses):
    made = archive_at(*addresses)
    yield made
    await made.close()


class House:
    """A vendor and a guest of a test's own, so that tests may share one keyspace."""

    def __init__(self):
        self.vendor_id = vendor_id_from(uuid4().int)
        self.user_id = UserId(uuid4())

    def ended(self, starts_at=START, *, status=BookingStatus.AVAILED, version=2, booking_id=None):
        made = booking(self.vendor_id, 0, status=status)
        return replace(
            made,
            booking_id=booking_id or booking_id_from(self.vendor_id, uuid4().int),
            user_id=self.user_id,
            version=version,
            starts_at=starts_at,
            ends_at=starts_at + timedelta(hours=2),
        )


@pytest.fixture
def house():
    return House()


@pytest.fixture(params=["user", "vendor"])
def pages(request, archive, house):
    """One owner's list, asked for as the user's or as the vendor's."""

    async def ask(limit=ALL, **asked):
        if request.param == "user":
            return await archive.of_user(house.user_id, PageAsked(limit, **asked))
        return await archive.of_vendor(house.vendor_id, PageAsked(limit, **asked))

    return ask


def newest_first(bookings):
    return sorted(bookings, key=lambda one: (one.starts_at, one.booking_id.int), reverse=True)


def position(last):
    return ListPosition(last.starts_at, last.booking_id)


async def page_by_page(pages, limit, **asked):
    seen = []
    while True:
        page = await pages(limit, after=position(seen[-1]) if seen else None, **asked)
        assert len(page) <= limit
        seen += page
        if len(page) < limit:
            return seen


async def test_what_is_stored_comes_back_whole(archive, house):
    full = replace(
        house.ended(status=BookingStatus.CANCELLED),
        kind="hotel",
        seats=(BookedSeat(3, "R3", "double"), BookedSeat(4, "R4", "double")),
        step_minutes=0,
        held_slot_count=0,
        check_in=START.date(),
        check_out=START.date() + timedelta(days=3),
        seat_type="double",
        price=Money(27000, "EUR"),
        notes="zwei Betten, «bitte» \\ \U0001f600",
        contact=Contact("Ann", "ann@example.org", "+354 1"),
        cancel_reason="ill",
        terms=Terms(Money(4800, "EUR"), 48, 100, by_hand=True, deposit_version=3),
        deposit_waived=True,
        deposit_paid=True,
        cancelled_late=True,
        bill_minor=31050,
    )
    undone = replace(house.ended(status=BookingStatus.NO_SHOW), no_show_at=START + timedelta(microseconds=17))
    await archive.store([full, undone])
    assert await archive.by_id(full.booking_id) == full
    assert await archive.by_id(undone.booking_id) == undone
    assert await archive.of_user(house.user_id, PageAsked(9)) == newest_first([full, undone])
    assert await archive.of_vendor(house.vendor_id, PageAsked(9)) == newest_first([full, undone])


async def test_nobody_knows_what_was_never_stored(archive, house):
    unknown = house.ended()
    assert await archive.by_id(unknown.booking_id) is None
    assert await archive.versions([unknown.booking_id]) == {}
    assert await archive.versions([]) == {}
    assert await archive.of_user(house.user_id, PageAsked(5)) == []
    assert await archive.of_vendor(house.vendor_id, PageAsked(5)) == []


async def test_storing_nothing_is_no_error(archive):
    await archive.store([])


@pytest.mark.parametrize("order", [(3, 4), (4, 3), (3, 4, 3), (4, 3, 4)])
async def test_the_newest_version_stays_whatever_the_order(archive, house, order):
    no_show = house.ended(status=BookingStatus.NO_SHOW, version=3)
    availed = replace(no_show, status=BookingStatus.AVAILED, version=4, notes=None, no_show_at=None)
    version = {3: no_show, 4: availed}
    for number in order:
        await archive.store([version[number]])
    await same_everywhere(archive, house, availed)


@pytest.mark.parametrize("order", [(3, 4), (4, 3), (4, 3, 4)])
async def test_several_versions_may_come_in_one_call(archive, house, order):
    one = house.ended()
    await archive.store([replace(one, version=number, notes=f"version {number}") for number in order])
    await same_everywhere(archive, house, replace(one, version=4, notes="version 4"))


async def same_everywhere(archive, house, expected):
    assert await archive.by_id(expected.booking_id) == expected
    assert await archive.versions([expected.booking_id]) == {expected.booking_id: expected.version}
    assert await archive.of_user(house.user_id, PageAsked(9)) == [expected]
    assert await archive.of_vendor(house.vendor_id, PageAsked(9)) == [expected]
    old = [one for one in BookingStatus if one is not expected.status]
    for status in old:
        assert await archive.of_user(house.user_id, PageAsked(9, status=status)) == []


async def test_two_who_store_the_same_leave_it_once(archive, house):
    """The archiver and the sweeper may meet, each with versions and an order of its own."""
    old = [house.ended(START + timedelta(hours=number), version=2) for number in range(60)]
    new = [replace(one, version=3, notes="newer") for one in old]
    mixed = random.Random(4).sample([*old, *new], 120)
    await asyncio.gather(archive.store(old), archive.store(new[::-1]), archive.store(mixed))
    assert await archive.of_user(house.user_id, PageAsked(ALL)) == newest_first(new)
    assert await archive.of_vendor(house.vendor_id, PageAsked(ALL)) == newest_first(new)


async def test_versions_are_told_of_what_is_there(archive, house):
    made = [house.ended(version=number) for number in range(1, 151)]
    await archive.store(made)
    asked = [*ids(made), house.ended().booking_id]
    assert await archive.versions(asked) == {one.booking_id: one.version for one in made}


@pytest.mark.parametrize("limit", [1, 7, 40, 1000])
async def test_pages_over_years_are_whole_and_in_order(archive, house, pages, limit):
    """Many begin together, months are empty in between, and the first and last instants of months are among them."""
    chance = random.Random(7)
    starts = [START - timedelta(days=30 * chance.randrange(70), hours=chance.randrange(3)) for _ in range(60)]
    starts += [datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 12)] * 3
    starts += [datetime(2026, month, 1, tzinfo=UTC) - timedelta(microseconds=1) for month in (1, 2, 12)] * 3
    starts += [START] * 30
    if limit == 1:
        starts = starts[::5]
    made = [house.ended(start) for start in starts]
    other = House()
    await archive.store([*made, other.ended()])
    assert await page_by_page(pages, limit) == newest_first(made)


async def test_hundreds_that_begin_together_are_told_apart_by_their_ids(archive, house, pages):
    made = [house.ended() for _ in range(300)]
    await archive.store(made)
    assert await page_by_page(pages, 50) == newest_first(made)


async def test_a_page_that_is_just_full_is_followed_by_an_empty_one(archive, house, pages):
    made = [house.ended(START - timedelta(days=number)) for number in range(6)]
    await archive.store(made)
    first = await pages(6)
    assert first == newest_first(made)
    assert await pages(6, after=position(first[-1])) == []


async def test_a_status_is_looked_for_until_the_page_is_full(archive, house, pages):
    """The few that match lie behind more of another status than the adapter looks at in one go."""
    many = [house.ended(START - timedelta(minutes=number)) for number in range(700)]
    gone = [house.ended(START - timedelta(days=1, hours=h), status=BookingStatus.CANCELLED) for h in range(5)]
    first = house.ended(START + timedelta(hours=1), status=BookingStatus.CANCELLED)
    await archive.store([*many, *gone, first])
    wanted = newest_first([*gone, first])
    for limit in (1, 2, 6, 50):
        assert await page_by_page(pages, limit, status=BookingStatus.CANCELLED) == wanted
    assert await pages(3, status=BookingStatus.EXPIRED) == []


async def test_bounds_are_by_start_from_included_before_not(archive, house, pages):
    """To the microsecond, and over the edge of a month and a year."""
    edges = [datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC), START]
    moments = [edge + timedelta(microseconds=by) for edge in edges for by in (-1, 0, 1)]
    made = [house.ended(moment) for moment in moments for _ in range(2)]
    await archive.store(made)
    for since in (None, *moments):
        for before in (None, *moments):
            found = await pages(starts_from=since, starts_before=before)
            expected = [
                one
                for one in made
                if (since is None or one.starts_at >= since) and (before is None or one.starts_at < before)
            ]
            assert found == newest_first(expected)


async def test_bounds_a_status_and_a_position_go_together(archive, house, pages):
    chance = random.Random(11)
    made = [house.ended(START - timedelta(days=chance.randrange(100)), status=chance.choice(ENDED)) for _ in range(200)]
    await archive.store(made)
    since, before = START - timedelta(days=80), START - timedelta(days=20)
    for status in ENDED:
        found = await page_by_page(pages, 4, status=status, starts_from=since, starts_before=before)
        assert found == newest_first([o for o in made if o.status is status and since <= o.starts_at < before])


async def test_a_position_of_nobody_is_a_place_in_the_list_too(archive, house, pages):
    """A cursor may name a booking of the other store, and any id."""
    made = [house.ended() for _ in range(9)]
    await archive.store(made)
    in_order = newest_first(made)
    middle = in_order[4].booking_id
    just_above = UUID(int=middle.int + 1)
    assert await pages(after=ListPosition(START, just_above)) == in_order[4:]
    assert await pages(after=ListPosition(START, middle)) == in_order[5:]
    assert await pages(after=ListPosition(START + timedelta(microseconds=1), in_order[-1].booking_id)) == in_order
    assert await pages(after=ListPosition(START, UUID(int=(1 << 128) - 1))) == in_order
    assert await pages(after=ListPosition(START, UUID(int=0))) == []


async def test_what_is_stored_between_two_pages_neither_repeats_nor_hides(archive, house, pages):
    made = [house.ended(START - timedelta(hours=number)) for number in range(10)]
    await archive.store(made)
    first = await pages(4)
    newer, older = house.ended(START + timedelta(hours=1)), house.ended(START - timedelta(days=40))
    await archive.store([newer, older, replace(first[1], version=3)])
    rest = await pages(after=position(first[-1]))
    assert ids([*first, *rest]) == ids(newest_first([*made, older]))


@pytest.fixture
async def on_a_road(addresses):
    """An archive whose server can be cut off, and the road to it."""
    archive_url, postgres_url = addresses
    if archive_url:
        there = CassandraAddress.parse(archive_url)
        road = Road(there.nodes[0][1])
        port = await road.open()
        archive = archive_at(f"cassandra://127.0.0.1:{port}/{there.keyspace}", postgres_url)
    else:
        host, _, rest = postgres_url.rpartition("@")[2].partition(":")
        road = Road(int(rest.partition("/")[0]))
        port = await road.open()
        archive = archive_at("", postgres_url.replace(f"{host}:{road.to}", f"127.0.0.1:{port}"))
    yield archive, road, port
    await archive.close()
    await road.close()


async def test_a_server_that_goes_away_is_unavailable_until_it_is_back(on_a_road, house):
    archive, road, port = on_a_road
    made = house.ended()
    await archive.store([made])
    await road.close()
    for call in all_calls(archive, house, made):
        with pytest.raises(StoreUnavailable) as away:
            await call()
        assert away.value.__cause__ is not None
    await road.open(port)
    await until(lambda: answers(archive, made), 30)
    assert await archive.by_id(made.booking_id) == made
    await archive.store([replace(made, version=3)])
    assert await archive.versions([made.booking_id]) == {made.booking_id: 3}


async def test_a_server_that_is_away_at_first_is_looked_for_again(on_a_road, house):
    archive, road, port = on_a_road
    made = house.ended()
    await road.close()
    for call in all_calls(archive, house, made):
        with pytest.raises(StoreUnavailable):
            await call()
    await road.open(port)
    await until(lambda: answers(archive, made), 30)
    await archive.store([made])
    assert await archive.by_id(made.booking_id) == made


def all_calls(archive, house, made):
    return (
        lambda: archive.store([made]),
        lambda: archive.versions([made.booking_id]),
        lambda: archive.by_id(made.booking_id),
        lambda: archive.of_user(house.user_id, PageAsked(1)),
        lambda: archive.of_vendor(house.vendor_id, PageAsked(1)),
    )


async def answers(archive, made):
    try:
        await archive.by_id(made.booking_id)
    except StoreUnavailable:
        return False
    return True


async def test_an_archive_that_was_never_used_closes(addresses):
    await archive_at(*addresses).close()


async def test_closing_leaves_no_thread_of_its_own(addresses, house):
    """All but the driver's one loop, which every connection of a process shares and which ends with the process."""
    before = set(threading.enumerate())
    archive = archive_at(*addresses)
    await archive.store([house.ended()])
    await archive.close()

    async def gone():
        left = [thread for thread in threading.enumerate() if thread not in before]
        return all(thread.name.startswith(("event_loop", "asyncio_")) for thread in left)

    await until(gone)
