"""What the booking services do about deposits: arrange, show and await them, and mind those that came before an approval.

None of it is for bookings that never had a deposit (`deposit_version` is 0): those are not to pay for payments.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias

from actors.outcome import Done, Outcome, Unavailable
from domain.booking import Booking, BookingStatus
from domain.command import SYSTEM, Once, Role, SetStatus
from domain.decide import may_change
from domain.ids import BookingId
from domain.payment import Payment, PaymentStatus, deposit_due
from domain.rejection import Reason, Rejection
from serve_app.declines import Declines
from serve_app.payment_shown import first_payment_content, payment_content
from serve_app.ports import Payments
from storage.errors import StoreError

_TRIES: Final = 3
_NO_VERSION: Final = 0
"""That no booking is ever at: who names it is given an earlier answer, or none."""

_log = logging.getLogger(__name__)

PaymentContent: TypeAlias = dict[str, Any]
"""The members of `PaymentShown`."""

Newest: TypeAlias = Callable[[BookingId], Awaitable[object]]
"""The booking as it stands now; anything but a Booking where that cannot be said."""

Ask: TypeAlias = Callable[[SetStatus], Awaitable[Outcome]]
"""What the shard says to a command."""


class BookingPayments:
    """`None` for the payments is for tests of everything else: then no booking has one."""

    def __init__(self, payments: Payments | None) -> None:
        self._payments = payments
        self._declines = None if payments is None else Declines(payments.declined)

    async def after(self, done: Done, newest: Newest) -> PaymentContent | None:
        """Of a booking that was just written. A replayed one shows it as it was then, like all the rest of it."""
        booking = done.booking
        if not done.replayed or not booking.terms.deposit_version:
            return await self.arranged(booking)
        return await self._first(booking, newest) if _unpaid(booking) else await self._then(booking)

    async def arranged(self, booking: Booking) -> PaymentContent | None:
        """After a write of the booking. It is done whatever happens to its payment, so this never fails it."""
        if self._payments is None or not booking.terms.deposit_version:
            return None
        try:
            payment = await self._payments.arrange(booking)
        except StoreError as error:
            _log.warning("the payment of booking %s is left to the desk: %s", booking.booking_id, error)
            payment = None
        return shown(booking, payment)

    async def shown(self, booking: Booking) -> PaymentContent | None:
        """Raises StoreError where nobody can say."""
        if self._payments is None or not booking.terms.deposit_version:
            return None
        return shown(booking, await self._payments.of(booking))

    async def shown_many(self, bookings: Sequence[Booking]) -> list[PaymentContent | None]:
        """One for each booking, in their order. Raises StoreError where nobody can say."""
        with_deposit = [booking for booking in bookings if booking.terms.deposit_version]
        if self._payments is None or not with_deposit:
            return [None] * len(bookings)
        found = await self._payments.of_many(with_deposit)
        return [
            shown(booking, found.get(booking.booking_id)) if booking.terms.deposit_version else None
            for booking in bookings
        ]

    async def _first(self, booking: Booking, newest: Newest) -> PaymentContent | None:
        """Of a replayed hold, as it was first. What a crash after the write left out is made up for."""
        deposit = booking.terms.deposit
        if self._payments is None or deposit is None:
            return None
        payment = _own(booking, await self._payments.agreed(booking))
        if payment is None or payment.charges[0].checkout_url is None:
            now = await newest(booking.booking_id)
            if isinstance(now, Booking) and now.live and now.terms.deposit_version == booking.terms.deposit_version:
                payment = _own(booking, await self._payments.arrange(now)) or payment
        return first_payment_content(booking, deposit, payment)

    async def _then(self, booking: Booking) -> PaymentContent | None:
        """Of a booking that waited for no deposit, or none any more: the payment that counted, and never a later one."""
        if self._payments is None:
            return None
        payment = await self._payments.of(booking)
        if payment is None or payment.number <= booking.terms.deposit_version:
            return shown(booking, payment)
        replaced = await self._payments.agreed(booking)
        return None if replaced is None else payment_content(replaced, None, current=False)

    async def declined(self, booking: Booking) -> bool:
        """Whether its last try to pay was declined. Raises StoreError where nobody can say."""
        content = await self.shown(booking) if booking.status is BookingStatus.BLOCKED else None
        return content is not None and content["status"] is PaymentStatus.DECLINED

    async def settled(self, booking: Booking, waiting: Awaitable[Booking]) -> Booking | None:
        """What waiting for the booking comes to; None where its payment is declined before."""
        if self._declines is None or booking.terms.deposit is None or booking.deposit_paid:
            return await waiting
        settled = asyncio.ensure_future(waiting)
        declined = asyncio.ensure_future(self._declines.wait(booking.booking_id))
        try:
            await asyncio.wait({settled, declined}, return_when=asyncio.FIRST_COMPLETED)
            if settled.done():
                return settled.result()
            declined.result()
            return None
        finally:
            settled.cancel()
            declined.cancel()

    async def status_set(self, command: SetStatus, newest: Newest, ask: Ask) -> Outcome:
        """What the shard says to the command. A deposit that came is told to it before the house's approval.

        The shard may yet have to hear of it from the desk, and whoever approves what is shown as paid waives nothing.
        """
        if self._payments is None or not _approves(command):
            return await ask(command)
        for _ in range(_TRIES):
            booking = await newest(command.booking_id)
            if not isinstance(booking, Booking) or may_change(booking, command) is not None:
                break
            if command.once is not None and booking.terms.deposit_version and not _unpaid(booking):
                return await self._approved_before(command, command.once, ask)
            if command.expected_version not in (None, booking.version) or not await self._paid_for(booking):
                break
            match told := await ask(_deposit_came(command, booking)):
                case Done(paid) if paid.status is BookingStatus.BLOCKED:
                    named = command.expected_version is not None
                    return await ask(replace(command, expected_version=paid.version) if named else command)
                case Done() | Unavailable() | Rejection(Reason.IDEMPOTENCY_KEY_REUSED):
                    return told
                case Rejection(Reason.VERSION_CONFLICT):
                    continue  # the desk was faster, or the guest amended: another deposit may be wanted now
            break
        return await ask(command)

    async def _approved_before(self, command: SetStatus, once: Once, ask: Ask) -> Outcome:
        """An approval that came to no more than telling of the deposit is remembered under a key of the system's."""
        outcome = await ask(command)
        if not isinstance(outcome, Rejection) or outcome.reason not in (
            Reason.ILLEGAL_TRANSITION,
            Reason.VERSION_CONFLICT,
        ):
            return outcome
        told = await ask(replace(command, caller=SYSTEM, expected_version=_NO_VERSION, once=_told_once(command, once)))
        match told:
            case Done() | Unavailable() | Rejection(Reason.IDEMPOTENCY_KEY_REUSED):
                return told
            case _:
                return outcome

    async def _paid_for(self, booking: Booking) -> bool:
        """Whether the deposit is there that the shard still waits for. Where nobody can say, it is not."""
        deposit = booking.terms.deposit
        if self._payments is None or deposit is None or not _unpaid(booking):
            return False
        try:
            payment = _own(booking, await self._payments.of(booking))
        except StoreError as error:
            _log.warning("booking %s is approved, whoever paid for it: %s", booking.booking_id, error)
            return False
        return (
            payment is not None and payment.currency == deposit.currency and payment.net_minor >= deposit.amount_minor
        )


