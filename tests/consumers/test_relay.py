"""The relay on a real Postgres: nothing is lost and nothing overtakes, whatever is away and whoever dies; doubles may be."""

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from consumers.event_schema import decode
from consumers.relay import Relay
from domain.booking import BookingStatus
from domain.event import BookingAvailed, VendorCreated, VendorUpdated
from storage.directory import Directory
from storage.errors import StoreUnavailable
from storage.event_log import Topic
from storage.outbox import Outbox, OutboxLag
from storage.postgres import Database
from storage.postgres_event_log import PostgresEventReader, PostgresEventWriter
from storage.postgres_shard_store import PostgresShardStore, batch_parameters
from storage.shard_store import Batch
from tests.conformance.stores import ACTOR, booking, cancelled, changing, confirmed, house, moved, placing
from tests.conformance.waiting import until
from tests.fakes.houses import vendor_id
from tests.fakes.road import Road

V = vendor_id(1)


class Town:
    """A database with a shard that commits batches, and the log that a relay carries them to."""

    def __init__(self, url):
        self.url = url
        self.database = Database(url, "test", 3)
        self.outbox = Outbox(self.database)
        self.store = PostgresShardStore(url)
        self.writer = PostgresEventWriter(url)
        self.seq = 1000
        self.running = {}
        self.lease = None

    async def open(self):
        directory = Directory(self.database)
        await directory.seed(2)
        await directory.claim(0, ACTOR.actor_id)
        self.lease = await self.store.take(0, ACTOR)
        await self.store.commit_vendor(self.lease, self.seq, VendorCreated(house(V), "house@example.org", "secret"))
        return self

    async def commit(self, *events):
        """One batch of changes."""
        self.seq += 1
        await self.store.commit(changing(self.lease, self.seq, *events))

    async def place(self, *bookings):
        self.seq += 1
        await self.store.commit(placing(self.lease, self.seq, *bookings))

    async def live(self, number, versions=1):
        """A booking that is placed and then moved to and fro, each time in a batch of its own."""
        booked = booking(V, number, first_slot=100_000 + number * 10)
        await self.place(booked)
        for version in range(1, versions):
            event = moved(booked, 3 if version % 2 else -3)
            await self.commit(event)
            booked = event.booking
        return booked

    def relay(self, writer=None, **options):
        made = Relay(self.outbox, writer or self.writer, lambda: datetime.now(UTC), **options)
        self.running[made] = asyncio.create_task(made.run())
        return made

    async def stop(self, relay):
        relay.stop()
        await self.running.pop(relay)

    async def kill(self, relay):
        """As if its process were gone: it gives nothing back."""
        relay._outbox = Outbox(self.database)
        relay._outbox.drop_lease = _nothing
        task = self.running.pop(relay)
        task.cancel()
        await asyncio.wait([task])

    async def waiting(self):
        return (await self.outbox.lag()).rows

    async def published(self):
        return await self.waiting() == 0

    async def log(self):
        """Everything in the log, as it lies there."""
        reader = PostgresEventReader(self.url, "test", list(Topic))
        try:
            count = await reader.lag()
            found = []
            while len(found) < count:
                found += await reader.poll(1000, 0.0)
            return found
        finally:
            await reader.close()

    async def told(self):
        return [decode(message) for message in await self.log()]

    async def close(self):
        for relay in list(self.running):
            await self.stop(relay)
        await self.store.close()
        await self.writer.close()
        await self.database.close()


async def _nothing(*_):
    pass


@pytest.fixture
async def town(database):
    made = await Town(database).open()
    yield made
    await made.close()


def in_order(found):
    """The versions of each booking in each topic, doubles left out."""
    by_key = {}
    for message in found:
        event = decode(message)
        if message.topic is not Topic.NEW_VENDOR:
            versions = by_key.setdefault((message.topic, message.key), [])
            if event.booking.version not in versions:
                versions.append(event.booking.version)
    return by_key


