"""The notifier: tells guests by e-mail what became of their bookings, once for each event.

Order of steps: note the intent, send, note that it is sent. A crash between the last two sends the message again when the
event comes again, under the same Message-ID; more is not to be had of SMTP. What one receiver's server puts off is left to
the second post, as is a letter at which our own closes again and again while it is well otherwise, and what is refused is
given up: nobody else's letters wait for it, and nothing is parked.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Final, Protocol

from consumers.event import BookingHappened, Happened, PaymentRefunded
from consumers.mail.letter import TOPICS, BackPaid, Letter, written
from consumers.second_post import wait_after
from domain.booking import Booking
from domain.ids import UserId, VendorId
from domain.user import User
from domain.vendor import Vendor
from storage.errors import StoreUnavailable
from storage.event_log import Topic
from storage.mail import Envelope, MailDeferred, Mailer, MailRefused, MailStopped, sealed
from storage.notifications import Begun, NotificationKey, NotificationLog

EMAIL: Final = "email"
STOPS_MAX: Final = 3
"""So often may the server close at one letter; from then on it is held against the letter."""

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
        self._stopped_at: NotificationKey | None = None
        self._stops = 0

    async def handle(self, events: Sequence[Happened]) -> None:
        for event in events:
            if isinstance(event, PaymentRefunded):
                await self._tell_of_refund(event)
        # Events of one booking may come from several topics, so a batch is put into the order in which they happened.
        told = [event for event in events if isinstance(event, BookingHappened)]
        for event in sorted(told, key=lambda event: (event.booking.booking_id, event.booking.version)):
            await self._tell(event.topic, event.booking)

    async def _tell(self, topic: Topic, booking: Booking) -> None:
        deps = self._deps
        event = NotificationKey(booking.booking_id, booking.version, topic, EMAIL)
        if await deps.log.begin(event) is Begun.DONE:
            return
        guest, vendor = await self._both(booking)
        invited = topic is Topic.BOOKING_CANCELLED and await self._invited(booking)
        await self._send(event, written(Letter(topic, booking, vendor, guest, deps.sender, invited)))

    async def _tell_of_refund(self, told: PaymentRefunded) -> None:
        """Once for each, whatever became of the booking meanwhile: each has a channel of its own, which none supersedes."""
        deps, booking = self._deps, told.booking
        name = f"{told.payment_number}-{told.refund_number}"
        event = NotificationKey(booking.booking_id, told.payment_number, told.topic, f"{EMAIL} of refund {name}")
        if await deps.log.begin(event) is Begun.DONE:
            return
        guest, vendor = await self._both(booking)
        back_paid = BackPaid(name, told.refunded)
        letter = Letter(told.topic, booking, vendor, guest, deps.sender, invited=False, back_paid=back_paid)
        await self._send(event, written(letter))

    async def _both(self, booking: Booking) -> tuple[User, Vendor]:
        guest = await self._deps.guests.user_by_id(booking.user_id)
        vendor = await self._deps.vendors.by_id(booking.vendor_id)
        if guest is None or vendor is None:
            raise LookupError(f"booking {booking.booking_id}: its guest or vendor is not in the database")
        return guest, vendor

    async def _send(self, event: NotificationKey, message: EmailMessage) -> None:
        letter = sealed(message)
        try:
            await self._post(event, letter)
        except MailDeferred as error:
            _log.info("booking %s version %d is told of later: %s", event.booking_id, event.version, error)
            await self._deps.log.defer(event, letter, str(error), wait_after(0))
        except MailRefused as error:
            _log.warning("booking %s version %d cannot be told of: %s", event.booking_id, event.version, error)
            await self._deps.log.give_up(event, str(error))
        else:
            await self._deps.log.sent(event)
            _log.info("told %s of booking %s version %d", event.topic, event.booking_id, event.version)

    async def _post(self, event: NotificationKey, letter: Envelope) -> None:
        try:
            await self._deps.mailer.send(letter)
        except MailStopped as error:
            self._stops = self._stops + 1 if event == self._stopped_at else 1
            self._stopped_at = event
            if self._stops < STOPS_MAX:
                raise StoreUnavailable(str(error)) from error
            raise

    async def _invited(self, booking: Booking) -> bool:
        return await self._deps.log.told(booking.booking_id, Topic.NEW_BOOKING, EMAIL)
