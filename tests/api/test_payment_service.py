"""The payment service over a real database: what it shows to whom, what it believes, what a vendor's bookkeeper gets."""

import asyncio
import csv
import io
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio

from domain.ids import BookingId, VendorId
from domain.payment import Capture, PaymentId, RefundState, capture, closed, declined, refund_known
from storage.sandbox_checkout import Choice, Fate
from storage.sandbox_signature import HEADER, signature
from tests.api.driving import done, refused
from tests.api.in_process import WEBHOOK_KEY

TEN = {"deposit": {"kind": "per_booking", "amount_minor": 1000}}
NOTHING = str(UUID(int=0))
WEBHOOK = "/payment/webhook/sandbox"


@pytest.fixture
def money(server):
    if server is None:
        pytest.skip("a running server's payments cannot be reached into")
    return server.money


@pytest_asyncio.fixture(loop_scope="session")
async def desk(api, guest, money):
    return Desk(api, guest, money, await api.restaurant(policy=TEN))


class Desk:
    """A guest's hold at a house that wants 10.00, and what the payment desk would write of it."""

    def __init__(self, api, guest, money, house):
        self.api, self.guest, self.money, self.house = api, guest, money, house

    async def hold(self, **given):
        booked = await self.api.booked(self.guest, self.house, **given)
        self.booking_id = BookingId(UUID(booked["booking_id"]))
        self.payment_id = PaymentId(UUID(booked["payment"]["payment_id"]))
        return booked

    @property
    def url(self):
        return f"/payment/{self.payment_id}"

    async def shown(self, who=None):
        return done(await self.api.http.get(self.url, headers=(who or self.guest).headers))

    async def payment(self):
        return await self.money.store.by_id(self.payment_id)

    async def write(self, change):
        before = await self.payment()
        return await self.money.store.write(before, change(before), booking_version=1)

    async def pay(self, choice=Choice.PAY, fate=Fate.LOST):
        """At the sandbox, of which we then know as after a look."""
        await self.money.sandbox.choose(self.payment_id, choice, fate)
        stem = f"sbx_{self.payment_id.hex}_1"
        await self.write(lambda payment: capture(payment, Capture(f"{stem}_1", 1, 1000, 15)))


def euro(amount_minor):
    return {"amount_minor": amount_minor, "currency": "EUR"}


async def test_a_payment_that_is_awaited(desk):
    booked = await desk.hold()
    shown = await desk.shown()
    assert shown == {
        "payment_id": str(desk.payment_id),
        "booking_id": booked["booking_id"],
        "status": "pending",
        "amount": euro(1000),
        "captured": euro(0),
        "refunded": euro(0),
        "due": euro(1000),
        "checkout_url": f"http://test/payment/sandbox/{desk.payment_id}",
        "provider": "sandbox",
    }


async def test_its_guest_its_vendor_and_operators_see_the_same(desk):
    await desk.hold()
    assert await desk.shown() == await desk.shown(desk.house)
    assert done(await desk.api.http.get(desk.url, headers=desk.api.operator)) == await desk.shown()


async def test_to_others_it_does_not_exist(desk, api):
    await desk.hold()
    stranger = await api.user()
    there = await api.http.get(desk.url, headers=stranger.headers)
    not_there = await api.http.get(f"/payment/{uuid4()}", headers=stranger.headers)
    assert refused(there, 404, "not_found") == refused(not_there, 404, "not_found")
    for malformed in ("sandbox", "webhook", "vendor", "x", str(desk.payment_id)[:-1]):
        refused(await api.http.get(f"/payment/{malformed}", headers=stranger.headers), 404, "not_found")


async def test_its_life_as_a_client_sees_it(desk):
    await desk.hold()
    await desk.write(lambda payment: declined(payment, 1))
    assert (await desk.shown())["status"] == "declined"
    await desk.pay()
    shown = await desk.shown()
    assert (shown["status"], shown["captured"], shown["due"], shown["checkout_url"]) == (
        "captured",
        euro(1000),
        None,
        None,
    )


async def test_a_waived_deposit_is_void(desk, api):
    await desk.hold()
    done(await api.set_status(desk.house, str(desk.booking_id), "CONFIRMED"))
    await desk.write(lambda payment: closed(payment, 1))
    shown = await desk.shown()
    assert (shown["status"], shown["due"]) == ("void", None)


async def test_a_replaced_payment_owes_nothing(desk, api):
    await desk.hold()
    seen = await desk.shown()
    amended = done(await api.amend(desk.guest, str(desk.booking_id), party_size=1))
    assert seen["status"] == "pending"
    if amended["payment"]["payment_id"] != str(desk.payment_id):
        assert (await desk.shown())["status"] == "void"


