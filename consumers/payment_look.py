"""One look at a booking's payments: what there is to do is done, until nothing is, and then it is left alone for a while.

What is to be done, `domain.payment_steps` says from the booking and the payment as they stand. A look that breaks off anywhere
is made good by the next one.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeAlias

from actors.client import ShardClient
from actors.outcome import Done, Trouble, Unavailable
from consumers.payment_patience import TRIES_MAX, WAIT_LAST, bides, patience_with, told, wait_after
from domain.booking import Booking, BookingStatus
from domain.command import SYSTEM, SetStatus
from domain.ids import BookingId
from domain.payment import PAYABLE, Charge, ChargeState, Payment, PaymentId, RefundState, current_of
from domain.payment_steps import (
    CloseCheckout,
    ConfirmBooking,
    OpenCheckout,
    SendRefund,
    Step,
    Write,
    look_again_at,
    new_payment,
    next_step,
    over,
    steps,
)
from domain.rejection import Reason, Rejection
from storage.errands import Errands
from storage.errors import StoreUnavailable, VersionConflict
from storage.payment_store import PaymentStore

_STEPS_MAX: Final = 40
_STARTS_MAX: Final = 5
_PAID_UNTIL: Final = timedelta(seconds=30)
"""A hold may outlive its checkout by so long: see `domain.payment_steps`."""
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


@dataclass(slots=True)
class _Looked:
    """What a look at one payment has come to: the payment as it is by now, what was tried, what the provider refused, what failed."""

    payment: Payment
    tried: set[tuple[type[_Errand], int]] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)


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
        """Do what there is to do. `tries` looks failed one after the other before, at the payment that is due the longest.

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
        except VersionConflict:
            raise
        except Exception as error:
            if not payments:
                raise
            due = await self._due(payments, tries)
            for payment in payments:
                if payment is payments[-1] or payment.payment_id in due:
                    may_be_paid = any(charge.state in PAYABLE for charge in payment.charges)
                    tries_before = due.get(payment.payment_id, 0)
                    await self._hindered(_Looked(payment), None, tries_before, error, may_be_paid=may_be_paid)
            return
        current = current_of(payments)
        if current is None:
            return
        due = await self._due(payments, tries)
        # The one that counts comes first: a seat waits for it.
        await self._tend(current, booking, current=True, tries=due.get(current.payment_id, 0))
        for payment in reversed(payments[:-1]):
            if payment.payment_id in due or self._to_write(payment, booking):
                await self._tend(payment, booking, current=False, tries=due.get(payment.payment_id, 0))

    async def _due(self, payments: Sequence[Payment], tries: int) -> Mapping[PaymentId, int]:
        """Which are due, each with its own tries: one that was replaced and is not due is left alone.

        `tries` are those of the one that is due the longest, or of the only one.
        """
        if len(payments) == 1:
            return {payments[0].payment_id: tries}
        return await self._store.due_of(payments[0].booking_id, self._clock())

    def _to_write(self, replaced: Payment, booking: Booking | None) -> bool:
        """Whether nobody has looked at it since it was replaced: its charges are to close, its money is to go back."""
        return isinstance(next_step(replaced, booking, current=False, now=self._clock()), Write)

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
            await self._store.give_up(payment, "its booking is nowhere: nobody can say what it was for")
            return
        looked = _Looked(payment)
        try:
            await self._bring_up(looked, booking, current=current)
        except VersionConflict:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, this payment alone is to blame
            may_be_paid = self._next_look(looked, booking, current=current) is not None
            await self._hindered(looked, booking, tries, error, may_be_paid=may_be_paid)

    async def _bring_up(self, looked: _Looked, booking: Booking, *, current: bool) -> None:
        """Step by step until there is none left that was not tried; then leave it alone.

        An errand that fails holds up no other: it is told of, by what it raised, when all were tried.
        """
        steps_left = _STEPS_MAX
        while steps_left:
            step = self._next(looked, booking, current=current)
            # Of errands there are as many as the payment has parts, and each is tried once.
            steps_left -= isinstance(step, Write | ConfirmBooking | None)
            match step:
                case Write(after):
                    looked.payment = await self._write(looked.payment, after, booking)
                case ConfirmBooking():
                    confirmed = await self._confirmed(booking)
                    if confirmed is None:
                        await self._store.rest(looked.payment, look_at=self._clock() + _HOLD_ENDS, over=False)
                        return
                    booking = confirmed
                case OpenCheckout() | CloseCheckout() | SendRefund():
                    looked.payment = await self._write(looked.payment, await self._done(looked, step), booking)
                case None:
                    after = await self._asked(looked, booking)
                    if after != looked.payment:
                        looked.payment = await self._write(looked.payment, after, booking)
                        continue
                    if looked.failures:
                        raise min(looked.failures, key=bides)
                    await self._leave(looked, booking, current=current)
                    return
        raise RuntimeError(f"no end after {_STEPS_MAX} steps")

    def _next(self, looked: _Looked, booking: Booking, *, current: bool) -> Step | None:
        for step in steps(looked.payment, booking, current=current, now=self._clock()):
            if isinstance(step, Write | ConfirmBooking):
                return step
            if _errand(step) in looked.tried:
                continue
            if isinstance(step, OpenCheckout) and self._clock() < booking.updated_at + _SERVICE_OPENS:
                continue
            return step
        return None

    async def _done(self, looked: _Looked, step: _Errand) -> Payment:
        """The payment as it is after an errand."""
        looked.tried.add(_errand(step))
        try:
            done = await self._deps.errands.do(looked.payment, step)
        except Exception as error:  # noqa: BLE001 - the other errands are not to blame
            looked.failures.append(error)
            return looked.payment
        if done.refused:
            looked.refused.append(done.refused)
        return done.after

    async def _write(self, before: Payment, after: Payment, booking: Booking) -> Payment:
        if after == before:
            return before
        return await self._store.write(before, after, booking_version=booking.version)

    async def _confirmed(self, booking: Booking) -> Booking | None:
        """Tell the shard that the deposit is there: the booking afterwards, None where its hold has just ended.

        The shard is about to say so of the hold: this is how a payment at the last moment ends.
        """
        booking_id = booking.booking_id
        command = SetStatus(booking_id, SYSTEM, BookingStatus.CONFIRMED, expected_version=booking.version)
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

    async def _asked(self, looked: _Looked, booking: Booking) -> Payment:
        """The payment with what the provider knows of charges that it has said nothing of for too long."""
        now, payment, after, failures = self._clock(), looked.payment, looked.payment, list[Exception]()
        silent = self._silent(payment, booking, now)
        for charge in silent:
            try:
                after = await self._deps.errands.look(after, charge)
            except Exception as error:  # noqa: BLE001 - the other charges are not to blame
                failures.append(error)
        if silent and not failures and after == payment:  # news is only heard once it is written down
            self._answered[payment.payment_id] = now
        looked.failures += failures
        return after

    def _silent(self, payment: Payment, booking: Booking, now: datetime) -> list[Charge]:
        """Open ones from time to time, each once after its end: a message of the last moment, or a second one, may be lost."""
        answered = self._answered.get(payment.payment_id)
        open_too_long = now >= (answered or booking.updated_at) + self._every(booking)
        silent = []
        for charge in payment.charges:
            if charge.state in (ChargeState.OPEN, ChargeState.DECLINED):
                if open_too_long:
                    silent.append(charge)
            elif charge.state in (ChargeState.PAID, ChargeState.CLOSED) and charge.closes_at is not None:
                ended_at = charge.closes_at + self._sweep
                if ended_at <= now and (answered is None or answered < ended_at):
                    silent.append(charge)
        return silent

    async def _leave(self, looked: _Looked, booking: Booking, *, current: bool) -> None:
        payment = looked.payment
        look_at = self._next_look(looked, booking, current=current)
        if look_at is None:
            self._answered.pop(payment.payment_id, None)
        refused = _refusals(looked)
        if refused:
            await self._store.give_up(payment, "; ".join(refused), look_at=look_at, anew=bool(looked.refused))
            return
        is_over = over(payment, booking if current else None, current=current)
        if is_over and payment.refunds:
            await self._deps.news.tell(payment, booking, current=current)
        await self._store.rest(payment, look_at=look_at, over=is_over)

    def _next_look(self, looked: _Looked, booking: Booking, *, current: bool) -> datetime | None:
        """If nobody says anything. What could not be opened, nobody can pay: it is not tried again for its own sake."""
        now = self._clock()
        charges = [
            charge
            for charge in looked.payment.charges
            if charge.state is not ChargeState.OPENING or (OpenCheckout, charge.number) not in looked.tried
        ]
        payment = replace(looked.payment, charges=tuple(charges))
        look_at = look_again_at(payment, booking if current else None, now=now, every=self._every(booking))
        if any(charge.state is ChargeState.OPENING for charge in charges):
            opens_at = booking.updated_at + _SERVICE_OPENS
            look_at = opens_at if look_at is None or now < opens_at < look_at else look_at
        return look_at

    async def _hindered(
        self, looked: _Looked, booking: Booking | None, tries: int, error: Exception, *, may_be_paid: bool
    ) -> None:
        """Try again later, and for an error of its own not for ever; then only for what the guest may still pay.

        A hold waits for what is away no longer than for a sweep: it may be paid, and it ends. A person hears of it in the
        end, at once where the provider refused something else, and it is tried on all the same.
        """
        payment, refused, now, wait = looked.payment, _refusals(looked), self._clock(), wait_after(tries)
        if not isinstance(error, StoreUnavailable):
            _log.error("payment %s could not be looked at", payment.payment_id, exc_info=error)
            if tries + 1 >= TRIES_MAX:
                look_at = now + WAIT_LAST if may_be_paid else None
                await self._store.give_up(payment, told(error, refused), look_at=look_at)
                return
        elif _held(payment, booking, now):
            wait = min(wait, self._sweep)
        patience = patience_with(error, refused)
        anew = bool(looked.refused) or not refused
        await self._store.failed(payment, look_at=now + wait, error=told(error, refused), patience=patience, anew=anew)

    def _every(self, booking: Booking) -> timedelta:
        """A hold's guest may be paying just now; with others there is the more time the longer nothing has happened."""
        if booking.status is BookingStatus.BLOCKED:
            return self._sweep
        return max(self._sweep, min((self._clock() - booking.updated_at) / 8, _ASKED_LEAST))


def _held(payment: Payment, booking: Booking | None, now: datetime) -> bool:
    """Whether a hold's guest may have paid. Where its booking is not to be read, the payment's checkouts tell."""
    if booking is not None:
        return booking.status is BookingStatus.BLOCKED
    return any(charge.closes_at is not None and now < charge.closes_at + _PAID_UNTIL for charge in payment.charges)


def _errand(step: _Errand) -> tuple[type[_Errand], int]:
    return type(step), step.refund.number if isinstance(step, SendRefund) else step.charge.number


def _refusals(looked: _Looked) -> list[str]:
    """What the provider will not do: as it said just now, or that it said so before."""
    return looked.refused or [
        f"refund {one.number} is refused" for one in looked.payment.refunds if one.state is RefundState.REFUSED
    ]
