"""The payment desk over the real payments and the real inbox: woken by Postgres, over what another process wrote."""

import asyncio

import pytest

from consumers.payment_desk import DeskLimits, PaymentDesk
from consumers.payment_look import LookDeps, PaymentLook
from consumers.payment_messages import PaymentMessages
from storage.checkouts import Checkouts
from storage.errands import Errands
from storage.postgres import Database
from storage.postgres_inbox import PostgresInbox
from storage.postgres_payments import PostgresPayments
from storage.postgres_wakeups import PostgresWakeups
from tests.consumers.paying import DEPOSIT, SWEEP, News, Notes, Paying

SELDOM = DeskLimits(idle_seconds=3600.0)
"""So that only wake-ups help."""


class Heard(Notes):
    def __init__(self) -> None:
        super().__init__()
        self.event = asyncio.Event()

    async def note(self, booking, *, replayed=False):
        await super().note(booking, replayed=replayed)
        self.event.set()


@pytest.fixture
async def pool(database):
    made = Database(database, "test", 4)
    yield made
    await made.close()


async def test_a_message_put_by_another_process_confirms_the_booking(database, pool):
    paying, notes = Paying(), Heard()
    store, inbox = PostgresPayments(pool), PostgresInbox(pool)
    provider, shard = paying.provider, paying.shard
    listening = asyncio.Event()

    class Wakeups(PostgresWakeups):
        async def listen(self):
            result = await super().listen()
            listening.set()
            return result

    deps = LookDeps(store, Errands(provider), shard, shard, notes, News(), paying.clock)
    desk = PaymentDesk(
        store,
        inbox,
        PaymentMessages(store, inbox, provider, paying.clock),
        PaymentLook(deps, sweep=SWEEP),
        clock=paying.clock,
        wakeups=lambda wake: Wakeups(database, "test desk", {"payments": wake}),
        limits=SELDOM,
    )
    checkouts = Checkouts(store, provider, shard.booking, paying.clock)
    running = asyncio.create_task(desk.run())
    async with asyncio.timeout(30):
        await listening.wait()
        held = paying.house.booked("24T19:00")
        payment = await checkouts.arrange(held)
        assert payment.payable.checkout_url
        [event_id] = provider.pay(payment.payment_id)
        assert await inbox.put(provider.name, event_id, provider.messages[event_id])
        await notes.event.wait()
        desk.stop()
        await running
    assert paying.status(held) == "CONFIRMED"
    [stored] = await store.of_booking(held.booking_id)
    assert stored.net_minor == DEPOSIT
    assert await inbox.waiting(10) == []
    assert await store.due(paying.clock(), 10) == []
