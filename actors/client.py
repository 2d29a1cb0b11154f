"""How everybody else reaches a shard: one protocol, a direct form and one of Ray calls that carry batches."""

from collections.abc import Sequence
from typing import Final, Protocol

from actors.outcome import Outcome, Unavailable
from domain.availability import AvailabilityQuery, FreeSeats
from domain.booking import Booking
from domain.command import Command
from domain.ids import BookingId, VendorId
from domain.rejection import Rejection
from domain.search import SeatWish, Verdict

JUDGED_MAX: Final = 2000
"""How many vendors one call may judge."""


class ShardClient(Protocol):
    """Safe to share between tasks of one event loop."""

    async def ask(self, command: Command) -> Outcome:
        """Have the owning shard decide and commit the command. Never raises for a shard that is away."""
        ...

    async def booking(self, booking_id: BookingId) -> Booking | Unavailable | None:
        """The booking as last committed, from the shard's memory or the primary; None where there is none."""
        ...

    async def availability(
        self, vendor_id: VendorId, query: AvailabilityQuery
    ) -> Sequence[FreeSeats] | Rejection | Unavailable: ...

    async def judge(self, vendor_ids: Sequence[VendorId], wish: SeatWish) -> Sequence[Verdict] | Unavailable:
        """Which of the vendors could take the party now, in no order, one call per shard; unknown ones are absent.

        ValueError for more than JUDGED_MAX.
        """
        ...

    async def settled(self, booking: Booking, wait_seconds: float) -> Booking:
        """Wait until the booking is no longer BLOCKED, at most `wait_seconds`; the newest known form of it."""
        ...
