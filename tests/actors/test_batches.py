"""Batches: what is queued while one is in flight becomes the next, and what may not share one waits for the next."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from actors.outcome import Done, Trouble, Unavailable, VendorDone
from domain.booking import BookingStatus
from domain.rejection import Reason, Rejection
from tests.fakes.houses import (
    EVENING,
    amend,
    cancel,
    changing,
    confirm,
    guest,
    hold,
    hotel,
    opening,
    restaurant,
    stay,
    vendor_id,
)

V = vendor_id(1)
W = vendor_id(2)


async def ask_all(shard, *commands):
    return await asyncio.gather(*(shard.ask(command) for command in commands))


def batches(house):
    return [row for row in house.database.outbox.values() if hasattr(row.events[0], "booking")]


async def test_light_load_gives_batches_of_one(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V, tables=5)))
    for number in range(3):
        await shard.ask(hold(V, by=guest(number)))
    assert [len(row.events) for row in batches(house)] == [1, 1, 1]


async def test_what_queues_during_a_commit_becomes_one_batch(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V, tables=20)))
    house.faults.next("commit", 1.0)
    first = asyncio.ensure_future(shard.ask(hold(V)))
    await asyncio.sleep(0.1)
    rest = [asyncio.ensure_future(shard.ask(hold(V, by=guest(number)))) for number in range(10)]
    await asyncio.sleep(0.1)
    assert not first.done(), "answered before its commit"
    assert shard.stats().queue == 10
    outcomes = await asyncio.gather(first, *rest)
    assert all(isinstance(outcome, Done) for outcome in outcomes)
    assert [len(row.events) for row in batches(house)] == [1, 10]


async def test_a_batch_has_a_limit(house):
    shard = await house.start(batch_commands_max=4)
    await shard.ask(opening(restaurant(V, tables=20)))
    await ask_all(shard, *(hold(V, by=guest(number)) for number in range(10)))
    assert [len(row.events) for row in batches(house)] == [4, 4, 2]


async def test_large_bookings_do_not_share_one_batch_without_end(house):
    """A batch of many is decided and written in one go, and nobody else is heard meanwhile."""
    shard = await house.start(batch_words_max=10)
    await shard.ask(opening(hotel(V, rooms=40)))
    night = EVENING.date()
    stays = [replace(stay(V, night, night + timedelta(days=1), quantity=6), party_size=6) for _ in range(5)]
    outcomes = await ask_all(shard, *stays, *(stay(V, night, night + timedelta(days=1)) for _ in range(3)))
    assert all(isinstance(outcome, Done) for outcome in outcomes)
    assert [len(row.events) for row in batches(house)] == [2, 2, 4]
    assert [row.events[0].booking.booking_id for row in batches(house)] == [
        outcomes[first].booking.booking_id for first in (0, 2, 4)
    ]


async def test_the_mailbox_has_a_limit(house):
    shard = await house.start(mailbox_commands_max=3)
    await shard.ask(opening(restaurant(V, tables=20)))
    outcomes = await ask_all(shard, *(hold(V, by=guest(number)) for number in range(8)))
    refused = [outcome for outcome in outcomes if isinstance(outcome, Unavailable)]
    assert {outcome.trouble for outcome in refused} == {Trouble.OVERLOADED}
    assert len(refused) == 5
    assert isinstance(await shard.ask(hold(V, by=guest(9))), Done)


async def test_two_in_one_batch_do_not_get_one_seat(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V, tables=3)))
    outcomes = await ask_all(shard, *(hold(V, by=guest(number)) for number in range(5)))
    assert sum(isinstance(outcome, Done) for outcome in outcomes) == 3
    assert [o.reason for o in outcomes if isinstance(o, Rejection)] == [Reason.NO_AVAILABILITY] * 2


async def test_a_refusal_that_rests_on_the_batch_waits_for_its_commit(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V, tables=1)))
    house.faults.next("commit", 1.0)
    winner, loser = (asyncio.ensure_future(shard.ask(hold(V, by=guest(number)))) for number in (1, 2))
    await asyncio.sleep(0.5)
    assert not winner.done()
    assert not loser.done(), "refused for a booking that may yet fail"
    await asyncio.gather(winner, loser)


async def test_a_booking_changes_once_in_a_batch_and_in_order(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V, deposit=100)))
    placed = await shard.ask(hold(V))
    booking_id = placed.booking.booking_id
    confirmed, cancelled, late = await ask_all(
        shard, confirm(booking_id, V), cancel(booking_id), confirm(booking_id, V)
    )
    assert confirmed.booking.status is BookingStatus.CONFIRMED
    assert cancelled.booking.status is BookingStatus.CANCELLED
    assert late.reason is Reason.ILLEGAL_TRANSITION
    assert [len(row.events) for row in batches(house)] == [1, 1, 1]
    assert shard.stats().guard_refusals == 0


async def test_a_seat_freed_in_a_batch_is_sold_in_the_next(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V)))
    placed = await shard.ask(hold(V))
    cancelled, taken = await ask_all(shard, cancel(placed.booking.booking_id), hold(V, by=guest(2)))
    assert isinstance(cancelled, Done)
    assert isinstance(taken, Done)
    assert [len(row.events) for row in batches(house)] == [1, 1, 1]
    assert shard.stats().commands_put_off == 1


async def test_what_an_amendment_gives_back_is_sold_in_the_next_batch(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V)))
    placed = await shard.ask(hold(V))
    moved, taken, refused = await ask_all(
        shard,
        amend(placed.booking.booking_id, at=EVENING + timedelta(hours=2)),
        hold(V, by=guest(2)),
        hold(V, by=guest(3), at=EVENING + timedelta(hours=2)),
    )
    assert isinstance(moved, Done)
    assert isinstance(taken, Done)
    assert refused.reason is Reason.NO_AVAILABILITY


async def test_an_amendment_onto_a_seat_freed_in_the_batch_waits_for_the_next(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V)))
    first = await shard.ask(hold(V))
    later = EVENING + timedelta(hours=2)
    second = await shard.ask(hold(V, by=guest(2), at=later))
    gone, moved, again = await ask_all(
        shard,
        cancel(first.booking.booking_id),
        amend(second.booking.booking_id, at=EVENING, by=guest(2)),
        amend(second.booking.booking_id, notes="window", by=guest(2)),
    )
    assert isinstance(gone, Done)
    assert moved.booking.starts_at == EVENING
    assert (again.booking.version, again.booking.notes) == (3, "window")


async def test_disjoint_sittings_of_one_word_share_a_batch(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V)))
    outcomes = await ask_all(shard, *(hold(V, at=EVENING + timedelta(minutes=90 * number)) for number in range(3)))
    assert all(isinstance(outcome, Done) for outcome in outcomes)
    assert [len(row.events) for row in batches(house)] == [3]


async def test_a_vendors_own_command_comes_alone_and_in_its_turn(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V)))
    outcomes = await ask_all(
        shard,
        hold(V),
        changing(V, name="New name"),
        hold(V, by=guest(2), at=EVENING + timedelta(hours=2)),
        opening(restaurant(W)),
        hold(W),
    )
    assert [type(outcome) for outcome in outcomes] == [Done, VendorDone, Done, VendorDone, Done]
    assert [len(row.events) for row in house.database.outbox.values()] == [1, 1, 1, 1, 1, 1]


async def test_unknown_ids_of_a_batch_are_read_together(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V, tables=9)))
    await shard.ask(opening(restaurant(W, tables=9)))
    placed = await ask_all(shard, *(hold(of, by=guest(n)) for n, of in enumerate((V, W, V, W))))
    house.faults.next("load_vendor_page", 1000.0)
    fresh = await house.start("b")
    await asyncio.sleep(0.1)
    read = house.stores[-1].steps
    del read[:]
    await ask_all(fresh, *(cancel(p.booking.booking_id, by=guest(n)) for n, p in enumerate(placed)))
    read = [step for step in read if step.startswith("load_") and step != "load_vendor_page"]
    assert read == ["load_bookings", "load_vendors"]


async def test_a_batch_of_one_caller_is_answered_in_order(house):
    shard = await house.start(mailbox_commands_max=3)
    await shard.ask(opening(restaurant(V, tables=1)))
    commands = [(hold(V, by=guest(number)), False) for number in range(4)]
    won, lost, also_lost, overloaded = await shard.ask_batch(commands)
    assert isinstance(won, Done)
    assert lost.reason is also_lost.reason is Reason.NO_AVAILABILITY
    assert overloaded.trouble is Trouble.OVERLOADED


async def test_a_caller_that_gave_up_does_not_disturb_the_batch(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V, tables=2)))
    house.faults.next("commit", 1.0)
    gone = asyncio.ensure_future(shard.ask(hold(V)))
    stays = asyncio.ensure_future(shard.ask(hold(V, by=guest(2))))
    await asyncio.sleep(0.1)
    gone.cancel()
    assert isinstance(await stays, Done)
    assert len(house.database.bookings) == 2
