"""How a booking moves from state to state.

BLOCKED -> CONFIRMED -> AVAILED | NO_SHOW; BLOCKED | CONFIRMED -> CANCELLED; BLOCKED -> EXPIRED; NO_SHOW -> AVAILED
within a day. Everything else is refused by name. The system's CONFIRMED says that the deposit came, anybody else's that
the house approves: a booking that needs both stays BLOCKED after the first one, if that is the deposit.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, assert_never

from domain.booking import LIVE, Booking, BookingStatus
from domain.command import Role, SetStatus
from domain.event import (
    BookingAvailed,
    BookingCancelled,
    BookingConfirmed,
    BookingEvent,
    BookingNoShow,
    DepositPaid,
    HoldExpired,
)
from domain.rejection import Reason, Rejection
from domain.request import invalid
from domain.rescale import in_step
from domain.terms import past_deadline
from domain.timing import nights_begun
from domain.vendor_facts import VendorFacts

NO_SHOW_UNDONE_WITHIN: Final = timedelta(hours=24)

GUESTS_ONLY_CANCEL = Rejection(Reason.FORBIDDEN, "A guest may cancel a booking, and set no other status.")
HOLD_DEAD = Rejection(Reason.HOLD_EXPIRED, "The hold's time is over, and its seats were given back.")
DEADLINE_PASSED = Rejection(Reason.PAST_CANCELLATION_DEADLINE, "It is too late for the guest to change this booking.")
STALE = Rejection(Reason.VERSION_CONFLICT, "The booking has changed since that version.")
NOT_BEGUN = Rejection(Reason.ILLEGAL_TRANSITION, "Nobody is a no-show before the booking begins.")
NOTHING_TO_PAY = Rejection(Reason.ILLEGAL_TRANSITION, "The booking waits for no deposit.")
UNDO_TOO_LATE = Rejection(Reason.ILLEGAL_TRANSITION, "A no-show can be undone within 24 hours.")


def may_set(command: SetStatus) -> Rejection | None:
    """Whether such a caller may set such a status, whatever the booking."""
    if command.status in (BookingStatus.BLOCKED, BookingStatus.EXPIRED):
        return invalid("A status to set is one of CONFIRMED, CANCELLED, AVAILED, NO_SHOW.", "status")
    if command.caller.role is Role.USER and command.status is not BookingStatus.CANCELLED:
        return GUESTS_ONLY_CANCEL
    return None


def decide_status(
    facts: VendorFacts, booking: Booking, command: SetStatus, *, now: datetime
) -> BookingEvent | Rejection:
    """Move the booking, if its state and the time allow it. `may_set` was asked before."""
    refusal = _bill_refusal(facts, booking, command) or version_refusal(booking, command.expected_version)
    if refusal is not None:
        return refusal
    match command.status:
        case BookingStatus.CONFIRMED:
            return _confirm(facts, booking, command, now)
        case BookingStatus.CANCELLED:
            return _cancel(facts, booking, command, now)
        case BookingStatus.AVAILED:
            return _avail(facts, booking, command, now)
        case BookingStatus.NO_SHOW:
            return _no_show(facts, booking, now)
        case BookingStatus.BLOCKED | BookingStatus.EXPIRED:
            return illegal(booking, command.status)
        case _:
            assert_never(command.status)


def expire(facts: VendorFacts, booking: Booking, *, now: datetime) -> HoldExpired | Rejection:
    """The hold's life is over."""
    if booking.status is not BookingStatus.BLOCKED or not hold_dead(booking, now):
        return illegal(booking, BookingStatus.EXPIRED)
    return HoldExpired(_changed(facts, booking, now, status=BookingStatus.EXPIRED, held_slot_count=0), booking)


def settle(facts: VendorFacts, booking: Booking, *, now: datetime) -> BookingAvailed | Rejection:
    """Nobody marked the booking, and it is over: the guest counts as having come."""
    if booking.status is not BookingStatus.CONFIRMED or now < booking.ends_at:
        return illegal(booking, BookingStatus.AVAILED)
    return BookingAvailed(_changed(facts, booking, now, status=BookingStatus.AVAILED), booking)


def version_refusal(booking: Booking, expected_version: int | None) -> Rejection | None:
    return STALE if expected_version is not None and expected_version != booking.version else None


def hold_dead(booking: Booking, now: datetime) -> bool:
    """Whether the booking is an unpaid one whose time is over, be it marked so yet or not."""
    if booking.status is BookingStatus.EXPIRED:
        return True
    expires_at = booking.hold_expires_at
    return booking.status is BookingStatus.BLOCKED and expires_at is not None and expires_at <= now


