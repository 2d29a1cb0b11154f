"""The event log in Postgres tables, for installations without Kafka.

Who appends locks the ends of the partitions, so that a reader who sees an offset has seen all before it. A partition is
read by the member whose id stands in its claim; a claim changes hands only when its member gave it back or was not heard
of for a while, and from then on the old member's commits find no row. Readers are woken by notifications, and look by
themselves once a second because those may get lost.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import uuid4

import asyncpg

from storage.errors import StoreUnavailable
from storage.event_log import PARTITIONS, Delivered, Message, Topic, partition_of
from storage.postgres import Database
from storage.postgres_wakeups import PostgresWakeups

_FORGOTTEN_AT_ONCE: Final = 1000
_LOOK_SECONDS: Final = 1.0
_LOOK_SECONDS_UNLESS_WOKEN: Final = 0.1


class PostgresEventWriter:
    """Connects when first used."""

    def __init__(self, postgres_url: str) -> None:
        self._database = Database(postgres_url, "holdfast event writer", 2)

    async def append(self, messages: Sequence[Message]) -> None:
        if messages:
            await self._database.rows(
                "append_messages",
                [message.topic for message in messages],
                [partition_of(message.key) for message in messages],
                [message.key for message in messages],
                [message.value for message in messages],
            )

    async def forget(self, before: datetime) -> int:
        gone: int = await self._database.value("forget_messages", before, _FORGOTTEN_AT_ONCE)
        return gone

    async def close(self) -> None:
        await self._database.close()


@dataclass(slots=True)
class _Claim:
    """A partition that is ours: the offsets after the last message committed, and after the last one polled."""

    committed: int
    position: int


class PostgresEventReader:
    """One member of a group; all members of a group read the same topics.

    Whoever is not heard of for `claim_seconds` is over. A task of its own says that this member lives while its messages
    are handled, but not longer than `handling_seconds_max`, so that one that hangs does not keep its partitions.
    """

    def __init__(
        self,
        postgres_url: str,
        group: str,
        topics: Sequence[Topic],
        *,
        claim_seconds: float = 10.0,
        handling_seconds_max: float = 300.0,
    ) -> None:
        self._database = Database(postgres_url, f"holdfast events {group}", 2)
        self._group = group
        self._topics = list(topics)
        self._claim_seconds = claim_seconds
        self._handling_seconds_max = handling_seconds_max
        self._member = uuid4()
        self._claims: dict[tuple[str, int], _Claim] = {}
        self._seeded = False
        self._share_at = float("-inf")
        self._used_at = float("-inf")
        self._living: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._wakeups = PostgresWakeups(
            postgres_url,
            f"holdfast events {group}",
            {"holdfast_events": self._hear_of_messages, "holdfast_groups": self._hear_of_members},
        )

    async def poll(self, messages_max: int, wait_seconds: float) -> Sequence[Delivered]:
        until = _now() + wait_seconds
        while True:
            self._used_at = _now()
            listens = await self._wakeups.listen()
            self._woken.clear()
            await self._share()
            found = await self._read(messages_max)
            rest = min(until - _now(), _LOOK_SECONDS if listens else _LOOK_SECONDS_UNLESS_WOKEN)
            if found or rest <= 0:
                return found
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), rest)

    async def commit(self, done: Sequence[Delivered]) -> None:
        self._used_at = _now()
        ends: dict[tuple[str, int], int] = {}
        for message in done:
            partition = (str(message.topic), message.partition)
            if partition in self._claims:
                ends[partition] = max(message.offset + 1, ends.get(partition, 0))
        if not ends:
            return
        topics, numbers = zip(*ends, strict=True)
        kept = await self._database.rows(
            "commit_offsets", self._group, self._member, topics, numbers, list(ends.values())
        )
        committed = {(row["topic"], row["partition"]): row["next_offset"] for row in kept}
        for partition in ends:
            if partition in committed:
                self._claims[partition].committed = committed[partition]
            else:
                del self._claims[partition]

    async def rewind(self) -> None:
        for claim in self._claims.values():
            claim.position = claim.committed

    async def lag(self) -> int:
        waiting: int = await self._database.value("group_lag", self._group, self._topics)
        return waiting

    async def close(self) -> None:
        if self._living is not None:
            self._living.cancel()
            await asyncio.wait([self._living])
        with suppress(StoreUnavailable):  # whoever is left takes over a little later
            await self._database.rows("leave_group", self._group, self._member)
        self._claims.clear()
        await self._wakeups.close()
        await self._database.close()

    async def _share(self) -> None:
        """Join the group, and see from time to time which partitions are ours."""
        if _now() < self._share_at:
            return
        if not self._seeded:
            await self._database.rows("seed_claims", self._group, self._topics, PARTITIONS)
            await self._say_alive()
            await self._database.rows("tell_group", self._group)
            self._seeded = True
        await self._say_alive()
        if self._living is None or self._living.done():
            self._living = asyncio.create_task(self._stay_alive())
        next_share_at = _now() + self._claim_seconds / 3
        self._share_at = next_share_at
        try:
            rows = await self._database.rows("share_partitions", self._group, self._member, self._topics)
        except StoreUnavailable:
            self._share_at = float("-inf")
            raise
        self._claims = {(row["topic"], row["partition"]): self._claim(row) for row in rows}

    def _claim(self, row: asyncpg.Record) -> _Claim:
        """What we knew of the partition, unless it was somebody else's meanwhile."""
        known = self._claims.get((row["topic"], row["partition"]))
        return _Claim(row["next_offset"], row["next_offset"]) if known is None or row["taken"] else known

    async def _read(self, messages_max: int) -> Sequence[Delivered]:
        if not self._claims:
            return ()
        partitions = list(self._claims)
        topics, numbers = zip(*partitions, strict=True)
        positions = [claim.position for claim in self._claims.values()]
        rows = await self._database.rows("read_messages", topics, numbers, positions, messages_max)
        for row in rows:
            partition = (row["topic"], row["partition"])
            self._claims[partition].position = row["message_offset"] + 1
        for partition in dict.fromkeys((row["topic"], row["partition"]) for row in rows):
            self._claims[partition] = self._claims.pop(partition)  # last next time, so that none has to starve
        return [
            Delivered(Topic(row["topic"]), row["partition"], row["message_offset"], row["key"], row["value"])
            for row in rows
        ]

    async def _stay_alive(self) -> None:
        while _now() < self._used_at + self._handling_seconds_max:
            await asyncio.sleep(self._claim_seconds / 3)
            with suppress(StoreUnavailable):
                await self._say_alive()

    async def _say_alive(self) -> None:
        await self._database.rows("keep_member", self._group, self._member, self._claim_seconds)

    def _hear_of_messages(self, topic: str) -> None:
        if topic in self._topics:
            self._woken.set()

    def _hear_of_members(self, group: str) -> None:
        if group == self._group:
            self._share_at = float("-inf")
            self._woken.set()


def _now() -> float:
    return asyncio.get_running_loop().time()
