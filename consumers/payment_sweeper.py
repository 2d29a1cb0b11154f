"""The sweeper: finds what nobody told the payment desk of, because a crash came between a commit and the telling.

Two kinds: a booking that wants a deposit and has no payment, and a booking that has moved on from its payment. All else
is due by itself at some time, and the desk looks then. It also forgets messages that were handled long ago.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final, Protocol

from consumers.consumer import ConsumerState
from domain.ids import BookingId
from storage.errors import StoreUnavailable
from storage.payment_store import Inbox, PaymentStore

NAME: Final = "payment_sweeper"

_AT_ONCE: Final = 200
_OVERLAP: Final = timedelta(seconds=10)
"""Clocks of two machines differ, and a commit comes after the instant that stands in its booking."""

_log = logging.getLogger(__name__)


class Desk(Protocol):
    def look_soon(self, booking_id: BookingId) -> None: ...


class PaymentSweeper:
    """`run` once, in one task; `stop` and `state` from the same loop. What it finds, it leaves to the desk."""

    def __init__(
        self,
        store: PaymentStore,
        inbox: Inbox,
        desk: Desk,
        clock: Callable[[], datetime],
        *,
        every_seconds: float,
        keep: timedelta,
        whole_every_seconds: float = 60.0,
    ) -> None:
        """Each time it looks at what changed lately, and each `whole_every_seconds` at everything that is alive.

        Handled messages are kept so long.
        """
        self._store = store
        self._inbox = inbox
        self._keep = keep
        self._desk = desk
        self._clock = clock
        self._every = timedelta(seconds=every_seconds)
        self._whole_every_seconds = whole_every_seconds
        self._whole_at = float("-inf")
        self._stopping = asyncio.Event()
        self._said = "starting"
        self._found = 0
        self._last_error = ""

    @property
    def state(self) -> ConsumerState:
        return ConsumerState(NAME, self._said, self._found, last_error=self._last_error)

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        """Sweep now and then until `stop`; goes on by itself where the database was away."""
        while not self._stopping.is_set():
            try:
                await self.sweep()
                self._said = "reading"
            except StoreUnavailable as error:
                self._last_error = f"{type(error).__name__}: {error}"
                self._said = f"paused: {error}"
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._every.total_seconds())
        self._said = "left"

    async def sweep(self) -> int:
        """Have the desk look at what was left behind, and say how much that is. Raises StoreUnavailable."""
        older_than = self._clock() - self._every
        now = asyncio.get_running_loop().time()
        if now < self._whole_at:
            since = older_than - 2 * self._every - _OVERLAP
            found = set(await self._store.without_payment(older_than, _AT_ONCE, changed_since=since))
        else:
            found = {
                *await self._store.without_payment(older_than, _AT_ONCE),
                *await self._store.unnoticed(older_than, _AT_ONCE),
            }
            self._whole_at = now + self._whole_every_seconds
            await self._inbox.forget(self._clock() - self._keep)
        for booking_id in found:
            self._desk.look_soon(booking_id)
        if found:
            _log.info("%d bookings had moved on without their payment", len(found))
        self._found += len(found)
        return len(found)
