"""What providers tell us, made part of the payments it is about. Doubled, late and out of order it changes nothing twice."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from consumers.payment_patience import wait_after
from domain.ids import BookingId
from domain.payment import Payment, RefundState, capture, closed, declined, refund_told
from storage.errands import Errands
from storage.errors import StoreUnavailable, VersionConflict
from storage.payment_provider import PaymentProvider, ProviderEvent, ProviderEventKind, ProviderRefused
from storage.payment_store import Inbox, PaymentStore, Received

TRIES_MAX: Final = 8
"""By then a message of a payment that we do not know has waited four minutes for it."""

_CONFLICTS_MAX: Final = 10
_SECONDS_MAX: Final = 3.0

_log = logging.getLogger(__name__)


class _Unbelievable(Exception):
    """A message that cannot be true of the payment that it names: a person must see what it is about."""


class PaymentMessages:
    """Every method may raise StoreUnavailable: the message then waits where it is."""

    def __init__(
        self, store: PaymentStore, inbox: Inbox, provider: PaymentProvider, clock: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._inbox = inbox
        self._provider = provider
        self._errands = Errands(provider, seconds_max=_SECONDS_MAX)
        self._clock = clock

    async def take(self, received: Received) -> BookingId | None:
        """Have the effect of a message, once and durably; the booking whose payments are to be looked at, if any."""
        if received.provider != self._provider.name:
            await self._fail(received, f"{received.provider} is not what runs here", again=False)
            return None
        try:
            event = self._provider.understood(received.body)
        except ValueError as error:
            await self._fail(received, f"it makes no sense: {error}", again=False)
            return None
        if event.kind is ProviderEventKind.OTHER:
            await self._inbox.handled(received)
            return None
        try:
            return await self._take(received, event)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, this message alone is to blame
            _log.exception("message %s of %s could not be taken", received.event_id, received.provider)
            await self._fail(received, f"{type(error).__name__}: {error}", again=True)
            return None

    async def _take(self, received: Received, event: ProviderEvent) -> BookingId | None:
        try:
            booking_id = await self._apply(event)
        except KeyError as error:
            await self._fail(received, f"it is about what we do not know: {error}", again=True)
            return None
        except _Unbelievable as error:
            await self._fail(received, str(error), again=False)
            return None
        except VersionConflict as error:
            await self._fail(received, str(error), again=True)
            return None
        await self._inbox.handled(received)
        return booking_id

    async def _apply(self, event: ProviderEvent) -> BookingId | None:
        """Raises KeyError and _Unbelievable, and VersionConflict where others changed the payment all the time."""
        for left in reversed(range(_CONFLICTS_MAX)):
            payment = None if event.payment_id is None else await self._store.by_id(event.payment_id)
            if payment is None:
                raise KeyError(f"payment {event.payment_id}")
            if event.capture is not None and event.currency != payment.currency:
                raise _Unbelievable(f"payment {payment.payment_id} is in {payment.currency}, and {event.currency} came")
            after = _after(await self._looked_up(payment, event), event)
            if after == payment:
                return payment.booking_id if _of_a_refund_without_name(payment, event) else None
            try:
                # Nothing is decided here: what came is booked under the version that asked for it, see its charge.
                await self._store.write(payment, after, booking_version=payment.number)
            except VersionConflict:
                if not left:
                    raise
            else:
                return payment.booking_id
        return None

    async def _looked_up(self, payment: Payment, event: ProviderEvent) -> Payment:
        """With what the provider says of the charge, where its message leaves something out: its fee is booked with the money.

        The message is good enough where the provider is away: a seat waits for it.
        """
        if event.tells_all or event.charge_number is None:
            return payment
        try:
            return await self._errands.look(payment, payment.charge(event.charge_number))
        except (ProviderRefused, StoreUnavailable) as error:
            _log.info("charge %s of payment %s: %s", event.charge_number, payment.payment_id, error)
            return payment

    async def _fail(self, received: Received, error: str, *, again: bool) -> None:
        again = again and received.tries + 1 < TRIES_MAX
        _log.warning("message %s of %s: %s", received.event_id, received.provider, error)
        try_at = self._clock() + wait_after(received.tries) if again else None
        await self._inbox.failed(received, try_at=try_at, error=error)


def _of_a_refund_without_name(payment: Payment, event: ProviderEvent) -> bool:
    """The provider was quicker with its message than with its answer, or with one about a try that failed: ask it."""
    return event.refund_number is not None and payment.refund(event.refund_number).state is RefundState.WANTED


def _after(payment: Payment, event: ProviderEvent) -> Payment:
    """Raises KeyError for a charge or a refund that the payment does not have."""
    match event:
        case ProviderEvent(kind=ProviderEventKind.CAPTURED, capture=received) if received is not None:
            return capture(payment, received)
        case ProviderEvent(kind=ProviderEventKind.DECLINED, charge_number=number) if number is not None:
            return declined(payment, number)
        case ProviderEvent(kind=ProviderEventKind.CLOSED, charge_number=number) if number is not None:
            return closed(payment, number)
        case ProviderEvent(kind=ProviderEventKind.REFUND, refund_number=number, refund=seen) if (
            number is not None and seen is not None
        ):
            return refund_told(payment, number, seen.state, seen.provider_ref)
        case _:
            raise KeyError(f"{event.kind} without a charge or refund of ours")
