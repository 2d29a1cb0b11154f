"""Bookings leave while their shard writes, whoever comes first, and a shard that remembers them goes on unharmed."""

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import asyncpg
import pytest

from actors.limits import ShardLimits
from actors.outcome import Done, VendorDone
from actors.shard import Shard
from domain.booking import BookingStatus
from domain.command import SetStatus
from domain.event import BookingAmended
from domain.ids import BUCKETS, seat_id_of
from domain.rejection import Reason, Rejection
from domain.rescale import rescale_words
from domain.vendor import Service
from storage.errors import GuardRefused, StoreUnavailable
from storage.postgres import sql
from storage.postgres_shard_store import PostgresShardStore, batch_parameters
from storage.shard_store import Batch
from storage.words import from_bigint, to_bigint
from tests.conformance.stores import ACTOR, booking, house, slot_at
from tests.conformance.waiting import until
from tests.consumers.leaving import GRACE, Ground, V, bits, ended, later, refine
from tests.fakes.houses import SYSTEM, changing, hold, hotel, manager, opening, restaurant, stay

AVAILED, CANCELLED = BookingStatus.AVAILED, BookingStatus.CANCELLED


@pytest.fixture
async def ground(database):
    made = Ground(database)
    await made.open(V, tables=9)
    yield made
    assert await made.faults() == {}
    await made.close()


@pytest.fixture
async def over(ground):
    """A booking that may leave."""
    made = booking(V, 1)
    await ground.writer.place(made)
    [made] = await ground.end(AVAILED, made)
    return made


class Held:
    """A transaction of the other side, stopped just before its COMMIT."""

    def __init__(self, ground, statements):
        self.ground, self.statements = ground, statements

    async def __aenter__(self):
        self.connection = await asyncpg.connect(self.ground.url, server_settings={"timezone": "UTC"})
        self.transaction = self.connection.transaction()
        await self.transaction.start()
        for name, parameters in self.statements:
            await self.connection.fetch(sql(name), *parameters)
        return self

    async def commit_once_somebody_waits(self):
        await until(self.ground.waits_for_a_lock)
        await self.transaction.commit()

    async def __aexit__(self, *_):
        await self.connection.close()


def batch_held(ground, batch):
    return Held(ground, [("commit_batch", batch_parameters(batch))])


def sweep_held(ground, over):
    parameters = (0, [over.booking_id], [over.version], later(over))
    return Held(ground, [("lock_lease", (0,)), ("depart_bookings", parameters)])


async def test_a_sweep_waits_for_the_batch_before_it(ground, over):
    """The batch takes another bit of the very word; the sweep must see it and leave it."""
    new = booking(V, 2, first_slot=over.first_slot + 3, slots=2)
    async with batch_held(ground, ground.writer.placing(new)) as batch:
        sweeping = asyncio.create_task(ground.departure(later(over)).sweep())
        await batch.commit_once_somebody_waits()
        assert await sweeping == 1
    assert bits(await ground.words(V, 1)) == {new.first_slot, new.first_slot + 1}
    assert await ground.faults() == {}


async def test_a_sweep_sees_what_the_batch_before_it_changed(ground):
    """The booking was a no-show when the archive was asked; the batch undoes that while the sweep waits."""
    made = booking(V, 1)
    await ground.writer.place(made)
    [no_show] = await ground.end(BookingStatus.NO_SHOW, made)
    availed = ended(no_show, AVAILED)
    batch = Batch(ground.writer.lease, ground.writer.next_seq(), changed=[availed])
    batch.events = [BookingAmended(availed, no_show)]
    async with batch_held(ground, batch) as held:
        sweeping = asyncio.create_task(ground.departure(later(made)).sweep())
        await held.commit_once_somebody_waits()
        assert await sweeping == 0
    assert await ground.ids() == {made.booking_id}
    assert await ground.departure(later(made)).sweep() == 1


@pytest.mark.parametrize("neighbour", [True, False], ids=["word stays", "word goes"])
async def test_a_batch_waits_for_the_sweep_before_it(ground, over, neighbour):
    """Its statement began before the words were cleared, one of them even deleted, and takes other bits of them."""
    if neighbour:
        await ground.writer.place(booking(V, 3, first_slot=over.first_slot + 9, slots=1))
    new = booking(V, 2, first_slot=over.first_slot + 3, slots=2)
    await ground.archive.store([over])
    async with sweep_held(ground, over) as sweep:
        writing = asyncio.create_task(ground.writer.place(new))
        await sweep.commit_once_somebody_waits()
        await writing
    assert await ground.ids() >= {new.booking_id}
    assert over.booking_id not in await ground.ids()
    assert await ground.faults() == {}


