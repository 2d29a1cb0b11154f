"""Stripe's messages: whether one is Stripe's, and what it says. https://docs.stripe.com/webhooks and .../api/events."""

import re
from datetime import datetime
from typing import Final

import orjson
import stripe

from storage.payment_provider import BadSignature, ProviderEvent, ProviderEventKind
from storage.stripe_documents import (
    Document,
    capture_of,
    charge_named,
    object_in,
    refund_named,
    refund_seen,
    text_in,
)

HEADER: Final = "stripe-signature"

_SECONDS_OFF_MAX: Final = 300
_EVENT_ID: Final = re.compile(r"evt_\w{1,250}", re.ASCII)
_CLOSED: Final = frozenset(["checkout.session.expired", "checkout.session.async_payment_failed"])
_REFUND: Final = frozenset(["refund.created", "refund.updated", "refund.failed", "charge.refund.updated"])


def signed_event_id(header: str, body: bytes, secret: str, now: datetime) -> str:
    """The id of an event that Stripe signed less than five minutes from now, either way. Raises BadSignature."""
    if not _is_signed(header, body, secret):
        raise BadSignature("not signed by Stripe with our secret")
    if abs(_sent_at(header) - int(now.timestamp())) > _SECONDS_OFF_MAX:
        raise BadSignature("signed too long ago, or in the future")
    try:
        event = _event(body)
        event_id = text_in(event, "id")
    except ValueError as error:
        raise BadSignature(f"no event of Stripe's: {error}") from error
    if not _EVENT_ID.fullmatch(event_id):
        raise BadSignature("no id of Stripe's")
    return event_id


def event_of(body: bytes) -> ProviderEvent:
    """What a message says. Raises ValueError where it makes no sense.

    `charge.refunded` names no refund, and each refund has events of its own; so it is none of ours.
    """
    event = _event(body)
    event_id, kind = text_in(event, "id"), text_in(event, "type")
    about = object_in(object_in(event, "data"), "object")
    if kind in _REFUND:
        return _of_refund(event_id, about)
    named = charge_named(about)
    if named is None:
        return ProviderEvent(event_id, ProviderEventKind.OTHER)
    if kind == "payment_intent.succeeded":
        received, currency = capture_of(about, named[1])
        tells_all = received.fee_minor > 0
        return ProviderEvent(event_id, ProviderEventKind.CAPTURED, *named, received, currency, tells_all=tells_all)
    if kind == "payment_intent.payment_failed":
        return ProviderEvent(event_id, ProviderEventKind.DECLINED, *named)
    if kind in _CLOSED:
        return ProviderEvent(event_id, ProviderEventKind.CLOSED, *named)
    return ProviderEvent(event_id, ProviderEventKind.OTHER)


def _of_refund(event_id: str, refund: Document) -> ProviderEvent:
    named = refund_named(refund)
    if named is None:
        return ProviderEvent(event_id, ProviderEventKind.OTHER)
    payment_id, number = named
    return ProviderEvent(
        event_id, ProviderEventKind.REFUND, payment_id, refund_number=number, refund=refund_seen(refund)
    )


def _is_signed(header: str, body: bytes, secret: str) -> bool:
    """Compared in constant time, by Stripe's own library, which has no mind for headers that are not ASCII."""
    if not header.isascii():
        return False
    try:
        stripe.WebhookSignature.verify_header(body, header, secret, tolerance=None)
    except (stripe.SignatureVerificationError, UnicodeDecodeError):
        return False
    return True


def _sent_at(header: str) -> int:
    """The time stamp that was signed: the first of a header whose signature is good. The library only judges old ones."""
    return next(int(part[1]) for part in (item.split("=", 2) for item in header.split(",")) if part[0] == "t")


def _event(body: bytes) -> Document:
    found = orjson.loads(body)
    if not isinstance(found, dict) or found.get("object") != "event":
        raise ValueError("no event")
    return found
