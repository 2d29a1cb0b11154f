"""The notifier: tells guests by e-mail what became of their bookings, once for each event.

Order of steps: note the intent, send, note that it is sent. A crash between the last two sends the message again when the
event comes again, under the same Message-ID; more is not to be had of SMTP. Bookings are told of side by side, the events
of one in the order in which they happened. What one receiver's server puts off is left to the second post, as is a letter
at which our own closes again and again while it is well otherwise, and what is refused is given up: nobody else's letters
wait for it, and nothing is parked.

Notes are not kept for ever, so what happened longer ago than they are is not told: a log that is read again from its
beginning, or a parked message that is replayed after a year, tells nobody twice.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Final, Protocol

from consumers.event import BookingHappened, Happened, PaymentRefunded
from consumers.mail.letter import TOPICS, BackPaid, Letter, written
from consumers.second_post import wait_after
from domain.booking import Booking, BookingStatus
from domain.ids import BookingId, UserId, VendorId
from domain.user import User
from domain.vendor import Vendor
from storage.errors import StoreUnavailable
from storage.event_log import Topic
from storage.mail import Envelope, MailDeferred, Mailer, MailRefused, MailStopped, sealed
from storage.notifications import Begun, NotificationKey, NotificationLog

EMAIL: Final = "email"
STOPS_MAX: Final = 3
"""So often may the server close at one letter; from then on it is held against the letter."""

_INVITING: Final = (Topic.NEW_BOOKING, Topic.BOOKING_AMENDED)
"""Their letters bring an invitation: they tell of CONFIRMED bookings alone."""

_log = logging.getLogger(__name__)


class Guests(Protocol):
    async def user_by_id(self, user_id: UserId) -> User | None: ...


class Vendors(Protocol):
    async def by_id(self, vendor_id: VendorId) -> Vendor | None: ...


@dataclass(frozen=True, slots=True)
class NotifierDeps:
    """So many letters go out side by side, which the mailer must be able to take.

    What happened longer ago than `told_within` is not told: the log of notifications keeps its rows for longer.
    """

    mailer: Mailer
    log: NotificationLog
    guests: Guests
    vendors: Vendors
    sender: str
    clock: Callable[[], datetime]
    told_within: timedelta
    letters_at_once: int


@dataclass(frozen=True, slots=True)
class _News:
    """What a letter is to tell. `back_paid` is the money of a refund, None where it is about the booking itself."""

    event: NotificationKey
    booking: Booking
    happened_at: datetime
    back_paid: BackPaid | None = None


class Notifier:
    """A `Handler`. Raises StoreUnavailable while the mail server or the database is away."""

    topics: Sequence[Topic] = TOPICS

    def __init__(self, deps: NotifierDeps) -> None:
        self._deps = deps
        self._stops: Counter[NotificationKey] = Counter()

    async def handle(self, events: Sequence[Happened]) -> None:
        news = [told for event in events if (told := _news_of(event)) is not None]
        told_of = {one.event for one in news}
        self._stops = Counter({event: stops for event, stops in self._stops.items() if event in told_of})
        await self._tell_all(_by_booking(news))

    async def _tell_all(self, turns: Sequence[Sequence[_News]]) -> None:
        """After the first error no letter is begun, and it is raised once those under way have come to their ends."""
        waiting, errors = iter(turns), list[Exception]()

        async def tell_on() -> None:
            for turn in waiting:
                for news in turn:
                    if errors:
                        return
                    try:
                        await self._tell(news)
                    except Exception as error:  # noqa: BLE001 - raised below
                        errors.append(error)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._deps.letters_at_once):
                tasks.create_task(tell_on())
        if errors:
            # A store that is away blames no event; what else went wrong does so again when they are tried again.
            raise min(errors, key=lambda error: not isinstance(error, StoreUnavailable))

    async def _tell(self, news: _News) -> None:
        deps, event, booking = self._deps, news.event, news.booking
        if deps.clock() - news.happened_at > deps.told_within:
            _log.info("%s of booking %s version %d: too long ago", event.topic, event.booking_id, event.version)
            return
        if await deps.log.begin(event) is Begun.DONE:
            return
        guest, vendor = await self._both(booking)
        invited = event.topic is Topic.BOOKING_CANCELLED and await self._invited(booking)
        letter = Letter(event.topic, booking, vendor, guest, deps.sender, invited, news.back_paid)
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
            self._stops[event] += 1
            if self._stops[event] < STOPS_MAX:
                raise StoreUnavailable(str(error)) from error
            raise

    async def _invited(self, booking: Booking) -> bool:
        return await self._deps.log.told(booking.booking_id, _INVITING, EMAIL)


def _news_of(event: Happened) -> _News | None:
    """None for a hold that was changed, of which guests are not told, and for what is no booking's."""
    match event:
        case PaymentRefunded(booking=booking):
            # Once for each, whatever became of the booking: each has a channel of its own, which none supersedes.
            name = f"{event.payment_number}-{event.refund_number}"
            channel = f"{EMAIL} of refund {name}"
            key = NotificationKey(booking.booking_id, event.payment_number, event.topic, channel)
            return _News(key, booking, event.occurred_at, BackPaid(name, event.refunded))
        case BookingHappened(booking=booking) if booking.status is not BookingStatus.BLOCKED:
            key = NotificationKey(booking.booking_id, booking.version, event.topic, EMAIL)
            return _News(key, booking, booking.updated_at)
        case _:
            return None


def _by_booking(news: Sequence[_News]) -> Sequence[Sequence[_News]]:
    """Each booking's refunds, then its other events in the order in which they happened: they come from several topics."""
    turns: dict[BookingId, list[_News]] = {}
    for one in news:
        turns.setdefault(one.booking.booking_id, []).append(one)
    return [
        sorted(turn, key=lambda one: one.booking.version if one.back_paid is None else 0) for turn in turns.values()
    ]
