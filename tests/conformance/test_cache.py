"""The cache: newest version wins whatever the order, nothing breaks without it, and a failed write is made good first."""

import asyncio
import shutil
import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from domain.booking import BookingStatus
from domain.ids import UserId
from domain.user import User
from holdfast.embedded_valkey import EmbeddedValkey
from storage.accounts import Accounts
from storage.booking_cache import BookingCache, of_user, of_vendor
from storage.cache import VersionedCache
from storage.cache_era import cache_client
from storage.cache_writes import Entry
from storage.users import UserReads
from storage.vendors import VendorReads
from tests.conformance.stores import booking, cancelled, house
from tests.conformance.waiting import until
from tests.fakes.houses import OPENED, guest, vendor_id
from tests.fakes.road import Road


def client(url):
    return cache_client(url, 0.5)


@pytest.fixture
async def redis(valkey_server):
    made = client(valkey_server.url)
    await made.flushall()
    # The next connection begins an era, and none after it does.
    await made.connection_pool.disconnect()
    await made.ping()
    yield made
    await made.aclose()


@pytest.fixture
async def cache(redis):
    made = VersionedCache(redis, rest_seconds=0.02)
    made.begin()
    await until(paid(made))
    yield made
    await made.close()


def paid(cache):
    async def owes_nothing():
        return not cache.owes

    return owes_nothing


async def test_a_document_comes_back(cache):
    assert await cache.get("a") is None
    await cache.put("a", 1, b"one", cache.era)
    assert await cache.get("a") == b"one"


async def test_versions_never_go_backwards(cache):
    await cache.put("a", 10, b"ten", cache.era)
    await cache.put("a", 9, b"nine", cache.era)
    await cache.fill("a", 2, b"two", cache.era)
    assert await cache.get("a") == b"ten"
    await cache.fill("a", 11, b"eleven", cache.era)
    assert await cache.get("a") == b"eleven"


async def test_an_entry_has_an_end(redis, cache):
    await cache.put("a", 1, b"one", cache.era)
    assert 0 < await redis.ttl("holdfast:a") <= 300


async def test_without_a_server_it_misses_and_does_not_raise(free_port):
    redis = client(f"redis://127.0.0.1:{free_port}/0")
    cache = VersionedCache(redis, rest_seconds=0.01)
    await cache.put("a", 1, b"one", cache.era)
    await cache.fill("b", 1, b"one", cache.era)
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
    await cache.put("a", 1, b"old", cache.era)
    await road.close()
    await cache.put("a", 2, b"new", cache.era)
    assert await redis.get("holdfast:a") is not None  # the old one still lies there
    assert await cache.get("a") is None
    await road.open(port)
    await until(paid(cache))
    assert await cache.get("a") is None
    other = VersionedCache(redis)
    assert await other.get("a") is None
    await other.fill("a", 1, b"old", other.era)  # a slow reader of the old version
    assert await other.get("a") is None
    await other.fill("a", 2, b"new", other.era)
    assert await other.get("a") == b"new"
    await cache.close()
    await mine.aclose()
    await road.close()


async def test_too_much_owed_makes_all_unread(redis, valkey_server):
    road = Road(int(valkey_server.url.rsplit(":", 1)[1].split("/")[0]))
    port = await road.open()
    mine = client(f"redis://127.0.0.1:{port}/0")
    cache = VersionedCache(mine, rest_seconds=0.01, owed_max=3)
    await cache.put("bystander", 1, b"x", cache.era)
    await redis.set("somebody elses", b"y")
    await road.close()
    for number in range(5):
        await cache.put(f"k{number}", 2, b"new", cache.era)
    await road.open(port)
    await until(paid(cache))
    other = VersionedCache(redis)
    assert await other.get("bystander") is None
    assert await cache.get("bystander") is None
    assert await redis.get("somebody elses") == b"y"
    await cache.close()
    await mine.aclose()
    await road.close()