def assert_complete(found, bookings, versions):
    """Each booking was placed and amended `versions` - 1 times, and no later version was told before an earlier one."""
    expected = {(Topic.NEW_BOOKING, str(one.booking_id)): [1] for one in bookings}
    if versions > 1:
        expected |= {(Topic.BOOKING_AMENDED, str(one.booking_id)): list(range(2, versions + 1)) for one in bookings}
    assert in_order(found) == expected


async def test_each_event_comes_to_its_topic_whole_and_holds_do_not(town):
    held, sure = booking(V, 1, status=BookingStatus.BLOCKED), booking(V, 2, first_slot=90_000)
    await town.place(held, sure)
    confirming = confirmed(held)
    await town.commit(confirming)
    bill = BookingAvailed(
        replace(confirming.booking, status=BookingStatus.AVAILED, version=3), confirming.booking, bill_minor=1234
    )
    cancelling = cancelled(sure)
    await town.commit(bill, cancelling)
    town.relay()
    await until(town.published)
    told = {(event.topic, event.event_id): event for event in await town.told()}
    epoch = town.lease.epoch
    vendor = told.pop((Topic.NEW_VENDOR, f"0-{epoch}-1000-0"))
    assert vendor.vendor == house(V)
    assert told.pop((Topic.NEW_BOOKING, f"0-{epoch}-1001-1")).booking == sure
    assert told.pop((Topic.NEW_BOOKING, f"0-{epoch}-1002-0")).booking == confirming.booking
    availed = told.pop((Topic.BOOKING_AVAILED, f"0-{epoch}-1003-0"))
    assert (availed.booking, availed.bill_minor) == (bill.booking, 1234)
    late = told.pop((Topic.BOOKING_CANCELLED, f"0-{epoch}-1003-1"))
    assert (late.booking, late.late) == (cancelling.booking, True)
    assert told == {}


async def test_no_address_and_no_password_leaves_with_a_vendor(town):
    before = house(V)
    await town.store.commit_vendor(town.lease, 1001, VendorUpdated(replace(before, version=2, name="New"), before))
    town.relay()
    await until(town.published)
    found = await town.log()
    assert [decode(message).vendor.version for message in found] == [1, 2]
    assert not any(b"house@example.org" in message.value or b"secret" in message.value for message in found)


async def test_versions_keep_their_order_over_many_batches(town):
    bookings = [await town.live(number, versions=8) for number in range(6)]
    town.relay(rows_max=3)
    await until(town.published)
    found = await town.log()
    assert_complete(found, bookings, 8)
    assert len(found) == 1 + 6 * 8


async def test_a_hold_that_nobody_is_told_of_does_not_stay_in_the_outbox(town):
    town.relay()
    await until(town.published)
    await town.place(booking(V, 1, status=BookingStatus.BLOCKED))
    await until(town.published)
    assert len(await town.log()) == 1


class DyingWriter:
    """Appends, and then the process dies before it can say so."""

    def __init__(self, writer):
        self.writer = writer
        self.dies_at = asyncio.Event()

    async def append(self, messages):
        await self.writer.append(messages)
        self.dies_at.set()
        await asyncio.Event().wait()

    async def forget(self, before):
        return 0


async def test_a_crash_between_append_and_mark_leaves_doubles_and_no_gap(town):
    bookings = [await town.live(number, versions=5) for number in range(4)]
    dying = DyingWriter(town.writer)
    first = town.relay(dying, rows_max=7, lease_seconds=0.3)
    await dying.dies_at.wait()
    await town.kill(first)
    town.relay(rows_max=7, lease_seconds=0.3)
    await until(town.published)
    found = await town.log()
    assert_complete(found, bookings, 5)
    ids = [decode(message).event_id for message in found]
    assert len(ids) == 21 + 7
    assert len(set(ids)) == 21


