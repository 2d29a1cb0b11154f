"""Holds that die, bookings that end, and a clock that jumps."""

import asyncio
from datetime import timedelta

from actors.outcome import Done, Unavailable
from domain.booking import BookingStatus
from domain.decide import decide_change
from domain.rejection import Reason
from tests.fakes.houses import EVENING, confirm, guest, hold, opening, restaurant, vendor_id
from tests.fakes.memory_store import Fault

V = vendor_id(1)


async def blocked(house, shard, ttl=60):
    await shard.ask(opening(restaurant(V, deposit=100, hold_ttl_seconds=ttl)))
    placed = await shard.ask(hold(V))
    return placed.booking.booking_id


def status(house, booking_id):
    return house.database.bookings[booking_id].status


async def test_an_idle_shard_expires_a_hold_within_a_second(house):
    shard = await house.start()
    booking_id = await blocked(house, shard)
    await asyncio.sleep(59.5)
    assert status(house, booking_id) is BookingStatus.BLOCKED
    await asyncio.sleep(1.5)
    assert status(house, booking_id) is BookingStatus.EXPIRED
    assert isinstance(await shard.ask(hold(V, by=guest(2))), Done)


async def test_a_live_hold_is_never_sold(house):
    shard = await house.start()
    await blocked(house, shard)
    await asyncio.sleep(59)
    assert (await shard.ask(hold(V, by=guest(2)))).reason is Reason.NO_AVAILABILITY


async def test_a_dead_hold_goes_before_whoever_wants_its_seat(house):
    shard = await house.start()
    booking_id = await blocked(house, shard)
    house.clock.jump(timedelta(seconds=60))
    assert isinstance(await shard.ask(hold(V, by=guest(2))), Done)
    assert status(house, booking_id) is BookingStatus.EXPIRED


async def test_a_confirmed_hold_does_not_expire(house):
    shard = await house.start()
    booking_id = await blocked(house, shard)
    await shard.ask(confirm(booking_id, V))
    await asyncio.sleep(120)
    assert status(house, booking_id) is BookingStatus.CONFIRMED
    assert shard.stats().live_holds == 0


async def test_confirming_a_dead_hold_is_refused(house):
    shard = await house.start()
    booking_id = await blocked(house, shard)
    house.faults.next("commit", Fault.UNAVAILABLE)
    house.clock.jump(timedelta(seconds=61))
    assert (await shard.ask(confirm(booking_id, V))).reason is Reason.HOLD_EXPIRED


async def test_a_new_owner_expires_the_holds_it_finds(house):
    shard = await house.start()
    booking_id = await blocked(house, shard)
    await house.start("b")
    await asyncio.sleep(62)
    assert status(house, booking_id) is BookingStatus.EXPIRED


async def test_a_clock_that_jumps_ahead_expires_holds_without_a_command(house):
    shard = await house.start()
    booking_id = await blocked(house, shard, ttl=3600)
    house.clock.jump(timedelta(hours=2))
    await asyncio.sleep(1.5)
    assert status(house, booking_id) is BookingStatus.EXPIRED


async def test_so_it_does_where_the_database_was_away_when_it_was_last_asked(house):
    shard = await house.start()
    booking_id = await blocked(house, shard, ttl=3600)
    house.faults.always("commit", Fault.UNAVAILABLE)
    assert isinstance(await shard.ask(hold(V, by=guest(2), at=EVENING + timedelta(days=1))), Unavailable)
    house.faults.clear()
    house.clock.jump(timedelta(hours=2))
    await asyncio.sleep(1.5)
    assert status(house, booking_id) is BookingStatus.EXPIRED


async def test_time_does_not_go_back(house):
    shard = await house.start()
    booking_id = await blocked(house, shard)
    written = house.database.bookings[booking_id].updated_at
    house.clock.jump(timedelta(hours=-3))
    confirmed = await shard.ask(confirm(booking_id, V))
    assert confirmed.booking.updated_at >= written


async def test_time_does_not_go_back_over_a_restart(house):
    shard = await house.start()
    booking_id = await blocked(house, shard)
    written = house.database.bookings[booking_id].updated_at
    house.clock.jump(timedelta(hours=-3))
    fresh = await house.start("b")
    assert fresh.now() >= written
    confirmed = await fresh.ask(confirm(booking_id, V))
    assert confirmed.booking.updated_at >= written


async def test_a_booking_that_nobody_marked_is_availed_two_days_after_its_end(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V)))
    placed = await shard.ask(hold(V))
    house.clock.jump(EVENING - house.clock() + timedelta(hours=49))
    await asyncio.sleep(61)
    assert status(house, placed.booking.booking_id) is BookingStatus.CONFIRMED
    house.clock.jump(timedelta(hours=1))
    await asyncio.sleep(61)
    assert status(house, placed.booking.booking_id) is BookingStatus.AVAILED


