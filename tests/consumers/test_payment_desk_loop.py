"""The payment desk as it runs: what wakes it, what waits for what, and how it goes on when something is away."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from consumers.payment_desk import DeskLimits, PaymentDesk
from storage.errors import StoreUnavailable
from tests.consumers.paying import Paying
from tests.fakes.virtual_time import Clock

pytestmark = pytest.mark.virtual_time

LIMITS = DeskLimits()


class Wakeups:
    """Listens, unless it is deaf."""

    def __init__(self) -> None:
        self.heard = None
        self.closed = False
        self.deaf = False

    def __call__(self, heard):
        self.heard = heard
        return self

    def tell(self) -> None:
        if self.heard is not None and not self.deaf:
            self.heard("")

    async def listen(self) -> bool:
        return not self.deaf

    async def close(self) -> None:
        self.closed = True


class Looks:
    """Looks that take until they are let go; at most one of a booking at a time."""

    def __init__(self) -> None:
        self.under_way = []
        self.most = 0
        self.done = []
        self.gate = asyncio.Event()
        self.error = None

    async def look(self, booking_id, tries=0):
        assert booking_id not in self.under_way
        self.under_way.append(booking_id)
        self.most = max(self.most, len(self.under_way))
        try:
            await self.gate.wait()
            if self.error is not None:
                raise self.error
        finally:
            self.under_way.remove(booking_id)
        self.done.append((booking_id, tries))


class Ground:
    limits: DeskLimits | None = None

    def __init__(self) -> None:
        self.wakeups = Wakeups()
        self.paying = Paying(clock=Clock(), told=self.wakeups.tell)

    def desk(self, looks=None) -> PaymentDesk:
        paying = self.paying
        return PaymentDesk(
            paying.store,
            paying.inbox,
            paying.messages,
            looks or paying.looks,
            clock=paying.clock,
            wakeups=self.wakeups,
            limits=self.limits,
        )


@pytest.fixture
async def ground():
    return Ground()


@asynccontextmanager
async def running(desk):
    task = asyncio.create_task(desk.run())
    try:
        yield
        assert not task.done()
    finally:
        desk.stop()
        await task


async def rest(seconds: float) -> None:
    """Virtual time."""
    await asyncio.sleep(seconds)


def now() -> float:
    return asyncio.get_running_loop().time()


async def confirmed(ground, booking) -> float:
    """How long it took, which is nothing where nobody had to wait for a timer."""
    began = now()
    while ground.paying.status(booking) != "CONFIRMED":
        await rest(0.0001)
    return now() - began


async def test_a_message_confirms_the_booking_without_any_waiting(ground):
    held = await ground.paying.hold()
    async with running(ground.desk()):
        await rest(3)
        await ground.paying.pay(held)
        assert await confirmed(ground, held) < 0.001
    assert ground.wakeups.closed


async def test_without_wake_ups_it_looks_by_itself(ground):
    held = await ground.paying.hold()
    ground.wakeups.deaf = True
    async with running(ground.desk()):
        await rest(3.5)
        await ground.paying.pay(held)
        assert await confirmed(ground, held) < LIMITS.idle_seconds


async def test_what_is_due_is_looked_at_soon_after_it_was_written(ground):
    held = await ground.paying.hold()
    async with running(ground.desk()):
        await ground.paying.pay(held)
        await confirmed(ground, held)
        await rest(2)
        await ground.paying.mark(held, "AVAILED")
        await rest(2 * LIMITS.due_rest_seconds)
        assert ground.paying.shown(held) == "refunded"


async def test_many_changes_of_a_payment_are_one_look(ground):
    looks = Looks()
    looks.gate.set()
    async with running(ground.desk(looks)):
        await rest(0.5)
        held = await ground.paying.hold()  # written, and again once its checkout is open
        await rest(LIMITS.due_rest_seconds * 0.5)
        assert looks.done == []
        await rest(LIMITS.due_rest_seconds)
        assert looks.done == [(held.booking_id, 0)]


async def test_those_that_are_only_due_leave_room_for_those_that_were_just_told_of(ground):
    paying = ground.paying
    waiting = [await paying.hold() for _ in range(LIMITS.looks_unasked + 5)]
    looks = Looks()
    desk = ground.desk(looks)
    async with running(desk):
        await rest(1)
        assert len(looks.under_way) == LIMITS.looks_unasked
        told = await paying.hold()
        desk.look_soon(told.booking_id)
        await rest(0.001)
        assert told.booking_id in looks.under_way
        looks.gate.set()
        await rest(0.001)
        assert {booking_id for booking_id, _ in looks.done} >= {one.booking_id for one in waiting}


async def test_never_more_at_once_than_there_may_be(ground):
    held = [await ground.paying.hold() for _ in range(LIMITS.looks_asked + 5)]
    looks = Looks()
    desk = ground.desk(looks)
    async with running(desk):
        for one in held:
            desk.look_soon(one.booking_id)
        await rest(5)
        assert looks.most == LIMITS.looks_asked
        looks.gate.set()
        await rest(0.001)
        assert {booking_id for booking_id, _ in looks.done} >= {one.booking_id for one in held}


async def test_a_booking_that_is_being_looked_at_is_looked_at_again_afterwards(ground):
    held = await ground.paying.hold()
    looks = Looks()
    desk = ground.desk(looks)
    async with running(desk):
        desk.look_soon(held.booking_id)
        await rest(0.5)
        desk.look_soon(held.booking_id)
        desk.look_soon(held.booking_id)
        await rest(0.5)
        assert looks.most == 1
        ground.paying.store.rows.clear()
        looks.gate.set()
        await rest(0.5)
        assert looks.done == [(held.booking_id, 0)] * 2


async def test_a_provider_that_hangs_holds_up_no_confirmation(ground):
    paying = ground.paying
    ended = []
    async with running(ground.desk()):
        for _ in range(LIMITS.looks_unasked + 4):
            held = await paying.hold()
            await paying.pay(held)
            await confirmed(ground, held)
            ended.append(held)
        hanging = asyncio.Event()

        async def hang(_asked):
            await hanging.wait()

        paying.provider.refund = hang
        for held in ended:
            await paying.mark(held, "AVAILED")
        await rest(1)
        fresh = await paying.hold()
        await paying.pay(fresh)
        assert await confirmed(ground, fresh) < 0.001
        del paying.provider.refund
        await rest(60)  # the hanging ones have given up by then
        assert {paying.shown(held) for held in ended} == {"refunded"}


async def test_it_pauses_while_the_database_is_away(ground):
    held = await ground.paying.hold()
    desk = ground.desk()
    async with running(desk):
        await rest(2)
        assert desk.state.state == "reading"
        ground.paying.store.away = ground.paying.inbox.away = True
        await rest(60)
        assert desk.state.state.startswith("paused: ")
        ground.paying.store.away = ground.paying.inbox.away = False
        await ground.paying.pay(held)
        assert await confirmed(ground, held) <= LIMITS.pause_last_seconds
        await rest(1)
        assert desk.state.state == "reading"


@pytest.mark.parametrize("error", [StoreUnavailable("away"), ZeroDivisionError("a bug")])
async def test_a_look_that_fails_ends_nobody_and_comes_again(ground, error):
    held = await ground.paying.hold()
    looks = Looks()
    looks.gate.set()
    looks.error = error
    desk = ground.desk(looks)
    async with running(desk):
        await rest(10)
        assert desk.state.last_error == f"{type(error).__name__}: {error}"
        looks.error = None
        await rest(LIMITS.idle_seconds * 1.5)
        assert (held.booking_id, 0) in looks.done


async def test_it_does_not_spin_where_nothing_helps(ground):
    await ground.paying.hold()
    tried = []

    class Failing:
        async def look(self, booking_id, tries=0):
            tried.append(now())
            raise StoreUnavailable("away")

    async with running(ground.desk(Failing())):
        await rest(20)
    assert len(tried) <= 25


async def test_told_to_stop_it_finishes_what_is_in_hand(ground):
    held = await ground.paying.hold()
    looks = Looks()
    desk = ground.desk(looks)
    task = asyncio.create_task(desk.run())
    await rest(1)
    assert looks.under_way == [held.booking_id]
    desk.stop()
    await rest(1)
    assert not task.done()
    looks.gate.set()
    await task
    assert looks.done == [(held.booking_id, 0)]
    assert desk.state.state == "left"
