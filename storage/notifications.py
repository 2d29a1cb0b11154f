"""Which notifications went out: one row for each event and channel, begun before the sending and marked after it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import Final
from uuid import UUID

import asyncpg

from domain.ids import BookingId
from storage.event_log import Topic
from storage.mail import Envelope
from storage.postgres import Database, printable


class Begun(Enum):
    """What the log says when a notification is about to be sent."""

    SEND = auto()
    """Nobody sent it, or whoever began did not live to say so."""
    DONE = auto()
    """It was sent, waits for its next try, or has become pointless."""


@dataclass(frozen=True, slots=True)
class NotificationKey:
    """An event of a booking, and a way to tell it."""

    booking_id: BookingId
    version: int
    topic: Topic
    channel: str

    @property
    def columns(self) -> tuple[UUID, int, str, str]:
        return self.booking_id, self.version, self.topic.value, self.channel


@dataclass(frozen=True, slots=True)
class Deferred:
    """A notification that its receiver did not take yet. `superseded` where a newer one of the booking was told."""

    event: NotificationKey
    tries: int
    superseded: bool
    letter: Envelope


_SEND: Final = "begun"
_LOOKED_AT_ONCE: Final = 5000


class NotificationLog:
    """Each method is one statement and may raise StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, event: NotificationKey) -> Begun:
        """Note the intent. A booking's older version is superseded by a newer one that was told already, or will be."""
        state: str = await self._database.value("begin_notification", *event.columns)
        return Begun.SEND if state == _SEND else Begun.DONE

    async def sent(self, event: NotificationKey) -> None:
        await self._database.value("notification_sent", *event.columns)

    async def defer(self, event: NotificationKey, letter: Envelope, error: str, wait: timedelta) -> None:
        """Keep the letter for another try after so long."""
        columns = (*event.columns, letter.sender, letter.recipient, letter.content, printable(error), wait)
        await self._database.value("defer_notification", *columns)

    async def give_up(self, event: NotificationKey, error: str) -> None:
        """Nobody will ever take it: its receiver is refused, or was tried for too long, or a newer one was told."""
        await self._database.value("give_notification_up", *event.columns, printable(error))

    async def take_due(self, lease: timedelta) -> Deferred | None:
        """The one that has been due for longest, if any. Nobody else gets it for so long, and then it is due again."""
        row = await self._database.row("take_notification_due", lease)
        if row is None:
            return None
        letter = Envelope(row["sender"], row["recipient"], row["message"])
        return Deferred(_key(row), row["tries"], row["superseded"], letter)

    async def told(self, booking_id: BookingId, topics: Sequence[Topic], channel: str) -> bool:
        """Whether the guest was ever told of an event of the booking that is of one of the topics."""
        names = [topic.value for topic in topics]
        found: bool = await self._database.value("notification_told", booking_id, names, channel)
        return found

    async def forget(self, after: UUID, keep: timedelta) -> UUID | None:
        """Look through the next bookings behind `after`, in the order of their ids, and drop what has become pointless.

        That is what began longer ago than `keep`, waits for no try, and is of a booking that has left the current
        tables. Returns the last booking looked at, None once there was none.
        """
        last: UUID | None = await self._database.value("forget_notifications", after, keep, _LOOKED_AT_ONCE)
        return None if last is None else UUID(int=last.int)


def _key(row: asyncpg.Record) -> NotificationKey:
    booking_id = BookingId(UUID(int=row["booking_id"].int))
    return NotificationKey(booking_id, row["version"], Topic(row["topic"]), row["channel"])