def illegal(booking: Booking, target: BookingStatus) -> Rejection:
    return Rejection(Reason.ILLEGAL_TRANSITION, f"A booking that is {booking.status} cannot become {target}.", "status")


def _confirm(
    facts: VendorFacts, booking: Booking, command: SetStatus, now: datetime
) -> BookingConfirmed | DepositPaid | Rejection:
    if hold_dead(booking, now):
        return HOLD_DEAD
    if booking.status is not BookingStatus.BLOCKED:
        return illegal(booking, command.status)
    paid = booking.deposit_paid
    if command.caller.role is Role.SYSTEM:
        if paid or booking.terms.deposit is None:
            return NOTHING_TO_PAY
        if booking.terms.by_hand:
            return DepositPaid(_changed(facts, booking, now, deposit_paid=True), booking)
        paid = True
    after = _changed(
        facts,
        booking,
        now,
        status=BookingStatus.CONFIRMED,
        hold_expires_at=None,
        deposit_paid=paid,
        deposit_waived=booking.terms.deposit is not None and not paid,
    )
    return BookingConfirmed(after, booking)


def _cancel(facts: VendorFacts, booking: Booking, command: SetStatus, now: datetime) -> BookingCancelled | Rejection:
    if booking.status not in LIVE or hold_dead(booking, now):
        return illegal(booking, command.status)
    late = False
    if command.caller.role is Role.USER:
        if now >= booking.starts_at:
            return DEADLINE_PASSED
        late = past_deadline(booking, now)
    after = _changed(
        facts,
        booking,
        now,
        status=BookingStatus.CANCELLED,
        held_slot_count=0,
        hold_expires_at=None,
        cancel_reason=command.reason,
        # A hold that nobody has paid for leaves the house nothing to keep: money that is still to come goes back.
        cancelled_late=late and (booking.status is BookingStatus.CONFIRMED or booking.deposit_paid),
    )
    return BookingCancelled(after, booking, late)


def _avail(facts: VendorFacts, booking: Booking, command: SetStatus, now: datetime) -> BookingAvailed | Rejection:
    if booking.status is BookingStatus.NO_SHOW:
        if booking.no_show_at is None or now - booking.no_show_at > NO_SHOW_UNDONE_WITHIN:
            return UNDO_TOO_LATE
    elif booking.status is not BookingStatus.CONFIRMED:
        return illegal(booking, command.status)
    bill_minor = None if command.bill is None else command.bill.amount_minor
    after = _changed(facts, booking, now, status=BookingStatus.AVAILED, no_show_at=None, bill_minor=bill_minor)
    return BookingAvailed(after, booking, bill_minor)


def _no_show(facts: VendorFacts, booking: Booking, now: datetime) -> BookingNoShow | Rejection:
    if booking.status is not BookingStatus.CONFIRMED:
        return illegal(booking, BookingStatus.NO_SHOW)
    if now < booking.starts_at:
        return NOT_BEGUN
    held = min(in_step(booking, facts.step_minutes).held_slot_count, _slots_begun(facts, booking, now))
    after = _changed(facts, booking, now, status=BookingStatus.NO_SHOW, held_slot_count=held, no_show_at=now)
    return BookingNoShow(after, booking)


def _slots_begun(facts: VendorFacts, booking: Booking, now: datetime) -> int:
    """How many of the booking's slots have begun, at least the first; in the vendor's step."""
    if booking.check_in is not None:
        return max(1, nights_begun(facts, booking.check_in, now))
    return (now - booking.starts_at) // timedelta(minutes=facts.step_minutes) + 1


def _changed(facts: VendorFacts, booking: Booking, now: datetime, **fields: Any) -> Booking:
    return replace(in_step(booking, facts.step_minutes), version=booking.version + 1, updated_at=now, **fields)


def _bill_refusal(facts: VendorFacts, booking: Booking, command: SetStatus) -> Rejection | None:
    bill = command.bill
    if bill is None:
        return None
    if command.status is not BookingStatus.AVAILED:
        return invalid("A bill goes with AVAILED alone.", "bill")
    if bill.amount_minor < 0:
        return invalid("A bill is not negative.", "bill.amount_minor")
    # The vendor may have changed its currency since; what was agreed on stays in the old one.
    agreed = booking.terms.deposit or booking.price
    currency = facts.currency if agreed is None else agreed.currency
    if bill.currency != currency:
        return invalid(f"The booking's currency is {currency}.", "bill.currency")
    return None
