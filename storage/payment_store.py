"""Where payments are kept, as a protocol: Postgres behind it, memory in tests. The ledger is written with them, never alone.

A change of a payment is one transaction: it is refused unless the payment still has the revision that the change was made
from, and what it moves between accounts (`domain.ledger.movements`) is booked in it. Nothing is ever taken out of the
ledger.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol, TypeAlias
from uuid import UUID

from domain.ids import BookingId
from domain.payment import Payment, PaymentId
from storage.errors import StoreError

Place: TypeAlias = tuple[datetime, BookingId]
"""A place among the bookings as they come by when they last changed."""

FIRST_BOOKING: Final = BookingId(UUID(int=0))
FIRST_PLACE: Final[Place] = datetime.min.replace(tzinfo=UTC), FIRST_BOOKING


class ReferenceTaken(StoreError):
    """Another payment has this money, or this checkout: the provider's references are for one payment each."""


@dataclass(frozen=True, slots=True)
class Due:
    """A payment that somebody has to look at. `tries` counts the looks that failed one after the other before this one."""

    payment_id: PaymentId
    booking_id: BookingId
    tries: int


@dataclass(frozen=True, slots=True)
class Stuck:
    """What a person is asked to settle, and why: what was given up, or what has failed for long and is tried on."""

    payment: Payment
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Unpaid:
    """Of one page of bookings those that lack their payment. The next page is after `read_to`, None where this is the last."""

    booking_ids: Sequence[BookingId]
    read_to: Place | None


@dataclass(frozen=True, slots=True)
class Unnoticed:
    """Of one page of bookings those that moved on. The next page is after `read_to`, None where this is the last."""

    booking_ids: Sequence[BookingId]
    read_to: BookingId | None


class PaymentStore(Protocol):
    """Every method may raise StoreUnavailable; doing the same again is always safe."""

    async def of_booking(self, booking_id: BookingId) -> tuple[Payment, ...]:
        """All payments of the booking, by `number`: the last one counts, the others were replaced."""
        ...

    async def of_bookings(self, booking_ids: Sequence[BookingId]) -> Mapping[BookingId, tuple[Payment, ...]]:
        """Those that have any."""
        ...

    async def by_id(self, payment_id: PaymentId) -> Payment | None: ...

    async def write(self, before: Payment | None, after: Payment, *, booking_version: int) -> Payment:
        """Store what `before` becomes, with its movements; with the next revision.

        That version of the booking decided what is kept or goes back by it; what came has its cause with its charge.
        Whoever looks after payments looks at it soon, also where it is stuck. Raises VersionConflict where it is no longer
        (or already) there as `before` says, ReferenceTaken where another payment has its money: nothing was written.
        """
        ...

    async def rest(self, payment: Payment, *, look_at: datetime | None, over: bool) -> None:
        """It was looked at, to the end: leave it until then, or for good if None. `over` says that no money is open.

        Without effect if it has changed since it was loaded, or was nudged, because then somebody has to look again: so load
        the payment before its booking. Nothing hindered the look, so it is not stuck any more.
        """
        ...

    async def failed(
        self, payment: Payment, *, look_at: datetime, error: str, patience: timedelta, anew: bool = True
    ) -> None:
        """A look failed, and the next one is then. Without effect where `rest` would be: somebody has to look now.

        Where none has come to its end for as long as `patience`, it is stuck for that error, until one does; or for the
        reason that was told first, where nothing happened `anew`.
        """
        ...

    async def give_up(
        self, payment: Payment, reason: str, *, look_at: datetime | None = None, anew: bool = True
    ) -> None:
        """Only a person can go on from here; it stays among the stuck until `retry`, or until `rest` says that all is well.

        Where it is stuck already and nothing happened `anew`, the reason stays that was told first.
        There may be news of it all the same, so look at it again then. Without effect where `rest` would be.
        """
        ...

    async def retry(self, payment_id: PaymentId) -> bool:
        """A person asks for another look, and it is stuck no longer; False where there is no such payment."""
        ...

    async def due(self, now: datetime, payments_max: int) -> Sequence[Due]:
        """Those to look at by now, the longest due first."""
        ...

    async def due_of(self, booking_id: BookingId, now: datetime) -> Mapping[PaymentId, int]:
        """Those of the booking to look at by now, each with its `tries`."""
        ...

    async def nudge(self, booking_ids: Sequence[BookingId]) -> int:
        """Have the payments of these bookings looked at soon; how many there are."""
        ...

    async def without_payment(self, older_than: datetime, bookings_max: int, *, after: Place = FIRST_PLACE) -> Unpaid:
        """Live bookings that want a deposit and have no payment for it, last changed before then: a crash left them so.

        Looks at so many that want one, the next after that place, however many of them lack it.
        """
        ...

    async def unnoticed(
        self, older_than: datetime, bookings_max: int, *, after: BookingId = FIRST_BOOKING
    ) -> Unnoticed:
        """Bookings last changed before then that moved on from their payment while nobody looked: the telling got lost.

        Looks at so many that have a payment that is not over, by their id from that one on, however many of them moved on.
        """
        ...

    async def stuck(self, payments_max: int) -> Sequence[Stuck]: ...

    async def declined(self, booking_ids: Sequence[BookingId]) -> frozenset[BookingId]:
        """Those whose payment's last try was declined, and that may still be paid."""
        ...


@dataclass(frozen=True, slots=True)
class Received:
    """A provider's message as it came, its signature found good. `event_id` is the provider's."""

    provider: str
    event_id: str
    body: bytes
    tries: int = 0


@dataclass(frozen=True, slots=True)
class StuckMessage:
    """A message that nobody tries any more until a person asks for it, and what was said when it was tried last."""

    message: Received
    error: str
    received_at: datetime


class Inbox(Protocol):
    """What providers told us, kept before it is believed. Every method may raise StoreUnavailable."""

    async def put(self, provider: str, event_id: str, body: bytes) -> bool:
        """Keep it and wake whoever handles it; False where it was there already, which changes nothing."""
        ...

    async def waiting(self, messages_max: int) -> Sequence[Received]:
        """Those to be handled now, the oldest first."""
        ...

    async def handled(self, received: Received) -> None: ...

    async def failed(self, received: Received, *, try_at: datetime | None, error: str) -> None:
        """It could not be handled; it is tried again then, or never if None, until a person asks for it."""
        ...

    async def stuck(self, messages_max: int) -> Sequence[StuckMessage]:
        """Those that wait for a person, the oldest first."""
        ...

    async def retry(self, provider: str, event_id: str) -> bool:
        """Have a message that was not handled tried now; False where there is none."""
        ...

    async def forget(self, handled_before: datetime) -> int:
        """Delete what was handled before then, so many at the most as one statement should; how many went."""
        ...
