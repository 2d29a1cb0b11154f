"""The event log in memory: partitions by key, offsets per group, partitions shared out among a group's members."""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import pairwise

from storage.errors import StoreUnavailable
from storage.event_log import PARTITIONS, Delivered, Message, Topic, partition_of

Place = tuple[Topic, int]


class MemoryEventLog:
    """`away` makes every call of every reader and writer raise, until it is False again."""

    def __init__(self) -> None:
        self.away = False
        self.rows: dict[Place, list[Delivered]] = {(t, p): [] for t in Topic for p in range(PARTITIONS)}
        self.committed: dict[tuple[str, Place], int] = {}
        self.members: dict[str, list[MemoryEventReader]] = {}
        self.commits: list[tuple[str, Place, int]] = []
        self._grown = asyncio.Event()

    async def append(self, messages: Sequence[Message]) -> None:
        self.check()
        for message in messages:
            place = (message.topic, partition_of(message.key))
            row = self.rows[place]
            row.append(Delivered(*place, len(row), message.key, message.value))
        self._grown.set()
        self._grown = asyncio.Event()

    async def close(self) -> None:
        pass

    def reader(self, group: str, topics: Iterable[Topic]) -> "MemoryEventReader":
        return MemoryEventReader(self, group, tuple(topics))

    def join(self, reader: "MemoryEventReader") -> None:
        """A member is one from its first poll on."""
        members = self.members.setdefault(reader.group, [])
        if reader not in members:
            members.append(reader)
            self._share_out(reader.group)

    def forget(self, reader: "MemoryEventReader") -> None:
        """The member left, or died: its partitions go to the others, from the last commit on."""
        members = self.members.get(reader.group, [])
        if reader in members:
            members.remove(reader)
            self._share_out(reader.group)

    def from_the_beginning(self, group: str) -> None:
        """An operator resets the group."""
        for key in [key for key in self.committed if key[0] == group]:
            del self.committed[key]
        self._share_out(group)

    def where(self, group: str, place: Place) -> int:
        return self.committed.get((group, place), 0)

    def commit(self, group: str, place: Place, offset: int) -> None:
        """A group never goes back by a commit."""
        if offset > self.where(group, place):
            self.committed[group, place] = offset
            self.commits.append((group, place, offset))

    async def grown(self) -> None:
        await self._grown.wait()

    def check(self) -> None:
        if self.away:
            raise StoreUnavailable("event log: away")

    def _share_out(self, group: str) -> None:
        members = self.members[group]
        for number, member in enumerate(members):
            places = [place for place in sorted(self.rows) if place[0] in member.topics]
            member.given(places[number :: len(members)])


class MemoryEventReader:
    def __init__(self, log: MemoryEventLog, group: str, topics: Sequence[Topic]) -> None:
        self.log = log
        self.group = group
        self.topics = topics
        self.closed = False
        self._position: dict[Place, int] = {}

    def given(self, places: Sequence[Place]) -> None:
        """What it had and has still goes on where it is; what is new starts at the last commit."""
        self._position = {
            place: max(self._position[place], self.log.where(self.group, place))
            if place in self._position and self.log.where(self.group, place)
            else self.log.where(self.group, place)
            for place in places
        }

    async def poll(self, messages_max: int, wait_seconds: float) -> Sequence[Delivered]:
        found = self._next(messages_max)
        if not found and wait_seconds > 0:
            try:
                async with asyncio.timeout(wait_seconds):
                    await self.log.grown()
            except TimeoutError:
                pass
            found = self._next(messages_max)
        return found

    def _next(self, messages_max: int) -> list[Delivered]:
        self.log.check()
        assert not self.closed, "polled after it was closed"
        self.log.join(self)
        found: list[Delivered] = []
        for place, position in self._position.items():
            taken = self.log.rows[place][position : position + messages_max - len(found)]
            self._position[place] = position + len(taken)
            found += taken
        return found

    async def commit(self, done: Sequence[Delivered]) -> None:
        self.log.check()
        assert all(a.offset < b.offset for a, b in pairwise(done) if a.partition == b.partition and a.topic == b.topic)
        for message in done:
            place = (message.topic, message.partition)
            if place in self._position:
                self.log.commit(self.group, place, message.offset + 1)

    async def rewind(self) -> None:
        self.log.check()
        self._position = {place: self.log.where(self.group, place) for place in self._position}

    async def lag(self) -> int:
        self.log.check()
        return sum(
            len(rows) - self.log.where(self.group, place)
            for place, rows in self.log.rows.items()
            if place[0] in self.topics
        )

    async def close(self) -> None:
        self.closed = True
        self.log.forget(self)
