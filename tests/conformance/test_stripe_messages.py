"""Stripe's messages as it sends them: the files beside this one, each shaped as https://docs.stripe.com/api/events/types says."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from domain.payment import Capture, PaymentId, RefundState
from storage.payment_provider import BadSignature, ProviderEvent, ProviderEventKind, RefundSeen
from storage.stripe_provider import StripeProvider
from tests.conformance.stripe_world import API_KEY, SECRET, signature

MESSAGES = Path(__file__).parent / "stripe_messages"
PAYMENT = PaymentId(UUID("8d3c1f9e-2b54-5c1a-9a77-0c6a3f4c5e21"))
NOW = datetime(2026, 12, 22, 18, tzinfo=UTC)
AT = int(NOW.timestamp())

CAPTURED, DECLINED, CLOSED = ProviderEventKind.CAPTURED, ProviderEventKind.DECLINED, ProviderEventKind.CLOSED
REFUND, OTHER = ProviderEventKind.REFUND, ProviderEventKind.OTHER


def _refund(event_id: str, state: RefundState, detail: str = "") -> ProviderEvent:
    seen = RefundSeen("re_3SxHoldfast0001", state, detail)
    return ProviderEvent(event_id, REFUND, PAYMENT, refund_number=1, refund=seen)


def _captured(event_id: str, amount_minor: int, fee_minor: int = 0, currency: str = "EUR") -> ProviderEvent:
    """Stripe's message names no fee: the charge is to be looked at for it."""
    capture = Capture("pi_3SxHoldfast0001", 1, amount_minor, fee_minor)
    return ProviderEvent(event_id, CAPTURED, PAYMENT, 1, capture, currency, tells_all=fee_minor > 0)


UNDERSTOOD = {
    "payment_intent.succeeded": _captured("evt_3SxHoldfast0001", 2500),
    "payment_intent.succeeded-with-fee": _captured("evt_3SxHoldfast0002", 2500, 63),
    "payment_intent.succeeded-of-another-shop": ProviderEvent("evt_3SxHoldfast0003", OTHER),
    "payment_intent.succeeded-in-yen": _captured("evt_3SxHoldfast0004", 3000, currency="JPY"),
    "payment_intent.payment_failed": ProviderEvent("evt_3SxHoldfast0005", DECLINED, PAYMENT, 1),
    "payment_intent.created": ProviderEvent("evt_3SxHoldfast0006", OTHER),
    "checkout.session.completed": ProviderEvent("evt_1SxHoldfast0007", OTHER),
    "checkout.session.expired": ProviderEvent("evt_1SxHoldfast0008", CLOSED, PAYMENT, 1),
    "checkout.session.async_payment_failed": ProviderEvent("evt_1SxHoldfast0009", CLOSED, PAYMENT, 1),
    "charge.refunded": ProviderEvent("evt_3SxHoldfast0010", OTHER),
    "refund.created": _refund("evt_3SxHoldfast0011", RefundState.SENT),
    "refund.updated": _refund("evt_3SxHoldfast0012", RefundState.DONE),
    "refund.failed": _refund("evt_3SxHoldfast0013", RefundState.REFUSED, "expired_or_canceled_card"),
    "charge.refund.updated": _refund("evt_3SxHoldfast0014", RefundState.REFUSED),
    "refund.created-by-hand": ProviderEvent("evt_3SxHoldfast0015", OTHER),
    "customer.created": ProviderEvent("evt_1SxHoldfast0016", OTHER),
}


@pytest.fixture(scope="module")
def provider() -> StripeProvider:
    return StripeProvider(API_KEY, SECRET)


def _body(name: str = "payment_intent.succeeded") -> bytes:
    return (MESSAGES / f"{name}.json").read_bytes()


def test_every_message_here_has_a_row() -> None:
    assert {path.stem for path in MESSAGES.glob("*.json")} == UNDERSTOOD.keys()


@pytest.mark.parametrize("name", UNDERSTOOD)
def test_a_signed_message_is_believed_and_understood(provider: StripeProvider, name: str) -> None:
    body = _body(name)
    assert provider.checked({"stripe-signature": signature(body, AT)}, body, NOW) == UNDERSTOOD[name].event_id
    assert provider.understood(body) == UNDERSTOOD[name]


def test_a_message_is_signed_byte_by_byte(provider: StripeProvider) -> None:
    body = _body()
    compact = json.dumps(json.loads(body)).encode()
    with pytest.raises(BadSignature):
        provider.checked({"stripe-signature": signature(body, AT)}, compact, NOW)


@pytest.mark.parametrize(("seconds", "believed"), [(-301, False), (-300, True), (300, True), (301, False)])
def test_a_message_is_believed_for_five_minutes_either_way(
    provider: StripeProvider, seconds: int, believed: bool
) -> None:
    body = _body()
    headers = {"stripe-signature": signature(body, AT + seconds)}
    if believed:
        provider.checked(headers, body, NOW)
        return
    with pytest.raises(BadSignature, match="too long ago"):
        provider.checked(headers, body, NOW)