async def test_a_debt_is_paid_as_soon_as_the_server_answers(redis, valkey_server):
    """However long the readers rest; and with that their rest is over, too."""
    road = Road(int(valkey_server.url.rsplit(":", 1)[1].split("/")[0]))
    port = await road.open()
    mine = client(f"redis://127.0.0.1:{port}/0")
    cache, other = VersionedCache(mine, rest_seconds=60, retry_seconds=0.01), VersionedCache(redis)
    assert await cache.get("a") is None
    await cache.put("a", 1, b"old", cache.era)
    await road.close()
    await cache.put("a", 2, b"new", cache.era)
    assert await other.get("a") == b"old"
    await road.open(port)
    await until(paid(cache))
    assert await other.get("a") is None
    await cache.fill("a", 2, b"new", cache.era)
    assert await cache.get("a") == await other.get("a") == b"new"
    await cache.close()
    await mine.aclose()
    await road.close()


async def test_what_a_dead_process_owed_is_paid_by_its_successor(cache, redis):
    """Nobody knows any more what that was: nothing from before is believed, neither documents nor pages."""
    looked = await cache.look("owner", "page")
    await cache.keep("page", looked.stamp, b"old", 60_000)
    await cache.put("a", 1, b"old", cache.era)
    assert await cache.get("a") == b"old"
    successor = VersionedCache(redis)
    successor.begin()
    await until(paid(successor))
    assert await cache.get("a") is None
    looked = await cache.look("owner", "page")
    assert (looked.document, looked.age_seconds < 5) == (None, True)
    await cache.put("a", 2, b"new", cache.era)
    assert await cache.get("a") == await successor.get("a") == b"new"


async def test_what_was_read_in_an_era_that_is_over_is_not_kept(cache, redis):
    """The write that the successor's era makes good may have come after the read."""
    era = cache.era
    successor = VersionedCache(redis)
    successor.begin()
    await until(paid(successor))
    await cache.fill("a", 1, b"old", era)
    assert await successor.get("a") is None
    await cache.fill("a", 1, b"one", cache.era)
    assert await successor.get("a") == b"one"


async def test_a_note_that_comes_late_brings_back_nothing_older(cache, redis):
    """The server may have forgotten the newer write's note with all others."""
    other = VersionedCache(redis)
    era = cache.era
    await other.put("a", 7, b"newer", era)
    assert await cache.get("a") == b"newer"
    await redis.flushall()
    await other.stamp(["somebody"])
    assert await cache.get("a") is None
    assert cache.era == other.era > era
    await cache.put("a", 6, b"older", era)
    assert await other.get("a") is None
    await other.fill("a", 7, b"newer", other.era)
    assert await cache.get("a") == b"newer"


async def test_a_note_without_an_era_is_a_mark(cache):
    await cache.put("a", 6, b"six", cache.era)
    await cache.put("a", 7, b"seven", b"")
    assert await cache.get("a") is None
    await cache.fill("a", 6, b"six", cache.era)
    assert await cache.get("a") is None
    await cache.fill("a", 7, b"seven", cache.era)
    assert await cache.get("a") == b"seven"


async def test_a_server_that_comes_back_with_what_it_once_held(tmp_path, free_port):
    """Versions that it forgot are the newer ones: nothing that it brings back is believed."""
    server = EmbeddedValkey(tmp_path / "now", free_port)
    server.start()
    redis = client(server.url)
    cache = VersionedCache(redis, rest_seconds=0.01)
    await cache.get("a")
    await cache.put("a", 1, b"old", cache.era, ["owner"])
    looked = await cache.look("owner", "page")
    await cache.keep("page", looked.stamp, b"old", 60_000)
    shutil.copytree(tmp_path / "now", tmp_path / "then")
    await cache.put("a", 2, b"new", cache.era, ["owner"])
    assert await cache.get("a") == b"new"
    server.stop()
    server = EmbeddedValkey(tmp_path / "then", free_port)
    server.start()
    try:
        assert await redis_answers(cache) == (None, None)
        await cache.put("a", 3, b"newer", cache.era)
        assert await cache.get("a") == b"newer"
    finally:
        await cache.close()
        await redis.aclose()
        server.stop()


