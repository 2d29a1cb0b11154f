"""Lists of current and archived bookings are one list: nothing twice, nothing missing, pages full, over both archives."""

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from domain.booking import LIVE, BookingStatus
from domain.booking_list import BookingFilter, ListPosition
from domain.ids import UserId, booking_id_from, vendor_id_from
from storage.archive_url import archive_at
from storage.booking_cache import BookingCache, FirstPages
from storage.booking_lists import BookingLists
from storage.booking_rows import bookings_json
from storage.bookings import BookingReads
from storage.cache import VersionedCache
from storage.postgres import Database
from storage.postgres_archive import PostgresArchive
from storage.vendor_rows import vendor_json
from tests.conformance.stores import booking, house, ids
from tests.conformance.waiting import until

NOW = datetime(2026, 12, 24, 18, tzinfo=UTC)
ENDED = [status for status in BookingStatus if status not in LIVE]
ALL = BookingFilter()
PAST = BookingFilter(current=False)
CURRENT = BookingFilter(current=True)


class Current:
    """The current tables, written behind the engine's back."""

    def __init__(self, connection):
        self.connection = connection

    async def place(self, *bookings):
        await self.connection.execute(
            "INSERT INTO booking SELECT * FROM json_populate_recordset(null::booking, $1)",
            bookings_json(bookings).decode(),
        )

    async def depart(self, *bookings):
        await self.connection.execute("DELETE FROM booking WHERE booking_id = ANY($1::uuid[])", ids(bookings))

    async def clear(self):
        await self.connection.execute("TRUNCATE booking, archived_booking")


@pytest.fixture
async def current(database):
    connection = await asyncpg.connect(database)
    yield Current(connection)
    await connection.close()


@pytest.fixture
async def reads(database):
    made = Database(database, "lists", 2)
    yield BookingReads(made)
    await made.close()


@pytest.fixture(params=["postgres", "cassandra"])
async def archive(request, database):
    """With the archive on Cassandra, tests share a keyspace: each has owners of its own."""
    url = "" if request.param == "postgres" else request.getfixturevalue("cassandra_url")
    made = archive_at(url, database)
    yield made
    await made.close()


@pytest.fixture
async def away(unused_tcp_port):
    made = archive_at("", f"postgresql://nobody@127.0.0.1:{unused_tcp_port}/none")
    yield made
    await made.close()


@pytest.fixture
async def redis(valkey_server):
    made = Redis.from_url(valkey_server.url, socket_timeout=0.5, retry=Retry(NoBackoff(), 0))
    await made.flushall()
    await made.set("holdfast:era", f"{1:016d}")  # one that began just now would send everybody to the primary
    yield made
    await made.aclose()


@pytest.fixture
async def cache(redis):
    made = VersionedCache(redis, rest_seconds=0.02)
    yield made
    await made.close()


@pytest.fixture
def lists(reads, archive, cache):
    return BookingLists(reads, archive, pages=FirstPages(cache))


@pytest.fixture
def owners():
    return Owners(random.Random(random.SystemRandom().getrandbits(64)))


class Owners:
    """A guest and a vendor that no other test has."""

    def __init__(self, chance):
        self.vendor_id = vendor_id_from(chance.getrandbits(128))
        self.user_id = UserId(booking_id_from(self.vendor_id, chance.getrandbits(100)))
        self.chance = chance

    def booked(self, hours=0.0, *, status=BookingStatus.AVAILED, version=2, booking_id=None):
        """Starts so many hours from NOW, for two hours."""
        starts_at = NOW + timedelta(hours=hours)
        return replace(
            booking(self.vendor_id, 1, status=status),
            booking_id=booking_id or booking_id_from(self.vendor_id, self.chance.getrandbits(100)),
            user_id=self.user_id,
            version=version,
            starts_at=starts_at,
            ends_at=starts_at + timedelta(hours=2),
        )


def in_order(bookings):
    return sorted(bookings, key=lambda one: (one.starts_at, one.booking_id.int), reverse=True)


async def listed(lists, owners, chosen=ALL, *, limit=50, after=None):
    page = await lists.of_vendor(owners.vendor_id, chosen, now=NOW, after=after, limit=limit)
    assert not page.past_missing
    return list(page.bookings)


async def joined(ask, limit):
    """Every page, joined; all but the last are full."""
    found, after = [], None
    while True:
        page = await ask(after, limit)
        assert not page.past_missing
        found += page.bookings
        if len(page.bookings) < limit:
            return found
        after = ListPosition(found[-1].starts_at, found[-1].booking_id)


