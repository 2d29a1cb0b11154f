"""What is Stripe's own: its keys and what it forgets, its pages, the lines of its account, and what must not be seen."""

import json
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import uuid4

import httpx
import pytest
import stripe

from domain.ids import BookingId
from domain.money import Money
from domain.payment import PaymentId, RefundState
from storage.errors import StoreUnavailable
from storage.payment_provider import ChargeAsked, OwnerNeeded, ProviderEntry, ProviderRefused, RefundAsked
from storage.stripe_provider import StripeProvider
from tests.conformance.stripe_world import API_KEY, SECRET, refuse_connection
from tests.fakes.stopped_clock import StoppedClock
from tests.fakes.stripe import FakeStripe

TEN = Money(1000, "EUR")
NOW = datetime(2026, 12, 22, 18, 3, tzinfo=UTC)


class World:
    def __init__(self, api_key: str = API_KEY, *, retries: int = 0) -> None:
        self.clock = StoppedClock(NOW)
        self.stripe = FakeStripe(API_KEY, self.clock)
        self.provider = StripeProvider(
            api_key, SECRET, retries=retries, clock=self.clock, transport=self.stripe.transport
        )

    async def opened(self, asked: ChargeAsked) -> ChargeAsked:
        return replace(asked, provider_ref=(await self.provider.open(asked)).provider_ref)

    async def paid(self, asked: ChargeAsked) -> tuple[ChargeAsked, str]:
        """The charge, and the reference of its money."""
        asked = await self.opened(asked)
        self.stripe.pay(str(asked.provider_ref))
        seen = await self.provider.look(asked)
        assert seen is not None
        return asked, seen.captures[0].reference

    async def entries(self, since: datetime = NOW, until: datetime = NOW + timedelta(days=1)) -> list[ProviderEntry]:
        return [entry async for entry in self.provider.entries(since, until)]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.provider.aclose()


def charge(amount: Money = TEN, closes_in: timedelta | None = timedelta(minutes=9)) -> ChargeAsked:
    closes_at = None if closes_in is None else NOW + closes_in
    return ChargeAsked(
        PaymentId(uuid4()), 1, BookingId(uuid4()), amount, closes_at, returns_to="https://book.example.org/"
    )


def refund(asked: ChargeAsked, reference: str, amount: Money = TEN, number: int = 1) -> RefundAsked:
    return RefundAsked(asked.payment_id, number, asked.booking_id, reference, amount)


def lost_answer(request: httpx.Request, answer: Callable[[], httpx.Response]) -> httpx.Response:
    """Stripe has done it, and nobody hears of it."""
    answer()
    raise httpx.ReadTimeout("too slow", request=request)


def says(status: int, **error: str) -> Callable[[httpx.Request, Callable[[], httpx.Response]], httpx.Response]:
    return lambda _request, _answer: httpx.Response(status, json={"error": error})


async def test_a_page_takes_the_money_at_once_by_card_in_the_vendors_currency_and_names_our_charge(
    world: World,
) -> None:
    asked = charge()
    await world.provider.open(asked)
    (request,) = world.stripe.asked
    names = {
        "holdfast_payment": str(asked.payment_id),
        "holdfast_charge": "1",
        "holdfast_booking": str(asked.booking_id),
    }
    assert request[:2] == ("POST", "/v1/checkout/sessions")
    assert request[2] == {
        "mode": "payment",
        "submit_type": "book",
        "payment_method_types[0]": "card",
        "adaptive_pricing[enabled]": "false",
        "line_items[0][quantity]": "1",
        "line_items[0][price_data][currency]": "eur",
        "line_items[0][price_data][unit_amount]": "1000",
        "line_items[0][price_data][product_data][name]": "Deposit for your booking",
        "payment_intent_data[capture_method]": "automatic",
        **{f"payment_intent_data[metadata][{name}]": value for name, value in names.items()},
        **{f"metadata[{name}]": value for name, value in names.items()},
        "client_reference_id": str(asked.booking_id),
        "success_url": "https://book.example.org/",
        "cancel_url": "https://book.example.org/",
        "expires_at": str(int((NOW + timedelta(minutes=37)).timestamp())),
    }


