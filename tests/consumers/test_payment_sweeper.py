"""The sweeper: what a crash left between a commit and its telling is found by itself, and events only say *look*."""

import asyncio
from datetime import timedelta

import pytest

from consumers.payment_sweeper import PaymentSweeper
from domain.payment import PAYABLE
from tests.consumers.paying import SWEEP, Paying

KEEP = timedelta(days=30)


class Desk:
    def __init__(self) -> None:
        self.asked = []

    def look_soon(self, booking_id):
        self.asked.append(booking_id)


@pytest.fixture
def paying():
    return Paying()


@pytest.fixture
def desk():
    return Desk()


@pytest.fixture
def sweeper(paying, desk):
    seconds = SWEEP.total_seconds()
    return PaymentSweeper(paying.store, paying.inbox, desk, paying.clock, every_seconds=seconds, keep=KEEP)


async def looked(paying, desk):
    while desk.asked:
        await paying.looks.look(desk.asked.pop())
    await paying.work()


async def test_a_hold_whose_payment_nobody_made(paying, desk, sweeper):
    held = paying.house.booked("24T19:00")
    assert await sweeper.sweep() == 0  # the service may be about to
    paying.clock.advance(seconds=SWEEP.total_seconds() + 1)
    assert await sweeper.sweep() == 1
    await looked(paying, desk)
    [charge] = paying.payment(held).charges
    assert charge.state in PAYABLE
    assert charge.checkout_url
    await paying.pay(held)
    await paying.work()
    assert paying.status(held) == "CONFIRMED"
    assert await sweeper.sweep() == 0


async def test_an_amended_hold_whose_new_payment_nobody_made(paying, desk, sweeper):
    held = await paying.hold()
    paying.clock.advance(seconds=60)
    paying.house.now = paying.clock()
    paying.house.amend(held, party_size=4)
    paying.clock.advance(seconds=SWEEP.total_seconds() + 1)
    assert await sweeper.sweep() == 1
    await looked(paying, desk)
    assert [payment.amount_minor for payment in paying.payments(held)] == [2000, 4000]
    assert paying.payments(held)[0].payable is None


async def test_old_ones_are_found_by_the_whole_sweep(paying, desk, sweeper, monkeypatch):
    """The first one after a start is whole: the desk may have been away for long."""
    paying.house.booked("24T19:00")
    paying.clock.advance(seconds=300)
    assert await sweeper.sweep() == 1
    assert await sweeper.sweep() == 0
    monkeypatch.setattr(sweeper, "_whole_at", float("-inf"))
    assert await sweeper.sweep() == 1


async def test_an_end_of_which_the_event_was_lost(paying, desk, sweeper):
    held = await paying.hold()
    await paying.pay(held)
    await paying.work()
    paying.house.mark(paying.now(held), "CANCELLED")
    paying.clock.advance(seconds=SWEEP.total_seconds() + 1)
    assert await sweeper.sweep() == 1
    await looked(paying, desk)
    assert paying.shown(held) == "refunded"


async def test_messages_that_were_handled_long_ago_are_forgotten(paying, sweeper):
    held = await paying.hold()
    await paying.pay(held)
    await paying.work()
    paying.clock.advance(days=29)
    await sweeper.sweep()
    assert len(paying.inbox.letters) == 1
    paying.clock.advance(days=2)
    sweeper._whole_at = float("-inf")
    await sweeper.sweep()
    assert paying.inbox.letters == {}


@pytest.mark.virtual_time
async def test_it_goes_on_where_the_database_was_away(paying, desk, sweeper):
    paying.house.booked("24T19:00")
    paying.clock.advance(seconds=60)
    paying.store.away = True
    task = asyncio.create_task(sweeper.run())
    await asyncio.sleep(1)
    assert sweeper.state.state.startswith("paused: ")
    paying.store.away = False
    await asyncio.sleep(SWEEP.total_seconds())
    assert sweeper.state.state == "reading"
    assert len(desk.asked) == 1
    sweeper.stop()
    await task
    assert sweeper.state.state == "left"
