"""The event log, as protocols: Kafka behind them on the full stack, Postgres tables in the embedded default.

A message is bytes under a key; what stands in them is `consumers.event_schema`'s business. Messages of one key keep
their order within a topic. Every reader belongs to a group, and the log remembers how far each group has got.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol
from zlib import crc32

PARTITIONS: Final = 6
"""Of every topic. A key is always in the same partition, and a partition is read by one member of a group at a time."""


class Topic(StrEnum):
    """The seed's four, and ours for the ends and changes that it does not draw."""

    NEW_VENDOR = "new_vendor"
    """A vendor was created or updated."""
    NEW_BOOKING = "new_booking"
    """A booking became CONFIRMED."""
    BOOKING_AMENDED = "booking_amended"
    BOOKING_CANCELLED = "booking_cancelled"
    BOOKING_AVAILED = "booking_availed"
    BOOKING_NO_SHOW = "booking_no_show"
    BOOKING_EXPIRED = "booking_expired"
    PAYMENT_REFUNDED = "payment_refunded"
    """Money that came too late for its booking has gone back."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is appended. `key` is the booking's or vendor's id as text; order is kept among equal keys of a topic."""

    topic: Topic
    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Delivered:
    """A message as it lies in the log; (topic, partition, offset) names it for ever."""

    topic: Topic
    partition: int
    offset: int
    key: str
    value: bytes


def partition_of(key: str) -> int:
    """The same for a key for ever, in every process and in either log."""
    return crc32(key.encode()) % PARTITIONS


class EventWriter(Protocol):
    async def append(self, messages: Sequence[Message]) -> None:
        """Returns once all of them are durable, in the given order per key.

        Raises storage.errors.StoreUnavailable; some of them may be in the log all the same, so that the caller does it
        again and readers must bear doubles.
        """
        ...

    async def forget(self, before: datetime) -> int:
        """Drop some of the older messages that every group has passed, and say how many; 0 once none are left.

        Always 0 where the log forgets by itself. Raises StoreUnavailable.
        """
        ...

    async def close(self) -> None: ...


class EventReader(Protocol):
    """One member of a group, for one set of topics. One task uses it.

    A new group begins with the oldest message. Partitions are shared out among the living members; those of a member
    that died go to the others, from the last commit on. Every method may raise StoreUnavailable and can be called again.
    """

    async def poll(self, messages_max: int, wait_seconds: float) -> Sequence[Delivered]:
        """The next messages, in order per partition; empty when none came in time."""
        ...

    async def commit(self, done: Sequence[Delivered]) -> None:
        """Everything polled up to and including these is done. Without effect for a partition that went elsewhere."""
        ...

    async def rewind(self) -> None:
        """Go back to what was committed last: what was polled since comes again."""
        ...

    async def lag(self) -> int:
        """How many messages the whole group has not committed yet."""
        ...

    async def close(self) -> None:
        """Leave the group, so that others take over at once."""
        ...