async def test_random_splits_are_one_list(current, lists, archive, reads):
    """Against a sorted list of whatever version of each booking is the highest."""
    seed = random.SystemRandom().getrandbits(32)
    chance = random.Random(seed)
    for _ in range(40 if isinstance(archive, PostgresArchive) else 10):
        owners = Owners(chance)
        placed, archived = _split(chance, owners)
        await current.place(*placed)
        await archive.store(archived)
        newest = {}
        for one in (*placed, *archived):
            if one.booking_id not in newest or newest[one.booking_id].version < one.version:
                newest[one.booking_id] = one
        for _ in range(6):
            chosen = BookingFilter(
                current=chance.choice([True, False, None, None]),
                status=chance.choice([None, None, *BookingStatus]),
                first=chance.choice([None, None, date(2026, 12, 24)]),
                last=chance.choice([None, None, date(2026, 12, 24)]),
            )
            # What is current is never looked for in the archive.
            truth = placed if chosen.current is True else newest.values()
            expected = in_order(one for one in truth if _fits(one, chosen))
            limit = chance.choice([1, 2, 3, 5, 8, 50])
            found = await joined(
                lambda after, n, of=owners, chosen=chosen: lists.of_vendor(
                    of.vendor_id, chosen, now=NOW, after=after, limit=n
                ),
                limit,
            )
            assert found == expected, f"seed {seed}"
            without_days = replace(chosen, first=None, last=None)
            expected = in_order(one for one in truth if _fits(one, without_days))
            found = await joined(
                lambda after, n, of=owners, chosen=without_days: lists.of_user(
                    of.user_id, chosen, now=NOW, after=after, limit=n
                ),
                limit,
            )
            assert found == expected, f"seed {seed}"


def _split(chance, owners):
    """Bookings in the current tables, in the archive, or in both, in any version; many of them begin together."""
    placed, archived = [], []
    for _ in range(chance.randrange(40)):
        hours = chance.choice([-30, -20, -10, -3, -1, 1, 5, 6, 8, 30])
        versions = [owners.booked(hours, status=chance.choice(list(BookingStatus)), version=1)]
        for version in (2, 3):
            versions.append(replace(versions[0], version=version, status=chance.choice(ENDED)))
        where = chance.random()
        if where < 0.7:
            placed.append(chance.choice(versions))
        if where > 0.3:
            archived.append(chance.choice(versions[1:]))
    return placed, archived


def _fits(one, chosen):
    is_current = one.status in LIVE and one.ends_at > NOW
    return (
        (chosen.current is None or chosen.current is is_current)
        and (chosen.status is None or chosen.status is one.status)
        and (chosen.first is None or one.starts_at.date() >= chosen.first)
        and (chosen.last is None or one.starts_at.date() <= chosen.last)
    )


async def test_a_newer_version_counts_before_the_filters(current, lists, archive, owners):
    no_show = owners.booked(-5, status=BookingStatus.NO_SHOW, version=5)
    availed = replace(no_show, status=BookingStatus.AVAILED, version=6)
    await archive.store([no_show])
    assert await listed(lists, owners, BookingFilter(status=BookingStatus.NO_SHOW)) == [no_show]
    await current.place(availed)
    assert await listed(lists, owners, BookingFilter(status=BookingStatus.NO_SHOW)) == []
    assert await listed(lists, owners, BookingFilter(status=BookingStatus.AVAILED)) == [availed]
    assert await listed(lists, owners) == [availed]


async def test_a_replica_behind_the_archive_shows_nothing_old(current, lists, archive, owners):
    """The current tables that were read may be older than the archive's row."""
    confirmed = owners.booked(5, status=BookingStatus.CONFIRMED, version=1)
    cancelled = replace(confirmed, status=BookingStatus.CANCELLED, version=2)
    await current.place(confirmed)
    await archive.store([cancelled])
    assert await listed(lists, owners) == [cancelled]
    assert await listed(lists, owners, PAST) == [cancelled]
    assert await listed(lists, owners, BookingFilter(status=BookingStatus.CONFIRMED)) == []


class Meanwhile:
    """An archive that lets something happen just before its page is read, or just after."""

    def __init__(self, archive, *, before=None, after=None):
        self.archive = archive
        self.before, self.after = before, after
        self.versions = archive.versions

    async def of_vendor(self, vendor_id, asked):
        if self.before:
            await self.before()
        found = await self.archive.of_vendor(vendor_id, asked)
        if self.after:
            await self.after()
        return found


