"""One command at a time: what a shard answers, and what is in the database when it does."""

import asyncio
from dataclasses import replace
from datetime import date, timedelta

import pytest

from actors.outcome import Done, VendorDone
from domain.availability import AvailabilityQuery
from domain.booking import BookingStatus
from domain.command import Caller, Role
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
    manager,
    new_booking_id,
    opening,
    restaurant,
    stay,
    vendor_id,
)

V = vendor_id()


async def test_a_hold_is_in_the_database_when_it_is_answered(house):
    shard = await house.start()
    assert isinstance(await shard.ask(opening(restaurant(V))), VendorDone)
    outcome = await shard.ask(hold(V))
    assert isinstance(outcome, Done)
    assert outcome.booking.status is BookingStatus.CONFIRMED
    assert house.database.bookings[outcome.booking.booking_id] == outcome.booking
    assert house.database.words
    assert len(house.database.outbox) == 2


async def test_the_same_seat_is_not_sold_twice(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V)))
    assert isinstance(await shard.ask(hold(V)), Done)
    refused = await shard.ask(hold(V, by=guest(2)))
    assert isinstance(refused, Rejection)
    assert refused.reason is Reason.NO_AVAILABILITY


async def test_a_refusal_writes_nothing(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V)))
    before = len(house.database.outbox)
    assert isinstance(await shard.ask(hold(V, party=50)), Rejection)
    assert len(house.database.outbox) == before
    assert "commit" not in house.steps


async def test_unknown_vendor_and_unknown_booking_are_not_found(house):
    shard = await house.start()
    for command in (hold(V), cancel(new_booking_id(V)), confirm(new_booking_id(V), V)):
        refused = await shard.ask(command)
        assert isinstance(refused, Rejection)
        assert refused.reason is Reason.NOT_FOUND


async def test_only_users_book_and_an_unknown_vendor_does_not_change_that(house):
    shard = await house.start()
    for known in (False, True):
        if known:
            await shard.ask(opening(restaurant(V)))
        refused = await shard.ask(hold(V, by=manager(V)))
        assert isinstance(refused, Rejection)
        assert refused.reason is Reason.FORBIDDEN


async def test_a_malformed_wish_is_told_so_before_its_sender_is(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V)))
    refused = await shard.ask(replace(hold(V, by=manager(V)), seat_type="throne"))
    assert isinstance(refused, Rejection)
    assert refused.reason is Reason.INVALID_REQUEST


async def test_a_cancelled_seat_is_sold_again(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V)))
    first = await shard.ask(hold(V))
    cancelled = await shard.ask(cancel(first.booking.booking_id))
    assert cancelled.booking.status is BookingStatus.CANCELLED
    assert cancelled.booking.version == 2
    assert isinstance(await shard.ask(hold(V, by=guest(2))), Done)


async def test_anothers_booking_does_not_exist(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V)))
    placed = await shard.ask(hold(V))
    refused = await shard.ask(cancel(placed.booking.booking_id, by=guest(2)))
    assert refused.reason is Reason.NOT_FOUND


async def test_an_amendment_moves_the_seat_and_frees_the_old_one(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V)))
    placed = await shard.ask(hold(V))
    later = EVENING + timedelta(minutes=30)
    moved = await shard.ask(amend(placed.booking.booking_id, at=later))
    assert isinstance(moved, Done)
    assert moved.booking.starts_at == later
    assert isinstance(await shard.ask(hold(V, at=EVENING - timedelta(minutes=60), by=guest(2))), Done)


async def test_a_vendors_confirm_waives_the_deposit(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V, deposit=500)))
    placed = await shard.ask(hold(V))
    assert placed.booking.status is BookingStatus.BLOCKED
    confirmed = await shard.ask(confirm(placed.booking.booking_id, V))
    assert confirmed.booking.status is BookingStatus.CONFIRMED
    assert confirmed.booking.deposit_waived


async def test_a_stay_takes_whole_nights_of_several_rooms(house):
    shard = await house.start()
    await shard.ask(opening(hotel(V, rooms=2)))
    first, last = date(2026, 12, 24), date(2026, 12, 27)
    assert isinstance(await shard.ask(stay(V, first, last, quantity=2)), Done)
    refused = await shard.ask(stay(V, date(2026, 12, 26), date(2026, 12, 28), by=guest(2)))
    assert refused.reason is Reason.NO_AVAILABILITY
    assert isinstance(await shard.ask(stay(V, last, date(2026, 12, 28), by=guest(2))), Done)


async def test_a_booking_is_read_from_memory_and_else_from_the_database(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V)))
    placed = await shard.ask(hold(V))
    assert await shard.booking(placed.booking.booking_id) == placed.booking
    assert "load_bookings" not in house.steps
    assert await shard.booking(new_booking_id(V)) is None
    again = await house.start("b")
    assert await again.booking(placed.booking.booking_id) == placed.booking


async def test_availability_loads_the_vendor_and_follows_the_bookings(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V, tables=2)))
    query = AvailabilityQuery(EVENING.date(), EVENING.date(), party_size=2)

    async def free() -> int:
        rows = await shard.availability(V, query)
        return next((row.free for row in rows if row.starts_at == EVENING), 0)

    assert await free() == 2
    await shard.ask(hold(V))
    assert await free() == 1
    unknown = await shard.availability(vendor_id(99), query)
    assert unknown.reason is Reason.NOT_FOUND


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.SYSTEM])
async def test_operators_may_cancel(house, role):
    shard = await house.start()
    await shard.ask(opening(restaurant(V)))
    placed = await shard.ask(hold(V))
    outcome = await shard.ask(cancel(placed.booking.booking_id, by=Caller(role, guest(0).account_id)))
    assert isinstance(outcome, Done)


TWO_MONTHS = AvailabilityQuery(EVENING.date(), EVENING.date() + timedelta(days=61))


async def test_availability_lets_others_in_between_two_days(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V)))
    assert await shard.availability(V, TWO_MONTHS)
    asked = asyncio.ensure_future(shard.availability(V, TWO_MONTHS))
    turns = 0
    while not asked.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns >= 62


async def test_availability_keeps_to_the_facts_it_began_with(house, monkeypatch):
    """The vendor is compiled anew between two days, and both answers are whole: that of before and that of after."""
    shard = await house.start()
    await shard.ask(opening(restaurant(V, tables=2)))
    before = await shard.availability(V, TWO_MONTHS)
    one_slice_taken, updated = asyncio.Event(), asyncio.Event()
    between = asyncio.sleep

    async def held_up(seconds: float) -> None:
        if asyncio.current_task() is asked and not updated.is_set():
            one_slice_taken.set()
            await updated.wait()
        else:
            await between(seconds)

    monkeypatch.setattr("actors.shard.asyncio.sleep", held_up)
    asked = asyncio.ensure_future(shard.availability(V, TWO_MONTHS))
    await asyncio.wait([asked, asyncio.ensure_future(one_slice_taken.wait())], return_when=asyncio.FIRST_COMPLETED)
    assert one_slice_taken.is_set()
    assert isinstance(await shard.ask(changing(V, seats=())), VendorDone)
    updated.set()
    assert await asked == before
    assert await shard.availability(V, TWO_MONTHS) == []
