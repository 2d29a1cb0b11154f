"""The notifier: tells guests by e-mail what became of their bookings, once for each event.

Order of steps: note the intent, send, note that it is sent. A crash between the last two sends the message again when the
event comes again, under the same Message-ID; more is not to be had of SMTP. What one receiver's server puts off is left to
the second post, and what it refuses is given up: nobody else's letters wait for it, and nothing is parked.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Final, Protocol

from consumers.event import BookingHappened, Happened
from consumers.mail.letter import TOPICS, Letter, written
from consumers.second_post import wait_after
from domain.booking import Booking
from domain.ids import UserId, VendorId
from domain.user import User
from domain.vendor import Vendor
from storage.event_log import Topic
from storage.mail import MailDeferred, Mailer, MailRefused, as_bytes
from storage.notifications import Begun, NotificationKey, NotificationLog

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
    """A `Handler`. Raises StoreUnavailable while the mail server or the database is away."""

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
        event = NotificationKey(booking.booking_id, booking.version, topic, EMAIL)
        if await deps.log.begin(event) is Begun.DONE:
            return
        guest = await deps.guests.user_by_id(booking.user_id)
        vendor = await deps.vendors.by_id(booking.vendor_id)
        if guest is None or vendor is None:
            raise LookupError(f"booking {booking.booking_id}: its guest or vendor is not in the database")
        invited = topic is Topic.BOOKING_CANCELLED and await self._invited(booking)
        await self._send(event, written(Letter(topic, booking, vendor, guest, deps.sender, invited)))

    async def _send(self, event: NotificationKey, message: EmailMessage) -> None:
        try:
            await self._deps.mailer.send(message)
        except MailDeferred as error:
            _log.info("booking %s version %d is told of later: %s", event.booking_id, event.version, error)
            await self._deps.log.defer(event, as_bytes(message), str(error), wait_after(0))
        except MailRefused as error:
            _log.warning("booking %s version %d cannot be told of: %s", event.booking_id, event.version, error)
            await self._deps.log.give_up(event, str(error))
        else:
            await self._deps.log.sent(event)
            _log.info("told %s of booking %s version %d", event.topic, event.booking_id, event.version)

    async def _invited(self, booking: Booking) -> bool:
        return await self._deps.log.told(booking.booking_id, Topic.NEW_BOOKING, EMAIL)
