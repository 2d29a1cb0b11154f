"""The same key gets the first success again, whatever memory still knows of it."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from actors.outcome import Done
from domain.booking import BookingStatus
from domain.command import Once
from domain.rejection import Reason
from tests.fakes.houses import EVENING, amend, cancel, guest, hold, opening, restaurant, vendor_id

V = vendor_id(1)
W = vendor_id(2)


async def test_a_repeated_key_replays_the_first_success(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V, tables=3)))
    first = await shard.ask(hold(V, key="k"))
    again = await shard.ask(hold(V, key="k"))
    assert again == Done(first.booking, replayed=True)
    assert len(house.database.bookings) == 1


async def test_another_body_under_the_same_key_is_refused(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V, tables=3)))
    await shard.ask(hold(V, key="k"))
    refused = await shard.ask(hold(V, key="k", fingerprint=b"other", party=3))
    assert refused.reason is Reason.IDEMPOTENCY_KEY_REUSED


async def test_a_key_belongs_to_its_caller_and_its_vendor(house):
    shard = await house.start()
    for of in (V, W):
        await shard.ask(opening(restaurant(of, tables=3)))
    outcomes = [await shard.ask(hold(of, by=guest(n), key="k")) for of in (V, W) for n in (1, 2)]
    assert not any(outcome.replayed for outcome in outcomes)


async def test_a_refusal_is_not_remembered(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V)))
    taken = await shard.ask(hold(V))
    assert (await shard.ask(hold(V, by=guest(2), key="k"))).reason is Reason.NO_AVAILABILITY
    await shard.ask(cancel(taken.booking.booking_id))
    assert not (await shard.ask(hold(V, by=guest(2), key="k"))).replayed


async def test_the_first_answer_comes_again_whatever_became_of_the_booking(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V)))
    first = await shard.ask(hold(V, key="k"))
    await shard.ask(cancel(first.booking.booking_id))
    again = await shard.ask(hold(V, key="k"))
    assert again == Done(first.booking, replayed=True)
    assert again.booking.status is BookingStatus.CONFIRMED


async def test_one_that_comes_while_the_first_is_under_way_waits_for_it(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V, tables=3)))
    outcomes = await asyncio.gather(*(shard.ask(hold(V, key="k")) for _ in range(3)))
    assert [outcome.replayed for outcome in outcomes] == [False, True, True]
    assert shard.stats().guard_refusals == 0
    assert len(house.database.bookings) == 1


async def test_a_new_owner_replays_what_it_never_saw(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V, tables=3)))
    first = await shard.ask(hold(V, key="k"))
    fresh = await house.start("b")
    again = await fresh.ask(hold(V, key="k"))
    assert again == Done(first.booking, replayed=True)
    assert fresh.stats().guard_refusals == 1, "the insert is the look-up"


async def test_a_new_owner_does_not_refuse_the_echo_of_a_success(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V, tables=1)))
    first = await shard.ask(hold(V, key="k"))
    fresh = await house.start("b")
    again = await fresh.ask(hold(V, key="k"))
    assert again == Done(first.booking, replayed=True)
    other = await fresh.ask(hold(V, key="k", fingerprint=b"other"))
    assert other.reason is Reason.IDEMPOTENCY_KEY_REUSED


async def test_a_change_is_replayed_too(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V)))
    placed = await shard.ask(hold(V))
    booking_id = placed.booking.booking_id
    later = EVENING + timedelta(hours=1)
    moved = await shard.ask(amend(booking_id, at=later, key="m"))
    gone = await shard.ask(cancel(booking_id, key="c"))
    for owner in (shard, await house.start("b")):
        assert await owner.ask(amend(booking_id, at=later, key="m")) == Done(moved.booking, replayed=True)
        assert await owner.ask(cancel(booking_id, key="c")) == Done(gone.booking, replayed=True)


async def test_somebody_else_does_not_get_the_replay(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V)))
    placed = await shard.ask(hold(V, key="k"))
    await shard.ask(cancel(placed.booking.booking_id, key="c"))
    refused = await shard.ask(cancel(placed.booking.booking_id, by=guest(2), key="c"))
    assert refused.reason is Reason.NOT_FOUND


async def test_memory_forgets_answers_and_the_database_does_not(house):
    shard = await house.start(answers_kept_max=2)
    await shard.ask(opening(restaurant(V, tables=9)))
    firsts = [await shard.ask(hold(V, key=f"k{n}")) for n in range(5)]
    again = await shard.ask(hold(V, key="k0"))
    assert again == Done(firsts[0].booking, replayed=True)


async def test_a_hold_sent_again_without_a_key_is_known_by_its_booking(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V, tables=2)))
    command = hold(V)
    first = await shard.ask(command)
    assert await shard.ask(command, again=True) == Done(first.booking, replayed=True)
    fresh = await house.start("b")
    assert await fresh.ask(command, again=True) == Done(first.booking, replayed=True)


async def test_a_hold_sent_twice_at_once_is_made_once(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V, tables=3)))
    command = hold(V)
    first, second = await asyncio.gather(shard.ask(command), shard.ask(command, again=True))
    assert second == Done(first.booking, replayed=True)
    assert shard.stats().guard_refusals == 0


async def test_a_keyed_hold_known_by_its_booking_gets_its_first_answer(house):
    shard = await house.start(answers_kept_max=0)
    await shard.ask(opening(restaurant(V, tables=3)))
    command = hold(V, key="k")
    first = await shard.ask(command)
    await shard.ask(cancel(first.booking.booking_id))
    assert await shard.ask(command, again=True) == Done(first.booking, replayed=True)


async def test_a_hold_sent_again_to_a_full_house_is_not_refused_for_its_own_seat(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V, tables=1)))
    command = hold(V)
    first = await shard.ask(command)
    fresh = await house.start("b")
    assert await fresh.ask(command, again=True) == Done(first.booking, replayed=True)
    stranger = replace(hold(V, by=guest(2)), once=Once("x", b""))
    assert (await fresh.ask(stranger, again=True)).reason is Reason.NO_AVAILABILITY
