"""Waiting for a booking to be settled: the shard says what left BLOCKED, whoever waits does so in its own process."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from domain.booking import Booking, BookingStatus
from domain.event import BookingEvent
from domain.ids import BookingId

Listener = Callable[[Booking], None]


@dataclass(frozen=True, slots=True)
class News:
    """What a shard's bookings did since a position; `gap` says that some of it is forgotten, so look for yourself.

    `position` is where to ask from next. It only means something together with the epoch it came from.
    """

    epoch: int
    position: int
    gap: bool
    bookings: Sequence[Booking]


class NewsDesk:
    """In the shard: the bookings that lately left BLOCKED, in order and bounded, for anybody to read from a position."""

    def __init__(self, kept_max: int) -> None:
        self._recent: deque[Booking] = deque(maxlen=kept_max)
        self._listeners: list[Listener] = []
        self._readers: set[asyncio.Future[None]] = set()
        self._position = 0

    def subscribe(self, listener: Listener) -> None:
        """Call the listener for every booking that leaves BLOCKED, from the shard's own loop."""
        self._listeners.append(listener)

    def publish(self, events: Iterable[BookingEvent]) -> None:
        """Take in a committed batch."""
        before = self._position
        for event in events:
            if event.before is None or event.before.status is not BookingStatus.BLOCKED:
                continue
            if event.booking.status is not BookingStatus.BLOCKED:
                self._position += 1
                self._recent.append(event.booking)
                for listener in self._listeners:
                    listener(event.booking)
        if self._position != before:
            self.wake()

    def wake(self) -> None:
        """Let every reader look again, for example because the shard is leaving."""
        for reader in self._readers:
            if not reader.done():
                reader.set_result(None)

    async def since(self, epoch: int, position: int | None, wait_seconds: float) -> News:
        """What came after `position`, waiting for it at most `wait_seconds`. None asks where to start."""
        if position is None or position > self._position:
            return News(epoch, self._position, gap=position is not None, bookings=())
        if position == self._position and wait_seconds > 0:
            await self._next(wait_seconds)
        missed = self._position - position
        if missed > len(self._recent):
            return News(epoch, self._position, gap=True, bookings=())
        newest = list(self._recent)[len(self._recent) - missed :]
        return News(epoch, self._position, gap=False, bookings=newest)

    async def _next(self, wait_seconds: float) -> None:
        reader: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._readers.add(reader)
        try:
            async with asyncio.timeout(wait_seconds):
                await reader
        except TimeoutError:
            return
        finally:
            self._readers.discard(reader)


class WaitingRoom:
    """In the caller's process: who waits for which booking. Bounded by the requests that the process has open."""

    def __init__(self) -> None:
        self._waiting: dict[BookingId, set[asyncio.Future[Booking]]] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def booking_ids(self) -> list[BookingId]:
        return list(self._waiting)

    def tell(self, booking: Booking) -> None:
        """Wake those who wait for this booking, if it is settled."""
        if booking.status is BookingStatus.BLOCKED or not self._waiting:
            return
        for future in self._waiting.pop(booking.booking_id, ()):
            if not future.done():
                future.set_result(booking)

    @contextlib.contextmanager
    def seat(self, booking_id: BookingId) -> Iterator[asyncio.Future[Booking]]:
        """A future for the settled booking, registered before the caller looks whether it is settled already."""
        future: asyncio.Future[Booking] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(booking_id, set()).add(future)
        try:
            yield future
        finally:
            waiting = self._waiting.get(booking_id)
            if waiting is not None:
                waiting.discard(future)
                if not waiting:
                    del self._waiting[booking_id]
