"""The notifier: tells guests by e-mail what became of their bookings, once for each event.

Order of steps: note the intent, send, note that it is sent. A crash between the last two sends the message again when the
event comes again, under the same Message-ID; more is not to be had of SMTP.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from consumers.event import BookingHappened, Happened
from consumers.mail.letter import TOPICS, Letter, written
from domain.booking import Booking
from domain.ids import UserId, VendorId
from domain.user import User
from domain.vendor import Vendor
from storage.event_log import Topic
from storage.mail import Mailer
from storage.notifications import Begun, NotificationLog

EMAIL: Final = "email"

_log = logging.getLogger(__name__)


class Guests(Protocol):
    async def user_by_id(self, user_id: UserId) -> User | None: ...


class Vendors(Protocol):
    async def by_id(self, vendor_id: VendorId) -> Vendor | None: ...


@dataclass(frozen=True, slots=True)
class NotifierDeps:
    mailer: Mailer
    log: NotificationLog
    guests: Guests
    vendors: Vendors
    sender: str


class Notifier:
    """A `Handler`. Raises StoreUnavailable while the mail server or the database is away, MailRefused for a message."""

    topics: Sequence[Topic] = TOPICS

    def __init__(self, deps: NotifierDeps) -> None:
        self._deps = deps

    async def handle(self, events: Sequence[Happened]) -> None:
        # Events of one booking may come from several topics, so a batch is put into the order in which they happened.
        told = [event for event in events if isinstance(event, BookingHappened)]
        for event in sorted(told, key=lambda event: (event.booking.booking_id, event.booking.version)):
            await self._tell(event.topic, event.booking)

    async def _tell(self, topic: Topic, booking: Booking) -> None:
        deps = self._deps
        booking_id, version = booking.booking_id, booking.version
        if await deps.log.begin(booking_id, version, topic, EMAIL) is Begun.DONE:
            return
        guest = await deps.guests.user_by_id(booking.user_id)
        vendor = await deps.vendors.by_id(booking.vendor_id)
        if guest is None or vendor is None:
            raise LookupError(f"booking {booking_id}: its guest or vendor is not in the database")
        invited = topic is Topic.BOOKING_CANCELLED and await self._invited(booking)
        await deps.mailer.send(written(Letter(topic, booking, vendor, guest, deps.sender, invited)))
        await deps.log.sent(booking_id, version, topic, EMAIL)
        _log.info("told %s of booking %s version %d", topic.value, booking_id, version)

    async def _invited(self, booking: Booking) -> bool:
        return await self._deps.log.told(booking.booking_id, Topic.NEW_BOOKING, EMAIL)
