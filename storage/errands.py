"""What a payment needs of its provider, done once: a checkout opened or closed, a refund sent, a charge asked about.

Each errand gives the payment as it is afterwards, not yet written down. Doing one again does no harm.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import assert_never

from domain.money import Money
from domain.payment import Charge, Payment, Refund, RefundState, capture, closed, declined, opened, refund_known
from domain.payment_steps import CloseCheckout, OpenCheckout, SendRefund
from storage.errors import StoreUnavailable
from storage.payment_provider import ChargeAsked, ChargeSeen, PaymentProvider, ProviderRefused, RefundAsked


@dataclass(frozen=True, slots=True)
class ErrandDone:
    """`refused` is why the provider will never do it, empty where it did."""

    after: Payment
    refused: str = ""


class Errands:
    """Raises StoreUnavailable where the provider is away, slower than `seconds_max`, or not the payment's own."""

    def __init__(self, provider: PaymentProvider, *, returns_to: str = "", seconds_max: float = 10.0) -> None:
        """`returns_to` is where guests go when they have paid."""
        self._provider = provider
        self._returns_to = returns_to
        self._seconds_max = seconds_max

    @property
    def provider_name(self) -> str:
        return self._provider.name

    async def do(self, payment: Payment, step: OpenCheckout | CloseCheckout | SendRefund) -> ErrandDone:
        try:
            async with self._asking(payment):
                return await self._do(payment, step)
        except ProviderRefused as error:
            match step:
                case SendRefund(refund):
                    return ErrandDone(
                        refund_known(payment, refund.number, RefundState.REFUSED), _refund_refused(refund, error)
                    )
                case OpenCheckout(charge):
                    return ErrandDone(payment, f"charge {charge.number} cannot be opened: {error}")
                case CloseCheckout(charge):
                    return ErrandDone(payment, f"charge {charge.number} cannot be closed: {error}")
                case _:
                    assert_never(step)

    async def look(self, payment: Payment, charge: Charge) -> Payment:
        """The payment with what the provider says of a charge now. Raises ProviderRefused."""
        async with self._asking(payment):
            seen = await self._provider.look(self._charge(payment, charge))
        return payment if seen is None else _with_seen(payment, charge, seen)

    async def _do(self, payment: Payment, step: OpenCheckout | CloseCheckout | SendRefund) -> ErrandDone:
        match step:
            case OpenCheckout(charge):
                checkout = await self._provider.open(self._charge(payment, charge))
                return ErrandDone(opened(payment, charge.number, checkout.provider_ref, checkout.url))
            case CloseCheckout(charge):
                return ErrandDone(
                    _with_seen(payment, charge, await self._provider.close(self._charge(payment, charge)))
                )
            case SendRefund(refund):
                seen = await self._provider.refund(_refund(payment, refund))
                after = refund_known(payment, refund.number, seen.state, seen.provider_ref)
                refused = _refund_refused(refund, seen.detail) if seen.state is RefundState.REFUSED else ""
                return ErrandDone(after, refused)
            case _:
                assert_never(step)

    @asynccontextmanager
    async def _asking(self, payment: Payment) -> AsyncIterator[None]:
        name = self._provider.name
        if payment.provider != name:
            raise StoreUnavailable(f"the payment is with {payment.provider}, and {name} is what runs here")
        try:
            async with asyncio.timeout(self._seconds_max) as limit:
                yield
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise StoreUnavailable(f"{name} gave no answer within {self._seconds_max:g} s") from error

    def _charge(self, payment: Payment, charge: Charge) -> ChargeAsked:
        return ChargeAsked(
            payment.payment_id,
            charge.number,
            payment.booking_id,
            Money(charge.amount_minor, payment.currency),
            charge.closes_at,
            charge.provider_ref,
            self._returns_to,
        )


def _refund(payment: Payment, refund: Refund) -> RefundAsked:
    return RefundAsked(
        payment.payment_id,
        refund.number,
        payment.booking_id,
        refund.capture_reference,
        Money(refund.amount_minor, payment.currency),
        refund.provider_ref,
    )


def _with_seen(payment: Payment, charge: Charge, seen: ChargeSeen) -> Payment:
    for received in seen.captures:
        payment = capture(payment, received)
    if seen.declined:
        payment = declined(payment, charge.number)
    return closed(payment, charge.number) if seen.closed else payment


def _refund_refused(refund: Refund, why: object) -> str:
    return f"refund {refund.number} of {refund.amount_minor} was refused: {why}"
