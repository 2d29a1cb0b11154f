"""What a consumer is told: one thing that happened to a booking or a vendor, with the whole of it and its version."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias

from domain.booking import Booking
from domain.money import Money
from domain.vendor import Vendor
from storage.event_log import Topic


@dataclass(frozen=True, slots=True)
class BookingHappened:
    """`event_id` is the same however often the event is delivered. `late` and `bill_minor` as in `domain.event`."""

    event_id: str
    topic: Topic
    booking: Booking
    late: bool = False
    bill_minor: int | None = None


@dataclass(frozen=True, slots=True)
class VendorHappened:
    event_id: str
    topic: Topic
    vendor: Vendor


@dataclass(frozen=True, slots=True)
class PaymentRefunded:
    """Money that came too late has gone back. `payment_number` and `refund_number` name it among a booking's, for ever.

    `occurred_at` is when it was told of, because the booking may have ended long before.
    """

    event_id: str
    topic: Topic
    booking: Booking
    payment_number: int
    refund_number: int
    refunded: Money
    occurred_at: datetime


Happened: TypeAlias = BookingHappened | VendorHappened | PaymentRefunded


class Handler(Protocol):
    """One consumer's work. Idempotent, and blind to a version older than one it has seen: topics have no common order."""

    @property
    def topics(self) -> Sequence[Topic]: ...

    async def handle(self, events: Sequence[Happened]) -> None:
        """Have the effect, durably, for all of them.

        Raises StoreUnavailable where something is away: the same events come again until it is back. Anything else that
        it raises is held against the events: they are tried one by one, and the one that still raises is parked.
        """
        ...
