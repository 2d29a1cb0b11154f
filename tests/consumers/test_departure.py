"""Ended bookings leave the current tables with what they hold: after their grace, and archived."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest

from consumers.departure import NAME
from domain.booking import BookingStatus
from domain.event import BookingAmended, BookingAvailed
from domain.evolve import word_changes
from domain.ids import BUCKETS, bucket_of, seat_id_of
from domain.payment_steps import new_payment
from storage.errors import GuardRefused, StoreUnavailable
from storage.postgres_payments import PostgresPayments
from storage.shard_store import Batch, WordChange
from tests.conformance.stores import booking, house, ids, slot_at
from tests.conformance.waiting import until
from tests.consumers.leaving import GRACE, INSTANT, Ground, Reluctant, V, bits, ended, later, refine
from tests.fakes.houses import hotel, vendor_id

AVAILED, CANCELLED = BookingStatus.AVAILED, BookingStatus.CANCELLED
WORD_START = (slot_at() >> 6 << 6) + 64
"""The first slot of a word."""


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


@pytest.fixture
def reluctant(ground):
    return Reluctant(ground.archive)


# When a booking may leave


async def test_nothing_is_due_in_an_empty_house(ground):
    assert await ground.departure(datetime.now(UTC)).sweep() == 0


@pytest.mark.parametrize("status", [AVAILED, BookingStatus.NO_SHOW])
async def test_a_stay_that_is_over_leaves_after_its_grace_and_not_before(ground, status):
    made = booking(V, 1)
    await ground.writer.place(made)
    [made] = await ground.end(status, made)
    assert await ground.departure(later(made, timedelta())).sweep() == 0
    assert await ground.ids() == {made.booking_id}
    assert await ground.faults() == {}
    assert await ground.departure(later(made)).sweep() == 1
    assert await ground.ids() == set()
    assert await ground.words(V, 1) == {}
    assert await ground.archive.by_id(made.booking_id) == made


@pytest.mark.parametrize(("status", "was"), [(CANCELLED, "CONFIRMED"), (BookingStatus.EXPIRED, "BLOCKED")])
async def test_what_holds_nothing_leaves_by_its_last_change(ground, status, was):
    """The seats were given back when it ended, so nobody waits for a date that may be months away."""
    made = booking(V, 1, status=BookingStatus(was))
    await ground.writer.place(made)
    at = made.starts_at - timedelta(days=90)
    [made] = await ground.end(status, made, at=at)
    assert await ground.departure(at + GRACE).sweep() == 0
    assert await ground.departure(at + GRACE + INSTANT).sweep() == 1
    assert await ground.ids() == set()


async def test_one_that_was_marked_early_keeps_its_slots_until_they_are_over(ground):
    made = booking(V, 1)
    await ground.writer.place(made)
    [made] = await ground.end(AVAILED, made, at=made.starts_at - timedelta(days=30))
    taken = await ground.words(V, 1)
    assert await ground.departure(made.ends_at).sweep() == 0
    assert await ground.departure(later(made, timedelta())).sweep() == 0
    assert await ground.words(V, 1) == taken
    assert await ground.departure(later(made)).sweep() == 1


async def test_one_that_was_marked_late_stays_for_its_grace_all_the_same(ground):
    made = booking(V, 1)
    await ground.writer.place(made)
    at = made.ends_at + timedelta(days=20)
    [made] = await ground.end(AVAILED, made, at=at)
    assert await ground.departure(at + GRACE).sweep() == 0
    assert await ground.departure(at + GRACE + INSTANT).sweep() == 1


async def test_live_bookings_never_leave(ground):
    confirmed, blocked = booking(V, 1), booking(V, 2, seats=(2,), status=BookingStatus.BLOCKED)
    await ground.writer.place(confirmed, blocked)
    await ground.archive.store([confirmed, blocked])
    assert await ground.departure(confirmed.ends_at + timedelta(days=4000)).sweep() == 0
    assert await ground.ids() == {confirmed.booking_id, blocked.booking_id}


async def paid_for(ground, one):
    """A payment of the booking that nobody has looked at yet."""
    held = replace(one, status=BookingStatus.BLOCKED, deposit_waived=False)
    new = new_payment(held, (), "sandbox", held.created_at)
    return await PostgresPayments(ground.database).write(None, new, booking_version=1)


async def test_one_whose_money_is_open_stays_until_it_is_not(ground, over):
    """A refund that is not through needs its booking: it says what for."""
    payments = PostgresPayments(ground.database)
    payment = await paid_for(ground, over)
    replaced = await payments.write(
        None, replace(payment, payment_id=payment.booking_id, number=7, charges=()), booking_version=7
    )
    await payments.rest(payment, look_at=None, over=True)
    assert await ground.departure(later(over)).sweep() == 0
    assert await ground.ids() == {over.booking_id}
    await payments.rest(replaced, look_at=None, over=False)
    assert await ground.departure(later(over)).sweep() == 0
    await payments.rest(replaced, look_at=None, over=True)
    late = await payments.write(replaced, replace(replaced, kept_minor=5), booking_version=7)
    assert await ground.departure(later(over)).sweep() == 0
    await payments.rest(late, look_at=None, over=True)
    assert await ground.departure(later(over)).sweep() == 1
    assert await ground.ids() == set()
    assert len(await payments.of_booking(over.booking_id)) == 2


async def test_money_is_asked_for_once_more_at_the_departure(ground, over, reluctant):
    """It may come while the archive answers."""

    async def pay():
        reluctant.before_answer = None
        await paid_for(ground, over)

    reluctant.before_answer = pay
    assert await ground.departure(later(over), archive=reluctant).sweep() == 0
    assert await ground.ids() == {over.booking_id}


# What the archive has to say to it


async def test_what_is_archived_is_not_stored_again(ground, reluctant, over):
    await ground.archive.store([over])
    assert await ground.departure(later(over), archive=reluctant).sweep() == 1
    assert reluctant.stored == []


async def test_what_the_archive_lacks_is_stored_first(ground, reluctant, over):
    """Its event is on its way, or parked."""
    assert await ground.departure(later(over), archive=reluctant).sweep() == 1
    assert reluctant.stored == [over]
    assert await ground.archive.by_id(over.booking_id) == over


async def test_an_older_version_in_the_archive_is_not_enough(ground, reluctant, over):
    await ground.archive.store([replace(over, version=over.version - 1, notes="older")])
    assert await ground.departure(later(over), archive=reluctant).sweep() == 1
    assert await ground.archive.by_id(over.booking_id) == over


async def test_what_the_archive_does_not_acknowledge_stays(ground, reluctant, over):
    reluctant.deaf = True
    assert await ground.departure(later(over), archive=reluctant).sweep() == 0
    assert await ground.ids() == {over.booking_id}


async def test_with_the_archive_away_nothing_leaves(ground, reluctant, over):
    reluctant.away = True
    with pytest.raises(StoreUnavailable):
        await ground.departure(later(over), archive=reluctant).sweep()
    assert await ground.ids() == {over.booking_id}


async def test_one_that_changes_meanwhile_stays_until_that_is_archived_too(ground, reluctant):
    made = booking(V, 1)
    await ground.writer.place(made)
    [no_show] = await ground.end(BookingStatus.NO_SHOW, made)
    availed = ended(no_show, AVAILED)

    async def undo():
        reluctant.before_answer = None
        await ground.end(AVAILED, no_show)

    reluctant.before_answer = undo
    assert await ground.departure(later(made), archive=reluctant).sweep() == 0
    assert await ground.ids() == {made.booking_id}
    assert await ground.faults() == {}
    assert await ground.departure(later(made), archive=reluctant).sweep() == 1
    assert await ground.archive.by_id(made.booking_id) == availed


async def test_the_database_is_asked_once_more_at_the_departure(ground, over):
    """Whoever asks for it, a booking only goes as it is given, ended and over for long enough."""
    live = booking(V, 2, seats=(2,))
    await ground.writer.place(live)
    long_after = later(over, timedelta(days=900))
    assert await ground.departures.depart(0, [over], over.ends_at) == 0
    assert await ground.departures.depart(0, [replace(over, version=1)], long_after) == 0
    assert await ground.departures.depart(0, [live], long_after) == 0
    assert await ground.departures.depart(0, [over, live], long_after) == 1


# What goes with it, and what stays


async def test_each_of_its_seats_is_cleared_and_the_neighbours_are_not(ground):
    first = WORD_START + 60
    leaving = booking(V, 1, first_slot=first, slots=10, seats=(1, 2, 5))
    before = booking(V, 2, first_slot=first - 2, slots=2, seats=(1, 2))
    after = booking(V, 3, first_slot=first + 10, slots=1, seats=(2,))
    other = booking(V, 4, first_slot=first, slots=10, seats=(3,))
    await ground.writer.place(leaving, before, after, other)
    untouched = await ground.words(V, 3)
    [leaving] = await ground.end(AVAILED, leaving)
    assert await ground.departure(later(leaving)).sweep() == 1
    word = first >> 6
    assert await ground.words(V, 1) == {word: 0b11 << 58}
    assert await ground.words(V, 2) == {word: 0b11 << 58, word + 1: 1 << 6}
    assert await ground.words(V, 5) == {}
    assert await ground.words(V, 3) == untouched
    assert await ground.faults() == {}


async def test_a_no_show_takes_the_slots_that_it_still_holds(ground):
    leaving = booking(V, 1, first_slot=WORD_START + 62, slots=6)
    freed = booking(V, 2, first_slot=WORD_START + 65, slots=3)
    await ground.writer.place(leaving)
    after = ended(leaving, BookingStatus.NO_SHOW, held=3)
    batch = Batch(ground.writer.lease, ground.writer.next_seq(), changed=[after])
    event = BookingAmended(after, leaving)
    batch.words = [WordChange(V, *change) for change in word_changes(event)]
    batch.events = [event]
    await ground.writer.store.commit(batch)
    await ground.writer.place(freed)
    assert await ground.departure(later(leaving)).sweep() == 1
    word = WORD_START >> 6
    assert await ground.words(V, 1) == {word + 1: 0b111 << 1}


async def test_slots_are_cleared_in_the_vendors_present_step(ground):
    """Bookings keep the step that they were made in; the words are rewritten in the finer one."""
    old = booking(V, 1, first_slot=WORD_START + 60, slots=10, seats=(1, 4))
    stays = booking(V, 2, first_slot=WORD_START + 70, slots=3)
    await ground.writer.place(old, stays)
    [old] = await ground.end(AVAILED, old)
    await refine(ground, 10)
    new = booking(V, 3, first_slot=(WORD_START + 60) * 3 - 2, slots=2, step_minutes=10)
    await ground.writer.place(new)
    assert await ground.faults() == {}
    assert await ground.departure(later(old)).sweep() == 1
    assert await ground.words(V, 4) == {}
    assert bits(await ground.words(V, 1)) == {
        *range((WORD_START + 60) * 3 - 2, (WORD_START + 60) * 3),
        *range((WORD_START + 70) * 3, (WORD_START + 73) * 3),
    }
    assert await ground.faults() == {}
    [new] = await ground.end(AVAILED, new)
    assert await ground.departure(later(old)).sweep() == 1


async def test_remembered_answers_and_untold_events_stay(ground, over):
    await ground.admin.execute(
        "INSERT INTO idempotency_key (scope, fingerprint, answer) VALUES ('s', 'f', jsonb_build_object('version', 1))"
    )
    told = await ground.admin.fetchval("SELECT count(*) FROM outbox")
    assert await ground.departure(later(over)).sweep() == 1
    assert await ground.admin.fetchval("SELECT count(*) FROM idempotency_key") == 1
    assert await ground.admin.fetchval("SELECT count(*) FROM outbox") == told


# Many of them


async def test_all_leave_however_many_go_at_once(ground):
    made = await ground.many(40)
    cancelled = [booking(V, 100 + n, first_slot=slot_at() + 3 * n, seats=(n % 9 + 1,)) for n in range(7)]
    departure = ground.departure(later(made[-1]), bookings_at_once=6)
    assert await departure.sweep() == 40
    assert await ground.ids() == set()
    assert departure.state.handled == 40
    assert await ground.admin.fetchval("SELECT count(*) FROM seat_word") == 0
    await ground.writer.place(*cancelled)


async def test_those_that_ended_together_are_told_apart(ground):
    """A page ends in the midst of bookings that are over since the same instant."""
    made = [booking(V, n, seats=(n,)) for n in range(1, 9)]
    await ground.writer.place(*made)
    made = await ground.end(AVAILED, *made)
    assert await ground.departure(later(made[0]), bookings_at_once=3).sweep() == 8


async def test_those_that_must_stay_do_not_stand_in_the_way(ground, reluctant):
    made = await ground.many(20)
    kept = set(ids(made[:7]))

    class Picky(Reluctant):
        async def versions(self, booking_ids):
            return {one: 9 for one in booking_ids if one not in kept}

    departure = ground.departure(later(made[-1]), archive=Picky(ground.archive), bookings_at_once=3)
    assert await departure.sweep() == 13
    assert await ground.ids() == kept


async def test_bookings_of_several_shards_leave_each_under_its_own_lease(database):
    """Also where somebody gives the bookings of both to one of them."""
    ground = Ground(database)
    await ground.open(V, tables=1, shards=2)
    made = []
    for shard_id in (0, 1):
        bucket = await ground.admin.fetchval("SELECT max(bucket) FROM bucket WHERE shard_id = $1", shard_id)
        writer, vendor = ground.writers[shard_id], vendor_id(9, bucket)
        await writer.open(house(vendor))
        one = booking(vendor, 1)
        await writer.place(one)
        made.append(ended(one, AVAILED))
        await writer.change(BookingAvailed(made[-1], one))
    assert await ground.departures.depart(0, made, later(made[0])) == 1
    assert await ground.ids() == {made[1].booking_id}
    assert await ground.departure(later(made[0])).sweep() == 1
    assert await ground.ids() == set()
    assert await ground.faults() == {}
    await ground.close()


async def test_a_booking_whose_words_are_wrong_stays_and_is_told_of(ground, caplog):
    """What verify would find must not be hidden by letting the booking go."""
    made = await ground.many(12)
    wrong = made[5]
    flip = "UPDATE seat_word SET mask = mask # (1::bigint << $1) WHERE seat_id = $2 AND word = $3"
    place = (wrong.first_slot & 63, seat_id_of(V, wrong.seats[0].seat_no), wrong.first_slot >> 6)
    await ground.admin.execute(flip, *place)
    departure = ground.departure(later(made[-1]))
    assert await departure.sweep() == 11
    assert await ground.ids() == {wrong.booking_id}
    assert "GuardRefused" in departure.state.last_error
    assert str(wrong.booking_id) in caplog.text
    assert await ground.faults() == {"taken words equal the slots that bookings hold": 1}
    await ground.admin.execute(flip, *place)
    assert await departure.sweep() == 1


async def test_two_that_hold_one_slot_stay_as_evidence(ground, over):
    again = booking(V, 2)
    await ground.admin.execute(
        "INSERT INTO booking SELECT (jsonb_populate_record(booking, jsonb_build_object('booking_id', $1::text))).* "
        "FROM booking WHERE booking_id = $2",
        str(again.booking_id),
        over.booking_id,
    )
    await ground.archive.store([replace(over, booking_id=again.booking_id)])
    with pytest.raises(GuardRefused):
        await ground.departures.depart(0, [over, replace(over, booking_id=again.booking_id)], later(over))
    assert await ground.ids() == {over.booking_id, again.booking_id}
    await ground.admin.execute("DELETE FROM booking WHERE booking_id = $1", again.booking_id)


# On and on


async def test_it_goes_on_by_itself_when_a_store_is_back(ground, reluctant, over):
    reluctant.away = True
    departure = ground.departure(later(over), archive=reluctant, pause_first_seconds=0.01, pause_last_seconds=0.02)
    assert departure.state.name == NAME
    running = asyncio.create_task(departure.run())

    async def paused():
        return departure.state.state.startswith("paused: ")

    await until(paused)
    assert "the archive is away" in departure.state.last_error
    reluctant.away = False

    async def gone():
        return not await ground.ids()

    await until(gone)

    async def well():
        return departure.state.state == "reading" and departure.state.handled == 1

    await until(well)
    departure.stop()
    await asyncio.wait_for(running, 5)
    assert departure.state.state == "left"


async def test_it_ends_at_once_when_it_only_waits(ground):
    departure = ground.departure(datetime.now(UTC), every_seconds=3600.0)
    running = asyncio.create_task(departure.run())

    async def waits():
        return departure.state.state == "reading"

    await until(waits)
    departure.stop()
    await asyncio.wait_for(running, 5)


# Words that hold nothing


async def gone(ground, *bookings, at):
    """So many that were cancelled, and left an empty word."""
    await ground.writer.place(*bookings)
    await ground.end(CANCELLED, *bookings, at=at)


async def test_a_word_whose_bookings_were_all_cancelled_goes_once_its_time_is_over(ground):
    made = booking(V, 1, first_slot=WORD_START)
    await gone(ground, made, at=made.created_at)
    word_ends = made.starts_at + timedelta(minutes=64 * 30)
    for at, words in (
        (word_ends + GRACE - INSTANT, {WORD_START >> 6: 0}),
        (word_ends + GRACE, {}),
    ):
        await ground.departure(at, buckets_in_sweep=BUCKETS).sweep()
        assert await ground.words(V, 1) == words
        assert await ground.faults() == {}


async def test_an_empty_word_of_a_hotel_goes_once_its_nights_are_over_everywhere(ground):
    """Its slots are days of the house's own zone, which may end a day after UTC's."""
    of = vendor_id(2)
    await ground.writer.open(hotel(of, rooms=1))
    night = date(2026, 12, 2).toordinal()
    await ground.admin.execute("INSERT INTO seat_word VALUES ($1, $2, 0)", seat_id_of(of, 1), night >> 6)
    last = datetime.combine(date.fromordinal((night >> 6) * 64 + 63), time(), UTC)
    for at, words in ((last + timedelta(days=1) - INSTANT, {night >> 6: 0}), (last + timedelta(days=1), {})):
        await ground.departure(at + GRACE, buckets_in_sweep=BUCKETS).sweep()
        assert await ground.words(of, 1) == words


async def test_a_word_in_which_somebody_still_holds_a_slot_stays(ground):
    made, stays = booking(V, 1), booking(V, 2, first_slot=booking(V, 1).first_slot + 3)
    await ground.writer.place(stays)
    await gone(ground, made, at=made.created_at)
    await ground.departure(later(made, timedelta(days=30)), buckets_in_sweep=BUCKETS).sweep()
    assert bits(await ground.words(V, 1)) == {stays.first_slot + n for n in range(3)}


async def test_empty_words_go_in_portions_and_a_few_buckets_at_a_time(ground):
    """The first sweep does not come as far as the second house; the fourth begins again."""
    far = vendor_id(2, bucket=BUCKETS - 1)
    await ground.writer.open(house(far))
    many = [booking(V, n, first_slot=WORD_START + 64 * n, slots=1, seats=(n % 9 + 1,)) for n in range(25)]
    await gone(ground, *many, booking(far, 99), at=many[0].created_at)
    departure = ground.departure(later(many[-1], timedelta(days=30)), buckets_in_sweep=BUCKETS // 2, words_at_once=7)

    async def empty():
        rows = await ground.admin.fetch("SELECT seat_id FROM seat_word WHERE mask = 0")
        return Counter(bucket_of(row["seat_id"]) for row in rows)

    assert await empty() == {bucket_of(V): 25, BUCKETS - 1: 1}
    await departure.sweep()
    assert await empty() == {BUCKETS - 1: 1}
    await departure.sweep()
    assert await empty() == {}
    await gone(ground, booking(V, 200), at=many[0].created_at)
    await departure.sweep()
    assert await empty() == {}
