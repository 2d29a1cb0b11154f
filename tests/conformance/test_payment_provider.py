"""Every provider takes, tells and gives back in the same way; whatever is asked twice is done once."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from domain.ids import BookingId
from domain.money import Money
from domain.payment import PaymentId, RefundState
from storage.errors import StoreUnavailable
from storage.payment_provider import (
    BadSignature,
    ChargeAsked,
    ProviderEventKind,
    ProviderRefused,
    RefundAsked,
)
from tests.conformance.payment_worlds import URL, MemoryWorld, SandboxWorld
from tests.conformance.stripe_world import StripeWorld

PROVIDERS = ("memory", "sandbox", "stripe")
"""Each with a fixture `<name>_world`; one whose outside cannot be reached from a test is tested in a file of its own."""

NOT_STRIPE = pytest.mark.parametrize("world", ["memory", "sandbox"], indirect=True)
"""What Stripe cannot do, or only by what our own database keeps of it: see test_stripe_provider.py."""

TEN = Money(1000, "EUR")


@pytest.fixture(params=PROVIDERS)
def world(request):
    return request.getfixturevalue(f"{request.param}_world")


@pytest.fixture
async def memory_world():
    made = MemoryWorld()
    yield made
    await made.close()


@pytest.fixture
async def sandbox_world(database):
    made = SandboxWorld(database)
    yield made
    await made.close()


@pytest.fixture
async def stripe_world():
    made = StripeWorld()
    yield made
    await made.close()


@pytest.fixture
def provider(world):
    return world.provider


def charge(amount=TEN, **given):
    return ChargeAsked(
        **{
            "payment_id": PaymentId(uuid4()),
            "number": 1,
            "booking_id": BookingId(uuid4()),
            "amount": amount,
            "closes_at": None,
            "returns_to": f"{URL}/",
            **given,
        }
    )


def refund_of(asked, reference, amount=TEN, number=1):
    return RefundAsked(asked.payment_id, number, asked.booking_id, reference, amount)


async def paid(world, asked=None):
    """A charge that was paid, and the reference of its money."""
    asked = asked or charge()
    await world.provider.open(asked)
    await world.pay(asked)
    seen = await world.provider.look(asked)
    return asked, seen.captures[0].reference


async def entries(provider, since, until):
    return [entry async for entry in provider.entries(since, until)]


async def test_a_checkout_is_opened_once(world, provider):
    asked = charge()
    checkout = await provider.open(asked)
    assert checkout.url.startswith(world.pages)
    assert checkout.provider_ref
    assert await provider.open(asked) == checkout
    seen = await provider.look(asked)
    assert (seen.captures, seen.declined, seen.closed) == ((), False, False)


async def test_a_key_is_not_good_for_another_sum(provider):
    asked = charge()
    await provider.open(asked)
    for other in (Money(1001, "EUR"), Money(1000, "USD")):
        with pytest.raises(ProviderRefused):
            await provider.open(charge(other, payment_id=asked.payment_id, booking_id=asked.booking_id))


async def test_nobody_knows_what_was_never_opened(provider):
    assert await provider.look(charge()) is None


@pytest.mark.parametrize("amount", [Money(1000, "EUR"), Money(1000, "JPY"), Money(1000, "KWD"), Money(10**12, "EUR")])
async def test_money_comes_once_with_its_fee(world, provider, amount):
    asked = charge(amount)
    await provider.open(asked)
    await world.pay(asked)
    await world.pay(asked)
    (capture,) = (await provider.look(asked)).captures
    assert capture.amount_minor == amount.amount_minor
    assert capture.charge_number == 1
    assert capture.fee_minor == world.fee_minor * amount.amount_minor // 1000


async def test_the_message_of_a_capture_says_what_a_look_says(world, provider):
    asked = charge()
    await provider.open(asked)
    await world.pay(asked)
    (body,) = await world.messages()
    event = provider.understood(body)
    assert event.kind is ProviderEventKind.CAPTURED
    assert (event.payment_id, event.charge_number) == (asked.payment_id, 1)
    assert (event.capture,) == (await provider.look(asked)).captures
    assert event.currency == asked.amount.currency
    assert provider.checked(world.signed(body, world.clock()), body, world.clock()) == event.event_id


@NOT_STRIPE
async def test_paying_twice_is_two_captures_with_a_message_each(world, provider):
    asked = charge()
    await provider.open(asked)
    await world.pay(asked, times=2)
    captures = (await provider.look(asked)).captures
    assert len({capture.reference for capture in captures}) == 2
    events = [provider.understood(body) for body in await world.messages()]
    assert {event.capture for event in events} == set(captures)
    assert len({event.event_id for event in events}) == 2


async def test_a_declined_try_may_be_followed_by_a_better_one(world, provider):
    asked = charge()
    await provider.open(asked)
    await world.decline(asked)
    assert (await provider.look(asked)).declined
    (body,) = await world.messages()
    event = provider.understood(body)
    assert (event.kind, event.payment_id, event.charge_number) == (ProviderEventKind.DECLINED, asked.payment_id, 1)
    await world.pay(asked)
    seen = await provider.look(asked)
    assert len(seen.captures) == 1
    assert not seen.declined


async def test_what_is_paid_cannot_be_declined(world, provider):
    asked, reference = await paid(world)
    await world.messages()
    await world.decline(asked)
    assert [capture.reference for capture in (await provider.look(asked)).captures] == [reference]
    assert not await world.messages()


async def test_a_closed_checkout_takes_nothing(world, provider):
    asked = charge()
    await provider.open(asked)
    seen = await provider.close(asked)
    assert (seen.closed, seen.captures) == (True, ())
    await world.pay(asked)
    await world.decline(asked)
    assert await provider.close(asked) == seen
    assert await provider.look(asked) == seen
    assert not await world.messages()


async def test_closing_tells_of_money_that_came_before(world, provider):
    asked, reference = await paid(world)
    seen = await provider.close(asked)
    assert [capture.reference for capture in seen.captures] == [reference]


@NOT_STRIPE
async def test_what_was_closed_before_it_was_opened_stays_closed(world, provider):
    asked = charge()
    assert (await provider.close(asked)).closed
    await provider.open(asked)
    assert (await provider.look(asked)).closed
    await world.pay(asked)
    assert not (await provider.look(asked)).captures


@NOT_STRIPE
async def test_a_checkout_closes_by_itself_at_its_time(world, provider):
    asked = charge(closes_at=world.clock() + timedelta(seconds=30))
    await provider.open(asked)
    world.clock.advance(seconds=29)
    assert not (await provider.look(asked)).closed
    world.clock.advance(seconds=1)
    assert (await provider.look(asked)).closed
    await world.pay(asked)
    assert not (await provider.look(asked)).captures


async def test_money_may_come_after_the_checkout_closed(world, provider):
    asked = charge()
    await provider.open(asked)
    await provider.close(asked)
    await world.pay_after_close(asked)
    (capture,) = (await provider.look(asked)).captures
    (body,) = await world.messages()
    assert provider.understood(body).capture == capture


async def test_charges_of_one_payment_are_apart(world, provider):
    first = charge()
    second = charge(Money(300, "EUR"), payment_id=first.payment_id, booking_id=first.booking_id, number=2)
    await provider.open(first)
    await provider.open(second)
    await world.pay(second)
    assert not (await provider.look(first)).captures
    assert [capture.amount_minor for capture in (await provider.look(second)).captures] == [300]
    assert provider.understood((await world.messages())[0]).charge_number == 2


async def test_a_refund_is_done_once(world, provider):
    asked, reference = await paid(world)
    first = await provider.refund(refund_of(asked, reference))
    assert first.state in (RefundState.SENT, RefundState.DONE)
    assert first.provider_ref
    assert await provider.refund(refund_of(asked, reference)) == first
    with pytest.raises(ProviderRefused):
        await provider.refund(refund_of(asked, reference, number=2))


async def test_no_more_goes_back_than_came(world, provider):
    asked, reference = await paid(world)
    await provider.refund(refund_of(asked, reference, Money(700, "EUR")))
    with pytest.raises(ProviderRefused):
        await provider.refund(refund_of(asked, reference, Money(301, "EUR"), number=2))
    await provider.refund(refund_of(asked, reference, Money(300, "EUR"), number=3))


async def test_nothing_goes_back_that_never_came(provider):
    asked = charge()
    await provider.open(asked)
    with pytest.raises(ProviderRefused):
        await provider.refund(refund_of(asked, "sbx_nothing"))


async def test_a_refunds_key_is_not_good_for_another(world, provider):
    asked, reference = await paid(world)
    await provider.refund(refund_of(asked, reference, Money(300, "EUR")))
    with pytest.raises(ProviderRefused):
        await provider.refund(refund_of(asked, reference, Money(301, "EUR")))


async def test_many_at_once_are_one(world, provider):
    asked = charge()
    await asyncio.gather(*(provider.open(asked) for _ in range(8)))
    await asyncio.gather(*(world.pay(asked) for _ in range(8)))
    (capture,) = (await provider.look(asked)).captures
    assert len(await world.messages()) == 1
    same = await asyncio.gather(*(provider.refund(refund_of(asked, capture.reference)) for _ in range(8)))
    assert len(set(same)) == 1


async def test_concurrent_refunds_do_not_exceed_the_capture(world, provider):
    asked, reference = await paid(world)
    outcomes = await asyncio.gather(
        *(provider.refund(refund_of(asked, reference, Money(400, "EUR"), number=n)) for n in range(1, 9)),
        return_exceptions=True,
    )
    assert sum(not isinstance(outcome, Exception) for outcome in outcomes) == 2
    assert sum(isinstance(outcome, ProviderRefused) for outcome in outcomes) == 6


async def test_closing_and_paying_at_once_agree(world, provider):
    for _ in range(20):
        asked = charge()
        await provider.open(asked)
        seen, _ = await asyncio.gather(provider.close(asked), world.pay(asked))
        assert await provider.look(asked) == seen


async def test_the_account_has_each_line_once(world, provider):
    since = world.clock()
    asked, reference = await paid(world)
    world.clock.advance(minutes=1)
    refund = await provider.refund(refund_of(asked, reference, Money(400, "EUR")))
    until = world.clock.advance(minutes=1)
    taken, given = await entries(provider, since, until)
    assert (taken.reference, taken.amount, taken.refund, taken.fee_minor) == (reference, TEN, False, world.fee_minor)
    assert (given.reference, given.amount, given.refund) == (refund.provider_ref, Money(400, "EUR"), True)
    assert {taken.payment_id, given.payment_id} == {asked.payment_id}
    assert taken.at < given.at
    middle = since + timedelta(seconds=30)
    assert await entries(provider, since, middle) + await entries(provider, middle, until) == [taken, given]
    assert not await entries(provider, until, until + timedelta(days=1))


@NOT_STRIPE
async def test_one_that_is_away_says_so(world, provider):
    asked = charge()
    await world.away(on=True)
    for call in (
        provider.open(asked),
        provider.look(asked),
        provider.close(asked),
        provider.refund(refund_of(asked, "x")),
        entries(provider, world.clock(), world.clock()),
    ):
        with pytest.raises(StoreUnavailable):
            await call
    await world.away(on=False)
    await provider.open(asked)


async def test_a_message_is_believed_for_five_minutes_either_way(world, provider):
    body, now = await a_message(world), world.clock()
    for seconds in (-300, 0, 300):
        provider.checked(world.signed(body, now + timedelta(seconds=seconds)), body, now)
    for seconds in (-301, 301, -86_400 * 365, 86_400 * 365):
        with pytest.raises(BadSignature):
            provider.checked(world.signed(body, now + timedelta(seconds=seconds)), body, now)


async def test_a_message_that_was_changed_is_not_believed(world, provider):
    body, now = await a_message(world), world.clock()
    headers = world.signed(body, now)
    changed = body.replace(b"1000", b"9999")
    assert changed != body
    for other in (changed, body[:-1], body[1:], b"", body + b" ", body + body):
        with pytest.raises(BadSignature):
            provider.checked(headers, other, now)


async def test_a_signature_of_another_form_is_none(world, provider):
    body, now = await a_message(world), world.clock()
    ((name, value),) = [(name, value) for name, value in world.signed(body, now).items() if "signature" in name]
    for other in (
        "",
        "x",
        value[:-1],
        value + "0",
        value.upper(),
        value.replace("t=", "t=1"),
        value.replace("v1", "v0"),
    ):
        with pytest.raises(BadSignature):
            provider.checked({name: other}, body, now)
    with pytest.raises(BadSignature):
        provider.checked({}, body, now)


async def test_a_signed_message_that_is_none_is_not_believed(world, provider):
    now = world.clock()
    for body in (b"", b"{", b"[]", b"null", b"\xff", b'{"event_id": 5}', b'{"id": 5}'):
        with pytest.raises(BadSignature):
            provider.checked(world.signed(body, now), body, now)


@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b"{", b'{"event_id": "e", "kind": "gold"}', b'{"id": "e", "object": 7}']
)
def test_nonsense_is_not_understood(provider, body):
    with pytest.raises(ValueError):
        provider.understood(body)


async def a_message(world):
    asked = charge()
    await world.provider.open(asked)
    await world.pay(asked)
    (body,) = await world.messages()
    return body
