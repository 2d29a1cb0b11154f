"""Many who look at what is free neither keep the writer from its batches nor wait for ever."""

import asyncio
from datetime import date

from actors.limits import ShardLimits
from actors.look_gate import LookGate
from actors.outcome import Done, Trouble, Unavailable, VendorDone
from domain.availability import AvailabilityQuery
from tests.fakes.houses import hold, opening, restaurant, vendor_id

V = vendor_id()
LOOK = AvailabilityQuery(date(2026, 12, 1), date(2027, 1, 31))


async def test_only_so_many_are_inside_at_a_time():
    gate = LookGate(ShardLimits(looks_at_once=2, looks_waiting_max=100))
    inside, most = 0, 0

    async def look():
        nonlocal inside, most
        async with gate.turn() as admitted:
            assert admitted
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(look() for _ in range(20)))
    assert most == 2


async def test_beyond_those_that_may_wait_nobody_is_let_in():
    gate = LookGate(ShardLimits(looks_at_once=1, looks_waiting_max=1))
    async with gate.turn() as first:
        waiting = asyncio.create_task(enter(gate))
        await asyncio.sleep(0)
        assert await enter(gate) is False
    assert first
    assert await waiting is True


async def test_who_waited_too_long_is_turned_away_and_gives_up_the_place():
    gate = LookGate(ShardLimits(looks_at_once=1, look_wait_seconds=2.0))
    async with gate.turn():
        assert await enter(gate) is False
    assert await enter(gate) is True


async def test_a_shard_that_many_look_at_says_so_and_goes_on_booking(house):
    shard = await house.start(looks_at_once=1, looks_waiting_max=3)
    assert isinstance(await shard.ask(opening(restaurant(V))), VendorDone)
    looks = [asyncio.create_task(shard.availability(V, LOOK)) for _ in range(10)]
    booked = await shard.ask(hold(V))
    answers = await asyncio.gather(*looks)
    assert isinstance(booked, Done)
    turned_away = [answer for answer in answers if isinstance(answer, Unavailable)]
    assert turned_away
    assert {answer.trouble for answer in turned_away} == {Trouble.OVERLOADED}
    assert len(answers) - len(turned_away) >= 1


async def enter(gate):
    async with gate.turn() as admitted:
        return admitted
