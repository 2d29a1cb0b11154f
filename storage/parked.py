"""Parked messages: what a consumer could not handle, kept with its error until somebody replays or drops it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from storage.event_log import Delivered, Topic
from storage.postgres import Database, printable


@dataclass(frozen=True, slots=True)
class ParkedMessage:
    """`message` as it lay in the log; `tries` counts all that were made of it; `settled_how` is replayed or dropped."""

    parked_id: int
    consumer: str
    message: Delivered
    error: str
    parked_at: datetime
    tries: int
    replay_asked_at: datetime | None = None
    settled_at: datetime | None = None
    settled_how: str | None = None


class ParkedMessages:
    """Each method is one statement that may be repeated, and may raise StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def park(self, consumer: str, message: Delivered, error: str, tries: int) -> None:
        """Keep the message. Again changes nothing, and what an operator dropped stays dropped."""
        await self._database.value(
            "park_message",
            consumer,
            message.topic,
            message.partition,
            message.offset,
            message.key,
            message.value,
            printable(error),
            tries,
        )

    async def unsettled(self, consumer: str) -> int:
        """How many of the consumer's wait for somebody."""
        counted: int = await self._database.value("count_parked", consumer)
        return counted

    async def waiting(self, consumer: str | None, messages_max: int) -> Sequence[ParkedMessage]:
        """Those that nobody has settled, oldest first; of every consumer where none is named."""
        return [_parked(row) for row in await self._database.rows("list_parked", consumer, messages_max)]

    async def by_id(self, parked_id: int) -> ParkedMessage | None:
        """Also one that is settled."""
        row = await self._database.row("show_parked", parked_id)
        return None if row is None else _parked(row)

    async def ask_replay(self, parked_id: int) -> bool:
        """Have its consumer try it again; False where there is none that waits."""
        return await self._database.value("ask_replay", parked_id) is not None

    async def ask_replay_of_all(self, consumer: str | None) -> int:
        """Of one consumer, or of all where none is named; how many."""
        asked: int = await self._database.value("ask_replay_all", consumer)
        return asked

    async def to_replay(self, consumer: str, messages_max: int) -> Sequence[ParkedMessage]:
        """What the consumer is asked to try again."""
        return [_parked(row) for row in await self._database.rows("parked_to_replay", consumer, messages_max)]

    async def settle_replayed(self, parked_id: int) -> None:
        await self._database.value("settle_parked", parked_id, "replayed")

    async def failed_again(self, parked_id: int, error: str, tries: int) -> None:
        """It waits on, until somebody asks once more."""
        await self._database.value("parked_failed_again", parked_id, printable(error), tries)

    async def drop(self, parked_id: int) -> bool:
        """Give the message up; False where there is none that waits."""
        return await self._database.value("settle_parked", parked_id, "dropped") is not None


def _parked(row: asyncpg.Record) -> ParkedMessage:
    message = Delivered(Topic(row["topic"]), row["partition"], row["message_offset"], row["key"], row["value"])
    return ParkedMessage(
        row["parked_id"],
        row["consumer"],
        message,
        row["error"],
        row["parked_at"],
        row["tries"],
        row["replay_asked_at"],
        row["settled_at"],
        row["settled_how"],
    )
