"""Ends connections that wait for their client too long: silent ones, half a head, half a body.

uvicorn ends those that are idle after a request. Whoever never finishes one would keep its connection for ever, and a
process has only so many.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import Any


class SlowClients:
    """Looks at a server's connections now and then. A request that is being answered takes the time it takes."""

    def __init__(
        self, connections: Collection[Any], *, patience_seconds: float, clock: Callable[[], float] | None = None
    ) -> None:
        self._connections = connections
        self._patience_seconds = patience_seconds
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._since: dict[Any, tuple[object, float]] = {}

    async def watch(self) -> None:
        """For ever; cancel it."""
        while True:
            await asyncio.sleep(self._patience_seconds / 10)
            self.look()

    def look(self) -> None:
        """End those that have waited for the same request since long ago."""
        now = self._clock()
        before, self._since = self._since, {}
        for connection in list(self._connections):
            if not _waits(connection):
                continue
            waits_after = connection.cycle
            known, since = before.get(connection, (self, now))
            if known is not waits_after:
                since = now
            if now - since >= self._patience_seconds:
                connection.transport.close()
            else:
                self._since[connection] = (waits_after, since)


def _waits(connection: Any) -> bool:
    """Whether the next move is the client's: the head of a request or the rest of its body."""
    cycle = connection.cycle
    return cycle is None or cycle.response_complete or (cycle.more_body and not cycle.response_started)