@pytest.mark.parametrize("limit", [1, 2, 50])
@pytest.mark.parametrize("chosen", [ALL, PAST], ids=["all", "past"])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("arrives", [False, True], ids=["departs", "arrives-and-departs"])
async def test_a_booking_on_its_way_is_there_once(
    current, archive, reads, cache, owners, limit, chosen, moment, arrives
):
    """One is stored and not yet deleted, one leaves between the reads, or is even stored in between, too."""
    stored, leaving = (owners.booked(-hours) for hours in (1, 2))
    await current.place(stored, leaving)
    await archive.store([stored] if arrives else [stored, leaving])

    async def departs():
        await archive.store([leaving])
        await current.depart(leaving)

    lists = BookingLists(reads, Meanwhile(archive, **{moment: departs}), pages=FirstPages(cache))
    found = await joined(
        lambda after, n: lists.of_vendor(owners.vendor_id, chosen, now=NOW, after=after, limit=n), limit
    )
    assert found == [stored, leaving]


async def test_pages_are_full_though_the_archive_has_old_versions(current, lists, archive, owners):
    old = [owners.booked(-hours, status=BookingStatus.NO_SHOW) for hours in range(1, 9)]
    good = [owners.booked(-hours, status=BookingStatus.NO_SHOW) for hours in range(9, 12)]
    await archive.store([*old, *good])
    await current.place(*(replace(one, status=BookingStatus.AVAILED, version=3) for one in old))
    no_shows = BookingFilter(current=False, status=BookingStatus.NO_SHOW)
    assert await listed(lists, owners, no_shows, limit=3) == good


async def test_an_archive_away_is_told(current, reads, away, cache, owners):
    ahead, over = owners.booked(5, status=BookingStatus.CONFIRMED), owners.booked(-5)
    await current.place(ahead, over)
    lists = BookingLists(reads, away, pages=FirstPages(cache))
    for chosen, found, missing in ((ALL, [ahead, over], True), (PAST, [over], True), (CURRENT, [ahead], False)):
        page = await lists.of_vendor(owners.vendor_id, chosen, now=NOW, after=None, limit=9)
        assert (list(page.bookings), page.past_missing) == (found, missing)


async def test_dates_are_the_vendors_own_and_both_included(current, lists, archive, owners):
    """03:00 in UTC is still the evening before in New York."""
    facts = vendor_json(replace(house(owners.vendor_id), time_zone="America/New_York")).decode()
    await current.connection.execute(
        "WITH here AS (INSERT INTO city (name) VALUES ('New York') RETURNING city_id) "
        "INSERT INTO vendor (vendor_id, city_id, email, password_hash, facts) SELECT $1, city_id, 'h@example.org', 'h', $2 FROM here",
        owners.vendor_id,
        facts,
    )
    midnight = datetime(2026, 12, 24, 5, tzinfo=UTC)
    before, first, last, after = (
        owners.booked((midnight - NOW).total_seconds() / 3600 + hours) for hours in (-0.5, 0, 23.5, 24)
    )
    await current.place(before, last)
    await archive.store([first, after])
    day = date(2026, 12, 24)
    assert await listed(lists, owners, BookingFilter(first=day, last=day)) == [last, first]
    assert await listed(lists, owners, BookingFilter(first=day)) == [after, last, first]
    assert await listed(lists, owners, BookingFilter(last=day)) == [last, first, before]
    for extreme in (BookingFilter(first=date.min), BookingFilter(last=date.max)):
        assert len(await listed(lists, owners, extreme)) == 4


async def test_dates_are_those_of_a_vendor_whom_no_replica_knows_yet(reads, archive, cache, owners):
    class Behind(BookingReads):
        async def time_zone(self, _vendor_id):
            return "UTC"

        async def of_vendor(self, _vendor_id, asked, **_more):
            self.asked = asked
            return []

    class Primary(BookingReads):
        async def time_zone(self, _vendor_id):
            return "Asia/Tokyo"

    behind = Behind(None)
    lists = BookingLists(Primary(None), archive, replicas=behind, pages=FirstPages(cache))
    await listed(lists, owners, BookingFilter(current=True, first=date(2026, 12, 24)))
    assert behind.asked.starts_from == datetime(2026, 12, 23, 15, tzinfo=UTC)


