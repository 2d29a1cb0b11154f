"""One fresh event log for a test, with the writers and readers that it opens, in either of the two kinds."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from storage.event_log import Delivered, EventReader, EventWriter, Message, Topic

TOPICS = (Topic.NEW_BOOKING, Topic.BOOKING_CANCELLED)


class EventLog(Protocol):
    """`reader` opens another member of a group; `url` and `postgres_url` are what a process of its own is given."""

    url: str
    postgres_url: str

    def writer(self) -> EventWriter: ...
    def reader(self, group: str = "readers", topics: Sequence[Topic] = TOPICS) -> EventReader: ...
    async def close(self) -> None: ...


def messages(count: int, keys: int = 20, *, start: int = 0, topic: Topic = Topic.NEW_BOOKING) -> list[Message]:
    """Numbered messages, dealt out to the keys in turn."""
    return [Message(topic, f"key-{n % keys}", str(n).encode()) for n in range(start, start + count)]


def numbers(found: Sequence[Delivered]) -> list[int]:
    return [int(message.value) for message in found]


def by_key(found: Sequence[Delivered]) -> dict[tuple[str, str], list[int]]:
    made: dict[tuple[str, str], list[int]] = {}
    for message in found:
        made.setdefault((message.topic, message.key), []).append(int(message.value))
    return made


async def read(reader: EventReader, count: int, *, commit: bool = False, messages_max: int = 50) -> list[Delivered]:
    """The next so many messages, or more where the last poll brought more; TimeoutError when they do not come."""
    found: list[Delivered] = []
    async with asyncio.timeout(30):
        while len(found) < count:
            some = await reader.poll(messages_max, 1.0)
            if commit:
                await reader.commit(some)
            found += some
    return found


async def rest_of(reader: EventReader) -> list[Delivered]:
    """Everything that the group has not committed, up to the end of the log."""
    found: list[Delivered] = []
    async with asyncio.timeout(30):
        while await reader.lag():
            some = await reader.poll(100, 0.5)
            await reader.commit(some)
            found += some
    return found