def test_while_the_secret_is_changed_stripe_signs_with_both(provider: StripeProvider) -> None:
    body = _body()
    other = signature(body, AT, "whsec_old").split(",")[1]
    provider.checked({"stripe-signature": f"{signature(body, AT)},{other}"}, body, NOW)
    provider.checked({"stripe-signature": f"t={AT},{other},{signature(body, AT).split(',')[1]}"}, body, NOW)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "t=,v1=",
        f"t={AT}",
        f"t={AT},v1=",
        f"t={AT},v1={'0' * 64}",
        f"t={AT},v1=\N{LATIN SMALL LETTER E WITH ACUTE}",
        f"v1={'0' * 64}",
        f"t={'9' * 5000},v1={'0' * 64}",
        "t",
        signature(b"another body", AT),
    ],
)
def test_any_other_header_is_refused(provider: StripeProvider, header: str) -> None:
    with pytest.raises(BadSignature):
        provider.checked({"stripe-signature": header}, _body(), NOW)


def test_a_signature_of_another_kind_or_with_another_secret_is_refused(provider: StripeProvider) -> None:
    body = _body()
    good = signature(body, AT)
    for header in (
        good.replace("v1=", "v0="),
        signature(body, AT, "whsec_another"),
        f"t={AT + 1},{good.split(',')[1]}",
    ):
        with pytest.raises(BadSignature, match="not signed"):
            provider.checked({"stripe-signature": header}, body, NOW)


def test_a_second_time_stamp_does_not_make_an_old_message_young(provider: StripeProvider) -> None:
    body = _body()
    old = signature(body, AT - 3600)
    stale = (f"{old},t={AT}", f"t={AT},{old}", old.replace(",", f"={AT},"))
    for header in stale:
        with pytest.raises(BadSignature):
            provider.checked({"stripe-signature": header}, body, NOW)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{",
        b'{"object": "event"}',
        b'{"object": "event", "id": 7}',
        b'{"object": "event", "id": "evt_"}',
        b'{"object": "event", "id": "evt_1\\u0000"}',
        b'{"object": "v2.core.event", "id": "evt_1"}',
        b'{"object": "event", "id": "evt_' + b"1" * 300 + b'"}',
    ],
)
def test_what_is_signed_and_no_event_is_refused(provider: StripeProvider, body: bytes) -> None:
    with pytest.raises(BadSignature):
        provider.checked({"stripe-signature": signature(body, AT)}, body, NOW)


def test_without_a_secret_nothing_is_believed() -> None:
    body = _body()
    with pytest.raises(BadSignature):
        StripeProvider(API_KEY, "").checked({"stripe-signature": signature(body, AT, "")}, body, NOW)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("payment_intent.succeeded", {"amount_received": None}),
        ("payment_intent.succeeded", {"amount_received": -1}),
        ("payment_intent.succeeded", {"amount_received": True}),
        ("payment_intent.succeeded", {"currency": 7}),
        ("payment_intent.succeeded", {"id": ""}),
        ("payment_intent.succeeded", {"metadata": {"holdfast_payment": "x", "holdfast_charge": "1"}}),
        ("payment_intent.succeeded", {"metadata": {"holdfast_payment": str(PAYMENT), "holdfast_charge": "one"}}),
        ("payment_intent.succeeded-with-fee", {"latest_charge": {"balance_transaction": {"fee": "63"}}}),
        ("refund.updated", {"status": "lost"}),
        ("refund.updated", {"status": None}),
    ],
)
def test_what_makes_no_sense_is_no_event(provider: StripeProvider, name: str, part: dict[str, object]) -> None:
    event = json.loads(_body(name))
    event["data"]["object"] |= part
    with pytest.raises(ValueError):
        provider.understood(json.dumps(event).encode())


@pytest.mark.parametrize("data", [None, 7, {}, {"object": None}, {"object": []}])
def test_an_event_about_nothing_makes_no_sense(provider: StripeProvider, data: object) -> None:
    event = json.loads(_body()) | {"data": data}
    with pytest.raises(ValueError):
        provider.understood(json.dumps(event).encode())


def test_a_fee_in_another_currency_is_not_taken_for_one_in_the_guests(provider: StripeProvider) -> None:
    event = json.loads(_body("payment_intent.succeeded-with-fee"))
    event["data"]["object"]["latest_charge"]["balance_transaction"]["currency"] = "gbp"
    capture = provider.understood(json.dumps(event).encode()).capture
    assert capture is not None
    assert capture.fee_minor == 0


def test_messages_are_of_the_last_five_minutes_by_our_clock_and_not_by_the_librarys(provider: StripeProvider) -> None:
    body, later = _body(), NOW + timedelta(days=3650)
    headers = {"stripe-signature": signature(body, int(later.timestamp()))}
    assert provider.checked(headers, body, later)
