"""Bookings that left the current tables for the archive, as the booking service still answers for them."""

from domain.booking import Booking
from domain.command import AmendBooking, SetStatus
from domain.decide import NO_SUCH_BOOKING, decide_change
from domain.ids import BookingId
from domain.rejection import Reason, Rejection
from domain.vendor_facts import compile_facts
from domain.vendor_state import VendorState
from serve_app.ports import ArchivedBookings, Clock, VendorReads

_OVER = Rejection(
    Reason.ILLEGAL_TRANSITION, "The booking is over and in the archive; nothing changes it any more.", "status"
)


class EndedBookings:
    """Asked when the shards do not know a booking. Each method may raise StoreUnavailable."""

    def __init__(self, archive: ArchivedBookings, vendors: VendorReads, clock: Clock) -> None:
        self._archive = archive
        self._vendors = vendors
        self._clock = clock

    async def by_id(self, booking_id: BookingId) -> Booking | None:
        return await self._archive.by_id(booking_id)

    async def refusal(self, command: AmendBooking | SetStatus) -> Rejection:
        """Why it cannot be changed: what the shard would say of an ended booking, in the same order.

        A vendor without occupancy is enough for that, since whoever asks is refused before any seat is looked for.
        """
        booking = await self._archive.by_id(command.booking_id)
        if booking is None:
            return NO_SUCH_BOOKING
        vendor = await self._vendors.by_id(booking.vendor_id)
        if vendor is None:
            return NO_SUCH_BOOKING
        decided = decide_change(VendorState(compile_facts(vendor)), booking, command, now=self._clock())
        return decided if isinstance(decided, Rejection) else _OVER
