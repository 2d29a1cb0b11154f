"""The sandbox's checkout: a page for people, a form for everybody, and money that comes as it was chosen."""

from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from domain.ids import BookingId
from domain.money import Money
from domain.payment import PaymentId
from serve_app.checkout_page import checkout_answer
from storage.payment_provider import ChargeAsked
from storage.sandbox_checkout import CheckoutState, SandboxCheckout
from storage.sandbox_messages import SandboxMessages, event_of
from tests.api.driving import refused


@pytest.fixture
def money(server):
    if server is None:
        pytest.skip("a running server's sandbox cannot be reached into")
    return server.money


class Page(HTMLParser):
    """What stands on it, and what its form sends."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.fields, self.choices, self.state, self.links = [], {}, [], None, []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append(tag)
        assert not [name for name in given if name.startswith("on")], "a script in an attribute"
        if tag == "input":
            self.fields[given["name"]] = given["value"]
        if tag == "button":
            self.choices.append(given["value"])
        if tag == "a":
            self.links.append(given["href"])
        self.state = given.get("data-state", self.state)


class Checkout:
    def __init__(self, api, money, **given):
        self.api, self.money = api, money
        self.asked = ChargeAsked(
            **{
                "payment_id": PaymentId(uuid4()),
                "number": 1,
                "booking_id": BookingId(uuid4()),
                "amount": Money(2500, "EUR"),
                "closes_at": None,
                "returns_to": "https://house.example/booked",
                **given,
            }
        )

    async def opened(self):
        await self.money.provider.open(self.asked)
        return self

    @property
    def url(self):
        return f"/payment/sandbox/{self.asked.payment_id}"

    async def page(self):
        return _page(await self.api.http.get(self.url))

    async def post(self, **form):
        return _page(await self.api.http.post(self.url, data=form))

    async def seen(self):
        return await self.money.provider.look(self.asked)

    async def messages(self, server, clock):
        """Its messages that are due by now, in the order in which they would be brought."""
        post = SandboxMessages(server.database)
        taken = []
        while some := await post.take(clock(), datetime(2999, 1, 1, tzinfo=UTC), 100):
            taken += some
        events = [event_of(message.body) for message in sorted(taken, key=lambda one: one.delivery_id)]
        return [(event.kind.value, event.event_id) for event in events if event.payment_id == self.asked.payment_id]


def _page(response):
    assert response.status_code == 200, response.text
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    page = Page(response.text)
    assert "script" not in page.tags
    page.text = response.text
    return page


@pytest_asyncio.fixture(loop_scope="session")
async def checkout(api, money):
    return await Checkout(api, money).opened()


async def test_an_open_checkout(checkout):
    page = await checkout.page()
    assert page.state == "open"
    assert "25.00 EUR" in page.text
    assert page.fields == {"charge": "1"}
    assert {"pay", "decline"} <= set(page.choices)
    assert page.links == ["https://house.example/booked"]


async def test_the_plain_contract(checkout):
    assert (await checkout.post(choice="decline")).state == "declined"
    assert (await checkout.seen()).declined
    assert (await checkout.post(choice="pay")).state == "paid"
    assert [capture.amount_minor for capture in (await checkout.seen()).captures] == [2500]


async def test_a_form_that_is_sent_twice_pays_once(checkout):
    for _ in range(3):
        page = await checkout.post(choice="pay")
        assert page.state == "paid"
    assert not {"pay", "decline", "pay_twice"} & set(page.choices)
    assert len((await checkout.seen()).captures) == 1
    assert (await checkout.post(choice="decline")).state == "paid"


async def test_paying_twice(checkout):
    page = await checkout.post(choice="pay_twice")
    assert "came 2 times" in page.text
    assert len((await checkout.seen()).captures) == 2


async def test_a_closed_checkout_takes_late_money_only(checkout):
    await checkout.money.provider.close(checkout.asked)
    assert (await checkout.page()).state == "closed"
    for choice in ("pay", "decline", "pay_twice"):
        assert (await checkout.post(choice=choice)).state == "closed"
    assert not (await checkout.seen()).captures
    assert (await checkout.post(choice="pay_late")).state == "paid"
    assert len((await checkout.seen()).captures) == 1


async def test_paying_late_is_paying_after_the_end(api, money, clock):
    checkout = await Checkout(api, money, closes_at=clock() + timedelta(minutes=5)).opened()
    assert "Open until" in (await checkout.page()).text
    assert (await checkout.post(choice="pay_late")).state == "open"
    assert not (await checkout.seen()).captures
    clock.advance(minutes=5, seconds=2)
    assert len((await checkout.seen()).captures) == 1


@pytest.mark.parametrize(
    ("webhook", "now", "later"),
    [
        ("now", ["captured"], ["captured"]),
        ("lost", [], []),
        ("doubled", ["captured", "captured"], ["captured", "captured"]),
        ("late", [], ["captured"]),
        ("out_of_order", ["captured"], ["captured", "declined"]),
    ],
)
async def test_what_becomes_of_the_message(checkout, server, clock, webhook, now, later):
    await checkout.post(choice="pay", webhook=webhook)
    assert len((await checkout.seen()).captures) == 1
    told = await checkout.messages(server, clock)
    assert [kind for kind, _ in told] == now
    clock.advance(seconds=30)
    told += await checkout.messages(server, clock)
    assert [kind for kind, _ in told] == later
    assert len(set(told)) == len({kind for kind, _ in told}), "copies of a message have its id"


async def test_a_newer_charge_is_the_one_that_counts(api, money, checkout):
    newer = Checkout(
        api, money, payment_id=checkout.asked.payment_id, booking_id=checkout.asked.booking_id, number=2,
        amount=Money(500, "EUR"),
    )  # fmt: skip
    shown = await checkout.page()
    await newer.opened()
    page = await checkout.post(choice="pay", **shown.fields)
    assert page.fields == {"charge": "2"}
    assert "5.00 EUR" in page.text
    assert not (await checkout.seen()).captures
    assert not (await newer.seen()).captures
    await checkout.post(choice="pay", **page.fields)
    assert len((await newer.seen()).captures) == 1
    assert (await checkout.page()).fields == {"charge": "1"}


@pytest.mark.parametrize(
    ("form", "path"),
    [
        (b"", "choice"),
        (b"choice=", "choice"),
        (b"choice=steal", "choice"),
        (b"choice=pay&choice=pay", "choice"),
        (b"choice=pay&webhook=never", "webhook"),
        (b"choice=pay&charge=0", "charge"),
        (b"choice=pay&charge=x", "charge"),
        (b"choice=pay&amount=1", "amount"),
        (b'{"choice": "pay"}', "choice"),
        (b"choice=%ff", None),
        (b"\xff", None),
        (b"choice=pay%00", "choice"),
        (b"&".join([b"a=1"] * 60), None),
    ],
)
async def test_forms_that_make_no_sense(checkout, form, path):
    response = await checkout.api.http.post(checkout.url, content=form)
    refused(response, 422, "invalid_request", path)
    assert not (await checkout.seen()).captures


async def test_checkouts_that_are_not_there(api, money):
    for payment_id in (str(uuid4()), "x", "sandbox", str(UUID(int=0))):
        refused(await api.http.get(f"/payment/sandbox/{payment_id}"), 404, "not_found")
        refused(await api.http.post(f"/payment/sandbox/{payment_id}", data={"choice": "pay"}), 404, "not_found")
    refused(await api.http.delete(f"/payment/sandbox/{uuid4()}"), 405, "method_not_allowed")


def shown(**given):
    of = {
        "payment_id": PaymentId(uuid4()),
        "charge_number": 1,
        "booking_id": BookingId(uuid4()),
        "amount": Money(1234567, "EUR"),
        "state": CheckoutState.OPEN,
        "captures": 0,
        "closes_at": None,
        "returns_to": "",
        **given,
    }
    return Page(html(of)), html(of)


def html(of):
    return checkout_answer(SandboxCheckout(**of)).body.decode()


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (Money(1234567, "EUR"), "12345.67 EUR"),
        (Money(5, "EUR"), "0.05 EUR"),
        (Money(1234567, "JPY"), "1234567 JPY"),
        (Money(1234567, "KWD"), "1234.567 KWD"),
        (Money(7, "BHD"), "0.007 BHD"),
    ],
)
def test_amounts_have_their_currencys_decimals(amount, text):
    _, page = shown(amount=amount)
    assert f">{text}<" in page


@pytest.mark.parametrize("address", ["", "javascript:alert(1)", "data:text/html,x", "//evil.example", "JaVaScRiPt:x"])
def test_a_way_back_that_is_no_page_is_left_out(address):
    page, _ = shown(returns_to=address)
    assert page.links == []


def test_what_stands_in_an_address_stays_there():
    evil = 'https://house.example/"><script>alert(1)</script>'
    page, text = shown(returns_to=evil)
    assert page.links == [evil]
    assert "<script" not in text


@pytest.mark.parametrize("state", list(CheckoutState))
def test_every_state_has_its_words(state):
    page, _ = shown(state=state)
    assert page.state == state.value
