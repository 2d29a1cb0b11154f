"""Tells the event log of money that came too late and has gone back, so that the guest hears of it."""

from collections.abc import Callable
from datetime import datetime

from consumers.event_schema import refunded_message
from domain.booking import Booking, BookingStatus
from domain.payment import Payment, Refund, RefundState
from storage.event_log import EventWriter


class RefundNews:
    """Raises StoreUnavailable. What is told again is the same event, and nobody is written to twice."""

    def __init__(self, writer: EventWriter, clock: Callable[[], datetime]) -> None:
        self._writer = writer
        self._clock = clock

    async def tell(self, payment: Payment, booking: Booking, *, current: bool) -> None:
        """Of a payment whose money is no longer open. To be done before that is noted, so that a crash forgets nobody."""
        refunds = late_refunds(payment, booking, current=current)
        if refunds:
            now = self._clock()
            await self._writer.append([refunded_message(booking, payment, refund, now) for refund in refunds])


def late_refunds(payment: Payment, booking: Booking, *, current: bool) -> tuple[Refund, ...]:
    """What went back of money that came too late: for a deposit that was replaced, or a booking that was over.

    Who cancels a booking that was paid for knows that its deposit comes back.
    """
    match booking.status:
        case BookingStatus.EXPIRED:
            too_late = True
        case BookingStatus.CANCELLED:
            too_late = not (current and booking.deposit_paid)
        case _:
            too_late = not current
    return tuple(one for one in payment.refunds if one.state is RefundState.DONE) if too_late else ()