async def test_a_batch_that_takes_the_freed_bits_themselves_gets_them_once(ground, over):
    """No shard does, for they lie in the past. The first try still saw them taken; the second, after reading, does not."""
    again, twice = booking(V, 2), booking(V, 3)
    async with sweep_held(ground, over) as sweep:
        writing = asyncio.create_task(ground.writer.place(again))
        await sweep.commit_once_somebody_waits()
        with pytest.raises(GuardRefused):
            await writing
    await ground.writer.place(again)
    with pytest.raises(GuardRefused):
        await ground.writer.place(twice)
    assert await ground.faults() == {}


async def test_a_batch_that_changes_a_booking_that_left_is_refused(ground, over):
    after = ended(over, CANCELLED)
    batch = Batch(ground.writer.lease, ground.writer.next_seq(), changed=[replace(after, held_slot_count=3)])
    batch.events = [BookingAmended(batch.changed[0], over)]
    async with sweep_held(ground, over) as sweep:
        writing = asyncio.create_task(ground.writer.store.commit(batch))
        await sweep.commit_once_somebody_waits()
        with pytest.raises(GuardRefused):
            await writing
    assert await ground.ids() == set()


async def test_a_sweep_waits_for_a_finer_step_and_clears_in_it(ground, over):
    """The lease is locked first, so the vendor's new step is seen together with its new words."""
    stays = booking(V, 2, first_slot=over.first_slot + 3, slots=1)
    await ground.writer.place(stays)
    fence = (0, ground.writer.lease.epoch, ground.writer.next_seq(), None)
    async with Held(ground, [("fence", fence)]) as rescale:
        sweeping = asyncio.create_task(ground.departure(later(over)).sweep())
        await until(ground.waits_for_a_lock)
        vendor = replace(house(V, tables=9), step_minutes=15, version=2)
        await rescale.connection.execute(
            "UPDATE vendor SET facts = facts || jsonb_build_object('step_minutes', 15) WHERE vendor_id = $1",
            vendor.vendor_id,
        )
        rows = await rescale.connection.fetch(sql("take_words"), V)
        fine = rescale_words([(row["seat_no"], row["word"], from_bigint(row["mask"])) for row in rows], 30, 15)
        await rescale.connection.execute(
            sql("insert_words"),
            [seat_id_of(V, seat_no) for seat_no, _, _ in fine],
            [word for _, word, _ in fine],
            [to_bigint(mask) for _, _, mask in fine],
        )
        await rescale.transaction.commit()
        assert await sweeping == 1
    assert bits(await ground.words(V, 1)) == {stays.first_slot * 2, stays.first_slot * 2 + 1}
    assert await ground.faults() == {}


async def a_finer_step_waits(ground, held, stays):
    """For what is held to be committed, and then it rewrites what is left: the words of a booking that stays."""
    await ground.writer.place(stays)
    async with held as before:
        refining = asyncio.create_task(refine(ground, 15))
        await before.commit_once_somebody_waits()
        await refining
    assert bits(await ground.words(V, 1)) == {stays.first_slot * 2, stays.first_slot * 2 + 1}


async def test_a_finer_step_waits_for_the_sweep_before_it(ground, over):
    stays = booking(V, 2, first_slot=over.first_slot + 3, slots=1)
    await a_finer_step_waits(ground, sweep_held(ground, over), stays)
    assert await ground.faults() == {}


async def test_a_bucket_that_moves_meanwhile_is_left_to_its_new_shard(database):
    ground = Ground(database)
    await ground.open(V, tables=1, shards=2)
    made = booking(V, 1)
    await ground.writer.place(made)
    [over] = await ground.end(AVAILED, made)
    async with Held(ground, [("move_buckets", ([0], [1]))]) as move:
        sweeping = asyncio.create_task(ground.departure(later(over)).sweep())
        await move.commit_once_somebody_waits()
        assert await sweeping == 0
    assert await ground.ids() == {over.booking_id}
    assert await ground.departure(later(over)).sweep() == 1
    await ground.close()


async def test_two_departures_at_once_do_the_work_once(ground):
    made = await ground.many(60)
    other = Ground(ground.url)
    departures = [one.departure(later(made[-1]), bookings_at_once=7) for one in (ground, other)]
    assert sum(await asyncio.gather(*(departure.sweep() for departure in departures))) == 60
    assert await ground.ids() == set()
    for part in (other.departures, other.archive, other.database):
        await part.close()


async def test_a_connection_that_is_lost_in_the_midst_is_made_anew(ground, over):
    departure = ground.departure(later(over))
    async with Held(ground, [("lock_lease", (0,))]):
        sweeping = asyncio.create_task(departure.sweep())
        await until(ground.waits_for_a_lock)
        await ground.admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'holdfast departures'"
        )
        with pytest.raises(StoreUnavailable):
            await sweeping
    assert await ground.ids() == {over.booking_id}
    assert await departure.sweep() == 1


