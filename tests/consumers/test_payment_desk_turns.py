"""Whose turn it is at the payment desk: what somebody told of and what is only due do not wait for each other."""

import pytest

from consumers.payment_desk import DeskLimits
from tests.consumers.test_payment_desk_loop import Ground, Looks, rest, running

pytestmark = pytest.mark.virtual_time

LIMITS = DeskLimits(looks_asked=6, looks_unasked=3, due_at_once=8)
SOON = 2 * LIMITS.due_rest_seconds


class Town(Ground):
    """Its desk has few places."""

    limits = LIMITS

    async def held(self, count):
        return [(await self.paying.hold()).booking_id for _ in range(count)]


@pytest.fixture
async def town():
    return Town()


@pytest.fixture
async def looks():
    return Looks()


async def test_what_is_only_due_does_not_wait_for_those_that_were_asked_for(town, looks):
    asked = await town.held(LIMITS.looks_asked)
    desk = town.desk(looks)
    async with running(desk):
        for one in asked:
            desk.look_soon(one)
        await rest(0.5)
        assert looks.under_way == asked
        due = await town.held(1)
        await rest(SOON)
        assert looks.under_way == asked + due
        looks.gate.set()


async def test_while_others_are_asked_for_again_and_again_what_is_due_has_its_turn(town):
    """Each look ends with the next message of its booking, so that those asked for never leave a place."""
    asked = await town.held(LIMITS.looks_asked + 2)
    looked = []

    class Told:
        async def look(self, booking_id, tries=0):
            await rest(0.1)
            looked.append(booking_id)
            if booking_id in asked:
                desk.look_soon(booking_id)

    desk = town.desk(Told())
    async with running(desk):
        for one in asked:
            desk.look_soon(one)
        await rest(0.5)
        [due] = await town.held(1)
        await rest(SOON + 0.1)
        assert due in looked


async def test_those_that_were_asked_for_and_wait_hide_none_that_is_only_due(town, looks):
    """They are due as well, and for longer, and the desk reads only so many."""
    asked = await town.held(LIMITS.looks_asked + LIMITS.due_at_once + 5)
    desk = town.desk(looks)
    async with running(desk):
        for one in asked:
            desk.look_soon(one)
        await rest(0.5)
        due = await town.held(1)
        await rest(SOON)
        assert looks.under_way == asked[: LIMITS.looks_asked] + due
        looks.gate.set()


async def test_both_kinds_together_are_bounded(town, looks):
    due = await town.held(LIMITS.looks_unasked + 2)
    desk = town.desk(looks)
    async with running(desk):
        await rest(0.5)
        assert looks.under_way == due[: LIMITS.looks_unasked]
        asked = await town.held(LIMITS.looks_asked + 2)
        for one in asked:
            desk.look_soon(one)
        await rest(5)
        assert looks.under_way == due[: LIMITS.looks_unasked] + asked[: LIMITS.looks_asked]
        looks.gate.set()
        await rest(SOON)
        assert looks.most == LIMITS.looks_unasked + LIMITS.looks_asked
        assert {one for one, _ in looks.done} >= {*due, *asked}
