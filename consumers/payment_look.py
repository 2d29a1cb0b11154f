"""One look at a booking's payments: what there is to do is done, until nothing is, and then it is left alone for a while.

What is to be done, `domain.payment_steps` says from the booking and the payment as they stand. A look that breaks off anywhere
is made good by the next one.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeAlias
from uuid import UUID

from actors.client import ShardClient
from actors.outcome import Done, Trouble, Unavailable
from domain.booking import Booking, BookingStatus
from domain.command import Caller, Role, SetStatus
from domain.ids import BookingId
from domain.payment import Charge, ChargeState, Payment, PaymentId, RefundState, current_of
from domain.payment_steps import (
    CloseCheckout,
    ConfirmBooking,
    OpenCheckout,
    SendRefund,
    Step,
    Write,
    look_again_at,
    new_payment,
    over,
    steps,
)
from domain.rejection import Reason, Rejection
from storage.errands import Errands
from storage.errors import StoreUnavailable, VersionConflict
from storage.payment_store import PaymentStore

TRIES_MAX: Final = 10
"""Looks that fail one after the other for a reason of their own, before a person is asked."""

_SYSTEM: Final = Caller(Role.SYSTEM, UUID(int=0))
_STEPS_MAX: Final = 40
_STARTS_MAX: Final = 5
_WAIT_FIRST: Final = timedelta(seconds=1)
_WAIT_LAST: Final = timedelta(minutes=5)
_HOLD_ENDS: Final = timedelta(seconds=1)
_SERVICE_OPENS: Final = timedelta(seconds=4)
"""For so long after a change of the booking its checkout is left to the service that answers for the change."""
_ASKED_LEAST: Final = timedelta(hours=1)

_log = logging.getLogger(__name__)


class Archived(Protocol):
    async def by_id(self, booking_id: BookingId) -> Booking | None: ...


class Notes(Protocol):
    """Told of bookings that changed, for the cache. Never raises."""

    async def note(self, booking: Booking, *, replayed: bool = False) -> None: ...

    async def doubt(self, booking_id: BookingId) -> None: ...


class News(Protocol):
    async def tell(self, payment: Payment, booking: Booking, *, current: bool) -> None:
        """Of what went back, where the guest does not expect it. Raises StoreUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class LookDeps:
    store: PaymentStore
    errands: Errands
    client: ShardClient
    archived: Archived
    notes: Notes
    news: News
    clock: Callable[[], datetime]


_Errand: TypeAlias = OpenCheckout | CloseCheckout | SendRefund


