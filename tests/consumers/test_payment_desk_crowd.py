"""A crowd at the payment desk: it takes in no more than may wait, each step costs the same however many do, and none is lost."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from uuid import UUID

import pytest

from consumers import payment_sweeper
from consumers.payment_desk import DeskLimits
from consumers.payment_sweeper import PaymentSweeper
from tests.consumers.paying import SWEEP
from tests.consumers.test_payment_desk_loop import Ground, Looks, now, rest, running
from tests.consumers.test_payment_sweeper import KEEP

pytestmark = pytest.mark.virtual_time

LIMITS = DeskLimits(looks_asked=3, looks_unasked=2, messages_at_once=4, asked_waiting_max=10)
IN_MEMORY_MAX = LIMITS.looks_asked + LIMITS.asked_waiting_max + LIMITS.messages_at_once - 1


class Town(Ground):
    """Its desk has few places, and few may wait for them."""

    limits = LIMITS

    async def paid(self, count):
        """Holds whose payment lies in the inbox, with nobody there to take it."""
        made = [await self.paying.hold() for _ in range(count)]
        for held in made:
            await self.paying.pay(held)
        return made

    async def messages(self):
        return len(await self.paying.inbox.waiting(1000))

    async def confirmed(self, made):
        while any(self.paying.status(held) != "CONFIRMED" for held in made):
            await rest(0.01)


class Counted(UUID):
    """A booking's id that counts how often it was looked up anywhere."""

    lookups = 0

    def __hash__(self):
        Counted.lookups += 1
        return super().__hash__()


@asynccontextmanager
async def held_up(desk, looks):
    """The desk runs, and its looks are let go at the end at the latest."""
    async with running(desk):
        try:
            yield
        finally:
            looks.gate.set()


def ids(start, count):
    return [Counted(int=number) for number in range(start, start + count)]


def lookups(steps):
    """The most that any one of the steps took."""
    most = 0
    for step in steps:
        before = Counted.lookups
        step()
        most = max(most, Counted.lookups - before)
    return most


@pytest.fixture
async def town():
    return Town()


@pytest.fixture
async def looks():
    return Looks()


async def test_one_more_costs_the_same_however_many_wait(town, looks):
    town.limits = DeskLimits()
    desk = town.desk(looks)
    async with held_up(desk, looks):
        await rest(0.5)
        few = lookups(lambda one=one: desk.look_soon(one) for one in ids(1, 100))
        many = lookups(lambda one=one: desk.look_soon(one) for one in ids(101, 1000))
        assert many <= few


async def test_each_look_that_ends_costs_the_same_however_many_wait(town):
    """Those in hand that were asked for again are passed over: they are no more than there are places."""
    cost = []

    class Told:
        async def look(self, booking_id, tries=0):
            await rest(0.1)
            cost.append(Counted.lookups)

    town.limits = limits = replace(LIMITS, asked_waiting_max=5000)
    desk = town.desk(Told())
    first, others = ids(1, limits.looks_asked), ids(100, 1000)
    async with running(desk):
        await rest(0.5)
        for one in (*first, *first, *others):
            desk.look_soon(one)
        while len(cost) < len((*first, *first, *others)):
            await rest(0.1)
    each = [after - before for before, after in pairwise(cost)]
    assert max(each) <= 20 * (limits.looks_asked + limits.looks_unasked)


async def test_while_too_many_wait_no_message_is_taken(town, looks):
    made = await town.paid(40)
    async with held_up(town.desk(looks), looks):
        await rest(30)
        assert await town.messages() >= len(made) - IN_MEMORY_MAX
        began = now()
        looks.gate.set()
        while await town.messages():
            await rest(0.001)
        assert now() - began < LIMITS.idle_seconds  # each page was asked for as soon as there was room
        await rest(SWEEP.total_seconds())
        assert {booking_id for booking_id, _ in looks.done} == {held.booking_id for held in made}


async def test_there_is_room_again_also_where_looks_fail(town, looks):
    await town.paid(40)
    looks.error = ZeroDivisionError("a bug")
    async with held_up(town.desk(looks), looks):
        await rest(30.5)
        began = now()
        looks.gate.set()
        while await town.messages():
            await rest(0.001)
        assert now() - began < LIMITS.idle_seconds / 2


async def test_a_full_desk_does_not_ask_in_vain(town, looks, monkeypatch):
    await town.paid(40)
    waiting, asked = town.paying.inbox.waiting, []

    async def counted(messages_max):
        asked.append(now())
        return await waiting(messages_max)

    monkeypatch.setattr(town.paying.inbox, "waiting", counted)
    async with held_up(town.desk(looks), looks):
        await rest(1)
        before = len(asked)
        await rest(60)
        assert len(asked) == before


async def test_a_desk_that_ends_with_a_crowd_before_the_desk_loses_none(town, looks):
    """What was taken is due, and what was not is in the inbox still."""
    made = await town.paid(40)
    dying = town.desk(looks)
    async with held_up(dying, looks):
        await rest(5)
        assert 0 < await town.messages() < len(made)
        dying.stop()  # and those that wait for a look are forgotten with it
        async with running(town.desk()), asyncio.timeout(60):
            await town.confirmed(made)


def swept_by(paying, desk):
    every = SWEEP.total_seconds()
    return PaymentSweeper(paying.store, paying.inbox, desk, paying.clock, every_seconds=every, keep=KEEP)


@pytest.fixture
def in_small_pages(monkeypatch):
    monkeypatch.setattr(payment_sweeper, "_PAGE", 2)


@pytest.mark.usefixtures("in_small_pages")
@pytest.mark.parametrize("long_ago", [0, 300], ids=["lately", "long ago"])
async def test_while_too_many_wait_the_sweeper_reads_no_page_and_finds_the_rest_later(town, looks, long_ago):
    made = []
    for _ in range(40):
        await rest(0.01)
        town.paying.house.now = town.paying.clock()
        made.append(town.paying.house.booked("24T19:00").booking_id)
    await rest(long_ago + SWEEP.total_seconds())
    desk = town.desk(looks)
    sweeper = swept_by(town.paying, desk)
    async with held_up(desk, looks), running(sweeper):
        await rest(28)
        assert desk.full
        assert sweeper.state.handled < len(made)
        looks.gate.set()
        await rest(0.001)
        at_first = len({booking_id for booking_id, _ in looks.done})
        assert LIMITS.asked_waiting_max <= at_first <= IN_MEMORY_MAX
        await rest(60 + 10 * SWEEP.total_seconds())
        assert {booking_id for booking_id, _ in looks.done} == set(made)


@pytest.mark.usefixtures("in_small_pages")
async def test_while_too_many_wait_the_ends_that_nobody_noticed_are_left_where_they_are(town):
    made = await town.paid(30)
    async with running(town.desk()):
        await town.confirmed(made)
        await rest(1)
    for held in made:
        town.paying.house.now = town.paying.clock()
        town.paying.house.mark(town.paying.now(held), "CANCELLED")
    await rest(60)
    desk = town.desk()
    hanging, refund = asyncio.Event(), town.paying.provider.refund

    async def hang(asked):
        await hanging.wait()
        return await refund(asked)

    town.paying.provider.refund = hang
    async with running(desk), running(swept_by(town.paying, desk)):
        await rest(1)
        full = desk.full
        hanging.set()
        assert full
        async with asyncio.timeout(300):
            while {town.paying.shown(held) for held in made} != {"refunded"}:
                await rest(1)
