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
from storage.postgres import Database


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
    message: bytes


_SEND: Final = "begun"


class NotificationLog:
    """Each method is one statement and may raise StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, event: NotificationKey) -> Begun:
        """Note the intent. A booking's older version is superseded by a newer one that was told already."""
        state: str = await self._database.value("begin_notification", *event.columns)
        return Begun.SEND if state == _SEND else Begun.DONE

    async def sent(self, event: NotificationKey) -> None:
        await self._database.value("notification_sent", *event.columns)

    async def defer(self, event: NotificationKey, message: bytes, error: str, wait: timedelta) -> None:
        """Keep the message for another try after so long."""
        await self._database.value("defer_notification", *event.columns, message, error, wait)

    async def give_up(self, event: NotificationKey, error: str) -> None:
        """Nobody will ever take it: its receiver is refused, or was tried for too long, or a newer one was told."""
        await self._database.value("give_notification_up", *event.columns, error)

    async def due(self, notifications_max: int) -> Sequence[Deferred]:
        """Those that may be tried again now, the longest due first."""
        return [
            Deferred(_key(row), row["tries"], row["superseded"], row["message"])
            for row in await self._database.rows("notifications_due", notifications_max)
        ]

    async def told(self, booking_id: BookingId, topic: Topic, channel: str) -> bool:
        """Whether the guest was ever told of such an event of the booking."""
        found: bool = await self._database.value("notification_told", booking_id, topic.value, channel)
        return found


def _key(row: asyncpg.Record) -> NotificationKey:
    booking_id = BookingId(UUID(int=row["booking_id"].int))
    return NotificationKey(booking_id, row["version"], Topic(row["topic"]), row["channel"])
