"""A house whose bookings end and leave: the real shard store, archive, departures and audit over one database."""

from dataclasses import replace
from datetime import datetime, timedelta

import asyncpg

from consumers.departure import Departure, DepartureLimits
from domain.booking import BookingStatus
from domain.event import (
    BookingAvailed,
    BookingCancelled,
    BookingEvent,
    BookingNoShow,
    HoldExpired,
    VendorCreated,
    VendorUpdated,
)
from domain.ids import seat_id_of
from storage.archive_url import archive_at
from storage.audit import Audit
from storage.departures import Departures
from storage.directory import Directory
from storage.errors import StoreUnavailable
from storage.postgres import Database
from storage.postgres_shard_store import PostgresShardStore
from storage.shard_store import Owner
from tests.conformance.stores import booking, changing, house, placing, slot_at
from tests.fakes.houses import vendor_id

V = vendor_id(1)
GRACE = timedelta(hours=48)
INSTANT = timedelta(microseconds=1)
EVENTS = {
    BookingStatus.AVAILED: BookingAvailed,
    BookingStatus.CANCELLED: BookingCancelled,
    BookingStatus.NO_SHOW: BookingNoShow,
    BookingStatus.EXPIRED: HoldExpired,
}


class Writer:
    """One shard's store under its lease; each call is one batch."""

    def __init__(self, url, shard_id):
        self.store = PostgresShardStore(url)
        self.shard_id = shard_id
        self.seq = 0

    async def take(self, directory):
        owner = Owner(f"actor-{self.shard_id}", "node", 1)
        await directory.claim(self.shard_id, owner.actor_id)
        self.lease = await self.store.take(self.shard_id, owner)

    def next_seq(self):
        self.seq += 1
        return self.seq

    async def open(self, vendor):
        await self.store.commit_vendor(
            self.lease, self.next_seq(), VendorCreated(vendor, f"{vendor.vendor_id}@x.org", "h")
        )

    def placing(self, *bookings):
        return placing(self.lease, self.next_seq(), *bookings)

    async def place(self, *bookings):
        await self.store.commit(self.placing(*bookings))

    async def change(self, *events: BookingEvent):
        await self.store.commit(changing(self.lease, self.next_seq(), *events))


class Ground:
    def __init__(self, url):
        self.url = url
        self.database = Database(url, "test", 2)
        self.directory = Directory(self.database)
        self.archive = archive_at("", url)
        self.departures = Departures(url)
        self.audit = Audit(self.database, buckets_at_once=4096)
        self.writers = []

    async def connect(self):
        self.admin = await asyncpg.connect(self.url)

    async def open(self, of, *, shards=1, **given):
        await self.connect()
        await self.directory.seed(shards)
        for shard_id in range(shards):
            self.writers.append(Writer(self.url, shard_id))
            await self.writers[-1].take(self.directory)
        await self.writer.open(house(of, **given))

    @property
    def writer(self):
        return self.writers[0]

    def departure(self, now: datetime, *, archive=None, departing=None, **limits):
        limits = DepartureLimits(**{"rest_factor": 0.0} | limits)
        return Departure(departing or self.departures, archive or self.archive, lambda: now, GRACE, limits)

    async def end(self, status, *bookings, at=None):
        """Bookings as they are once the shard has ended them, at their end where nothing else is said."""
        events = [EVENTS[status](ended(one, status, at=at), one) for one in bookings]
        await self.writer.change(*events)
        return [event.booking for event in events]

    async def many(self, count):
        """So many that are over, one after another on nine tables, each in the slots after the last."""
        made = [booking(V, n, first_slot=slot_at() + 3 * n, seats=(n % 9 + 1,)) for n in range(count)]
        await self.writer.place(*made)
        return await self.end(BookingStatus.AVAILED, *made)

    async def ids(self):
        return {row["booking_id"] for row in await self.admin.fetch("SELECT booking_id FROM booking")}

    async def words(self, of, seat_no):
        rows = await self.admin.fetch(
            "SELECT word, mask FROM seat_word WHERE seat_id = $1 ORDER BY word", seat_id_of(of, seat_no)
        )
        return {row["word"]: row["mask"] % (1 << 64) for row in rows}

    async def faults(self):
        report = await self.audit.run()
        return {figure.name: figure.faults for figure in report.figures if figure.judged and figure.faults}

    async def waits_for_a_lock(self):
        return await self.admin.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )

    async def close(self):
        for writer in self.writers:
            await writer.store.close()
        await self.admin.close()
        await self.departures.close()
        await self.archive.close()
        await self.database.close()


def ended(booked, status, *, at=None, held=None):
    """The booking after its shard ended it."""
    freed = status in (BookingStatus.CANCELLED, BookingStatus.EXPIRED)
    return replace(
        booked,
        status=status,
        version=booked.version + 1,
        updated_at=at or booked.ends_at,
        held_slot_count=0 if freed else booked.held_slot_count if held is None else held,
    )


def later(booked, by=INSTANT):
    """So long after the booking's grace is over."""
    return booked.ends_at + GRACE + by


def bits(words):
    """The taken slots of a seat's words."""
    return {word * 64 + bit for word, mask in words.items() for bit in range(64) if mask >> bit & 1}


async def refine(ground, step_minutes):
    """The house's slots become finer."""
    before = house(V, tables=9)
    after = replace(before, step_minutes=step_minutes, version=2)
    event = VendorUpdated(after, before, rescaled=True)
    await ground.writer.store.commit_vendor(ground.writer.lease, ground.writer.next_seq(), event)


class Reluctant:
    """An archive in front of the real one that a test may spoil."""

    def __init__(self, archive):
        self.archive = archive
        self.stored = []
        self.deaf = False
        self.away = False
        self.before_answer = None

    async def store(self, bookings):
        self.stored += bookings
        if not self.deaf:
            await self.archive.store(bookings)

    async def versions(self, booking_ids):
        if self.away:
            raise StoreUnavailable("the archive is away")
        found = await self.archive.versions(booking_ids)
        if self.before_answer is not None:
            await self.before_answer()
        return found
