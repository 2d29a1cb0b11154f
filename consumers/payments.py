"""Tells the payment desk of bookings that changed. What it does about each, it reads in the booking and the payment."""

from collections.abc import Sequence
from typing import Final

from consumers.event import BookingHappened, Happened
from storage.event_log import Topic
from storage.payment_store import PaymentStore

TOPICS: Final = (
    Topic.NEW_BOOKING,
    Topic.BOOKING_AMENDED,
    Topic.BOOKING_CANCELLED,
    Topic.BOOKING_AVAILED,
    Topic.BOOKING_NO_SHOW,
    Topic.BOOKING_EXPIRED,
)


class PaymentEvents:
    """A `Handler`. Repeats and replays only have a look too many taken."""

    topics: Sequence[Topic] = TOPICS

    def __init__(self, store: PaymentStore) -> None:
        self._store = store

    async def handle(self, events: Sequence[Happened]) -> None:
        told = {
            event.booking.booking_id for event in events if isinstance(event, BookingHappened) and _new_to_it(event)
        }
        if told:
            await self._store.nudge(sorted(told))


def _new_to_it(event: BookingHappened) -> bool:
    """Not where there never was a deposit, and not where the desk itself had the booking confirmed."""
    booking = event.booking
    if event.topic is Topic.NEW_BOOKING:
        taken_away = booking.terms.deposit_version == booking.version
        return booking.deposit_waived or taken_away
    return booking.terms.deposit_version > 0