async def test_without_an_address_to_lead_back_to_there_is_no_page(world: World) -> None:
    with pytest.raises(ProviderRefused, match="leads back"):
        await world.provider.open(replace(charge(), returns_to=""))


@pytest.mark.parametrize(
    ("closes_in", "lives"),
    [
        (timedelta(minutes=9), timedelta(minutes=37)),
        (timedelta(hours=5), timedelta(hours=5)),
        (timedelta(hours=24), timedelta(hours=23, minutes=47)),
        (timedelta(hours=-1), timedelta(minutes=37)),
    ],
)
async def test_stripe_closes_the_page_by_itself_soon_after_we_would(
    world: World, closes_in: timedelta, lives: timedelta
) -> None:
    await world.provider.open(charge(closes_in=closes_in))
    assert datetime.fromtimestamp(int(world.stripe.asked[0][2]["expires_at"]), UTC) == NOW + lives


@pytest.mark.parametrize("closes_in", [timedelta(seconds=30), timedelta(days=60)])
async def test_stripe_takes_the_end_of_the_page_at_every_minute(world: World, closes_in: timedelta) -> None:
    """It refuses one within half an hour, or beyond a day."""
    for _ in range(20):
        world.clock.advance(seconds=31)
        asked = replace(charge(), closes_at=world.clock() + closes_in)
        assert (await world.provider.open(asked)).url
    for lives in (timedelta(minutes=29, seconds=59), timedelta(days=1, seconds=1)):
        ends = int((world.clock() + lives).timestamp())
        with pytest.raises(stripe.InvalidRequestError, match="expires_at"):
            await world.provider._client.v1.checkout.sessions.create_async({"expires_at": ends})


async def test_the_page_of_a_charge_that_never_closes_lives_as_long_as_stripe_lets_it(world: World) -> None:
    await world.provider.open(charge(closes_in=None))
    assert "expires_at" not in world.stripe.asked[0][2]


async def test_a_page_whose_answer_was_lost_is_found_again(world: World) -> None:
    asked = charge()
    world.stripe.faults.append(lost_answer)
    with pytest.raises(StoreUnavailable):
        await world.provider.open(asked)
    checkout = await world.provider.open(asked)
    assert list(world.stripe.sessions) == [checkout.provider_ref]


async def test_another_time_or_another_way_back_is_another_page_and_never_an_error(world: World) -> None:
    asked = charge()
    first = await world.provider.open(asked)
    world.clock.advance(minutes=30)
    second = await world.provider.open(asked)
    third = await world.provider.open(replace(asked, returns_to="https://new.example.org/"))
    assert len({first.provider_ref, second.provider_ref, third.provider_ref}) == 3


async def test_a_page_that_is_known_is_not_made_again(world: World) -> None:
    asked = charge()
    first = await world.provider.open(asked)
    world.stripe.forget_keys()
    assert await world.provider.open(replace(asked, provider_ref=first.provider_ref)) == first
    assert world.stripe.paths() == ["POST /v1/checkout/sessions", f"GET /v1/checkout/sessions/{first.provider_ref}"]


async def test_a_page_that_nobody_was_told_of_needs_no_closing(world: World) -> None:
    assert (await world.provider.close(charge())).closed
    assert await world.provider.look(charge()) is None
    assert world.stripe.asked == []


async def test_what_stripe_does_not_know_was_never_there(world: World) -> None:
    gone = replace(charge(), provider_ref="cs_test_gone")
    assert await world.provider.look(gone) is None
    assert (await world.provider.close(gone)).closed


async def test_what_the_bank_is_still_deciding_is_not_closed(world: World) -> None:
    asked = await world.opened(charge())
    world.stripe.start_slowly(str(asked.provider_ref))
    assert not (await world.provider.close(asked)).closed
    world.stripe.money_comes(str(asked.provider_ref))
    seen = await world.provider.close(asked)
    assert (seen.closed, [capture.amount_minor for capture in seen.captures]) == (True, [1000])


