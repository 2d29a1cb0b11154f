"""What becomes of a booking command: one event, or the first refusal that applies.

Order of refusals: shape, who may what, (idempotency, which is the shard's), version, transition, hours, booking
window, stay rules, party too large, no availability. Pure: the time and every id come in as data.
"""

from datetime import datetime, timedelta
from typing import assert_never

from domain.amend import decide_amend
from domain.booking import Booking, BookingStatus
from domain.command import AmendBooking, BookingCommand, ExpireHold, PlaceHold, Role, SetStatus, SettleEnded
from domain.event import BookingEvent, HoldPlaced
from domain.rejection import Reason, Rejection
from domain.request import seat_request, span_for
from domain.seating import choose
from domain.status import decide_status, expire, may_set, settle
from domain.terms import confirmed_at_once, price_of, terms_of
from domain.vendor_state import VendorState

ONLY_USERS_BOOK = Rejection(Reason.FORBIDDEN, "Only users book.")
ONLY_THE_GUEST_AMENDS = Rejection(Reason.FORBIDDEN, "Only the guest amends a booking.")
NO_SUCH_BOOKING = Rejection(Reason.NOT_FOUND, "There is no such booking.")


def may_hold(command: PlaceHold) -> Rejection | None:
    """Whether this kind of caller books at all."""
    return None if command.caller.role is Role.USER else ONLY_USERS_BOOK


def may_change(booking: Booking, command: BookingCommand) -> Rejection | None:
    """Whether the caller may know of the booking, and may do such a thing to one; nothing else is looked at.

    A status that nobody can set is refused even before that, as a matter of shape.
    """
    match command:
        case SetStatus():
            refusal = may_set(command)
            caller = command.caller
        case AmendBooking():
            refusal = None if command.caller.role is Role.USER else ONLY_THE_GUEST_AMENDS
            caller = command.caller
        case ExpireHold() | SettleEnded():
            return None
        case _:
            assert_never(command)
    if refusal is not None and refusal.reason is Reason.INVALID_REQUEST:
        return refusal
    owner = {Role.USER: booking.user_id, Role.VENDOR: booking.vendor_id}.get(caller.role)
    if owner is not None and owner != caller.account_id:
        return NO_SUCH_BOOKING
    return refusal


def decide_hold(state: VendorState, command: PlaceHold, *, now: datetime) -> HoldPlaced | Rejection:
    """Choose seats for a party, or say why not."""
    facts = state.facts
    request = seat_request(facts, command.party_size, command.when, command.seat_type, command.quantity)
    if isinstance(request, Rejection):
        return request
    refusal = may_hold(command)
    if refusal is not None:
        return refusal
    span = span_for(facts, request, now)
    if isinstance(span, Rejection):
        return span
    positions = choose(state, request, span)
    if isinstance(positions, Rejection):
        return positions
    price = price_of(facts, positions, span.nights)
    terms = terms_of(facts, command.party_size, price)
    if confirmed_at_once(terms):
        status, hold_expires_at = BookingStatus.CONFIRMED, None
    else:
        status, hold_expires_at = BookingStatus.BLOCKED, now + timedelta(seconds=facts.policy.hold_ttl_seconds)
    return HoldPlaced(
        Booking(
            command.booking_id,
            facts.vendor_id,
            command.user_id,
            facts.kind,
            status,
            1,
            command.party_size,
            facts.plan.booked(positions),
            facts.step_minutes,
            span.first_slot,
            span.slot_count,
            span.slot_count,
            span.starts_at,
            span.ends_at,
            now,
            now,
            terms,
            span.check_in,
            span.check_out,
            command.seat_type,
            hold_expires_at,
            price,
            command.notes,
            command.contact,
        )
    )


def decide_change(
    state: VendorState, booking: Booking, command: BookingCommand, *, now: datetime
) -> BookingEvent | Rejection:
    """Change a booking, or say why not. `booking` is its last committed form."""
    refusal = may_change(booking, command)
    if refusal is not None:
        return refusal
    match command:
        case AmendBooking():
            return decide_amend(state, booking, command, now=now)
        case SetStatus():
            return decide_status(state.facts, booking, command, now=now)
        case ExpireHold():
            return expire(state.facts, booking, now=now)
        case SettleEnded():
            return settle(state.facts, booking, now=now)
        case _:
            assert_never(command)
