"""How long to keep trying a store that is away: a few tries with growing rests, then the caller is told."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from actors.limits import ShardLimits
from storage.errors import StoreUnavailable

T = TypeVar("T")


class Patience:
    """One budget of tries, in the event loop's time."""

    def __init__(self, limits: ShardLimits, seconds: float | None = None) -> None:
        self._until = asyncio.get_running_loop().time() + (limits.patience_seconds if seconds is None else seconds)
        self._rest = limits.retry_first_seconds
        self._rest_max = limits.retry_last_seconds

    async def rest(self) -> bool:
        """Pause before the next try; False, at once, when there is no time for another."""
        if asyncio.get_running_loop().time() + self._rest > self._until:
            return False
        await asyncio.sleep(self._rest)
        self._rest = min(self._rest * 2, self._rest_max)
        return True


async def patiently(call: Callable[[], Awaitable[T]], patience: Patience) -> T:
    """Repeat a read until it works. Raises the last StoreUnavailable when patience runs out."""
    while True:
        try:
            return await call()
        except StoreUnavailable:
            if not await patience.rest():
                raise
