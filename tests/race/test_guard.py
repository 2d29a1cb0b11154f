"""Postgres alone stops the sale. First that the race is real with the guard off, then that it is over with it on.

Each clause of the batch's statement is also taken away once, to see that what it prevents then happens: a clause that
nobody would miss proves nothing.
"""

import asyncio
from dataclasses import replace

import asyncpg
import pytest

from domain.booking import BookingStatus
from domain.event import VendorCreated
from domain.ids import seat_id_of
from storage.errors import Fenced, GuardRefused
from storage.shard_store import Answer, Batch, WordChange
from tests.conformance.stores import ACTOR, booking, cancelled, changing, confirmed, house, ids, placing, words
from tests.fakes.houses import vendor_id
from tests.race.race_conditions import (
    FORGIVING_ANSWERS,
    NO_ANSWER_CHECK,
    NO_BIT_COUNT,
    NO_CHANGED_CHECK,
    NO_CLEAR,
    NO_CLEAR_COUNT,
    NO_CLEAR_OF_NOTHING,
    NO_FENCE,
    NO_GUARD,
    NO_OVERLAP,
    NO_PLACED_CHECK,
    NO_VENDOR,
    NO_VERSION,
    NO_WORD_CHECK,
)

V = vendor_id(1)

# --- the race is real -----------------------------------------------------------------------------------------------


async def test_looking_before_booking_sells_one_seat_to_two_guests(database, lease):
    """What everybody writes first: SELECT, decide, write. No FOR UPDATE, no guard."""
    free, both_looked = [], asyncio.Event()
    seat, word, bits = seat_id_of(V, 1), 5, 0b111

    async def guest():
        connection = await asyncpg.connect(database)
        async with connection.transaction():
            mask = await connection.fetchval("SELECT mask FROM seat_word WHERE seat_id = $1 AND word = $2", seat, word)
            free.append(not (mask or 0) & bits)
            if len(free) == 2:
                both_looked.set()
            await both_looked.wait()
            await connection.execute(
                "INSERT INTO seat_word AS stored VALUES ($1, $2, $3)"
                " ON CONFLICT (seat_id, word) DO UPDATE SET mask = stored.mask | excluded.mask",
                seat,
                word,
                bits,
            )
        await connection.close()

    await asyncio.gather(guest(), guest())
    assert free == [True, True]


async def test_with_guard_and_fence_off_two_guests_do_get_one_seat(ground, lease):
    first, second = ground.store(NO_FENCE, NO_GUARD), ground.store(NO_FENCE, NO_GUARD)
    await asyncio.gather(
        first.commit(placing(lease, 1, booking(V, 1))), second.commit(placing(lease, 2, booking(V, 2)))
    )
    assert (await ground.faults())["seat-slots are held by one booking only"] == 3


async def test_with_the_fence_alone_off_the_guard_sells_it_once(ground, lease):
    """Two writers who both believe that they own the shard and that the seat is free."""
    stores = [ground.store(NO_FENCE) for _ in range(2)]
    sold = await asyncio.gather(
        *(store.commit(placing(lease, n, booking(V, n))) for n, store in enumerate(stores, start=1)),
        return_exceptions=True,
    )
    assert sorted(str(type(outcome)) for outcome in sold) == sorted([str(type(None)), str(GuardRefused)])
    assert await ground.faults() == {}


async def test_forty_seats_are_sold_forty_times_however_many_try(ground, lease):
    """Sixteen writers without a fence, each with a memory that knows of no booking at all."""
    of = vendor_id(2)
    store = ground.stores[0]
    await store.commit_vendor(lease, 1001, VendorCreated(house(of, tables=40), "two@example.org", "h"))
    writers = [ground.store(NO_FENCE) for _ in range(16)]
    numbers = iter(range(1, 100_000))
    sold = []

    async def client(writer, seats):
        for seat in seats:
            number = next(numbers)
            one = booking(of, number, seats=(seat,))
            try:
                await writer.commit(placing(lease, number, one))
            except GuardRefused:
                continue
            sold.append(one)

    orders = [list(range(1, 41)) if n % 2 else list(range(40, 0, -1)) for n in range(16)]
    await asyncio.gather(*(client(writer, seats) for writer, seats in zip(writers, orders, strict=True)))
    assert sorted(one.seats[0].seat_no for one in sold) == list(range(1, 41))
    assert await ground.faults() == {}


# --- memory made wrong on purpose -----------------------------------------------------------------------------------


async def test_memory_forgot_a_bit(ground, lease):
    store = ground.stores[0]
    await store.commit(placing(lease, 1, booking(V, 1)))
    with pytest.raises(GuardRefused):
        await store.commit(placing(lease, 2, booking(V, 2, first_slot=booking(V, 1).first_slot + 2)))
    assert await ground.faults() == {}


async def test_memory_gave_one_bit_to_two_holds_of_one_batch(ground, lease):
    store = ground.stores[0]
    one, two = booking(V, 1), booking(V, 2)
    with pytest.raises(GuardRefused):
        await store.commit(placing(lease, 1, one, two))
    assert await store.load_bookings(ids([one, two])) == {}
    assert await ground.faults() == {}


