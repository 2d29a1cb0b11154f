"""What the booking services do about deposits: have them arranged after a write, show them, wait until one is declined.

None of it is for bookings that never had a deposit (`deposit_version` is 0): those are not to pay for payments.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from domain.booking import Booking, BookingStatus
from domain.ids import BookingId
from domain.payment import Payment, PaymentStatus, deposit_due
from serve_app.declines import Declines
from serve_app.payment_shown import first_payment_content, payment_content
from serve_app.ports import Payments
from storage.errors import StoreError

_log = logging.getLogger(__name__)

PaymentContent: TypeAlias = dict[str, Any]
"""The members of `PaymentShown`."""

Newest: TypeAlias = Callable[[BookingId], Awaitable[object]]
"""The booking as it stands now; anything but a Booking where that cannot be said."""


class BookingPayments:
    """`None` for the payments is for tests of everything else: then no booking has one."""

    def __init__(self, payments: Payments | None) -> None:
        self._payments = payments
        self._declines = None if payments is None else Declines(payments.declined)

    async def arranged(self, booking: Booking) -> PaymentContent | None:
        """After a write of the booking. It is done whatever happens to its payment, so this never fails it."""
        if self._payments is None or not booking.terms.deposit_version:
            return None
        try:
            payment = await self._payments.arrange(booking)
        except StoreError as error:
            _log.warning("the payment of booking %s is left to the desk: %s", booking.booking_id, error)
            payment = None
        return shown(booking, payment)

    async def shown(self, booking: Booking) -> PaymentContent | None:
        """Raises StoreError where nobody can say."""
        if self._payments is None or not booking.terms.deposit_version:
            return None
        return shown(booking, await self._payments.of(booking))

    async def shown_many(self, bookings: Sequence[Booking]) -> list[PaymentContent | None]:
        """One for each booking, in their order. Raises StoreError where nobody can say."""
        with_deposit = [booking for booking in bookings if booking.terms.deposit_version]
        if self._payments is None or not with_deposit:
            return [None] * len(bookings)
        found = await self._payments.of_many(with_deposit)
        return [
            shown(booking, found.get(booking.booking_id)) if booking.terms.deposit_version else None
            for booking in bookings
        ]

    async def first(self, booking: Booking, newest: Newest) -> PaymentContent | None:
        """Of a replayed hold, as it was first. What a crash after the hold left out is made up for."""
        deposit = booking.terms.deposit
        if self._payments is None or deposit is None:
            return None
        payment = await self._payments.agreed(booking)
        if payment is None or payment.charges[0].checkout_url is None:
            now = await newest(booking.booking_id)
            if isinstance(now, Booking) and now.live and now.terms.deposit_version == booking.terms.deposit_version:
                payment = await self._payments.arrange(now) or payment
        return first_payment_content(booking, deposit, payment)

    async def declined(self, booking: Booking) -> bool:
        """Whether its last try to pay was declined. Raises StoreError where nobody can say."""
        content = await self.shown(booking) if booking.status is BookingStatus.BLOCKED else None
        return content is not None and content["status"] is PaymentStatus.DECLINED

    async def settled(self, booking: Booking, waiting: Awaitable[Booking]) -> Booking | None:
        """What waiting for the booking comes to; None where its payment is declined before."""
        if self._declines is None or booking.terms.deposit is None or booking.deposit_paid:
            return await waiting
        settled = asyncio.ensure_future(waiting)
        declined = asyncio.ensure_future(self._declines.wait(booking.booking_id))
        try:
            await asyncio.wait({settled, declined}, return_when=asyncio.FIRST_COMPLETED)
            if settled.done():
                return settled.result()
            declined.result()
            return None
        finally:
            settled.cancel()
            declined.cancel()


def shown(booking: Booking, payment: Payment | None) -> PaymentContent | None:
    """The booking's payment that counts; one that a crash left out, or that was not made yet, as it is going to be."""
    if payment is not None and payment.settled_version > booking.version:
        # This form of the booking, replayed or from a list's cache, is older than the end that the payment knows of.
        return payment_content(payment, None)
    if booking.status is BookingStatus.BLOCKED:
        deposit = deposit_due(booking)
        if deposit is not None and (payment is None or payment.number < booking.terms.deposit_version):
            return first_payment_content(booking, deposit, None)
    return None if payment is None else payment_content(payment, booking)
