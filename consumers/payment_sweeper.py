"""The sweeper: finds what nobody told the payment desk of, because a crash came between a commit and the telling.

Two kinds: a booking that wants a deposit and has no payment, and a booking that has moved on from its payment. All else
is due by itself at some time, and the desk looks then. It also forgets messages that were handled long ago.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Generic, Protocol, TypeVar

from consumers.rounds import Rounds
from domain.ids import BookingId
from storage.errors import StoreUnavailable
from storage.payment_store import FIRST_BOOKING, FIRST_PLACE, Inbox, PaymentStore, Place, Unnoticed, Unpaid

NAME: Final = "payment_sweeper"

_FOUND_MAX: Final = 200
"""With so many found at once the rest is left to the next round: the desk has enough to do."""
_PAGE: Final = 1000
_OVERLAP: Final = timedelta(seconds=10)
"""Clocks of two machines differ, and a commit comes after the instant that stands in its booking."""

_log = logging.getLogger(__name__)

P = TypeVar("P")
P_co = TypeVar("P_co", covariant=True)


class Desk(Protocol):
    @property
    def full(self) -> bool:
        """Whether it is to be told of no more for now."""
        ...

    def look_soon(self, booking_id: BookingId) -> None: ...


class _Page(Protocol[P_co]):
    """`Unpaid` and `Unnoticed` are such."""

    @property
    def booking_ids(self) -> Sequence[BookingId]: ...

    @property
    def read_to(self) -> P_co | None: ...


@dataclass(slots=True, eq=False)
class _Walk(Generic[P]):
    """Over all bookings of a kind, page by page. It broke off at `read_to`, which is None where it is to begin anew."""

    read: Callable[[datetime, P], Awaitable[_Page[P]]]
    first: P
    read_to: P | None = None


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
        self._walks: tuple[_Walk[Any], ...] = _Walk(self._unpaid, FIRST_PLACE), _Walk(self._unnoticed, FIRST_BOOKING)
        self._broken_off: list[_Walk[Any]] = []
        self._lately_to: datetime | None = None
        self._lately_left: tuple[datetime, Place] | None = None

    async def _round(self) -> None:
        await self.sweep()

    async def sweep(self) -> int:
        """Have the desk look at what was left behind, and say how much that is.

        What changed lately comes first, and nothing waits for what fails. While the desk is full no page is read: what is on
        it is found later. Raises StoreUnavailable, in the end.
        """
        older_than, now = self._clock() - self._every, asyncio.get_running_loop().time()
        found: set[BookingId] = set()
        failures = [await self._tried(self._lately(older_than, found))]
        # Whose turn was last comes first, so that it is not always the other that finds the desk full.
        walks, self._broken_off = self._broken_off[::-1], []
        whole = now >= self._whole_at
        if whole:
            if failures == [None]:  # else the database is away as it seems: a whole sweep is due still
                self._whole_at = now + self._whole_every_seconds
            walks += [walk for walk in self._walks if walk not in walks]
        failures += [await self._tried(self._go_on(walk, older_than, found)) for walk in walks]
        if whole:
            failures.append(await self._tried(self._forget()))
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
        """What changed since the last time that this went well, however long that took, and a little before.

        Where the desk is full it goes on from there the next time.
        """
        since = min(self._lately_to or older_than, older_than - self._every)
        place: Place | None
        begun, place = self._lately_left or (older_than, (since - self._every - _OVERLAP, FIRST_BOOKING))
        self._lately_left = None
        while place is not None:
            if self._desk.full:
                self._lately_left = begun, place
                return
            page = await self._unpaid(older_than, place)
            self._leave_to_desk(page.booking_ids, found)
            place = page.read_to
        self._lately_to = begun

    async def _go_on(self, walk: _Walk[P], older_than: datetime, found: set[BookingId]) -> None:
        """From where it broke off, as far as the desk can do with more."""
        while not (self._desk.full or self._stopping.is_set()):
            page = await walk.read(older_than, walk.first if walk.read_to is None else walk.read_to)
            self._leave_to_desk(page.booking_ids, found)
            walk.read_to = page.read_to
            if page.read_to is None:
                return
            if len(found) >= _FOUND_MAX:
                break
        self._broken_off.append(walk)

    async def _unpaid(self, older_than: datetime, after: Place) -> Unpaid:
        return await self._store.without_payment(older_than, _PAGE, after=after)

    async def _unnoticed(self, older_than: datetime, after: BookingId) -> Unnoticed:
        return await self._store.unnoticed(older_than, _PAGE, after=after)

    async def _forget(self) -> None:
        await self._inbox.forget(self._clock() - self._keep)

    def _leave_to_desk(self, booking_ids: Sequence[BookingId], found: set[BookingId]) -> None:
        for booking_id in booking_ids:
            if booking_id not in found:
                found.add(booking_id)
                self._desk.look_soon(booking_id)