async def test_sweeps_and_batches_side_by_side(ground):
    """A shard goes on placing and cancelling in the words of what leaves."""
    made = await ground.many(120)
    departure = ground.departure(later(made[-1]), bookings_at_once=5)
    sweeping = asyncio.create_task(departure.sweep())
    number = 1000
    while not sweeping.done():
        number += 1
        gap = booking(V, number, first_slot=slot_at() + 3 * (number % 120), seats=((number % 120 + 3) % 9 + 1,))
        await ground.writer.place(gap)
        assert await ground.faults() == {}
        await ground.end(CANCELLED, gap, at=later(made[-1]))
    assert await sweeping == 120
    assert number > 1003


# Words that hold nothing


@pytest.fixture
async def empty(ground):
    """A booking that was cancelled, and left a word without a bit."""
    made = booking(V, 1)
    await ground.writer.place(made)
    [made] = await ground.end(CANCELLED, made)
    assert set((await ground.words(V, 1)).values()) == {0}
    return made


def clearing_held(ground, empty):
    parameters = (0, [seat_id_of(V, 1)], [empty.first_slot >> 6])
    return Held(ground, [("lock_lease", (0,)), ("depart_words", parameters)])


async def sweep_words(ground, at):
    await ground.departure(at, buckets_in_sweep=BUCKETS).sweep()


async def test_a_batch_waits_for_the_clearing_of_the_word_it_takes(ground, empty):
    """Its statement began while the empty word was there."""
    again, twice = booking(V, 2), booking(V, 3)
    async with clearing_held(ground, empty) as clearing:
        writing = asyncio.create_task(ground.writer.place(again))
        await clearing.commit_once_somebody_waits()
        await writing
    assert bits(await ground.words(V, 1)) == {again.first_slot + n for n in range(3)}
    with pytest.raises(GuardRefused):
        await ground.writer.place(twice)


async def test_a_clearing_waits_for_the_batch_before_it_and_leaves_what_it_took(ground, empty):
    found = await ground.departures.empty_words(0, BUCKETS, later(empty, timedelta(days=30)), 10)
    assert [one.word for one in found] == [empty.first_slot >> 6]
    again = booking(V, 2)
    async with batch_held(ground, ground.writer.placing(again)) as batch:
        clearing = asyncio.create_task(ground.departures.depart_words(0, found))
        await batch.commit_once_somebody_waits()
        assert await clearing == 0
    assert bits(await ground.words(V, 1)) == {again.first_slot + n for n in range(3)}


async def test_a_finer_step_waits_for_the_clearing_before_it(ground, empty):
    stays = booking(V, 2, first_slot=empty.first_slot + 64, slots=1)
    await a_finer_step_waits(ground, clearing_held(ground, empty), stays)


async def test_an_empty_word_whose_bucket_moves_meanwhile_is_left_to_its_new_shard(database):
    ground = Ground(database)
    await ground.open(V, tables=1, shards=2)
    made = booking(V, 1)
    await ground.writer.place(made)
    [over] = await ground.end(CANCELLED, made)
    far = over.ends_at + timedelta(days=30)
    empty = await ground.departures.empty_words(0, BUCKETS, far, 10)
    assert [(one.shard_id, one.seat_id, one.word) for one in empty] == [(0, seat_id_of(V, 1), over.first_slot >> 6)]
    async with Held(ground, [("move_buckets", ([0], [1]))]) as move:
        clearing = asyncio.create_task(ground.departures.depart_words(0, empty))
        await move.commit_once_somebody_waits()
        assert await clearing == 0
    assert set(await ground.words(V, 1)) == {over.first_slot >> 6}
    await sweep_words(ground, far)
    assert await ground.words(V, 1) == {}
    await ground.close()


# A shard that remembers what left


class Now:
    def __init__(self, at):
        self.at = at

    def __call__(self):
        return self.at


class Remembering:
    """A shard with a memory over a database, whose time stands still until a test moves it."""

    def __init__(self, ground):
        self.ground = ground
        self.clock = Now(datetime(2026, 12, 1, 8, tzinfo=UTC))

    async def start(self):
        await self.ground.directory.seed(1)
        await self.ground.directory.claim(0, ACTOR.actor_id)
        self.shard = Shard(0, PostgresShardStore(self.ground.url), ACTOR, self.clock, ShardLimits())
        assert await self.shard.start()

    async def done(self, command):
        outcome = await self.shard.ask(command)
        assert isinstance(outcome, Done), outcome
        return outcome.booking

    async def sweep(self):
        return await self.ground.departure(self.clock.at).sweep()


