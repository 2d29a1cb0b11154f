"""Who may look at what is free: a few at a time, so that many who look do not keep the one writer from its batches."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from actors.limits import ShardLimits


class LookGate:
    """Of those that wait, only so many, and none longer than its caller would: nobody does work for an answer too late."""

    def __init__(self, limits: ShardLimits) -> None:
        self._places = asyncio.Semaphore(limits.looks_at_once)
        self._waiting_max = limits.looks_waiting_max
        self._wait_seconds = limits.look_wait_seconds
        self._waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[bool]:
        """Whether the caller may look; one that is not let in should say that it is overloaded."""
        admitted = await self._admitted()
        try:
            yield admitted
        finally:
            if admitted:
                self._places.release()

    async def _admitted(self) -> bool:
        if self._waiting >= self._waiting_max:
            return False
        self._waiting += 1
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._places.acquire()
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
        return True