async def redis_answers(cache):
    """The entry and the page, from the first look on that the server answers."""
    looked = None

    async def answered():
        nonlocal looked
        looked = await cache.look("owner", "page")
        return looked is not None

    await until(answered)
    return await cache.get("a"), looked.document


async def test_another_connection_to_the_same_server_begins_nothing(cache, valkey_server):
    await cache.put("a", 1, b"one", cache.era)
    redis = client(valkey_server.url)
    assert await VersionedCache(redis).get("a") == b"one"
    await redis.aclose()


class Counted(Redis):
    """Counts the calls of scripts, by how many keys each carried."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.calls = []

    async def evalsha(self, sha, numkeys, *keys_and_args):
        self.calls.append(numkeys)
        return await super().evalsha(sha, numkeys, *keys_and_args)


@pytest.fixture
async def counted(redis, valkey_server):
    made = Counted.from_url(valkey_server.url, socket_timeout=5, retry=Retry(NoBackoff(), 0))
    yield made
    await made.aclose()


async def test_writes_meanwhile_go_as_one_call(counted, redis):
    """The first goes at once, with what came in the same turn of the loop; the others gather until it is back."""
    cache = VersionedCache(counted)
    await cache.put("load the script", 1, b"x", cache.era)
    counted.calls.clear()
    await asyncio.gather(*(cache.put(f"k{number}", 1, b"one", cache.era) for number in range(100)))
    assert counted.calls == [101]
    first = asyncio.ensure_future(cache.put("a", 1, b"one", cache.era))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [asyncio.ensure_future(cache.put(f"b{number}", 1, b"one", cache.era, ["u"])) for number in range(50)]
    await asyncio.gather(first, *others)
    assert counted.calls == [101, 2, 52]
    assert await VersionedCache(redis).get("b49") == b"one"
    await cache.close()


async def test_a_large_round_goes_in_calls_of_bounded_size(counted):
    cache = VersionedCache(counted)
    await cache.put("load the script", 1, b"x", cache.era)
    counted.calls.clear()
    await asyncio.gather(*(cache.put(f"k{number}", 1, b"one", cache.era, ["u"]) for number in range(600)))
    assert counted.calls == [251, 251, 102]
    assert await cache.get("k599") == b"one"
    await cache.close()


async def test_who_is_answered_has_written(cache, redis):
    """Also when others' writes were under way, and when somebody else in the same call gave up."""
    era = cache.era
    tasks = [asyncio.ensure_future(cache.put(f"k{number}", 1, b"one", era, [f"o{number}"])) for number in range(20)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    await asyncio.wait(tasks)
    assert [number for number, task in enumerate(tasks) if task.cancelled()] == [3]
    await asyncio.gather(*tasks[:3], *tasks[4:])
    other = VersionedCache(redis)
    for number in range(20):
        assert await other.get(f"k{number}") == b"one"
        assert (await other.look(f"o{number}")).age_seconds < 5
    assert (await other.look("nobody")).stamp == other.era


async def test_a_mark_keeps_older_versions_out_and_leaves_its_own_alone(cache):
    await cache.put("a", 3, b"three", cache.era)
    await cache.mark("a", 3)
    assert await cache.get("a") == b"three"
    await cache.mark("a", 4)
    assert await cache.get("a") is None
    await cache.fill("a", 3, b"three", cache.era)
    assert await cache.get("a") is None
    await cache.fill("a", 4, b"four", cache.era)
    assert await cache.get("a") == b"four"


async def test_what_is_in_doubt_is_read_elsewhere_for_a_minute(cache, redis):
    await cache.put("a", 3, b"three", cache.era)
    await cache.doubt("a")
    await cache.put("a", 4, b"four", cache.era)
    assert await cache.get("a") is None
    assert 0 < await redis.ttl("holdfast:a") <= 60


async def test_each_doubt_lasts_its_own_minute(cache, redis):
    await cache.doubt("a")
    await redis.pexpire("holdfast:a", 1000)  # 59 seconds later
    await cache.mark("a", 4)
    assert await redis.pttl("holdfast:a") <= 1000
    await cache.doubt("a")
    assert await redis.pttl("holdfast:a") > 50_000


async def test_who_looks_at_a_server_that_lost_everything_begins_an_era(cache, redis):
    """Anybody may have written just before, and what tells so is lost."""
    await cache.stamp(["owner"])
    await redis.flushall()
    looked = await cache.look("owner", "page")
    assert (looked.document, looked.age_seconds < 5) == (None, True)
    await cache.keep("page", looked.stamp, b"page", 2000)
    assert (await cache.look("owner", "page")).document == b"page"
    assert (await cache.look("another")).stamp == looked.stamp


async def test_a_page_counts_under_its_own_stamp_only(cache):
    looked = await cache.look("owner", "page")
    await cache.keep("page", looked.stamp, b"empty", 2000)
    assert (await cache.look("owner", "page")).document == b"empty"
    await cache.put("a", 1, b"one", cache.era, ["owner"])
    after = await cache.look("owner", "page")
    assert (after.document, after.age_seconds < 5) == (None, True)
    await cache.keep("page", looked.stamp, b"empty", 2000)
    assert (await cache.look("owner", "page")).document is None


@pytest.mark.parametrize("owed_max", [100, 3])
async def test_a_stamp_that_failed_is_set_before_anything_is_read(redis, valkey_server, owed_max):
    """Or, where too much is owed, a stamp for everybody."""
    road = Road(int(valkey_server.url.rsplit(":", 1)[1].split("/")[0]))
    port = await road.open()
    mine = client(f"redis://127.0.0.1:{port}/0")
    cache, other = VersionedCache(mine, rest_seconds=0.01, owed_max=owed_max), VersionedCache(redis)
    before = await other.look("o1", "page")
    await other.keep("page", before.stamp, b"old", 60_000)
    await road.close()
    for number in range(3):
        await cache.put(f"k{number}", 1, b"one", cache.era, [f"o{number}"])
    assert await cache.look("o1", "page") is None
    assert (await other.look("o1", "page")).document == b"old"
    await road.open(port)
    await until(paid(cache))
    for reader in (cache, other):
        for number in range(3):
            looked = await reader.look(f"o{number}", "page")
            assert (looked.document, looked.age_seconds < 5) == (None, True)
    await cache.close()
    await mine.aclose()
    await road.close()


async def test_nobody_reads_while_a_debt_is_being_paid(redis):
    """Two readers at once: the second must not take the first one's paying for paid."""
    cache = VersionedCache(redis, rest_seconds=60)
    assert await cache.get("a") is None
    await cache.put("a", 1, b"old", cache.era)
    cache._owe([Entry("holdfast:a", 2)], [])
    assert await asyncio.gather(cache.get("a"), cache.get("a"), cache.get("a")) == [None, None, None]
    await cache.close()


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
    rows = Rows()
    reads = VendorReads(rows, cache)
    await reads.by_id(rows.vendor.vendor_id)
    newer = replace(rows.vendor, version=2, name="Chez Nouveau", updated_at=datetime(2026, 11, 2, tzinfo=UTC))
    await reads.note(newer, reads.era)
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


class Guests(Accounts):
    """The user table as `UserReads` asks for it."""

    def __init__(self):
        self.asked = 0
        self.user = User(UserId(guest(1).account_id), 1, "ada@example.org", "Ada", OPENED, OPENED, None, "de-AT")

    async def user_by_id(self, user_id):
        self.asked += 1
        return self.user if user_id == self.user.user_id else None


async def test_a_user_is_read_from_the_cache_first(cache):
    guests = Guests()
    reads = UserReads(guests, cache)
    for _ in range(3):
        assert await reads.by_id(guests.user.user_id) == guests.user
    assert guests.asked == 1
    assert await reads.by_id(UserId(guest(2).account_id)) is None


async def test_a_user_just_written_is_what_everybody_reads(cache, redis):
    guests = Guests()
    reads = UserReads(guests, cache)
    await reads.by_id(guests.user.user_id)
    newer = replace(guests.user, version=2, name="Countess")
    await reads.note(newer, reads.era)
    assert await UserReads(guests, VersionedCache(redis)).by_id(newer.user_id) == newer
    await reads.doubt(newer.user_id)
    assert await reads.by_id(newer.user_id) == guests.user


async def test_a_user_is_read_without_a_cache(free_port):
    guests = Guests()
    assert await UserReads(guests).by_id(guests.user.user_id) == guests.user
    redis = client(f"redis://127.0.0.1:{free_port}/0")
    away = VersionedCache(redis, rest_seconds=0.01)
    assert await UserReads(guests, away).by_id(guests.user.user_id) == guests.user
    await UserReads(guests, away).note(guests.user)
    await away.close()
    await redis.aclose()


class TestBookings:
    """What a shard does by itself is told to no cache, so a booking is believed only while it could not happen."""

    @pytest.fixture
    def of(self, cache):
        return lambda now: BookingCache(cache, lambda: now)

    async def test_a_booking_comes_back_whole(self, of):
        one = replace(booking(vendor_id(1), 1), version=2)
        await of(OPENED).note(one, of(OPENED).era)
        assert await of(OPENED).known(one.booking_id) == one
        assert await of(OPENED).known(booking(vendor_id(1), 2).booking_id) is None

    async def test_a_hold_is_believed_until_it_dies(self, of):
        hold = replace(booking(vendor_id(1), 1, status=BookingStatus.BLOCKED), version=2)
        await of(OPENED).note(hold, of(OPENED).era)
        assert await of(hold.hold_expires_at - timedelta(microseconds=1)).known(hold.booking_id) == hold
        assert await of(hold.hold_expires_at).known(hold.booking_id) is None

    async def test_a_new_one_is_filled_in_by_who_first_asks_and_its_owners_lists_are_stamped_at_once(self, of, cache):
        one = booking(vendor_id(1), 1)
        owners = (of_user(one.user_id), of_vendor(one.vendor_id))
        before = [(await cache.look(owner)).stamp for owner in owners]
        await of(OPENED).note(one)
        assert await of(OPENED).known(one.booking_id) is None
        after = [(await cache.look(owner)).stamp for owner in owners]
        assert all(now > then for then, now in zip(before, after, strict=True))
        await of(OPENED).fill(one, of(OPENED).era)
        assert await of(OPENED).known(one.booking_id) == one

    async def test_a_confirmed_one_is_believed_until_it_is_over(self, of):
        one = replace(booking(vendor_id(1), 1), version=2)
        await of(OPENED).note(one, of(OPENED).era)
        assert await of(one.ends_at - timedelta(microseconds=1)).known(one.booking_id) == one
        assert await of(one.ends_at).known(one.booking_id) is None
        over = cancelled(one).booking
        await of(OPENED).note(over, of(OPENED).era)
        assert await of(one.ends_at).known(one.booking_id) == over

    async def test_who_knows_no_era_leaves_it_to_the_next_reader(self, of):
        one = replace(booking(vendor_id(1), 1), version=2)
        await of(OPENED).note(one, of(OPENED).era)
        over = cancelled(one).booking
        await of(OPENED).note(over)
        assert await of(OPENED).known(one.booking_id) is None
        await of(OPENED).fill(one, of(OPENED).era)
        assert await of(OPENED).known(one.booking_id) is None
        await of(OPENED).fill(over, of(OPENED).era)
        assert await of(OPENED).known(one.booking_id) == over

    async def test_a_replayed_answer_is_for_nobody_else(self, of):
        """It is as old as the first answer; the booking may have changed since, and the cache have forgotten it."""
        one = booking(vendor_id(1), 1)
        await of(OPENED).note(one, replayed=True)
        assert await of(OPENED).known(one.booking_id) is None
        await of(OPENED).fill(one, of(OPENED).era)
        await of(OPENED).note(cancelled(one).booking, replayed=True)
        assert await of(OPENED).known(one.booking_id) is None
