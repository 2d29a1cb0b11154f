"""How a shard stops: what it holds is answered, and what broke it is not hidden."""

import asyncio

from actors.outcome import Done, Trouble
from actors.shard import Ending
from domain.booking import BookingStatus
from tests.fakes.houses import guest, hold, opening, restaurant, vendor_id
from tests.fakes.memory_store import Fault

V = vendor_id(1)


async def test_a_graceful_stop_answers_what_it_holds(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V, tables=5)))
    house.faults.next("commit", 1.0)
    first = asyncio.ensure_future(shard.ask(hold(V)))
    await asyncio.sleep(0.1)
    queued = asyncio.ensure_future(shard.ask(hold(V, by=guest(2))))
    await asyncio.sleep(0)
    stopping = asyncio.ensure_future(shard.stop())
    await asyncio.sleep(0)
    assert (await shard.ask(hold(V, by=guest(3)))).trouble is Trouble.SHARD_MOVING
    await stopping
    assert isinstance(await first, Done)
    assert isinstance(await queued, Done)
    assert house.endings == [Ending.STOPPED]
    assert house.stores[0].closed
    await shard.stop()
    assert house.endings == [Ending.STOPPED]


async def test_a_stop_does_not_wait_for_ever(house):
    shard = await house.start(stop_seconds=2.0)
    await shard.ask(opening(restaurant(V, tables=5)))
    house.faults.next("commit", 100.0)
    in_flight = asyncio.ensure_future(shard.ask(hold(V)))
    await asyncio.sleep(0.1)
    queued = asyncio.ensure_future(shard.ask(hold(V, by=guest(2))))
    await asyncio.sleep(0.1)
    await shard.stop()
    assert (await in_flight).trouble is Trouble.OUTCOME_UNKNOWN
    assert (await queued).trouble is Trouble.SHARD_MOVING
    assert shard.ending is Ending.STOPPED


async def test_a_stop_while_an_outcome_is_unknown_ends_soon(house):
    shard = await house.start(patience_seconds=1.0)
    await shard.ask(opening(restaurant(V)))
    house.faults.next("commit", Fault.LOST_DONE)
    house.faults.always("retake", Fault.UNAVAILABLE)
    await shard.ask(hold(V))
    await shard.stop()
    assert shard.ending is Ending.STOPPED


async def test_an_event_that_cannot_be_applied_ends_the_shard_and_writes_nothing(house, monkeypatch):
    shard = await house.start()
    await shard.ask(opening(restaurant(V)))

    def broken(state, event):
        raise ZeroDivisionError

    monkeypatch.setattr("actors.draft.evolve", broken)
    outcome = await shard.ask(hold(V))
    assert outcome.trouble is Trouble.OUTCOME_UNKNOWN
    assert house.database.bookings == {}
    assert house.endings == [Ending.BROKEN]
    monkeypatch.undo()
    fresh = await house.start("a")
    assert isinstance(await fresh.ask(hold(V)), Done)


async def test_a_chore_that_breaks_ends_the_shard(house):
    shard = await house.start()

    async def broken(*_):
        raise ZeroDivisionError

    house.stores[0].load_ended = broken
    await asyncio.sleep(61)
    assert house.endings == [Ending.BROKEN]
    assert (await shard.ask(hold(V))).trouble is Trouble.SHARD_MOVING


async def test_a_read_that_breaks_is_told_to_its_reader_alone(house):
    shard = await house.start()

    async def broken(*_):
        raise ZeroDivisionError

    house.stores[0].load_bookings = broken
    outcome = await asyncio.gather(shard.booking(hold(V).booking_id), return_exceptions=True)
    assert isinstance(outcome[0], ZeroDivisionError)
    assert shard.serving


async def test_a_stopped_shard_leaves_its_holds_to_the_next(house):
    shard = await house.start()
    await shard.ask(opening(restaurant(V, deposit=100, hold_ttl_seconds=30)))
    placed = await shard.ask(hold(V))
    await shard.stop()
    await asyncio.sleep(60)
    assert house.database.bookings[placed.booking.booking_id].status is BookingStatus.BLOCKED
    await house.start("b")
    await asyncio.sleep(1)
    assert house.database.bookings[placed.booking.booking_id].status is BookingStatus.EXPIRED
