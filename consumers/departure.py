"""The departure: lets ended bookings leave the current tables, once their time there is over and the archive has them.

Behind them it clears the words of the past that hold nothing, because all bookings in them were cancelled or expired.

It does not rely on the archiver: what the archive lacks, because its event is parked or on its way, is stored here first.
Nothing is decided from memory: the database is asked which bookings are due, and once more, under the shard's lease,
whether they still may go.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final, Protocol, TypeVar

from consumers.worker import Worker
from domain.booking import Booking
from domain.ids import BUCKETS, BookingId
from storage.archive import Archive
from storage.departures import Due, EmptyWord
from storage.errors import GuardRefused, StoreUnavailable

NAME: Final = "departure"

_log = logging.getLogger(__name__)

_OfShard = TypeVar("_OfShard", Due, EmptyWord)


class Departing(Protocol):
    """Where bookings leave from; `storage.departures.Departures` is one."""

    async def due(
        self, over_before: datetime, after: tuple[datetime, BookingId] | None, bookings_max: int
    ) -> Sequence[Due]: ...

    async def depart(self, shard_id: int, bookings: Sequence[Booking], over_before: datetime) -> int: ...

    async def empty_words(
        self, first_bucket: int, end_bucket: int, over_before: datetime, words_max: int
    ) -> Sequence[EmptyWord]: ...

    async def depart_words(self, shard_id: int, words: Sequence[EmptyWord]) -> int: ...


@dataclass(frozen=True, slots=True)
class DepartureLimits:
    """`bookings_at_once` leave in one transaction; their shard's batches wait for it, and the departure rests afterwards.

    It rests `rest_factor` times as long as that took. A pause after a failure doubles, from its first to its last. A sweep
    reads the words of so many buckets, so that all have been read once in 17 hours, and `words_at_once` leave in one
    transaction.
    """

    bookings_at_once: int = 200
    buckets_in_sweep: int = 4
    words_at_once: int = 500
    rest_factor: float = 3.0
    every_seconds: float = 60.0
    pause_first_seconds: float = 0.5
    pause_last_seconds: float = 30.0


class Departure(Worker):
    """`run` once, in one task; `stop` and `state` from the same loop. Several at once only do each other's work."""

    def __init__(
        self,
        departing: Departing,
        archive: Archive,
        clock: Callable[[], datetime],
        grace: timedelta,
        limits: DepartureLimits | None = None,
    ) -> None:
        super().__init__(NAME)
        self._departing = departing
        self._archive = archive
        self._clock = clock
        self._grace = grace
        self._limits = limits or DepartureLimits()
        self._next_bucket = 0

    async def run(self) -> None:
        """Sweep now and then until `stop`; goes on by itself where a store was away."""
        pause = self._limits.pause_first_seconds
        while not self._stopping.is_set():
            try:
                await self.sweep()
            except StoreUnavailable as error:
                self._pause(error)
                await self._rest(pause)
                pause = min(pause * 2, self._limits.pause_last_seconds)
            else:
                pause = self._limits.pause_first_seconds
                await self._rest(self._limits.every_seconds)
        self._said = "left"

    async def sweep(self) -> int:
        """Let go all bookings that are due now, and say how many went; then some buckets' empty words. Raises StoreUnavailable."""
        over_before = self._clock() - self._grace
        departed = await self._sweep_bookings(over_before)
        await self._sweep_words(over_before)
        return departed

    async def _sweep_bookings(self, over_before: datetime) -> int:
        departed, after, some_max = 0, None, self._limits.bookings_at_once
        while not self._stopping.is_set():
            due = await self._departing.due(over_before, after, some_max)
            for shard_id, some in _by_shard(await self._archived(due)):
                departed += await self._depart(shard_id, [one.booking for one in some], over_before)
            self._said = "reading"
            if len(due) < some_max:
                break
            # Also past those that had to stay, so that they never stand in the way of the others.
            after = due[-1].position
        return departed

    async def _sweep_words(self, over_before: datetime) -> None:
        """Those of the next few buckets. There is no index of empty words: it would cost every batch more than this read."""
        end = min(self._next_bucket + self._limits.buckets_in_sweep, BUCKETS)
        while not self._stopping.is_set():
            empty = await self._departing.empty_words(self._next_bucket, end, over_before, self._limits.words_at_once)
            departed = sum([await self._depart_words(shard_id, words) for shard_id, words in _by_shard(empty)])
            if len(empty) < self._limits.words_at_once or not departed:
                self._next_bucket = end % BUCKETS
                break

    async def _depart_words(self, shard_id: int, words: Sequence[EmptyWord]) -> int:
        clock = asyncio.get_running_loop().time
        began = clock()
        departed = await self._departing.depart_words(shard_id, words)
        await self._rest((clock() - began) * self._limits.rest_factor)
        return departed

    async def _archived(self, due: Sequence[Due]) -> list[Due]:
        """Those that the archive has acknowledged in this version or a later one, after it was given what it lacked."""
        if not due:
            return []
        known = dict(await self._archive.versions([one.booking.booking_id for one in due]))
        lacking = [one.booking for one in due if known.get(one.booking.booking_id, 0) < one.booking.version]
        if lacking:
            _log.info("%d ended bookings are archived at their departure only", len(lacking))
            await self._archive.store(lacking)
            known |= await self._archive.versions([booking.booking_id for booking in lacking])
        return [one for one in due if known.get(one.booking.booking_id, 0) >= one.booking.version]

    async def _depart(self, shard_id: int, bookings: Sequence[Booking], over_before: datetime) -> int:
        """All of a shard's at once; one by one where something is wrong with one of them, which then stays."""
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            departed = await self._departing.depart(shard_id, bookings, over_before)
        except GuardRefused as error:
            if len(bookings) > 1:
                return sum([await self._depart(shard_id, [booking], over_before) for booking in bookings])
            self._note(error)
            _log.error("booking %s cannot leave, see holdfast verify: %s", bookings[0].booking_id, error)
            return 0
        self._handled += departed
        await self._rest((clock() - began) * self._limits.rest_factor)
        return departed

    def _pause(self, error: StoreUnavailable) -> None:
        self._note(error)
        if not self._said.startswith("paused"):
            _log.warning("the departure of ended bookings pauses: %s", error)
        self._said = f"paused: {error}"

    async def _rest(self, seconds: float) -> None:
        """Or shorter, when told to stop."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)


def _by_shard(ones: Iterable[_OfShard]) -> Iterator[tuple[int, list[_OfShard]]]:
    for shard_id, some in groupby(sorted(ones, key=lambda one: one.shard_id), key=lambda one: one.shard_id):
        yield shard_id, list(some)
