"""Deposits as the services meet them: arranged right after a booking was written, and read with the booking.

Only what the answer needs is done here: the payment written down and its checkout opened. Everything else is left to the
payment desk, which every write wakes. A provider or a database that is away fails no booking: the desk makes up for it.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

from domain.booking import Booking
from domain.ids import BookingId
from domain.payment import Payment, current_of
from domain.payment_steps import OpenCheckout, Write, new_payment, next_step
from storage.errands import Errands
from storage.errors import StoreUnavailable, VersionConflict
from storage.payment_provider import PaymentProvider
from storage.payment_store import PaymentStore

Clock = Callable[[], datetime]
ReadBooking = Callable[[BookingId], Awaitable[Booking | None]]
"""The booking as the primary has it, None where it has left. Raises StoreUnavailable."""

_STEPS_MAX: Final = 8
_SECONDS_MAX: Final = 3.0

_log = logging.getLogger(__name__)


class Checkouts:
    """Bookings that never had a deposit cost nothing: they are answered for without asking anybody."""

    def __init__(
        self,
        store: PaymentStore,
        provider: PaymentProvider,
        read_booking: ReadBooking,
        clock: Clock,
        *,
        return_url: str = "",
        seconds_max: float = _SECONDS_MAX,
    ) -> None:
        """`return_url` is where guests go when they have paid; `seconds_max` is for one answer of the provider."""
        self._store = store
        self._errands = Errands(provider, returns_to=return_url, seconds_max=seconds_max)
        self._read_booking = read_booking
        self._clock = clock

    async def arrange(self, booking: Booking) -> Payment | None:
        """The payment of a booking that was just written, with its checkout opened where that goes quickly.

        Never raises for what is away: the payment then lacks its `checkout_url`, or is one that is yet to be written.
        """
        if not booking.terms.deposit_version:
            return None
        payment = None
        if booking.version == 1:
            # Nobody can have made it before, unless this is a repetition: so it is written without a look.
            payment = new_payment(booking, (), self._errands.provider_name, self._clock())
        try:
            if payment is None:
                return await self._brought_up(booking.booking_id)
            try:
                written = await self._store.write(None, payment, booking_version=booking.version)
            except VersionConflict:
                return await self._brought_up(booking.booking_id)
            return await self._opened(written, booking)
        except StoreUnavailable as error:
            _log.warning("the payment of booking %s is left to the desk: %s", booking.booking_id, error)
            return payment

    async def of(self, booking: Booking) -> Payment | None:
        """The payment that counts. Raises StoreUnavailable, as the others below."""
        return current_of(await self._store.of_booking(booking.booking_id)) if booking.terms.deposit_version else None

    async def of_many(self, bookings: Sequence[Booking]) -> Mapping[BookingId, Payment]:
        """Of those that have one, the payment that counts."""
        booking_ids = [booking.booking_id for booking in bookings if booking.terms.deposit_version]
        if not booking_ids:
            return {}
        found = await self._store.of_bookings(booking_ids)
        current = {booking_id: current_of(payments) for booking_id, payments in found.items()}
        return {booking_id: payment for booking_id, payment in current.items() if payment is not None}

    async def agreed(self, booking: Booking) -> Payment | None:
        """The payment of the deposit as this form of the booking agreed on it, which may have been replaced since."""
        version = booking.terms.deposit_version
        if not version:
            return None
        payments = await self._store.of_booking(booking.booking_id)
        return current_of(tuple(payment for payment in payments if payment.number <= version))

    async def declined(self, booking_ids: Sequence[BookingId]) -> frozenset[BookingId]:
        """Those whose last try to pay was declined."""
        return await self._store.declined(booking_ids)

    async def _brought_up(self, booking_id: BookingId) -> Payment | None:
        """In line with the booking as it is now, which may be newer than what its writer holds in hand.

        Payments are read before the booking: whoever looked at a newer booking meanwhile has changed the payment, and
        ours is then refused.
        """
        payments = await self._store.of_booking(booking_id)
        booking = await self._read_booking(booking_id)
        payment = current_of(payments)
        if booking is None:
            return payment
        added = new_payment(booking, payments, self._errands.provider_name, self._clock())
        if added is not None:
            try:
                payment = await self._store.write(None, added, booking_version=booking.version)
            except VersionConflict:
                return await self._store.by_id(added.payment_id)
        return None if payment is None else await self._opened(payment, booking)

    async def _opened(self, payment: Payment, booking: Booking) -> Payment:
        """After the steps whose outcome the answer shows, so far as they went."""
        try:
            for _ in range(_STEPS_MAX):
                after = await self._after_step(payment, booking)
                if after is None:
                    break
                payment = await self._store.write(payment, after, booking_version=booking.version)
        except StoreUnavailable as error:
            _log.warning("payment %s is left to the desk: %s", payment.payment_id, error)
        except VersionConflict:
            # The desk, or another request: it is as they left it.
            return await self._store.by_id(payment.payment_id) or payment
        return payment

    async def _after_step(self, payment: Payment, booking: Booking) -> Payment | None:
        """None where the next step is none of ours, or the provider will not do it."""
        match next_step(payment, booking, current=True, now=self._clock()):
            case Write(after):
                return after
            case OpenCheckout() as step:
                done = await self._errands.do(payment, step)
                return None if done.refused else done.after
            case _:
                return None
