"""The queue in front of a shard: bounded, woken by a command or by the clock, with a place in front for put-offs."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from actors.outcome import Outcome
from domain.command import Command, CreateVendor, UpdateVendor
from domain.ids import VendorId

_ALONE: Final = (CreateVendor, UpdateVendor)


class LoadVendor:
    """The shard's own: bring a vendor into memory between two batches, because a reader wants to look at it."""

    __slots__ = ("vendor_id",)

    def __init__(self, vendor_id: VendorId) -> None:
        self.vendor_id = vendor_id


class Asked:
    """A command on its way through the shard, and who waits for the answer (nobody for the shard's own).

    `again` says that an earlier send of the same command may have been carried out. `scope` is the digest of its
    idempotency key once known.
    """

    __slots__ = ("again", "command", "future", "scope")

    def __init__(
        self, command: Command | LoadVendor, future: asyncio.Future[Outcome] | None, *, again: bool = False
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


class Mailbox:
    """First come, first decided. Lives in one event loop."""

    def __init__(self, commands_max: int) -> None:
        self._commands_max = commands_max
        self._queue: deque[Asked] = deque()
        self._first: deque[Asked] = deque()
        self._sleeper: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._queue) + len(self._first)

    @property
    def full(self) -> bool:
        return len(self._queue) >= self._commands_max

    def put(self, asked: Asked) -> None:
        """At the end. The caller has looked at `full`."""
        self._queue.append(asked)
        if self._sleeper is not None:
            self.wake()

    def put_first(self, asked: Sequence[Asked]) -> None:
        """In front of everything queued, in the given order: commands put off by the batch that just ended."""
        self._first.extendleft(reversed(asked))

    def take(self, limit: int) -> list[Asked]:
        """The next batch: what is queued, up to `limit`. A vendor's own command comes alone."""
        taken: list[Asked] = []
        for source in (self._first, self._queue):
            while source and len(taken) < limit:
                if isinstance(source[0].command, _ALONE):
                    return taken or [source.popleft()]
                taken.append(source.popleft())
        return taken

    def take_all(self) -> list[Asked]:
        """Everything, to be answered without being decided."""
        taken = [*self._first, *self._queue]
        self._first.clear()
        self._queue.clear()
        return taken

    def wake(self) -> None:
        if self._sleeper is not None and not self._sleeper.done():
            self._sleeper.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Until something is queued, somebody calls `wake`, or the time is up."""
        if self._queue or self._first or seconds <= 0:
            return
        loop = asyncio.get_running_loop()
        self._sleeper = loop.create_future()
        timer = loop.call_later(seconds, self.wake)
        try:
            await self._sleeper
        finally:
            timer.cancel()
            self._sleeper = None
