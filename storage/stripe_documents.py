"""What Stripe's objects say, in our terms: read alike from the answers of its API and from its messages.

Everything here raises ValueError for an object that is not as Stripe documents it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from domain.money import Money
from domain.payment import Capture, PaymentId, RefundState
from storage.payment_provider import (
    ChargeAsked,
    ChargeSeen,
    Checkout,
    ProviderEntry,
    ProviderRefused,
    RefundAsked,
    RefundSeen,
)
from storage.stripe_amounts import from_stripe

Document = Mapping[str, Any]

_PAYMENT: Final = "holdfast_payment"
_CHARGE: Final = "holdfast_charge"
_REFUND: Final = "holdfast_refund"
_BOOKING: Final = "holdfast_booking"

_REFUND_STATES: Final = {
    "pending": RefundState.SENT,
    "requires_action": RefundState.SENT,
    "succeeded": RefundState.DONE,
    "failed": RefundState.REFUSED,
    "canceled": RefundState.REFUSED,
}


def charge_metadata(asked: ChargeAsked) -> dict[str, str]:
    """By which a session, its intent and the charge that Stripe copies it to are known as ours."""
    return {_PAYMENT: str(asked.payment_id), _CHARGE: str(asked.number), _BOOKING: str(asked.booking_id)}


def refund_metadata(asked: RefundAsked) -> dict[str, str]:
    return {_PAYMENT: str(asked.payment_id), _REFUND: str(asked.number), _BOOKING: str(asked.booking_id)}


def charge_named(document: Document) -> tuple[PaymentId, int] | None:
    """Which charge of ours a session, an intent or a charge is about."""
    return _named(document, _CHARGE)


def refund_named(document: Document) -> tuple[PaymentId, int] | None:
    """Which refund of ours Stripe's refund is; None where somebody gave money back by hand."""
    return _named(document, _REFUND)


def checkout_of(session: Document) -> Checkout:
    """`url` is empty where the session is over."""
    url = session.get("url")
    return Checkout(text_in(session, "id"), url if isinstance(url, str) else "")


def charge_seen(session: Document, asked: ChargeAsked) -> ChargeSeen:
    """What became of a session whose intent, with its charge and that one's balance transaction, came along.

    Raises ProviderRefused for money in another currency, which only a person can make sense of.
    """
    intent = _object_in(session, "payment_intent")
    status = text_in(session, "status")
    paying = "" if intent is None else text_in(intent, "status")
    captures: tuple[Capture, ...] = ()
    if intent is not None and paying == "succeeded":
        received, currency = capture_of(intent, asked.number)
        if currency != asked.amount.currency:
            raise ProviderRefused(f"charge {asked.key} is in {asked.amount.currency}, and {currency} came")
        captures = (received,)
    declined = intent is not None and paying == "requires_payment_method" and bool(intent.get("last_payment_error"))
    # A session is complete once the guest has done their part; a slow way of paying may be decided days later.
    closed = status == "expired" or (status == "complete" and paying != "processing")
    return ChargeSeen(captures, declined, closed)


def capture_of(intent: Document, number: int) -> tuple[Capture, str]:
    """The money of an intent that succeeded, and its currency: there is never more than one, as it is never manual."""
    money = from_stripe(_number_in(intent, "amount_received"), text_in(intent, "currency"))
    fee_minor = _fee_of(intent.get("latest_charge"), money.currency)
    return Capture(text_in(intent, "id"), number, money.amount_minor, fee_minor), money.currency


def total_of(session: Document) -> Money:
    """What the page asks for."""
    return from_stripe(_number_in(session, "amount_total"), text_in(session, "currency"))


@dataclass(frozen=True, slots=True)
class KnownRefund:
    """A refund that Stripe has already. `named` is None for one of a person's hand."""

    named: tuple[PaymentId, int] | None
    amount: Money
    seen: RefundSeen


def known_refund(refund: Document) -> KnownRefund:
    amount = from_stripe(_number_in(refund, "amount"), text_in(refund, "currency"))
    return KnownRefund(refund_named(refund), amount, refund_seen(refund))


def refund_seen(refund: Document) -> RefundSeen:
    status = text_in(refund, "status")
    if status not in _REFUND_STATES:
        raise ValueError(f"a refund that is {status}")
    detail = refund.get("failure_reason") or ""
    return RefundSeen(text_in(refund, "id"), _REFUND_STATES[status], str(detail))


def charge_entry(charge: Document) -> ProviderEntry | None:
    """A charge as a line of the account; None where no money came, or is only authorised."""
    if text_in(charge, "status") != "succeeded" or not charge.get("captured"):
        return None
    money = from_stripe(_number_in(charge, "amount_captured"), text_in(charge, "currency"))
    named = charge_named(charge)
    return ProviderEntry(
        _id_of(charge.get("payment_intent")) or text_in(charge, "id"),
        money,
        refund=False,
        at=_created(charge),
        payment_id=None if named is None else named[0],
        fee_minor=_fee_of(charge, money.currency),
    )


def refund_entry(refund: Document) -> ProviderEntry | None:
    """A refund as a line of the account; None where it failed, so that the money is back with us.

    What somebody gave back by hand is known by the charge that it belongs to, which came along.
    """
    if refund_seen(refund).state is RefundState.REFUSED:
        return None
    charge = _object_in(refund, "charge")
    named = refund_named(refund) or (None if charge is None else charge_named(charge))
    return ProviderEntry(
        text_in(refund, "id"),
        from_stripe(_number_in(refund, "amount"), text_in(refund, "currency")),
        refund=True,
        at=_created(refund),
        payment_id=None if named is None else named[0],
    )


def text_in(document: Document, name: str) -> str:
    found = document.get(name)
    if not isinstance(found, str) or not found:
        raise ValueError(f"no {name}")
    return found


def object_in(document: Document, name: str) -> Document:
    found = _object_in(document, name)
    if found is None:
        raise ValueError(f"no {name}")
    return found


def _object_in(document: Document, name: str) -> Document | None:
    found = document.get(name)
    if found is not None and not isinstance(found, Mapping):
        raise ValueError(f"{name} is no object, or did not come along")
    return found


def _number_in(document: Document, name: str) -> int:
    found = document.get(name)
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise ValueError(f"no amount in {name}")
    return found


def _id_of(found: object) -> str | None:
    """Of something that Stripe names, or sends whole where it was asked to."""
    if isinstance(found, Mapping):
        found = found.get("id")
    return found if isinstance(found, str) else None


def _named(document: Document, kind: str) -> tuple[PaymentId, int] | None:
    metadata = document.get("metadata")
    if not isinstance(metadata, Mapping) or _PAYMENT not in metadata or kind not in metadata:
        return None
    return PaymentId(UUID(str(metadata[_PAYMENT]))), int(str(metadata[kind]))


def _fee_of(charge: object, currency: str) -> int:
    """What Stripe keeps of a charge; 0 while it is not known, and where it is taken in another currency than the guest's."""
    transaction = charge.get("balance_transaction") if isinstance(charge, Mapping) else None
    if not isinstance(transaction, Mapping):
        return 0
    fee = from_stripe(_number_in(transaction, "fee"), text_in(transaction, "currency"))
    return fee.amount_minor if fee.currency == currency else 0


def _created(document: Document) -> datetime:
    return datetime.fromtimestamp(_number_in(document, "created"), UTC)