async def test_closing_asks_anew_each_time(world: World) -> None:
    asked = await world.opened(charge())
    world.stripe.faults.append(says(400, type="invalid_request_error", message="being paid just now"))
    assert not (await world.provider.close(asked)).closed
    assert (await world.provider.close(asked)).closed
    keys = [key for method, path, _, key in world.stripe.asked if path.endswith("/expire")]
    assert len(set(keys)) == 2


async def test_the_fee_is_known_once_stripe_knows_it(world: World) -> None:
    world.stripe.fee = {"fee": 63, "currency": "eur"}
    asked, _ = await world.paid(charge())
    seen = await world.provider.look(asked)
    assert seen is not None
    assert seen.captures[0].fee_minor == 63


async def test_a_refund_whose_answer_was_lost_is_not_made_twice_even_after_stripe_forgot_the_key(world: World) -> None:
    asked, reference = await world.paid(charge())
    part = refund(asked, reference, Money(400, "EUR"))
    world.stripe.faults += [lambda _request, answer: answer(), lost_answer]
    with pytest.raises(StoreUnavailable):
        await world.provider.refund(part)
    world.stripe.forget_keys()
    seen = await world.provider.refund(part)
    assert list(world.stripe.refunds) == [seen.provider_ref]
    assert seen.state is RefundState.DONE


async def test_a_refund_that_failed_is_made_anew_under_another_key_and_that_one_only_once(world: World) -> None:
    asked, reference = await world.paid(charge())
    whole = refund(asked, reference)
    names = []
    for tries in range(1, 4):
        seen = await world.provider.refund(whole)
        assert await world.provider.refund(whole) == seen
        names.append(seen.provider_ref)
        keys = [key for method, path, _, key in world.stripe.asked if (method, path) == ("POST", "/v1/refunds")]
        assert keys[-1] == (whole.key if tries == 1 else f"{whole.key}/{tries}")
        assert len(keys) == tries
        world.stripe.fail_refund(seen.provider_ref)
        known = await world.provider.refund(replace(whole, provider_ref=seen.provider_ref))
        assert known.state is RefundState.REFUSED
    assert list(world.stripe.refunds) == names
    told = [world.provider.understood(json.dumps(event).encode()) for event in world.stripe.events]
    assert [event.refund and event.refund.provider_ref for event in told if event.refund] == names


async def test_a_refund_made_anew_whose_answer_was_lost_is_found_behind_the_one_that_failed(world: World) -> None:
    asked, reference = await world.paid(charge())
    whole = refund(asked, reference)
    world.stripe.fail_refund((await world.provider.refund(whole)).provider_ref)
    world.stripe.faults += [lambda _request, answer: answer(), lost_answer]
    with pytest.raises(StoreUnavailable):
        await world.provider.refund(whole)
    world.stripe.forget_keys()
    seen = await world.provider.refund(whole)
    assert seen.state is RefundState.DONE
    assert len(world.stripe.refunds) == 2


async def test_money_in_another_currency_is_not_taken_for_ours(world: World) -> None:
    asked, _ = await world.paid(charge())
    next(iter(world.stripe.intents.values()))["currency"] = "usd"
    for call in (world.provider.look, world.provider.close):
        with pytest.raises(ProviderRefused, match=r"EUR.*USD"):
            await call(asked)


async def test_the_refund_is_found_among_many(world: World) -> None:
    asked, reference = await world.paid(charge())
    parts = [refund(asked, reference, Money(100, "EUR"), number) for number in range(1, 8)]
    first = [await world.provider.refund(part) for part in parts]
    world.stripe.forget_keys()
    assert [await world.provider.refund(part) for part in parts] == first
    assert len(world.stripe.refunds) == 7


