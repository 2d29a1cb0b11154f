"""The queue in front of a shard: bounded, woken by a command or by the clock, with a place in front for put-offs."""

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import chain
from typing import Final

from actors.outcome import Outcome
from domain.command import Command, CreateVendor, UpdateVendor
from domain.ids import BookingId, VendorId
from domain.vendor_state import VendorState

_ALONE: Final = (CreateVendor, UpdateVendor)


class LoadVendors:
    """The shard's own: bring vendors into memory between two batches, because a reader wants to look at them.

    `found` is filled with those that exist before the reader is answered. The reader looks there: memory may be too
    small for all that one batch loads.
    """

    __slots__ = ("found", "vendor_ids")

    def __init__(self, vendor_ids: Sequence[VendorId]) -> None:
        self.vendor_ids = vendor_ids
        self.found: dict[VendorId, VendorState] = {}


class Asked:
    """A command on its way through the shard, and who waits for the answer (nobody for the shard's own).

    `again` says that an earlier send of the same command may have been carried out. `scope` is the digest of its
    idempotency key once known.
    """

    __slots__ = ("again", "command", "future", "scope")

    def __init__(
        self, command: Command | LoadVendors, future: asyncio.Future[Outcome] | None, *, again: bool = False
    ) -> None:
        self.command = command
        self.future = future
        self.again = again
        self.scope: bytes | None = None

    def answer(self, outcome: Outcome) -> None:
        if self.future is not None and not self.future.done():
            self.future.set_result(outcome)

    def fail(self, error: Exception) -> None:
        if self.future is not None and not self.future.done():
            self.future.set_exception(error)


class _Taken:
    """A batch that is being filled, and the bookings that it makes or changes."""

    __slots__ = ("bookings", "commands", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.commands: list[Asked] = []
        self.bookings: set[BookingId] = set()

    @property
    def full(self) -> bool:
        return len(self.commands) >= self.limit

    def add(self, one: Asked) -> None:
        self.commands.append(one)
        booking_id = _booking_of(one)
        if booking_id is not None:
            self.bookings.add(booking_id)


class Mailbox:
    """First come, first decided. Lives in one event loop.

    A booking changes once in a batch at most, so of the commands for one booking only the first takes a place in a
    batch. The others stand in a line of their own, where they are in nobody's way.
    """

    def __init__(self, commands_max: int) -> None:
        self._commands_max = commands_max
        self._queue: deque[Asked] = deque()
        self._first: deque[Asked] = deque()
        self._lines: dict[BookingId, deque[Asked]] = {}
        self._in_lines = 0
        self._alone_is_next = False
        self._sleeper: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._queue) + len(self._first) + self._in_lines

    @property
    def full(self) -> bool:
        return len(self) >= self._commands_max

    def put(self, asked: Asked) -> None:
        """At the end. The caller has looked at `full`."""
        self._queue.append(asked)
        if self._sleeper is not None:
            self.wake()

    def put_first(self, asked: Sequence[Asked]) -> None:
        """In front of everything queued, in the given order: commands put off by the batch that just ended."""
        self._first.extendleft(reversed(asked))

    def take(self, limit: int) -> list[Asked]:
        """The next batch, up to `limit`: put-offs, the head of each line, then what is queued.

        A vendor's own command comes alone, after put-offs and one batch of lines at most.
        """
        batch = _Taken(limit)
        while self._first and not batch.full:
            batch.add(self._first.popleft())
        if not (self._alone_is_next and self._vendors_own):
            self._take_heads(batch)
            self._take_queued(batch)
        self._alone_is_next = bool(batch.commands) and self._vendors_own
        if batch.commands or not self._queue:
            return batch.commands
        return [self._queue.popleft()]

    @property
    def _vendors_own(self) -> bool:
        return bool(self._queue) and isinstance(self._queue[0].command, _ALONE)

    def _take_heads(self, batch: "_Taken") -> None:
        """The first of each line; a line that goes on goes to the end, so that each has its turn."""
        for booking_id in list(self._lines):
            if batch.full:
                return
            if booking_id in batch.bookings:
                continue
            line = self._lines.pop(booking_id)
            batch.add(line.popleft())
            self._in_lines -= 1
            if line:
                self._lines[booking_id] = line

    def _take_queued(self, batch: "_Taken") -> None:
        while self._queue and not batch.full and not self._vendors_own:
            one = self._queue.popleft()
            booking_id = _booking_of(one)
            if booking_id is not None and (booking_id in batch.bookings or booking_id in self._lines):
                self._lines.setdefault(booking_id, deque()).append(one)
                self._in_lines += 1
            else:
                batch.add(one)

    def take_all(self) -> list[Asked]:
        """Everything, to be answered without being decided."""
        taken = [*self._first, *chain.from_iterable(self._lines.values()), *self._queue]
        self._first.clear()
        self._lines.clear()
        self._in_lines = 0
        self._queue.clear()
        return taken

    def wake(self) -> None:
        if self._sleeper is not None and not self._sleeper.done():
            self._sleeper.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Until something is queued, somebody calls `wake`, or the time is up."""
        if len(self) or seconds <= 0:
            return
        loop = asyncio.get_running_loop()
        self._sleeper = loop.create_future()
        timer = loop.call_later(seconds, self.wake)
        try:
            await self._sleeper
        finally:
            timer.cancel()
            self._sleeper = None


def _booking_of(asked: Asked) -> BookingId | None:
    """The booking that a command makes or changes."""
    return getattr(asked.command, "booking_id", None)
