"""What the payment service says while something that it needs is away, and where another provider takes the money."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import httpx
import pytest

from actors.outcome import Trouble, Unavailable
from domain.booking import BookingStatus, Terms
from domain.command import Role
from domain.money import Money
from domain.payment_steps import new_payment
from serve_app.auth import Tokens
from serve_app.ended import EndedBookings
from serve_app.payment import PaymentDeps, payment_app
from storage.errors import StoreUnavailable
from storage.sandbox_checkout import Choice, Fate
from tests.api.driving import Description, done, refused
from tests.api.in_process import KEYS
from tests.conformance.stores import booking
from tests.fakes.houses import guest, vendor_id
from tests.fakes.payments import MemoryInbox, MemoryPayments
from tests.fakes.provider import MemoryProvider

HELD = replace(
    booking(vendor_id(1), 1, status=BookingStatus.BLOCKED), terms=Terms(Money(2000, "EUR"), deposit_version=1)
)
AWAY = Unavailable(Trouble.SHARD_MOVING, "It moves.", retry_after_seconds=3)


def now():
    return datetime(2026, 11, 23, 12, tzinfo=UTC)


class Validity:
    async def tokens_valid_from(self, role, account_id):
        return datetime(2020, 1, 1, tzinfo=UTC)


class Client:
    def __init__(self, found):
        self.found = found

    async def booking(self, booking_id):
        return self.found


class Archive:
    def __init__(self, found):
        self.found = found

    async def by_id(self, booking_id):
        if self.found is AWAY:
            raise StoreUnavailable("the archive is away")
        return self.found


class Counter:
    """A sandbox whose database is away."""

    async def checkout(self, payment_id):
        raise StoreUnavailable("away")

    async def choose(self, payment_id, choice, fate, *, charge_number=None):
        assert (choice, fate) == (Choice.PAY, Fate.NOW)
        raise StoreUnavailable("away")


TOKENS = Tokens(KEYS, Validity(), now)
HEADERS = {"Authorization": f"Bearer {TOKENS.issue(Role.USER, UUID(int=guest(1).account_id.int))}"}


class Service:
    """The payment service over memory, with one payment."""

    def __init__(self, *, found=HELD, archived=None, counter=None, replaced=False):
        self.store = MemoryPayments(now)
        self.inbox = MemoryInbox(now)
        self.provider = MemoryProvider()
        self.archived, self.found, self.counter, self.replaced = archived, found, counter, replaced

    async def __aenter__(self):
        payment = new_payment(HELD, (), "memory", now())
        self.payment = await self.store.write(None, payment, booking_version=1)
        if self.replaced:
            later = replace(HELD, version=2, terms=Terms(Money(3000, "EUR"), deposit_version=2))
            await self.store.write(None, new_payment(later, (self.payment,), "memory", now()), booking_version=2)
        app = payment_app(
            PaymentDeps(
                Client(self.found),
                self.store,
                self.inbox,
                self.provider,
                None,
                None,
                TOKENS,
                now,
                EndedBookings(Archive(self.archived), None, now),
                self.counter,
            )
        )
        description = Description()
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test", headers=HEADERS)
        description.add("/payment", (await self.http.get("/payment/openapi.json")).json())
        self.http.event_hooks = {"response": [description.check]}
        return self

    async def __aexit__(self, *_):
        await self.http.aclose()

    async def shown(self):
        return await self.http.get(f"/payment/{self.payment.payment_id}")


async def test_what_the_shard_says_counts():
    async with Service() as service:
        shown = done(await service.shown())
    assert (shown["status"], shown["due"]["amount_minor"], shown["provider"]) == ("pending", 2000, "memory")


async def test_a_shard_on_the_move_does_not_make_a_payment_void():
    async with Service(found=AWAY) as service:
        response = await service.shown()
    assert refused(response, 503, "shard_moving")["transient"] is True
    assert response.headers["retry-after"] == "3"


async def test_an_archive_that_is_away_does_not_either():
    async with Service(found=None, archived=AWAY) as service:
        refused(await service.shown(), 503, "dependency_unavailable")


async def test_of_a_booking_in_the_archive():
    async with Service(found=None, archived=replace(HELD, status=BookingStatus.EXPIRED, version=2)) as service:
        assert done(await service.shown())["status"] == "void"


async def test_of_a_booking_that_is_truly_gone():
    async with Service(found=None) as service:
        assert done(await service.shown())["status"] == "void"


async def test_a_replaced_payment_asks_nobody():
    async with Service(found=AWAY, replaced=True) as service:
        shown = done(await service.shown())
    assert (shown["status"], shown["due"], shown["amount"]["amount_minor"]) == ("void", None, 2000)


async def test_a_database_that_is_away():
    async with Service(counter=Counter()) as service:
        service.store.away = service.inbox.away = True
        refused(await service.shown(), 503, "dependency_unavailable")
        refused(await service.http.get(f"/payment/sandbox/{uuid4()}"), 503, "dependency_unavailable")
        sent = await service.http.post(f"/payment/sandbox/{uuid4()}", data={"choice": "pay"})
        refused(sent, 503, "dependency_unavailable")


async def test_a_message_that_cannot_be_kept_is_not_taken(monkeypatch):
    async with Service() as service:
        monkeypatch.setattr(service.provider, "checked", lambda headers, body, at: "evt_1")
        service.inbox.away = True
        refused(await service.http.post("/payment/webhook/memory", content=b"{}"), 503, "dependency_unavailable")
        service.inbox.away = False
        done(await service.http.post("/payment/webhook/memory", content=b"{}"))
        (kept,) = await service.inbox.waiting(10)
    assert (kept.provider, kept.event_id, kept.body) == ("memory", "evt_1", b"{}")


@pytest.mark.parametrize("path", [f"/payment/sandbox/{uuid4()}", "/payment/webhook/sandbox"])
async def test_where_another_takes_the_money_there_is_no_sandbox(path):
    async with Service() as service:
        refused(await service.http.post(path, content=b"choice=pay"), 404, "not_found")
        if "webhook" not in path:
            refused(await service.http.get(path), 404, "not_found")
