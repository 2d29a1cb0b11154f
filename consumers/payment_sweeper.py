"""The sweeper: finds what nobody told the payment desk of, because a crash came between a commit and the telling.

Two kinds: a booking that wants a deposit and has no payment, and a booking that has moved on from its payment. All else
is due by itself at some time, and the desk looks then. It also forgets messages that were handled long ago.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeAlias

from consumers.rounds import Rounds
from domain.ids import BookingId
from storage.errors import StoreUnavailable
from storage.payment_store import FIRST_BOOKING, FIRST_PLACE, Inbox, PaymentStore, Place

NAME: Final = "payment_sweeper"

_FOUND_MAX: Final = 200
"""With so many found at once the rest is left to the next round: the desk has enough to do."""
_PAGE: Final = 1000
_OVERLAP: Final = timedelta(seconds=10)
"""Clocks of two machines differ, and a commit comes after the instant that stands in its booking."""

_log = logging.getLogger(__name__)

_Part: TypeAlias = Callable[[datetime, set[BookingId]], Awaitable[None]]
"""Of a whole sweep: what is older than that is found, and added to the set."""


class Desk(Protocol):
    def look_soon(self, booking_id: BookingId) -> None: ...


class PaymentSweeper(Rounds):
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
        super().__init__(NAME, every_seconds)
        self._store = store
        self._inbox = inbox
        self._keep = keep
        self._desk = desk
        self._clock = clock
        self._every = timedelta(seconds=every_seconds)
        self._whole_every_seconds = whole_every_seconds
        self._whole_at = float("-inf")
        self._broken_off: list[_Part] = []
        self._lately_to: datetime | None = None
        self._read_to = FIRST_PLACE
        self._unnoticed_to = FIRST_BOOKING

    async def _round(self) -> None:
        await self.sweep()

    async def sweep(self) -> int:
        """Have the desk look at what was left behind, and say how much that is.

        What changed lately comes first, and nothing waits for what fails. Raises StoreUnavailable, in the end.
        """
        older_than, now = self._clock() - self._every, asyncio.get_running_loop().time()
        found: set[BookingId] = set()
        failures = [await self._tried(self._lately(older_than, found))]
        parts, self._broken_off = self._broken_off, []
        if now >= self._whole_at:
            if failures == [None]:  # else the database is away as it seems: a whole sweep is due still
                self._whole_at = now + self._whole_every_seconds
            parts = [self._all, self._unnoticed, self._forget]
        failures += [await self._tried(part(older_than, found)) for part in parts]
        if found:
            _log.info("%d bookings had moved on without their payment", len(found))
        self._handled += len(found)
        for failure in failures:
            if failure is not None:
                raise failure
        return len(found)

    async def _tried(self, part: Awaitable[None]) -> StoreUnavailable | None:
        try:
            await part
        except StoreUnavailable as error:
            return error
        return None

    async def _lately(self, older_than: datetime, found: set[BookingId]) -> None:
        """What changed since the last time that this went well, however long that took, and a little before."""
        since = min(self._lately_to or older_than, older_than - self._every)
        place: Place | None = (since - self._every - _OVERLAP, FIRST_BOOKING)
        while place is not None:
            page = await self._store.without_payment(older_than, _PAGE, after=place)
            self._leave_to_desk(page.booking_ids, found)
            place = page.read_to
        self._lately_to = older_than

    async def _all(self, older_than: datetime, found: set[BookingId]) -> None:
        """Page by page, from where it broke off."""
        while not self._stopping.is_set():
            page = await self._store.without_payment(older_than, _PAGE, after=self._read_to)
            self._leave_to_desk(page.booking_ids, found)
            if page.read_to is None:
                self._read_to = FIRST_PLACE
                return
            self._read_to = page.read_to
            if len(found) >= _FOUND_MAX:
                self._broken_off.append(self._all)
                return

    async def _unnoticed(self, older_than: datetime, found: set[BookingId]) -> None:
        """As `_all`."""
        while not self._stopping.is_set():
            page = await self._store.unnoticed(older_than, _PAGE, after=self._unnoticed_to)
            self._leave_to_desk(page.booking_ids, found)
            if page.read_to is None:
                self._unnoticed_to = FIRST_BOOKING
                return
            self._unnoticed_to = page.read_to
            if len(found) >= _FOUND_MAX:
                self._broken_off.append(self._unnoticed)
                return

    async def _forget(self, _older_than: datetime, _found: set[BookingId]) -> None:
        await self._inbox.forget(self._clock() - self._keep)

    def _leave_to_desk(self, booking_ids: Sequence[BookingId], found: set[BookingId]) -> None:
        for booking_id in booking_ids:
            if booking_id not in found:
                found.add(booking_id)
                self._desk.look_soon(booking_id)