async def test_of_a_booking_in_the_archive(desk, api, departed, clock):
    booked = await desk.hold()
    done(await api.set_status(desk.guest, booked["booking_id"], "CANCELLED"))
    await departed(await api.booking(desk.guest, booked["booking_id"]))
    assert (await desk.shown())["status"] == "void"


async def inbox_of(server):
    connection = await asyncpg.connect(server.url)
    try:
        return await connection.fetchval("SELECT count(*) FROM webhook_inbox")
    finally:
        await connection.close()


def told(event_id=None):
    return b'{"event_id": "%s", "kind": "other"}' % (event_id or f"evt_{uuid4().hex}").encode()


async def test_a_message_is_kept_once(api, money, server, clock):
    body, before = told(), await inbox_of(server)
    for _ in range(3):
        response = await api.http.post(WEBHOOK, content=body, headers=money.provider.signed(body, clock()))
        assert done(response) == {"taken": True}
    assert await inbox_of(server) == before + 1


async def test_a_repeat_under_a_newer_signature_is_a_repeat(api, money, server, clock):
    body, before = told(), await inbox_of(server)
    for seconds in (-200, 0, 200):
        signed = money.provider.signed(body, clock() + timedelta(seconds=seconds))
        done(await api.http.post(WEBHOOK, content=body, headers=signed))
    assert await inbox_of(server) == before + 1


async def test_messages_that_are_not_the_providers(api, money, server, clock):
    body, now = told(), clock()
    good = signature(WEBHOOK_KEY, body, now)
    stale = signature(WEBHOOK_KEY, body, now - timedelta(seconds=310))
    early = signature(WEBHOOK_KEY, body, now + timedelta(seconds=310))
    nobodys = signature(b"x" * 32, body, now)
    no_event = b'{"kind": "captured"}'
    before = await inbox_of(server)
    for content, header in (
        (body, None),
        (body, ""),
        (body, "t=1,v1=00"),
        (body, nobodys),
        (body, stale),
        (body, early),
        (body, good[:-1]),
        (body, good.replace("t=", "t=9")),
        (body[:-1], good),
        (body[1:], good),
        (b"", good),
        (b"", None),
        (body + b"\n", good),
        (no_event, signature(WEBHOOK_KEY, no_event, now)),
        (b"{", signature(WEBHOOK_KEY, b"{", now)),
        (b"[" * 100_000, signature(WEBHOOK_KEY, b"[" * 100_000, now)),
        (b'{"event_id": "a\\u0000b"}', signature(WEBHOOK_KEY, b'{"event_id": "a\\u0000b"}', now)),
    ):
        headers = {} if header is None else {HEADER: header}
        response = await api.http.post(WEBHOOK, content=content, headers=headers)
        problem = refused(response, 400, "bad_signature")
        assert problem["transient"] is False
        assert WEBHOOK_KEY.hex() not in response.text
    assert await inbox_of(server) == before


async def test_a_recorded_message_cannot_be_played_later(api, money, server, clock):
    body = told()
    headers = money.provider.signed(body, clock())
    done(await api.http.post(WEBHOOK, content=body, headers=headers))
    other = told()
    recorded = money.provider.signed(other, clock())
    before = await inbox_of(server)
    clock.advance(seconds=310)
    for content, signed in ((body, headers), (other, recorded)):
        refused(await api.http.post(WEBHOOK, content=content, headers=signed), 400, "bad_signature")
    assert await inbox_of(server) == before


async def test_a_huge_message(api, money, clock):
    body = b" " * 300_000
    response = await api.http.post(WEBHOOK, content=body, headers=money.provider.signed(body, clock()))
    refused(response, 413, "payload_too_large")


async def test_messages_of_providers_that_are_not_here(api, money, clock):
    body = told()
    for provider in ("stripe", "SANDBOX", "sandbox%00", "x" * 300):
        response = await api.http.post(
            f"/payment/webhook/{provider}", content=body, headers=money.provider.signed(body, clock())
        )
        refused(response, 404, "not_found")
    refused(await api.http.get(WEBHOOK), 405, "method_not_allowed")


async def test_a_crowd_of_forged_messages_writes_nothing_and_booking_goes_on(desk, api, server):
    before = await inbox_of(server)
    forged = [api.http.post(WEBHOOK, content=told(), headers={HEADER: f"t=1,v1={'0' * 64}"}) for _ in range(1000)]
    *answers, booked = await asyncio.gather(*forged, desk.hold())
    assert {answer.status_code for answer in answers} == {400}
    assert booked["status"] == "BLOCKED"
    assert await inbox_of(server) == before


async def movements(api, who, vendor_id, query=""):
    response = await api.http.get(f"/payment/vendor/{vendor_id}/movements{query}", headers=who.headers)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/csv")
    assert response.headers["content-disposition"].startswith("attachment")
    return response, list(csv.DictReader(io.StringIO(response.text, newline="")))


