"""The deposit of a booking: what was asked, what came, what goes back, what the house keeps.

What is to be done about it is `domain.payment_steps`' business, and what a change moves between accounts `domain.ledger`'s.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, NewType
from uuid import UUID, uuid5

from domain.booking import Booking
from domain.ids import BookingId, UserId, VendorId
from domain.money import Money

PaymentId = NewType("PaymentId", UUID)
_NAMESPACE: Final = UUID("6f1cf25c-74ab-5a4b-9d26-1e4bb1f0a5d1")


class ChargeState(StrEnum):
    """OPENING -> OPEN -> DECLINED; each of them -> PAID, or -> CLOSING -> CLOSED. Money may come in any state."""

    OPENING = "opening"
    """Written down; the provider was not told, or did not live to answer."""
    OPEN = "open"
    DECLINED = "declined"
    """A try was declined. The guest may try again: it stays so until that is paid, or over."""
    PAID = "paid"
    CLOSING = "closing"
    """Not wanted any more; the provider has yet to agree."""
    CLOSED = "closed"


PAYABLE: Final = frozenset({ChargeState.OPENING, ChargeState.OPEN, ChargeState.DECLINED})


class RefundState(StrEnum):
    WANTED = "wanted"
    """Written down; the provider was not told, or did not live to answer."""
    SENT = "sent"
    """The provider has it and is not done."""
    DONE = "done"
    """The provider says so; a bank may still send it back days later, which is REFUSED."""
    REFUSED = "refused"
    """The provider will never do it: somebody must see to it."""


class PaymentStatus(StrEnum):
    """As a client sees it; see API.md, Payments."""

    PENDING = "pending"
    CAPTURED = "captured"
    DECLINED = "declined"
    VOID = "void"
    REFUND_PENDING = "refund_pending"
    REFUNDED = "refunded"
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Charge:
    """One checkout: a sum that the guest was asked for. `number` counts a payment's charges from 1.

    `asked_version` is the version of the booking that agreed on the deposit that the sum is for. `provider_ref` and
    `checkout_url` are known once the provider has answered. After `closes_at` nothing should come.
    """

    number: int
    amount_minor: int
    asked_version: int
    state: ChargeState = ChargeState.OPENING
    closes_at: datetime | None = None
    provider_ref: str | None = None
    checkout_url: str | None = None


@dataclass(frozen=True, slots=True)
class Capture:
    """Money that came. `reference` is the provider's, and the same however often it tells us.

    `fee_minor` is what the provider keeps of it, 0 until it says so.
    """

    reference: str
    charge_number: int
    amount_minor: int
    fee_minor: int = 0


@dataclass(frozen=True, slots=True)
class Refund:
    """Money that goes back, all or part of one capture. `number` counts a payment's refunds from 1."""

    number: int
    capture_reference: str
    amount_minor: int
    state: RefundState = RefundState.WANTED
    provider_ref: str | None = None


@dataclass(frozen=True, slots=True)
class Payment:
    """The deposit of a booking, first agreed on in the booking's version `number`, with all that became of it.

    `amount_minor` is the deposit as it is agreed now, `kept_minor` what the house has for good. `settled_version` is the
    version of the ended booking that it was settled by, 0 before. `revision` counts this payment's own changes, `nudges` how
    often somebody asked that it be looked at again.
    """

    payment_id: PaymentId
    booking_id: BookingId
    vendor_id: VendorId
    user_id: UserId
    number: int
    provider: str
    currency: str
    amount_minor: int
    created_at: datetime
    kept_minor: int = 0
    settled_version: int = 0
    revision: int = 0
    charges: tuple[Charge, ...] = ()
    captures: tuple[Capture, ...] = ()
    refunds: tuple[Refund, ...] = ()
    nudges: int = 0

    @property
    def captured_minor(self) -> int:
        return sum(capture.amount_minor for capture in self.captures)

    @property
    def refunded_minor(self) -> int:
        """What the provider has given back."""
        return sum(refund.amount_minor for refund in self.refunds if refund.state is RefundState.DONE)

    @property
    def refunding_minor(self) -> int:
        """What is on its way back."""
        return sum(refund.amount_minor for refund in self.refunds if refund.state is not RefundState.DONE)

    @property
    def net_minor(self) -> int:
        """What is neither back nor on its way back."""
        return self.captured_minor - self.refunded_minor - self.refunding_minor

    @property
    def payable(self) -> Charge | None:
        """What the guest can pay now; the newest, where an older one is not closed yet."""
        return next((charge for charge in reversed(self.charges) if charge.state in PAYABLE), None)

    def charge(self, number: int) -> Charge:
        """Raises KeyError."""
        for charge in self.charges:
            if charge.number == number:
                return charge
        raise KeyError(number)

    def refund(self, number: int) -> Refund:
        """Raises KeyError."""
        for refund in self.refunds:
            if refund.number == number:
                return refund
        raise KeyError(number)


BY_HAND: Final = "by hand: "
"""Begins the reference of a refund that a person made, of which no provider knows."""


def payment_id_of(booking_id: BookingId, number: int) -> PaymentId:
    """The same for a booking and the version that agreed on the deposit, so that a crash leaves no second one."""
    return PaymentId(uuid5(_NAMESPACE, f"{booking_id}/{number}"))


