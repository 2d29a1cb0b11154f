"""Which notifications went out: one row for each event and channel, begun before the sending and marked after it."""

from enum import Enum, auto
from typing import Final

from domain.ids import BookingId
from storage.event_log import Topic
from storage.postgres import Database


class Begun(Enum):
    """What the log says when a notification is about to be sent."""

    SEND = auto()
    """Nobody sent it, or whoever began did not live to say so."""
    DONE = auto()
    """It was sent, or has become pointless."""


_STATES: Final = {"begun": Begun.SEND, "sent": Begun.DONE, "superseded": Begun.DONE}


class NotificationLog:
    """Each method is one statement and may raise StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, booking_id: BookingId, version: int, topic: Topic, channel: str) -> Begun:
        """Note the intent. A booking's older version is superseded by a newer one that was told already."""
        state: str = await self._database.value("begin_notification", booking_id, version, topic.value, channel)
        return _STATES[state]

    async def sent(self, booking_id: BookingId, version: int, topic: Topic, channel: str) -> None:
        await self._database.value("notification_sent", booking_id, version, topic.value, channel)

    async def told(self, booking_id: BookingId, topic: Topic, channel: str) -> bool:
        """Whether the guest was ever told of such an event of the booking."""
        found: bool = await self._database.value("notification_told", booking_id, topic.value, channel)
        return found