class CountingWriter:
    def __init__(self, writer):
        self.writer = writer
        self.appended = 0

    async def append(self, messages):
        self.appended += len(messages)
        await self.writer.append(messages)

    async def forget(self, before):
        return 0


async def test_of_two_relays_one_publishes_and_the_other_goes_on_at_once_when_it_stops(town):
    first, second = CountingWriter(town.writer), CountingWriter(town.writer)
    leading = town.relay(first, lease_seconds=60)
    await until(town.published)
    town.relay(second, lease_seconds=60)
    await town.live(1, versions=20)
    await until(town.published)
    assert (first.appended, second.appended) == (21, 0)
    await town.stop(leading)
    await town.live(2, versions=20)
    await until(town.published)
    assert (first.appended, second.appended) == (21, 20)
    assert len(await town.log()) == 41


async def test_a_relay_that_died_is_replaced_when_its_lease_is_over(town):
    dead = town.relay(lease_seconds=0.5)
    await until(town.published)
    await town.kill(dead)
    assert not await town.outbox.take_lease(UUID(int=1), 1), "the lease was free at once"
    await town.live(1)
    town.relay(lease_seconds=0.5)
    await until(town.published)
    assert len(await town.log()) == 2


class Unsteady:
    """A writer that is slow now and then, so that two relays overtake each other."""

    def __init__(self, writer, pauses):
        self.writer = writer
        self.pauses = pauses

    async def append(self, messages):
        if self.pauses:
            await asyncio.sleep(self.pauses.pop())
        await self.writer.append(messages)

    async def forget(self, before):
        return 0


async def test_two_relays_that_both_believe_to_lead_double_but_never_reorder(town):
    """The lease is not what guards the order: without it, first tellings still come in order. See storage/outbox.py."""

    async def everybody_leads(*_):
        return True

    town.outbox.take_lease = everybody_leads
    bookings = [await town.live(number, versions=6) for number in range(8)]
    town.relay(Unsteady(town.writer, [0.0, 0.03, 0.0, 0.05, 0.01, 0.04]), rows_max=4)
    town.relay(Unsteady(town.writer, [0.02, 0.0, 0.06, 0.0, 0.03, 0.02]), rows_max=5)
    await until(town.published)
    found = await town.log()
    assert_complete(found, bookings, 6)
    assert len(found) > 1 + 8 * 6, "they never met: the test shows nothing"