@pytest.fixture
async def remembering(database):
    ground = Ground(database)
    await ground.connect()
    made = Remembering(ground)
    await made.start()
    yield made
    assert made.shard.stats().guard_refusals == 0
    await made.shard.stop()
    assert await ground.faults() == {}
    await ground.close()


async def test_a_room_is_booked_again_in_the_word_of_a_stay_that_left(remembering):
    """A hotel's word is 64 nights: memory still has those of the stay that left, the database no longer does."""
    ground, clock = remembering.ground, remembering.clock
    await remembering.shard.ask(opening(hotel(V, rooms=2)))
    first = await remembering.done(stay(V, date(2026, 12, 2), date(2026, 12, 5), quantity=2))
    beside = await remembering.done(stay(V, date(2026, 12, 8), date(2026, 12, 20)))
    assert first.first_slot >> 6 == beside.first_slot >> 6
    clock.at = first.ends_at + timedelta(hours=1)
    first = await remembering.done(SetStatus(first.booking_id, manager(V), AVAILED))
    clock.at = first.updated_at + GRACE + timedelta(seconds=1)
    assert await remembering.sweep() == 1
    assert await ground.faults() == {}
    seats = {seat.seat_no for seat in first.seats}
    again = await remembering.done(stay(V, date(2026, 12, 8), date(2026, 12, 12)))
    assert {seat.seat_no for seat in (*again.seats, *beside.seats)} == seats
    full = await remembering.shard.ask(stay(V, date(2026, 12, 8), date(2026, 12, 9)))
    assert isinstance(full, Rejection)
    assert full.reason is Reason.NO_AVAILABILITY
    moved = await remembering.done(stay(V, date(2026, 12, 20), date(2026, 12, 22), quantity=2))
    await remembering.done(SetStatus(again.booking_id, manager(V), CANCELLED))
    assert await ground.ids() == {again.booking_id, beside.booking_id, moved.booking_id}
    assert await ground.faults() == {}


async def test_a_shard_still_refuses_to_change_what_left(remembering):
    """From memory as long as it is there, and from the database afterwards."""
    clock = remembering.clock
    await remembering.shard.ask(opening(restaurant(V)))
    made = await remembering.done(hold(V, at=clock.at + timedelta(days=1, hours=10)))
    clock.at = made.ends_at
    made = await remembering.done(SetStatus(made.booking_id, manager(V), BookingStatus.NO_SHOW))
    clock.at += GRACE + timedelta(seconds=1)
    assert await remembering.sweep() == 1
    for expected in (Reason.ILLEGAL_TRANSITION, Reason.NOT_FOUND):
        outcome = await remembering.shard.ask(SetStatus(made.booking_id, manager(V), AVAILED))
        assert isinstance(outcome, Rejection)
        assert outcome.reason is expected
        remembering.shard._memory.bookings.clear()


async def test_a_house_that_refines_its_step_after_some_left_goes_on(remembering):
    """The words are rewritten from the database, so what left does not come back with them."""
    ground, clock = remembering.ground, remembering.clock
    await remembering.shard.ask(opening(restaurant(V, tables=2)))
    old = await remembering.done(hold(V, at=clock.at + timedelta(hours=10)))
    far = await remembering.done(hold(V, at=clock.at + timedelta(days=9, hours=10)))
    clock.at = old.ends_at
    await remembering.done(SetStatus(old.booking_id, manager(V), AVAILED))
    quarter = Service((0, 1, 2, 3, 4, 5, 6), time(12), time(23), 15)
    refined = await remembering.shard.ask(changing(V, services=(quarter,)))
    assert isinstance(refined, VendorDone)
    assert refined.vendor.step_minutes == 15
    clock.at = later(old, timedelta(seconds=1))
    assert await remembering.sweep() == 1
    assert await ground.faults() == {}
    await remembering.done(hold(V, at=far.starts_at))
    full = await remembering.shard.ask(hold(V, at=far.starts_at + timedelta(minutes=15)))
    assert isinstance(full, Rejection)


async def test_an_answer_is_repeated_after_its_booking_left(remembering):
    """The first success under a key is remembered whatever became of the booking."""
    clock = remembering.clock
    await remembering.shard.ask(opening(restaurant(V)))
    wish = hold(V, at=clock.at + timedelta(hours=10), key="k")
    made = await remembering.done(wish)
    await remembering.done(SetStatus(made.booking_id, SYSTEM, CANCELLED))
    clock.at += GRACE + timedelta(hours=1)
    assert await remembering.sweep() == 1
    for _ in range(2):
        again = await remembering.shard.ask(replace(wish, booking_id=booking(V, 77).booking_id), again=True)
        assert isinstance(again, Done)
        assert again.replayed
        assert again.booking == made
        remembering.shard._memory.answers.clear()
