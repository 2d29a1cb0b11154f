"""Waiting for payments to be declined: one question for all who wait, a few times a second, and none while nobody does.

A decline is no change of the booking, so that no shard tells of it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from domain.ids import BookingId
from storage.errors import StoreError

_EVERY_SECONDS: Final = 0.2

_log = logging.getLogger(__name__)

AskDeclined = Callable[[Sequence[BookingId]], Awaitable[frozenset[BookingId]]]


class Declines:
    """Belongs to one event loop. What is declared declined once is told to everybody who waits for it then."""

    def __init__(self, ask: AskDeclined, *, every_seconds: float = _EVERY_SECONDS) -> None:
        self._ask = ask
        self._every_seconds = every_seconds
        self._waiting: dict[BookingId, set[asyncio.Future[None]]] = {}
        self._task: asyncio.Task[None] | None = None

    async def wait(self, booking_id: BookingId) -> None:
        """Until the booking's payment is found declined, however long it takes: cancel it to stop waiting."""
        declined: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(booking_id, set()).add(declined)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._poll())
        try:
            await declined
        finally:
            self._leave(booking_id, declined)

    async def _poll(self) -> None:
        while self._waiting:
            try:
                found = await self._ask(list(self._waiting))
            except StoreError as error:
                _log.warning("nobody can say which payments are declined: %s", error)
                found = frozenset()
            for booking_id in found:
                for declined in self._waiting.pop(booking_id, ()):
                    if not declined.done():
                        declined.set_result(None)
            await asyncio.sleep(self._every_seconds)

    def _leave(self, booking_id: BookingId, declined: asyncio.Future[None]) -> None:
        waiting = self._waiting.get(booking_id)
        if waiting is not None:
            waiting.discard(declined)
            if not waiting:
                del self._waiting[booking_id]