class Away:
    """A log that is away until it is told to come back, and that keeps some of what it was given all the same."""

    def __init__(self, writer):
        self.writer = writer
        self.away = True
        self.tries = 0

    async def append(self, messages):
        self.tries += 1
        if self.away:
            await self.writer.append(messages[: len(messages) // 2])
            raise StoreUnavailable("the log is away")
        await self.writer.append(messages)

    async def forget(self, before):
        if self.away:
            raise StoreUnavailable("the log is away")
        return 0


async def test_a_log_that_was_away_gets_everything_in_order_and_the_lag_is_told_meanwhile(town, caplog):
    caplog.set_level(logging.INFO)
    lags = []
    log = Away(town.writer)
    relay = town.relay(log, rows_max=10, rest_seconds_max=0.2, lag_seconds=0.02, on_lag=lags.append)
    bookings = [await town.live(number, versions=4) for number in range(10)]

    async def tried_often():
        return log.tries > 4 and lags and lags[-1].rows == 41

    await until(tried_often)
    assert relay.away
    assert relay.lag.rows == 41
    assert relay.lag.oldest_seconds > 0
    log.away = False
    await until(town.published)

    async def told():
        return lags[-1] == OutboxLag(0, 0.0) and not relay.away

    await until(told)
    assert_complete(await town.log(), bookings, 4)
    said = [record.getMessage() for record in caplog.records if record.name == "consumers.relay"]
    assert len(said) == 2, said
    assert "the log is away" in said[0]


async def test_a_database_that_was_away_is_found_again(town, database):
    port = int(database.rpartition(":")[2].partition("/")[0])
    road = Road(port)
    own_port = await road.open()
    far = Database(database.replace(f":{port}/", f":{own_port}/"), "test", 3)
    relay = Relay(Outbox(far), town.writer, lambda: datetime.now(UTC), rest_seconds_max=0.1)
    running = asyncio.create_task(relay.run())
    await until(town.published)
    await road.close()

    async def away():
        return relay.away

    await until(away)
    booked = await town.live(1, versions=3)
    await road.open(own_port)
    await until(town.published)
    relay.stop()
    await running
    await far.close()
    await road.close()
    assert_complete(await town.log(), [booked], 3)


async def test_thousands_of_rows_are_drained_quickly(town):
    count = 5000
    admin = await asyncpg.connect(town.url)
    await town.place(*(booking(V, n, first_slot=50_000 + n * 10) for n in range(4)))
    await admin.execute(
        "INSERT INTO outbox (shard_id, epoch, seq, events, bookings) "
        "SELECT shard_id, epoch, seq + number, events, bookings FROM outbox, generate_series(1, $1) AS number "
        "WHERE seq = $2",
        count,
        town.seq,
    )
    await admin.close()
    began = asyncio.get_running_loop().time()
    town.relay()
    await until(town.published, 60)
    seconds = asyncio.get_running_loop().time() - began
    assert len(await town.log()) == 1 + 4 * (count + 1)
    assert seconds < 30, seconds


async def test_a_bucket_that_moved_keeps_its_order(town):
    """The new shard's rows follow the old one's, although its number is lower, and no shard starves another."""
    admin = await asyncpg.connect(town.url)
    booked = booking(V, 1)

    async def tell(shard_id, seq, version):
        batch = Batch(town.lease, seq)
        event = moved(replace(booked, version=version - 1), 0)
        batch.changed.append(event.booking)
        batch.events.append(event)
        parameters = batch_parameters(batch)
        await admin.execute(
            "INSERT INTO outbox (shard_id, epoch, seq, events, bookings) VALUES ($1, 5, $2, $3, $4)",
            shard_id,
            seq,
            parameters[-1],
            parameters[8],
        )

    for version in range(2, 12):
        await tell(1, version, version)
    for version in range(12, 22):
        await tell(0, version, version)
    await admin.close()
    town.relay(rows_max=3)
    await until(town.published)
    assert in_order(await town.log()) == {(Topic.BOOKING_AMENDED, str(booked.booking_id)): list(range(2, 22))}


async def test_a_row_that_cannot_be_told_is_not_skipped(town):
    admin = await asyncpg.connect(town.url)
    await admin.execute(
        "INSERT INTO outbox (shard_id, epoch, seq, events, bookings) VALUES (0, $1, 1001, '[{\"type\": \"Odd\"}]', '[]')",
        town.lease.epoch,
    )
    await admin.close()
    relay = town.relay()
    with pytest.raises(ExceptionGroup) as raised:
        await town.running.pop(relay)
    assert f"outbox row 0-{town.lease.epoch}-1001" in str(raised.value.exceptions[0])
    assert await town.waiting() > 0


async def test_what_was_published_long_ago_is_dropped_and_nothing_else(town):
    await town.live(1, versions=3)
    relay = town.relay()
    await until(town.published)
    await town.stop(relay)
    await town.place(booking(V, 2, first_slot=90_000))
    assert await town.outbox.forget(datetime.now(UTC) - timedelta(days=1)) == 0
    assert await town.outbox.forget(datetime.now(UTC) + timedelta(seconds=1)) == 4
    assert await town.waiting() == 1
    town.relay(keep=timedelta(0), forget_seconds=0.05)

    async def empty():
        return await town.published() and not await town.database.rows("outbox_unpublished", 1)

    await until(empty)
    admin = await asyncpg.connect(town.url)

    async def gone():
        return await admin.fetchval("SELECT count(*) FROM outbox") == 0

    await until(gone)
    await admin.close()