async def test_of_a_booking_of_two_words_one_is_taken(ground, lease, admin):
    store = ground.stores[0]
    edge = (booking(V, 1).first_slot | 63) - 1
    await store.commit(placing(lease, 1, booking(V, 1, first_slot=edge + 2, slots=2)))
    before = await admin.fetch("SELECT * FROM seat_word ORDER BY 1, 2")
    with pytest.raises(GuardRefused):
        await store.commit(placing(lease, 2, booking(V, 2, first_slot=edge, slots=3)))
    assert await admin.fetch("SELECT * FROM seat_word ORDER BY 1, 2") == before
    assert await ground.faults() == {}


async def test_memory_gave_back_what_was_given_back(ground, lease):
    store = ground.stores[0]
    one = booking(V, 1)
    await store.commit(placing(lease, 1, one))
    await store.commit(changing(lease, 2, cancelled(one)))
    with pytest.raises(GuardRefused):
        await store.commit(changing(lease, 3, cancelled(one)))
    assert await ground.faults() == {}


# --- every clause is missed when it is gone -------------------------------------------------------------------------


async def old_lease_writes(store, lease):
    await store.take(0, ACTOR)
    await store.commit(placing(lease, 1, booking(V, 1)))


async def seat_sold_twice(store, lease):
    await store.commit(placing(lease, 1, booking(V, 1)))
    await store.commit(placing(lease, 2, booking(V, 2)))


async def one_bit_for_two_of_a_batch(store, lease):
    await store.commit(placing(lease, 1, booking(V, 1), booking(V, 2)))


async def one_bit_back_from_two_of_a_batch(store, lease):
    one = booking(V, 1)
    await store.commit(placing(lease, 1, one))
    batch = changing(lease, 2, cancelled(one))
    batch.words += words(one, clear=True)
    await store.commit(batch)


async def bits_given_back_that_were_free(store, lease):
    one = booking(V, 1)
    await store.commit(placing(lease, 1, one))
    batch = changing(lease, 2, cancelled(one))
    batch.words = words(replace(one, held_slot_count=4), clear=True)
    await store.commit(batch)


async def bits_given_back_of_a_word_without_row(store, lease):
    await store.commit(Batch(lease, 1, words=[WordChange(V, 2, 9, clear=1, set=2)]))


async def half_a_booking(store, lease):
    await store.commit(placing(lease, 1, booking(V, 1, seats=(2,))))
    await store.commit(placing(lease, 2, booking(V, 2, seats=(1, 2, 3))))


async def booking_of_no_vendor(store, lease):
    await store.commit(placing(lease, 1, booking(vendor_id(9), 1)))


async def changed_what_is_not_there(store, lease):
    await store.commit(changing(lease, 1, confirmed(booking(V, 1))))


async def changed_from_an_old_version(store, lease):
    one = booking(V, 1, status=BookingStatus.BLOCKED)
    await store.commit(placing(lease, 1, one))
    await store.commit(changing(lease, 2, confirmed(one)))
    await store.commit(changing(lease, 3, confirmed(replace(one, version=5))))


async def one_key_two_successes(store, lease):
    for seq in (1, 2):
        one = booking(V, seq, seats=(seq,))
        batch = placing(lease, seq, one)
        batch.answers.append(Answer(b"s" * 16, b"f", one))
        await store.commit(batch)


CLAUSES = {
    "the fence's epoch": (old_lease_writes, [NO_FENCE], Fenced),
    "the test for overlap": (seat_sold_twice, [NO_OVERLAP], GuardRefused),
    "the whole guard (ON CONFLICT DO UPDATE)": (seat_sold_twice, [NO_GUARD], GuardRefused),
    "the count of bits taken": (one_bit_for_two_of_a_batch, [NO_BIT_COUNT], GuardRefused),
    "the count of bits given back": (one_bit_back_from_two_of_a_batch, [NO_CLEAR_COUNT], GuardRefused),
    "the test that given-back bits were taken": (bits_given_back_that_were_free, [NO_CLEAR], GuardRefused),
    "the test that a missing row gives nothing back": (
        bits_given_back_of_a_word_without_row,
        [NO_CLEAR_OF_NOTHING],
        GuardRefused,
    ),
    "the count of words": (half_a_booking, [NO_WORD_CHECK], GuardRefused),
    "the count of new bookings": (booking_of_no_vendor, [NO_PLACED_CHECK], GuardRefused),
    "the join with the vendor": (booking_of_no_vendor, [NO_VENDOR], GuardRefused),
    "the count of changed bookings": (changed_what_is_not_there, [NO_CHANGED_CHECK], GuardRefused),
    "the version": (changed_from_an_old_version, [NO_VERSION], GuardRefused),
    "a key's uniqueness and the count of answers": (
        one_key_two_successes,
        [FORGIVING_ANSWERS, NO_ANSWER_CHECK],
        GuardRefused,
    ),
}


@pytest.mark.parametrize("clause", CLAUSES)
async def test_with_every_clause_it_is_refused(ground, lease, clause):
    harm, _, refusal = CLAUSES[clause]
    with pytest.raises(refusal):
        await harm(ground.stores[0], lease)
    assert await ground.faults() == {}


@pytest.mark.parametrize("clause", CLAUSES)
async def test_without_the_clause_it_happens(ground, lease, clause):
    harm, spoilt, _ = CLAUSES[clause]
    await harm(ground.store(*spoilt), lease)