class TestFirstPages:
    """Postgres alone: the archive has no part in what is current."""

    @pytest.fixture
    def archive(self, away):
        return away

    @pytest.fixture
    def notes(self, cache):
        return BookingCache(cache, lambda: NOW)

    async def test_a_page_is_kept_until_the_next_write(self, current, lists, notes, owners):
        first, second = (owners.booked(hours, status=BookingStatus.CONFIRMED) for hours in (5, 6))
        await current.place(first)
        assert await listed(lists, owners, CURRENT) == [first]
        await current.place(second)
        assert await listed(lists, owners, CURRENT) == [first]
        assert await listed(lists, owners, CURRENT, limit=51) == [second, first]  # another page of the same list
        await notes.note(second)
        assert await listed(lists, owners, CURRENT) == [second, first]

    async def test_a_guests_and_a_vendors_page_go_with_the_same_write(self, current, lists, notes, owners):
        one = owners.booked(5, status=BookingStatus.CONFIRMED)

        async def of_user():
            return list((await lists.of_user(owners.user_id, CURRENT, now=NOW, after=None, limit=9)).bookings)

        assert await of_user() == []
        await current.place(one)
        await notes.note(one)
        assert await of_user() == [one]

    async def test_a_page_read_before_a_write_is_not_kept_after_it(self, current, cache, notes, owners):
        pages = FirstPages(cache)
        owner = f"vendor:{owners.vendor_id}"
        looked = await pages.look(owner, 9, NOW)
        one = owners.booked(5, status=BookingStatus.CONFIRMED)
        await notes.note(one)
        await pages.keep(owner, 9, looked, [], 2)
        assert (await pages.look(owner, 9, NOW)).bookings is None

    async def test_a_page_lives_two_seconds(self, lists, owners, redis):
        await listed(lists, owners, CURRENT)
        (key,) = await redis.keys("holdfast:page:*")
        assert 0 < await redis.pttl(key) <= 2000

        async def gone():
            return not await redis.exists(key)

        await until(gone)

    async def test_what_ended_by_itself_is_not_shown_from_a_page(self, current, reads, archive, cache, owners):
        """A shard lets a hold expire and tells no cache."""
        hold = replace(owners.booked(5, status=BookingStatus.BLOCKED), hold_expires_at=NOW + timedelta(minutes=10))
        sitting = owners.booked(-1, status=BookingStatus.CONFIRMED)
        await current.place(hold, sitting)
        lists = BookingLists(reads, archive, pages=FirstPages(cache))

        async def at(now):
            return ids((await lists.of_vendor(owners.vendor_id, CURRENT, now=now, after=None, limit=9)).bookings)

        assert await at(NOW) == ids([hold, sitting])
        await current.depart(hold, sitting)
        assert await at(NOW) == ids([hold, sitting])
        assert await at(NOW + timedelta(minutes=10)) == []

    async def test_an_owner_who_just_wrote_reads_the_primary(
        self, current, reads, archive, cache, notes, owners, redis
    ):
        one = owners.booked(5, status=BookingStatus.CONFIRMED)
        await current.place(one)

        class Behind(BookingReads):
            async def of_vendor(self, *_asked, **_more):
                return []

        lists = BookingLists(reads, archive, replicas=Behind(None), pages=FirstPages(cache))
        assert await listed(lists, owners, CURRENT) == []
        await notes.note(one)
        assert await listed(lists, owners, CURRENT) == [one]
        assert await listed(lists, owners, CURRENT, limit=7) == [one]
        # Three seconds later; the server's clock is not ours to turn, the stamp is.
        stamp = await redis.get(f"holdfast:stamp:vendor:{owners.vendor_id}")
        await redis.set(f"holdfast:stamp:vendor:{owners.vendor_id}", f"{int(stamp) - 3_000_000:016d}")
        assert await listed(lists, owners, CURRENT, limit=7) == []

    async def test_after_a_loss_of_all_stamps_everybody_reads_the_primary(
        self, current, reads, archive, cache, notes, owners, redis
    ):
        one = owners.booked(5, status=BookingStatus.CONFIRMED)
        await current.place(one)
        lists = BookingLists(reads, archive, replicas=BookingReads(None), pages=FirstPages(cache))
        await notes.note(one)
        await redis.flushall()
        assert await listed(lists, owners, CURRENT) == [one]
        assert await listed(lists, owners, CURRENT, limit=7) == [one]

    async def test_without_a_cache_everybody_reads_the_primary(self, current, reads, archive, owners, free_port):
        one = owners.booked(5, status=BookingStatus.CONFIRMED)
        await current.place(one)
        redis = Redis.from_url(f"redis://127.0.0.1:{free_port}/0", retry=Retry(NoBackoff(), 0))
        cache = VersionedCache(redis, rest_seconds=0.01)
        lists = BookingLists(reads, archive, replicas=BookingReads(None), pages=FirstPages(cache))
        assert await listed(lists, owners, CURRENT) == [one]
        assert await listed(lists, owners, CURRENT) == [one]
        await cache.close()
        await redis.aclose()