async def test_a_refund_goes_to_the_intent_with_our_key_and_name(world: World) -> None:
    asked, reference = await world.paid(charge())
    await world.provider.refund(refund(asked, reference, Money(400, "EUR")))
    method, path, form, key = world.stripe.asked[-1]
    assert (method, path, key) == ("POST", "/v1/refunds", f"{asked.payment_id}/refund/1")
    assert form == {
        "payment_intent": reference,
        "amount": "400",
        "metadata[holdfast_payment]": str(asked.payment_id),
        "metadata[holdfast_refund]": "1",
        "metadata[holdfast_booking]": str(asked.booking_id),
    }


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("pending", RefundState.SENT),
        ("requires_action", RefundState.SENT),
        ("succeeded", RefundState.DONE),
        ("failed", RefundState.REFUSED),
        ("canceled", RefundState.REFUSED),
    ],
)
async def test_a_refund_that_is_known_is_asked_about_by_its_name(world: World, status: str, state: RefundState) -> None:
    asked, reference = await world.paid(charge())
    world.stripe.refund_status = "pending"
    whole = refund(asked, reference)
    seen = await world.provider.refund(whole)
    assert seen.state is RefundState.SENT
    world.stripe.refunds[seen.provider_ref] |= {"status": status, "failure_reason": "lost_or_stolen_card"}
    seen = await world.provider.refund(replace(whole, provider_ref=seen.provider_ref))
    assert (seen.state, seen.detail) == (state, "lost_or_stolen_card")
    assert world.stripe.paths()[-1] == f"GET /v1/refunds/{seen.provider_ref}"


@pytest.mark.parametrize(
    ("status", "code", "raised"),
    [
        (400, "charge_already_refunded", ProviderRefused),
        (402, "card_declined", ProviderRefused),
        (404, "resource_missing", ProviderRefused),
        (400, "balance_insufficient", OwnerNeeded),
        (400, "rate_limit", StoreUnavailable),
        (401, "", OwnerNeeded),
        (403, "", OwnerNeeded),
        (409, "idempotency_key_in_use", StoreUnavailable),
        (429, "lock_timeout", StoreUnavailable),
        (500, "", StoreUnavailable),
        (503, "", StoreUnavailable),
    ],
)
async def test_what_may_pass_is_told_from_what_will_never_be(
    world: World, status: int, code: str, raised: type[Exception]
) -> None:
    asked, reference = await world.paid(charge())
    world.stripe.faults += [lambda _request, answer: answer(), says(status, type="x", code=code, message="so it is")]
    with pytest.raises(raised, match=f"{status}.*so it is"):
        await world.provider.refund(refund(asked, reference))


@pytest.mark.parametrize(
    "content", [b"<html>", b"{}", b"[]", b'{"id": 7}', b'{"id": "cs_1", "status": "open", "payment_intent": "pi_1"}']
)
async def test_an_answer_that_is_none_of_stripes_is_no_answer(world: World, content: bytes) -> None:
    asked = await world.opened(charge())
    world.stripe.faults.append(lambda _request, _answer: httpx.Response(200, content=content))
    with pytest.raises(StoreUnavailable):
        await world.provider.look(asked)


async def test_every_call_says_that_stripe_is_away(world: World) -> None:
    asked, reference = await world.paid(charge())
    world.stripe.faults = [refuse_connection] * 5
    for call in (
        world.provider.open(charge()),
        world.provider.look(asked),
        world.provider.close(asked),
        world.provider.refund(refund(asked, reference)),
        world.entries(),
    ):
        with pytest.raises(StoreUnavailable, match="ConnectError"):
            await call
    assert world.stripe.faults == []


async def test_a_connection_that_breaks_is_tried_again_under_the_same_key() -> None:
    world = World(retries=2)
    world.provider._http.sleep_async = no_wait  # type: ignore[method-assign]
    asked = charge()
    world.stripe.faults = [lost_answer, refuse_connection]
    await world.provider.open(asked)
    assert len(world.stripe.sessions) == 1
    assert len({key for _, _, _, key in world.stripe.asked}) == 1
    await world.provider.aclose()


async def no_wait(_seconds: float) -> None:
    return