class PaymentLook:
    """`sweep` is how often the provider is asked about a hold that nobody said anything of.

    Where nobody waits for it, after the booking is confirmed or over, it is asked ever less often.
    """

    def __init__(self, deps: LookDeps, *, sweep: timedelta) -> None:
        self._deps = deps
        self._store = deps.store
        self._clock = deps.clock
        self._sweep = sweep
        self._answered: dict[PaymentId, datetime] = {}

    async def look(self, booking_id: BookingId, tries: int = 0) -> None:
        """Do what there is to do. `tries` looks failed one after the other before.

        Raises StoreUnavailable where not even that could be noted: whatever was due is due still.
        """
        for _ in range(_STARTS_MAX):
            try:
                await self._all(booking_id, tries)
            except VersionConflict:
                continue  # somebody else was at it: see what they left
            return
        raise StoreUnavailable(f"booking {booking_id}: its payments change all the time")

    async def _all(self, booking_id: BookingId, tries: int) -> None:
        # In this order: whoever looked at a newer booking has changed the payment, and our write is refused.
        payments = await self._store.of_booking(booking_id)
        try:
            booking = await self._booking(booking_id)
            payments = await self._complete(booking, payments)
        except StoreUnavailable as error:
            if not payments:
                raise
            await self._failed(payments, tries, error)
            return
        current = current_of(payments)
        # The one that counts comes first: a seat waits for it.
        for payment in reversed(payments):
            await self._tend(payment, booking, current=payment is current, tries=tries)

    async def _booking(self, booking_id: BookingId) -> Booking | None:
        """Where it is: in the current tables, or in the archive, which has it before they let it go."""
        found = await self._deps.client.booking(booking_id)
        if isinstance(found, Unavailable):
            raise StoreUnavailable(found.detail)
        return found if found is not None else await self._deps.archived.by_id(booking_id)

    async def _complete(self, booking: Booking | None, payments: Sequence[Payment]) -> tuple[Payment, ...]:
        """With the payment that the booking still lacks."""
        known = tuple(payments)
        if booking is None:
            return known
        added = new_payment(booking, known, self._deps.errands.provider_name, self._clock())
        if added is None:
            return known
        return (*known, await self._store.write(None, added, booking_version=booking.version))

    async def _tend(self, payment: Payment, booking: Booking | None, *, current: bool, tries: int) -> None:
        """Look at one payment, to the end or to what hinders it."""
        if booking is None:
            await self._store.give_up(payment.payment_id, "its booking is nowhere: nobody can say what it was for")
            return
        try:
            await self._bring_up(payment, booking, current=current)
        except VersionConflict:
            raise
        except StoreUnavailable as error:
            await self._failed([payment], tries, error)
        except Exception as error:  # noqa: BLE001 - whatever it was, this payment alone is to blame
            _log.exception("payment %s could not be looked at", payment.payment_id)
            if tries + 1 >= TRIES_MAX:
                await self._store.give_up(payment.payment_id, _told(error))
            else:
                await self._failed([payment], tries, error)

    async def _bring_up(self, payment: Payment, booking: Booking, *, current: bool) -> None:
        """Step by step until there is none left that was not tried; then leave it alone."""
        tried: set[tuple[type[_Errand], int]] = set()
        refused: list[str] = []
        for _ in range(_STEPS_MAX):
            step = self._next(payment, booking, tried, current=current)
            match step:
                case Write(after):
                    payment = await self._write(payment, after, booking)
                case ConfirmBooking():
                    confirmed = await self._confirmed(booking)
                    if confirmed is None:
                        await self._store.rest(payment, look_at=self._clock() + _HOLD_ENDS, over=False)
                        return
                    booking = confirmed
                case OpenCheckout() | CloseCheckout() | SendRefund():
                    tried.add(_errand(step))
                    done = await self._deps.errands.do(payment, step)
                    if done.refused:
                        refused.append(done.refused)
                    payment = await self._write(payment, done.after, booking)
                case None:
                    after = await self._asked(payment, booking)
                    if after == payment:
                        await self._leave(payment, booking, refused, current=current)
                        return
                    payment = await self._write(payment, after, booking)
        raise RuntimeError(f"no end after {_STEPS_MAX} steps")

    def _next(
        self, payment: Payment, booking: Booking, tried: set[tuple[type[_Errand], int]], *, current: bool
    ) -> Step | None:
        for step in steps(payment, booking, current=current, now=self._clock()):
            if isinstance(step, Write | ConfirmBooking):
                return step
            if _errand(step) in tried:
                continue
            if isinstance(step, OpenCheckout) and self._clock() < booking.updated_at + _SERVICE_OPENS:
                continue
            return step
        return None

    async def _write(self, before: Payment, after: Payment, booking: Booking) -> Payment:
        if after == before:
            return before
        return await self._store.write(before, after, booking_version=booking.version)

    async def _confirmed(self, booking: Booking) -> Booking | None:
        """Tell the shard that the deposit is there: the booking afterwards, None where its hold has just ended.

        The shard is about to say so of the hold: this is how a payment at the last moment ends.
        """
        booking_id = booking.booking_id
        command = SetStatus(booking_id, _SYSTEM, BookingStatus.CONFIRMED, expected_version=booking.version)
        outcome = await self._deps.client.ask(command)
        match outcome:
            case Done(confirmed, replayed):
                await self._deps.notes.note(confirmed, replayed=replayed)
                if replayed:
                    raise VersionConflict(f"booking {booking_id} was confirmed before, and may have changed since")
                return confirmed
            case Rejection(Reason.VERSION_CONFLICT):
                await self._deps.notes.doubt(booking_id)  # who changed it may not have come to note it
                raise VersionConflict(f"booking {booking_id} has moved on from version {booking.version}")
            case Rejection(Reason.HOLD_EXPIRED):
                return None
            case Unavailable(trouble, detail):
                if trouble is Trouble.OUTCOME_UNKNOWN:
                    await self._deps.notes.doubt(booking_id)
                raise StoreUnavailable(detail)
            case _:
                raise RuntimeError(f"the shard did not confirm booking {booking_id}: {outcome}")

    async def _asked(self, payment: Payment, booking: Booking) -> Payment:
        """The payment with what the provider knows of charges that it has said nothing of for too long."""
        now, after = self._clock(), payment
        silent = self._silent(payment, booking, now)
        for charge in silent:
            after = await self._deps.errands.look(after, charge)
        if silent and after == payment:  # news is only heard once it is written down
            self._answered[payment.payment_id] = now
        return after

    def _silent(self, payment: Payment, booking: Booking, now: datetime) -> list[Charge]:
        """Open ones from time to time, closed ones once after their end: a message of the last moment may be lost."""
        answered = self._answered.get(payment.payment_id)
        open_too_long = now >= (answered or booking.updated_at) + self._every(booking)
        silent = []
        for charge in payment.charges:
            if charge.state in (ChargeState.OPEN, ChargeState.DECLINED):
                if open_too_long:
                    silent.append(charge)
            elif charge.state is ChargeState.CLOSED and charge.closes_at is not None:
                ended_at = charge.closes_at + self._sweep
                if ended_at <= now and (answered is None or answered < ended_at):
                    silent.append(charge)
        return silent

    async def _leave(self, payment: Payment, booking: Booking, refused: Sequence[str], *, current: bool) -> None:
        if not refused:
            refused = [f"refund {one.number} is refused" for one in payment.refunds if one.state is RefundState.REFUSED]
        if refused:
            await self._store.give_up(payment.payment_id, "; ".join(refused))
            return
        now, ours = self._clock(), booking if current else None
        look_at = look_again_at(payment, ours, now=now, every=self._every(booking))
        if any(charge.state is ChargeState.OPENING for charge in payment.charges):
            opens_at = booking.updated_at + _SERVICE_OPENS
            look_at = opens_at if look_at is None or now < opens_at < look_at else look_at
        if look_at is None:
            self._answered.pop(payment.payment_id, None)
        is_over = over(payment, ours, current=current)
        if is_over and payment.refunds:
            await self._deps.news.tell(payment, booking, current=current)
        await self._store.rest(payment, look_at=look_at, over=is_over)

    async def _failed(self, payments: Sequence[Payment], tries: int, error: Exception) -> None:
        look_at = self._clock() + wait_after(tries)
        for payment in payments:
            await self._store.failed(payment.payment_id, look_at=look_at, error=_told(error))

    def _every(self, booking: Booking) -> timedelta:
        """A hold's guest may be paying just now; with others there is the more time the longer nothing has happened."""
        if booking.status is BookingStatus.BLOCKED:
            return self._sweep
        return max(self._sweep, min((self._clock() - booking.updated_at) / 8, _ASKED_LEAST))


def wait_after(tries: int) -> timedelta:
    """How long to wait after so many failed tries before this one: a second, then twice as long each time, to five minutes."""
    doublings: int = 2 ** min(tries, 20)
    return min(_WAIT_FIRST * doublings, _WAIT_LAST)


def _errand(step: _Errand) -> tuple[type[_Errand], int]:
    return type(step), step.refund.number if isinstance(step, SendRefund) else step.charge.number


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
