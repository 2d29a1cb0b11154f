"""The sandbox's courier over real HTTP and a real Postgres: it brings every message until it is taken, and stops at once."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from consumers.sandbox_courier import CourierLimits, SandboxCourier
from domain.ids import BookingId
from domain.money import Money
from domain.payment import PaymentId
from storage.errors import StoreUnavailable
from storage.payment_provider import ChargeAsked
from storage.postgres import Database
from storage.postgres_wakeups import PostgresWakeups
from storage.sandbox import Sandbox, SandboxPolicy
from storage.sandbox_checkout import Choice, Fate
from storage.sandbox_messages import CHANNEL, SandboxMessages
from storage.sandbox_provider import SandboxProvider
from tests.conformance import waiting

QUICK = CourierLimits(every_seconds=0.02, wait_first_seconds=0.001, wait_last_seconds=0.002, tries_max=3)
ASLEEP = CourierLimits(every_seconds=3600)


def now():
    return datetime.now(UTC)


async def until(holds):
    async def it_holds():
        return holds()

    await waiting.until(it_holds)


class House:
    """An HTTP server that answers each message as it is told to, and keeps what it got."""

    def __init__(self):
        self.got = []
        self.answers = []
        self.answer = 200
        self.open = asyncio.Event()
        self.open.set()
        self.waiting = 0

    async def serve(self, reader, writer):
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode("latin-1").split("\r\n")
                headers = {
                    name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)
                }
                body = await reader.readexactly(int(headers["content-length"]))
                self.waiting += 1
                await self.open.wait()
                self.waiting -= 1
                self.got.append((lines[0], headers, body))
                status = self.answers.pop(0) if self.answers else self.answer
                writer.write(b"HTTP/1.1 %d Said\r\ncontent-length: 0\r\n\r\n" % status)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class Town:
    """A sandbox that is 20 s late where it is late, a house, and couriers between them."""

    def __init__(self, database_url, house, port):
        self.database_url = database_url
        self.house = house
        self.url = f"http://127.0.0.1:{port}/payment/webhook/sandbox"
        self.database = Database(database_url, "test", 4)
        self.sandbox = Sandbox(self.database, now, SandboxPolicy())
        self.provider = SandboxProvider(self.sandbox, b"k" * 32, "http://127.0.0.1")
        self.messages = SandboxMessages(self.database)

    def courier(self, limits=QUICK, *, messages=None, listens=False):
        return SandboxCourier(
            messages or self.messages,
            self.provider.signed,
            self.url,
            now,
            limits=limits,
            wakeups=(lambda wake: PostgresWakeups(self.database_url, "test", {CHANNEL: wake})) if listens else None,
        )

    @asynccontextmanager
    async def running(self, courier):
        task = asyncio.create_task(courier.run())
        try:
            yield courier
        finally:
            courier.stop()
            await asyncio.wait_for(task, 5)

    async def paid(self, fate=Fate.NOW, times=1):
        for _ in range(times):
            asked = ChargeAsked(PaymentId(uuid4()), 1, BookingId(uuid4()), Money(1000, "EUR"), None)
            await self.sandbox.open(asked)
            await self.sandbox.choose(asked.payment_id, Choice.PAY, fate)

    async def left(self):
        """Messages that are due some day."""
        rows = await self.messages.take(now() + timedelta(days=365), now(), 10_000)
        return len(rows)


@pytest.fixture
async def town(database):
    house = House()
    server = await asyncio.start_server(house.serve, "127.0.0.1", 0)
    made = Town(database, house, server.sockets[0].getsockname()[1])
    yield made
    server.close()
    await made.database.close()


async def test_a_message_is_brought_signed_and_once(town):
    await town.paid()
    async with town.running(town.courier()) as courier:
        await until(lambda: courier.state.handled == 1)
    ((line, headers, body),) = town.house.got
    assert line == "POST /payment/webhook/sandbox HTTP/1.1"
    assert headers["content-type"] == "application/json"
    event_id = town.provider.checked(headers, body, now())
    assert event_id == town.provider.understood(body).event_id
    assert await town.left() == 0
    assert courier.state.state == "left"


async def test_what_is_not_taken_is_brought_again_under_a_new_signature(town):
    await town.paid()
    town.house.answers = [500, 404]
    async with town.running(town.courier()) as courier:
        await until(lambda: courier.state.handled == 1)
    assert len(town.house.got) == 3
    assert len({body for _, _, body in town.house.got}) == 1
    assert courier.state.last_error == "HTTP 404"


async def test_what_is_never_taken_is_given_up(town):
    await town.paid()
    town.house.answer = 400
    async with town.running(town.courier()) as courier:
        await until(lambda: len(town.house.got) == QUICK.tries_max)
        await town.paid()
        town.house.answer = 200
        await until(lambda: courier.state.handled == 1)
    assert len(town.house.got) == QUICK.tries_max + 1
    assert await town.left() == 0


async def test_lost_doubled_and_late_ones(town):
    await town.paid(Fate.LOST)
    await town.paid(Fate.DOUBLED)
    await town.paid(Fate.LATE)
    async with town.running(town.courier()) as courier:
        await until(lambda: courier.state.handled == 2)
    (_, _, one), (_, _, other) = town.house.got
    assert one == other
    assert await town.left() == 1


async def test_two_hundred_messages_by_two_couriers_come_once_each(town):
    await asyncio.gather(*(town.paid(times=50) for _ in range(4)))
    async with town.running(town.courier()) as one, town.running(town.courier()) as other:
        await until(lambda: one.state.handled + other.state.handled == 200)
    assert len({body for _, _, body in town.house.got}) == len(town.house.got) == 200


async def test_no_more_at_once_than_it_may(town):
    await town.paid(times=10)
    town.house.open.clear()
    async with town.running(town.courier(CourierLimits(at_once=4))) as courier:
        await until(lambda: town.house.waiting == 4)
        town.house.open.set()
        await until(lambda: courier.state.handled == 10)


async def test_it_stops_at_once_and_what_was_in_hand_comes_later(town):
    await town.paid()
    town.house.open.clear()
    async with town.running(town.courier(CourierLimits(answer_seconds=600))):
        await until(lambda: town.house.waiting == 1)
    assert await town.left() == 1
    town.house.open.set()


async def test_it_is_woken(town):
    async with town.running(town.courier(ASLEEP, listens=True)) as courier:
        await until(lambda: courier.state.state == "reading")
        await town.paid()
        await until(lambda: courier.state.handled == 1)


async def test_a_house_that_is_away(town, free_port):
    await town.paid()
    there, town.url = town.url, f"http://127.0.0.1:{free_port}/payment/webhook/sandbox"
    patient = CourierLimits(every_seconds=0.02, wait_first_seconds=0.001, wait_last_seconds=0.002, tries_max=10_000)
    async with town.running(town.courier(patient)) as courier:
        await until(lambda: "ConnectError" in courier.state.last_error)
        courier._url = there
        await until(lambda: courier.state.handled == 1)


class Away:
    """The messages of a database that is away for some time."""

    def __init__(self, messages):
        self._messages = messages
        self.away = True

    def __getattr__(self, name):
        if self.away:
            raise StoreUnavailable("gone")
        return getattr(self._messages, name)


async def test_a_database_that_is_away(town):
    await town.paid()
    away = Away(town.messages)
    async with town.running(town.courier(messages=away)) as courier:
        await until(lambda: courier.state.state == "paused: gone")
        away.away = False
        await until(lambda: courier.state.handled == 1)


class Broken:
    async def take(self, *_):
        raise KeyError("a bug")


async def test_a_bug_ends_it(town):
    with pytest.raises(KeyError):
        await town.courier(messages=Broken()).run()


def test_the_wait_grows_to_a_limit():
    limits = CourierLimits()
    waits = [limits.wait_after(tries).total_seconds() for tries in range(1, limits.tries_max)]
    assert waits[:3] == [0.5, 1, 2]
    assert waits == sorted(waits)
    assert waits[-1] == 60
