"""The payment desk: takes what providers tell us, and looks after every payment that is due, until no money is open.

Whatever wakes it only says *look*; what is to be done then stands in the database. Several desks at once do each other's
work, and no harm: a payment's change names the revision that it was made from, and every errand may be done again.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Final, Protocol

from consumers.payment_look import PaymentLook
from consumers.payment_messages import PaymentMessages
from consumers.worker import Worker
from domain.ids import BookingId
from storage.errors import StoreUnavailable
from storage.payment_store import Inbox, PaymentStore, Received

NAME: Final = "payment_desk"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DeskLimits:
    """`looks_asked` at once are of payments that somebody just told of, and beside them `looks_unasked` of those only due.

    Neither kind takes the other's places: webhooks hold up no refund, and refunds no confirmation.

    While `asked_waiting_max` that somebody told of wait for a look, no more messages are taken: they stay in the inbox.

    What is due is asked for `due_rest_seconds` after somebody wakes us, so that several changes of a payment in a row are
    one look, and at least every `idle_seconds`. A pause after a failure doubles, from its first to its last.
    """

    looks_asked: int = 32
    looks_unasked: int = 16
    due_at_once: int = 64
    messages_at_once: int = 16
    asked_waiting_max: int = 256
    due_rest_seconds: float = 0.05
    idle_seconds: float = 1.0
    pause_first_seconds: float = 0.2
    pause_last_seconds: float = 5.0


class Wakeups(Protocol):
    """`storage.postgres_wakeups.PostgresWakeups` is one."""

    async def listen(self) -> bool: ...

    async def close(self) -> None: ...


@dataclass(slots=True)
class _Line:
    """Bookings that wait for a look, each with its looks that failed before, and those of them that are in hand."""

    at_once: int
    waiting: dict[BookingId, int] = field(default_factory=dict)
    in_hand: set[BookingId] = field(default_factory=set)


class PaymentDesk(Worker):
    """`run` once, in one task; everything else from the same loop."""

    def __init__(
        self,
        store: PaymentStore,
        inbox: Inbox,
        messages: PaymentMessages,
        looks: PaymentLook,
        *,
        clock: Callable[[], datetime],
        wakeups: Callable[[Callable[[str], None]], Wakeups] | None = None,
        limits: DeskLimits | None = None,
    ) -> None:
        """`wakeups` is given what is to be called when something is told."""
        super().__init__(NAME)
        self._store = store
        self._inbox = inbox
        self._messages = messages
        self._looks = looks
        self._clock = clock
        self._limits = limits or DeskLimits()
        self._asked = _Line(self._limits.looks_asked)
        self._due = _Line(self._limits.looks_unasked)
        self._woken = asyncio.Event()
        self._wakeups = None if wakeups is None else wakeups(self.wake)
        self._tasks: asyncio.TaskGroup | None = None
        self._due_at = float("-inf")

    @property
    def full(self) -> bool:
        """Whether so many wait for a look that whoever finds more leaves them where they are, and comes again."""
        return len(self._asked.waiting) >= self._limits.asked_waiting_max

    def wake(self, _told: str = "") -> None:
        """There may be something to do."""
        self._due_at = min(self._due_at, _now() + self._limits.due_rest_seconds)
        self._woken.set()

    def look_soon(self, booking_id: BookingId) -> None:
        """Look at the booking's payments, and let them not wait for those that are only due.

        Whoever has many asks before each page of them whether the desk is `full`.
        """
        self._due.waiting.pop(booking_id, None)
        self._asked.waiting[booking_id] = 0
        self._start()

    def stop(self) -> None:
        super().stop()
        self._woken.set()

    async def run(self) -> None:
        """Until `stop`, and until what is in hand is done; goes on by itself where the database was away."""
        pause = self._limits.pause_first_seconds
        try:
            async with asyncio.TaskGroup() as self._tasks:
                while not self._stopping.is_set():
                    try:
                        rest = await self._round()
                    except StoreUnavailable as error:
                        self._pause(error)
                        await _rest(pause, self._stopping)
                        pause = min(pause * 2, self._limits.pause_last_seconds)
                    else:
                        pause, self._said = self._limits.pause_first_seconds, "reading"
                        await _rest(rest, self._woken)
        finally:
            self._tasks, self._said = None, "left"
            if self._wakeups is not None:
                await self._wakeups.close()

    async def _round(self) -> float:
        """Take what has come and start on what is due; for how long to rest if nothing wakes us."""
        if self._wakeups is not None:
            await self._wakeups.listen()
        self._woken.clear()
        messages = [] if self.full else await self._inbox.waiting(self._limits.messages_at_once)
        await self._take(messages)
        if _now() >= self._due_at:
            await self._take_due()
        return 0.0 if len(messages) == self._limits.messages_at_once else self._due_at - _now()

    async def _take(self, messages: Sequence[Received]) -> None:
        taken = await asyncio.gather(*map(self._messages.take, messages), return_exceptions=True)
        for booking_id in taken:
            if isinstance(booking_id, BaseException):
                raise booking_id
            self._handled += 1
            if booking_id is not None:
                self.look_soon(booking_id)

    async def _take_due(self) -> None:
        """The next ones, once those before are in hand."""
        self._due_at = _now() + self._limits.idle_seconds
        if self._due.waiting:
            return
        # Those that we know of are due still, maybe for longer than any other.
        known = self._asked.waiting.keys() | self._asked.in_hand | self._due.in_hand
        for one in await self._store.due(self._clock(), self._limits.due_at_once + len(known)):
            if not self._in_hand(one.booking_id) and one.booking_id not in self._asked.waiting:
                self._due.waiting.setdefault(one.booking_id, one.tries)
        self._start()

    def _start(self) -> None:
        """As many looks of each kind as may be at once, one of a booking at a time.

        However many wait, only those in hand are passed over before there is one for each place that is free.
        """
        if self._tasks is None or self._stopping.is_set():
            return
        was_full = self.full
        for line in (self._asked, self._due):
            may_start = (one for one in line.waiting if not self._in_hand(one))
            for booking_id in list(islice(may_start, line.at_once - len(line.in_hand))):
                line.in_hand.add(booking_id)
                self._tasks.create_task(self._look(line, booking_id, line.waiting.pop(booking_id)))
        if was_full and not self.full:
            self._woken.set()  # there are messages that were left where they are

    def _in_hand(self, booking_id: BookingId) -> bool:
        return booking_id in self._asked.in_hand or booking_id in self._due.in_hand

    async def _look(self, line: _Line, booking_id: BookingId, tries: int) -> None:
        try:
            await self._looks.look(booking_id, tries)
        except StoreUnavailable as error:
            self._note(error)  # it is due still, and the next round will find out
        except Exception as error:  # noqa: BLE001 - these payments are due still, and the others are not to blame
            self._note(error)
            _log.exception("the payments of booking %s could not be looked at", booking_id)
        else:
            self._handled += 1
            if not self._due.waiting:
                self.wake()
        finally:
            line.in_hand.discard(booking_id)
            self._start()

    def _pause(self, error: StoreUnavailable) -> None:
        if not self._said.startswith("paused"):
            _log.warning("the payment desk pauses: %s", error)
        self._note(error)
        self._said = f"paused: {error}"


async def _rest(seconds: float, woken: asyncio.Event) -> None:
    if seconds > 0:
        with suppress(TimeoutError):
            await asyncio.wait_for(woken.wait(), seconds)


def _now() -> float:
    return asyncio.get_running_loop().time()