async def test_settling_waits_for_a_database_that_is_away_and_for_room_in_the_mailbox(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V)))
    placed = await shard.ask(hold(V))
    house.clock.jump(EVENING - house.clock() + timedelta(hours=60))
    house.faults.next("load_ended", Fault.UNAVAILABLE)
    await asyncio.sleep(61)
    assert status(house, placed.booking.booking_id) is BookingStatus.CONFIRMED
    await asyncio.sleep(61)
    assert status(house, placed.booking.booking_id) is BookingStatus.AVAILED


async def ended(house, shard, bookings):
    """That many confirmed bookings, all over for longer than the system waits; oldest first."""
    await shard.ask(opening(restaurant(V, tables=bookings)))
    for number in range(bookings):
        await shard.ask(hold(V, by=guest(number)))
    house.clock.jump(EVENING - house.clock() + timedelta(hours=60))
    return sorted(house.database.bookings, key=lambda booking_id: booking_id.int)


async def test_all_that_ended_is_settled_at_once_and_not_a_page_a_minute(house):
    shard = await house.start(settle_bookings_max=2)
    booking_ids = await ended(house, shard, 7)
    await asyncio.sleep(61)
    assert [status(house, booking_id) for booking_id in booking_ids] == [BookingStatus.AVAILED] * 7
    assert house.steps.count("load_ended") == 4, "and the last page, which is not full, ends the round"


async def test_pages_of_settling_go_one_by_one_with_a_rest(house):
    """Guests come between: no two pages in the mailbox, and most of the time none."""
    shard = await house.start(settle_bookings_max=2, sweep_share_percent=25)
    booking_ids = await ended(house, shard, 4)
    house.faults.always("commit", 1.0)
    settled = []
    for _ in range(70):
        await asyncio.sleep(1)
        settled.append([status(house, booking_id) for booking_id in booking_ids].count(BookingStatus.AVAILED))
    assert settled.index(4) - settled.index(2) == 4, "a second for a page, then three of rest"
    assert set(settled) == {0, 2, 4}


async def test_what_cannot_be_settled_stands_in_nobodys_way(house, monkeypatch):
    shard = await house.start(settle_bookings_max=2)
    booking_ids = await ended(house, shard, 5)
    spoilt = set(booking_ids[:3])
    decide = decide_change

    def broken_for_some(state, booking, command, *, now):
        if booking.booking_id in spoilt:
            raise ZeroDivisionError
        return decide(state, booking, command, now=now)

    monkeypatch.setattr("actors.draft.decide_change", broken_for_some)
    await asyncio.sleep(61)
    statuses = [status(house, booking_id) for booking_id in booking_ids]
    assert statuses == [BookingStatus.CONFIRMED] * 3 + [BookingStatus.AVAILED] * 2
    spoilt.clear()
    await asyncio.sleep(61)
    assert {status(house, booking_id) for booking_id in booking_ids} == {BookingStatus.AVAILED}, "a round begins anew"


async def test_a_full_mailbox_settles_later(house):
    shard = await house.start(mailbox_commands_max=1)
    await shard.ask(opening(restaurant(V, tables=3)))
    for number in range(3):
        await shard.ask(hold(V, by=guest(number)))
    house.clock.jump(EVENING - house.clock() + timedelta(hours=60))
    await asyncio.sleep(61)
    settled = [b.status for b in house.database.bookings.values()].count(BookingStatus.AVAILED)
    assert settled == 1
    await asyncio.sleep(130)
    assert {b.status for b in house.database.bookings.values()} == {BookingStatus.AVAILED}


async def test_the_timer_of_a_booking_that_was_settled_elsewhere_is_dropped(house):
    shard = await house.start()
    booking_id = await blocked(house, shard)
    shard._memory.holds.note(house.database.bookings[booking_id])
    shard._memory.bookings.pop(booking_id)
    await shard.ask(confirm(booking_id, V))
    before = house.database.bookings[booking_id]
    stale = placed_again(before)
    shard._memory.holds.note(stale)
    shard._mailbox.wake()
    await asyncio.sleep(70)
    assert shard.stats().live_holds == 0
    assert status(house, booking_id) is BookingStatus.CONFIRMED


async def test_the_timer_of_a_booking_that_is_gone_is_dropped(house):
    shard = await house.start()
    booking_id = await blocked(house, shard)
    shard._memory.bookings.pop(booking_id)
    gone = house.database.bookings.pop(booking_id)
    house.database.words.clear()
    await asyncio.sleep(70)
    assert shard.stats().live_holds == 0
    assert gone.status is BookingStatus.BLOCKED


def placed_again(booking):
    from dataclasses import replace

    return replace(booking, status=BookingStatus.BLOCKED, hold_expires_at=booking.created_at + timedelta(seconds=60))