async def test_a_vendors_movements(desk, api):
    booked = await desk.hold()
    await desk.pay()
    response, rows = await movements(api, desk.house, desk.house.id)
    assert [(row["what"], row["from_account"], row["to_account"], row["amount"], row["currency"]) for row in rows] == [
        ("capture", "guest", "provider", "10.00", "EUR"),
        ("fee", "provider", "fees", "0.15", "EUR"),
    ]
    assert {row["booking_id"] for row in rows} == {booked["booking_id"]}
    assert {row["payment_id"] for row in rows} == {str(desk.payment_id)}
    assert {row["reference"] for row in rows} == {f"sbx_{desk.payment_id.hex}_1_1"}
    assert "link" not in response.headers


async def test_movements_page_by_page_are_the_same(desk, api):
    for hour in (12, 18, 20):
        await desk.hold(starts_at=api.at(hour))
        await desk.pay()
    _, whole = await movements(api, desk.house, desk.house.id)
    assert len(whole) == 6
    for limit in (1, 2, 4, 6):
        rows, query = [], f"?limit={limit}"
        while query is not None:
            response, page = await movements(api, desk.house, desk.house.id, query)
            assert 1 <= len(page) <= limit
            rows += page
            link = response.headers.get("link")
            query = None if link is None else link[link.index("?") : link.index(">")]
        assert rows == whole


async def test_movements_of_days_on_the_vendors_clock(desk, api, money):
    await desk.hold()
    await desk.pay()
    (first, *_) = await money.ledger.movements_of_vendor(VendorId(UUID(desk.house.id)), 10)
    # The ledger has the database's time, Vienna's date of which may be another than UTC's.
    day = first.moved_at.astimezone(api.now().tzinfo).date()
    near = [day - timedelta(days=1), day + timedelta(days=1)]
    _, rows = await movements(api, desk.house, desk.house.id, f"?from={near[0]}&to={near[1]}")
    assert len(rows) == 2
    for query in (f"?from={near[1] + timedelta(days=1)}", f"?to={near[0] - timedelta(days=1)}", "?from=9999-12-31"):
        assert (await movements(api, desk.house, desk.house.id, query))[1] == []
    _, rows = await movements(api, desk.house, desk.house.id, "?from=0001-01-01&to=9999-12-31")
    assert len(rows) == 2


async def test_what_is_asked_of_movements_is_checked(desk, api):
    url = f"/payment/vendor/{desk.house.id}/movements"
    for query, path in (
        ("?from=tomorrow", "from"),
        ("?from=2026-12-24&to=2026-12-23", "to"),
        ("?limit=0", "limit"),
        ("?limit=5001", "limit"),
        ("?cursor=x", "cursor"),
        ("?format=xlsx", "format"),
    ):
        refused(await api.http.get(url + query, headers=desk.house.headers), 422, "invalid_request", path)
    await desk.hold()
    await desk.pay()
    response, _ = await movements(api, desk.house, desk.house.id, "?limit=1")
    cursor = response.headers["link"].partition("cursor=")[2].partition(">")[0]
    other = await api.http.get(f"{url}?limit=1&from=2026-01-01&cursor={cursor}", headers=desk.house.headers)
    refused(other, 422, "invalid_request", "cursor")


async def test_a_vendors_balance(desk, api):
    url = f"/payment/vendor/{desk.house.id}/balance"
    assert done(await api.http.get(url, headers=desk.house.headers))["items"] == []
    await desk.hold()
    await desk.pay()
    shown = done(await api.http.get(url, headers=desk.house.headers))
    assert shown["vendor_id"] == desk.house.id
    assert shown["items"] == [
        {"currency": "EUR", "held": euro(1000), "kept": euro(0), "fees": euro(15), "at_provider": euro(985)}
    ]
    tomorrow = (api.now() + timedelta(days=3)).date()
    assert done(await api.http.get(f"{url}?from={tomorrow}", headers=desk.house.headers))["items"] == []


async def test_an_account_of_a_vendor_that_is_not_there(api, guest):
    for path in ("balance", "movements"):
        url = f"/payment/vendor/{NOTHING}/{path}"
        refused(await api.http.get(url, headers=api.operator), 404, "not_found")
        refused(await api.http.get(url, headers=guest.headers), 404, "not_found")


async def test_a_refund_shows_as_what_it_is(desk, api):
    booked = await desk.hold()
    await desk.pay()
    done(await api.set_status(desk.guest, booked["booking_id"], "CANCELLED"))
    shown = await desk.shown()
    assert (shown["status"], shown["refunded"], shown["captured"]) == ("refund_pending", euro(0), euro(1000))
    await desk.write(lambda payment: refund_known(payment, 1, RefundState.DONE, "sbr_1"))
    shown = await desk.shown()
    assert (shown["status"], shown["refunded"], shown["due"]) == ("refunded", euro(1000), None)