def deposit_due(booking: Booking) -> Money | None:
    """What the guest is to leave for a booking as it stands; None where nothing is wanted (any more)."""
    return booking.terms.deposit if booking.live and not booking.deposit_waived else None


def current_of(payments: tuple[Payment, ...]) -> Payment | None:
    """The one that counts, of a booking's payments; the others were replaced."""
    return max(payments, key=lambda payment: payment.number, default=None)


def capture(payment: Payment, received: Capture) -> Payment:
    """The payment with that money; of money that it has already, the fee may be news. Raises KeyError for an unknown charge."""
    for known in payment.captures:
        if known.reference == received.reference:
            return _with_fee(payment, known, received.fee_minor)
    charge = payment.charge(received.charge_number)
    charges = _with_charge(payment.charges, replace(charge, state=ChargeState.PAID))
    return replace(payment, captures=(*payment.captures, received), charges=charges)


def opened(payment: Payment, number: int, provider_ref: str, checkout_url: str) -> Payment:
    """The provider has the charge. One that was thought closed has overtaken its closing, and is to be closed again."""
    charge = payment.charge(number)
    state = {ChargeState.OPENING: ChargeState.OPEN, ChargeState.CLOSED: ChargeState.CLOSING}.get(
        charge.state, charge.state
    )
    changed = replace(charge, state=state, provider_ref=provider_ref, checkout_url=checkout_url)
    return payment if changed == charge else replace(payment, charges=_with_charge(payment.charges, changed))


def declined(payment: Payment, number: int) -> Payment:
    """A try to pay was declined. Without effect where the charge is paid or over."""
    charge = payment.charge(number)
    if charge.state not in (ChargeState.OPENING, ChargeState.OPEN):
        return payment
    return replace(payment, charges=_with_charge(payment.charges, replace(charge, state=ChargeState.DECLINED)))


def closed(payment: Payment, number: int) -> Payment:
    """The provider takes nothing more for the charge. Without effect where it is paid."""
    charge = payment.charge(number)
    if charge.state in (ChargeState.PAID, ChargeState.CLOSED):
        return payment
    return replace(payment, charges=_with_charge(payment.charges, replace(charge, state=ChargeState.CLOSED)))


def refund_known(payment: Payment, number: int, state: RefundState, provider_ref: str | None = None) -> Payment:
    """What the provider answers about a refund, or a person says: WANTED has one that was refused made anew.

    What is done stays done, unless the provider says of this very one that it failed after all; then no later word of it
    counts, which can only be older. Raises KeyError where there is no such refund.
    """
    refund = payment.refund(number)
    changed = _refund_after(refund, state, provider_ref)
    if changed == refund:
        return payment
    refunds = tuple(changed if one.number == number else one for one in payment.refunds)
    return replace(payment, refunds=refunds)


def refund_told(payment: Payment, number: int, state: RefundState, provider_ref: str) -> Payment:
    """What a message says of a refund, which counts if it is about the one that we know by that name.

    Another name may be that of one that failed before: who wants to know asks the provider. Raises KeyError.
    """
    if payment.refund(number).provider_ref != provider_ref:
        return payment
    return refund_known(payment, number, state, provider_ref)


def status_of(payment: Payment, booking: Booking | None, *, current: bool) -> PaymentStatus:
    """What a client is told; see API.md, Payments."""
    net = payment.net_minor
    if payment.captures and (net > 0 or payment.refunding_minor or due_of(payment, booking, current=current) is None):
        if payment.refunding_minor:
            return PaymentStatus.REFUND_PENDING
        if net == 0:
            return PaymentStatus.REFUNDED
        return PaymentStatus.KEPT if payment.refunded_minor or payment.kept_minor else PaymentStatus.CAPTURED
    if due_of(payment, booking, current=current) is None:
        return PaymentStatus.VOID
    charge = payment.payable
    if charge is not None and charge.state is ChargeState.DECLINED:
        return PaymentStatus.DECLINED
    return PaymentStatus.PENDING


def due_of(payment: Payment, booking: Booking | None, *, current: bool) -> Money | None:
    """What the guest still owes of the deposit."""
    deposit = None if booking is None or not current else deposit_due(booking)
    if deposit is None or deposit.currency != payment.currency:
        return None
    due = deposit.amount_minor - payment.net_minor
    return Money(due, payment.currency) if due > 0 else None


def _with_fee(payment: Payment, known: Capture, fee_minor: int) -> Payment:
    """A fee is 0 until the provider knows it; what is known of it stays."""
    if known.fee_minor or not fee_minor:
        return payment
    changed = replace(known, fee_minor=fee_minor)
    return replace(payment, captures=tuple(changed if one is known else one for one in payment.captures))


def _refund_after(refund: Refund, state: RefundState, provider_ref: str | None) -> Refund:
    if state is RefundState.WANTED:
        if refund.state is not RefundState.REFUSED:
            return refund
        return replace(refund, state=RefundState.WANTED, provider_ref=None)
    same = provider_ref is not None and provider_ref == refund.provider_ref
    if refund.state is RefundState.DONE and not (same and state is RefundState.REFUSED):
        return refund
    if refund.state is RefundState.REFUSED and same:
        return refund
    return replace(refund, state=state, provider_ref=provider_ref or refund.provider_ref)


def _with_charge(charges: tuple[Charge, ...], changed: Charge) -> tuple[Charge, ...]:
    return tuple(changed if charge.number == changed.number else charge for charge in charges)