async def test_the_account_names_what_is_ours_also_where_a_person_gave_the_money_back(world: World) -> None:
    world.stripe.fee = {"fee": 63, "currency": "eur"}
    asked, reference = await world.paid(charge())
    await world.provider.refund(refund(asked, reference, Money(400, "EUR")))
    by_hand = dict(next(iter(world.stripe.refunds.values()))) | {"id": "re_hand", "metadata": {}, "amount": 50}
    failed = by_hand | {"id": "re_failed", "status": "failed"}
    world.stripe.refunds |= {"re_hand": by_hand, "re_failed": failed}
    taken, hand, given = await world.entries()
    assert (taken.reference, taken.amount, taken.fee_minor, taken.refund) == (reference, TEN, 63, False)
    assert (given.amount, given.refund) == (Money(400, "EUR"), True)
    assert (hand.reference, hand.amount) == ("re_hand", Money(50, "EUR"))
    assert {taken.payment_id, given.payment_id, hand.payment_id} == {asked.payment_id}


async def test_the_account_has_what_is_not_ours_without_a_payment_and_what_never_came_not_at_all(world: World) -> None:
    _, reference = await world.paid(charge())
    ours = next(iter(world.stripe.charges.values()))
    world.stripe.charges |= {
        "ch_other": ours | {"id": "ch_other", "metadata": {}, "payment_intent": None},
        "ch_failed": ours | {"id": "ch_failed", "status": "failed", "captured": False},
        "ch_held": ours | {"id": "ch_held", "captured": False},
    }
    assert [(entry.reference, entry.payment_id is None) for entry in await world.entries()] == [
        ("ch_other", True),
        (reference, False),
    ]


async def test_the_account_is_read_to_its_end_and_not_beyond(world: World) -> None:
    references = []
    for _ in range(7):
        _, reference = await world.paid(charge())
        references.append(reference)
        world.clock.advance(seconds=1)
    assert [entry.reference for entry in await world.entries()] == references[::-1]
    some = await world.entries(NOW + timedelta(seconds=0.5), NOW + timedelta(seconds=3))
    assert [entry.reference for entry in some] == references[2:0:-1]


@pytest.mark.parametrize("key", ["sk_live_51SeenAnywhere", "rk_live_SeenAnywhere", "sk_test_SeenAnywhere"])
async def test_no_key_is_in_any_error_or_log(
    key: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Stripe of this test shows the key that it does not take, as a proxy might."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(stripe, "log", "debug")
    monkeypatch.setattr("stripe._util.STRIPE_LOG", "debug")
    world = World(key)
    known = replace(charge(), provider_ref="cs_test_1")
    calls: list[Callable[[], Awaitable[object]]] = [
        partial(world.provider.open, charge()),
        partial(world.provider.look, known),
        partial(world.provider.close, known),
        partial(world.provider.refund, refund(known, "pi_1")),
        world.entries,
    ]
    seen = [repr(world.provider), str(vars(world.provider))]
    for fault in (None, refuse_connection):
        for call in calls:
            world.stripe.faults = [] if fault is None else [fault]
            with pytest.raises(StoreUnavailable) as raised:
                await call()
            seen += traceback.format_exception(raised.value)
            assert raised.value.__cause__ is None
            assert raised.value.__context__ is None
    await world.provider.aclose()
    assert "Invalid API Key provided: ***" in "".join(seen)
    assert "SeenAnywhere" not in "".join(seen)
    assert "Stripe v1 API error received" in caplog.text
    assert "SeenAnywhere" not in caplog.text
    assert capfd.readouterr().err == ""


async def test_no_body_of_an_answer_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    asked = await world.opened(charge())
    world.stripe.sessions[str(asked.provider_ref)]["customer_details"] = {"email": "guest@example.org"}
    await world.provider.look(asked)
    assert "/v1/checkout/sessions" in caplog.text
    assert "guest@example.org" not in caplog.text


def test_no_secret_is_in_what_a_bad_signature_says(world: World) -> None:
    with pytest.raises(ValueError) as raised:
        world.provider.checked({"stripe-signature": f"t=1,v1={SECRET}"}, b"{}", NOW)
    assert SECRET not in "".join(traceback.format_exception(raised.value))