def shown(booking: Booking, payment: Payment | None) -> PaymentContent | None:
    """The booking's payment that counts; one that a crash left out, or that was not made yet, as it is going to be."""
    if payment is not None and payment.settled_version > booking.version:
        # This form of the booking, replayed or from a list's cache, is older than the end that the payment knows of.
        return payment_content(payment, None)
    if booking.status is BookingStatus.BLOCKED:
        deposit = deposit_due(booking)
        if deposit is not None and (payment is None or payment.number < booking.terms.deposit_version):
            return first_payment_content(booking, deposit, None)
    return None if payment is None else payment_content(payment, booking)


def _approves(command: SetStatus) -> bool:
    """Whether it is the house that confirms."""
    return command.status is BookingStatus.CONFIRMED and command.caller.role is not Role.USER


def _unpaid(booking: Booking) -> bool:
    """Whether it is a hold that waits for its deposit."""
    return booking.status is BookingStatus.BLOCKED and booking.terms.deposit is not None and not booking.deposit_paid


def _own(booking: Booking, payment: Payment | None) -> Payment | None:
    """The payment, if it is the very one of this form's deposit; an unpaid hold shares none with an older deposit."""
    return payment if payment is not None and payment.number == booking.terms.deposit_version else None


def _deposit_came(command: SetStatus, booking: Booking) -> SetStatus:
    """What the desk would say of the deposit, said for whoever approves.

    Where nobody has to approve, nothing comes after it, so the approval's key is the one to remember it by.
    """
    once = None if command.once is None or booking.terms.by_hand else _told_once(command, command.once)
    return SetStatus(command.booking_id, SYSTEM, BookingStatus.CONFIRMED, expected_version=booking.version, once=once)


def _told_once(command: SetStatus, once: Once) -> Once:
    """The caller's key among the system's, where another caller may have the same."""
    return replace(once, key=f"{command.caller.role} {once.key}")
