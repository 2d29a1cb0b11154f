"""A payment as a client sees it, alone and as a member of its booking."""

from typing import Any, Final, Literal
from uuid import UUID

from domain.booking import Booking
from domain.money import Money
from domain.payment import Payment, PaymentStatus, due_of, payment_id_of, status_of
from serve_app.fields import MoneyShown, Shown, money_content

_FIRST_CHARGE: Final = 1


class PaymentShown(Shown):
    """`due` is what the guest still owes of the deposit, `checkout_url` where it can be paid now."""

    payment_id: UUID
    status: Literal["pending", "captured", "declined", "void", "refund_pending", "refunded", "kept"]
    amount: MoneyShown
    captured: MoneyShown
    refunded: MoneyShown
    due: MoneyShown | None
    checkout_url: str | None


def payment_content(payment: Payment, booking: Booking | None, *, current: bool = True) -> dict[str, Any]:
    """The members of `PaymentShown`. `current` says whether it is the one of the booking's payments that counts."""
    due = due_of(payment, booking, current=current)
    charge = None if due is None else payment.payable
    currency = payment.currency
    return {
        "payment_id": payment.payment_id,
        "status": status_of(payment, booking, current=current),
        "amount": {"amount_minor": payment.amount_minor, "currency": currency},
        "captured": {"amount_minor": payment.captured_minor, "currency": currency},
        "refunded": {"amount_minor": payment.refunded_minor, "currency": currency},
        "due": money_content(due),
        "checkout_url": None if charge is None else charge.checkout_url,
    }


def first_payment_content(booking: Booking, deposit: Money, payment: Payment | None) -> dict[str, Any]:
    """As it was when the booking first asked for the deposit, whatever became of the payment since.

    Without the payment, where nobody can say at the moment how to pay.
    """
    nothing = {"amount_minor": 0, "currency": deposit.currency}
    first = next((one for one in payment.charges if one.number == _FIRST_CHARGE), None) if payment else None
    return {
        "payment_id": payment_id_of(booking.booking_id, booking.terms.deposit_version),
        "status": PaymentStatus.PENDING,
        "amount": money_content(deposit),
        "captured": nothing,
        "refunded": nothing,
        "due": money_content(deposit),
        "checkout_url": None if first is None else first.checkout_url,
    }
