"""Changing a booking: the new seats are found before the old ones are let go, and may overlap them.

What the request leaves as it is was agreed before and is not judged again: a vendor's shorter hours do not touch a
booking whose time stays. A party that still fits where it sits keeps its seats.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from domain.booking import LIVE, Booking, BookingStatus
from domain.command import AmendBooking, SittingTime, StayDates, When
from domain.event import BookingAmended
from domain.local_time import instant_minute, local_minute, wall_minute
from domain.rejection import Reason, Rejection
from domain.request import SeatRequest, invalid, seat_request
from domain.rescale import in_step
from domain.seating import PACE_REACHED, TOO_LARGE, choose_seats, keeps_seats, pace_allows
from domain.status import DEADLINE_PASSED, HOLD_DEAD, hold_dead, version_refusal
from domain.terms import past_deadline, price_of, terms_amended
from domain.timing import Span, sitting_span, stay_span
from domain.vendor import VendorKind
from domain.vendor_facts import VendorFacts
from domain.vendor_state import VendorState


def decide_amend(
    state: VendorState, booking: Booking, command: AmendBooking, *, now: datetime
) -> BookingAmended | Rejection:
    """The booking as asked for, or the first refusal, upon which the old seats are still held."""
    facts = state.facts
    request = _request(state, booking, command)
    if isinstance(request, Rejection):
        return request
    refusal = version_refusal(booking, command.expected_version) or _state_refusal(booking, now)
    if refusal is not None:
        return refusal
    before = booking
    booking = in_step(booking, facts.step_minutes)
    notes = None if command.clear_notes else booking.notes if command.notes is None else command.notes
    booking = replace(booking, version=booking.version + 1, updated_at=now, notes=notes)
    if not _moves(facts, booking, command, request):
        return BookingAmended(booking, before)
    span = _span(facts, booking, request, now)
    if isinstance(span, Rejection):
        return span
    positions = _seats(state, booking, request, span)
    if isinstance(positions, Rejection):
        return positions
    price = price_of(facts, positions, span.nights)
    terms = terms_amended(booking, facts, request.party_size, price)
    # A hold whose deposit changes is to be paid anew; what came for the old one goes back.
    paid = booking.deposit_paid and (
        booking.status is BookingStatus.CONFIRMED or terms.deposit == booking.terms.deposit
    )
    settled = not terms.by_hand and (terms.deposit is None or paid)
    confirmed = booking.status is BookingStatus.CONFIRMED or settled
    after = replace(
        booking,
        status=BookingStatus.CONFIRMED if confirmed else BookingStatus.BLOCKED,
        hold_expires_at=None if confirmed else booking.hold_expires_at,
        party_size=request.party_size,
        seats=facts.plan.booked(positions),
        first_slot=span.first_slot,
        slot_count=span.slot_count,
        held_slot_count=span.slot_count,
        starts_at=span.starts_at,
        ends_at=span.ends_at,
        check_in=span.check_in,
        check_out=span.check_out,
        seat_type=_seat_type(booking, command),
        price=price,
        terms=terms,
        deposit_paid=paid,
    )
    return BookingAmended(after, before)


def _state_refusal(booking: Booking, now: datetime) -> Rejection | None:
    if hold_dead(booking, now):
        return HOLD_DEAD
    if booking.status not in LIVE:
        return Rejection(Reason.ILLEGAL_TRANSITION, f"A booking that is {booking.status} cannot be amended.")
    return DEADLINE_PASSED if past_deadline(booking, now) else None


def _request(state: VendorState, booking: Booking, command: AmendBooking) -> SeatRequest | Rejection:
    """The whole request as it would be now: what the command gives, and the rest from the booking."""
    when: When
    if booking.check_in is not None and booking.check_out is not None:
        if command.starts_at is not None:
            return invalid("A stay is amended by check_in and check_out.", "starts_at")
        when = StayDates(command.check_in or booking.check_in, command.check_out or booking.check_out)
        quantity = len(booking.seats) if command.quantity is None else command.quantity
    else:
        if command.check_in is not None or command.check_out is not None:
            path = "check_out" if command.check_in is None else "check_in"
            return invalid("A sitting is amended by starts_at.", path)
        when = SittingTime(booking.starts_at if command.starts_at is None else command.starts_at)
        quantity = 1 if command.quantity is None else command.quantity
    party_size = booking.party_size if command.party_size is None else command.party_size
    seat_type = _seat_type(booking, command)
    facts = state.facts
    if command.seat_type is None and seat_type not in facts.plan.types:
        seat_type = None  # agreed on when the vendor still had such seats
    return seat_request(facts, party_size, when, seat_type, quantity)


def _seat_type(booking: Booking, command: AmendBooking) -> str | None:
    return None if command.clear_seat_type else command.seat_type or booking.seat_type


def _moves(facts: VendorFacts, booking: Booking, command: AmendBooking, request: SeatRequest) -> bool:
    """Whether anything but the notes would change."""
    return (
        request.party_size != booking.party_size
        or _retimed(facts, booking, request.when)
        or (booking.kind is VendorKind.HOTEL and request.quantity != len(booking.seats))
        or _seat_type(booking, command) != booking.seat_type
    )


def _retimed(facts: VendorFacts, booking: Booking, when: When) -> bool:
    if isinstance(when, StayDates):
        return when.check_in != booking.check_in or when.check_out != booking.check_out
    starts_at = when.starts_at
    if starts_at.tzinfo is not None:
        return starts_at != booking.starts_at
    local, _ = local_minute(facts.time_zone, instant_minute(booking.starts_at))
    return wall_minute(starts_at) != local or starts_at.second > 0 or starts_at.microsecond > 0


def _span(facts: VendorFacts, booking: Booking, request: SeatRequest, now: datetime) -> Span | Rejection:
    when = request.when
    retimed = _retimed(facts, booking, when)
    if isinstance(when, SittingTime):
        return sitting_span(facts, when, request.party_size, now, judged=retimed)
    return stay_span(facts, when, now, judged=retimed, arrival_judged=when.check_in != booking.check_in)


def _seats(state: VendorState, booking: Booking, request: SeatRequest, span: Span) -> Sequence[int] | Rejection:
    """The seats of before where they still do, or else others; what the booking holds itself counts as free."""
    plan = state.facts.plan
    positions = [plan.position_of(seat.seat_no) for seat in booking.seats]
    own = [position for position in positions if position is not None]
    closed = plan.closed_between(span.first_day, span.last_day)
    if closed and not _retimed(state.facts, booking, request.when):
        for position in own:
            closed[position] = 0  # a seat's closure does not touch a booking that was there before it
    trial = state.without(booking)
    whole = len(own) == len(positions) and (state.kind is VendorKind.RESTAURANT or len(own) == request.quantity)
    if whole and keeps_seats(trial, own, request, span, closed):
        chosen: Sequence[int] | Rejection = own
    else:
        chosen = choose_seats(trial, request, span, closed)
    paced = span.starts_at != booking.starts_at or request.party_size > booking.party_size
    if paced and chosen is not TOO_LARGE and not pace_allows(trial, request, span):
        return PACE_REACHED
    return chosen
