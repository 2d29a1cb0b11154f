"""The archiver: puts every booking that ended into the archive, in its newest version."""

from collections.abc import Sequence
from typing import Final

from consumers.event import BookingHappened, Happened
from domain.booking import Booking
from domain.ids import BookingId
from storage.archive import Archive
from storage.event_log import Topic

TOPICS: Final = (Topic.BOOKING_AVAILED, Topic.BOOKING_CANCELLED, Topic.BOOKING_NO_SHOW, Topic.BOOKING_EXPIRED)


class Archiver:
    """A `Handler`. What the archive has in a later version stays, so repeats and replays change nothing."""

    topics: Sequence[Topic] = TOPICS

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    async def handle(self, events: Sequence[Happened]) -> None:
        newest: dict[BookingId, Booking] = {}
        for event in events:
            if isinstance(event, BookingHappened):
                booking = event.booking
                known = newest.get(booking.booking_id)
                if known is None or known.version < booking.version:
                    newest[booking.booking_id] = booking
        await self._archive.store(list(newest.values()))
