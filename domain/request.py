"""What a party asks of a vendor, checked for sense before any rule is looked at."""

from datetime import datetime
from typing import Final, NamedTuple

from domain.command import SittingTime, StayDates, When
from domain.rejection import Reason, Rejection
from domain.timing import Span, sitting_span, stay_span
from domain.vendor import VendorKind
from domain.vendor_facts import VendorFacts

QUANTITY_MAX: Final = 200
"""How many rooms one booking takes at most: with a year of nights 1,400 seat-words. See docs/decisions/0013."""


class SeatRequest(NamedTuple):
    """A party and when it comes; `type_no` is None where any type will do."""

    party_size: int
    when: When
    type_no: int | None
    quantity: int


def invalid(detail: str, path: str) -> Rejection:
    return Rejection(Reason.INVALID_REQUEST, detail, path)


def seat_request(
    facts: VendorFacts, party_size: int, when: When, seat_type: str | None, quantity: int
) -> SeatRequest | Rejection:
    """The request in the vendor's own terms, or which field of it makes no sense."""
    if party_size < 1:
        return invalid("A party is one guest at least.", "party_size")
    if not 1 <= quantity <= QUANTITY_MAX:
        return invalid(f"One booking takes 1..{QUANTITY_MAX} rooms.", "quantity")
    if facts.kind is VendorKind.HOTEL:
        if type(when) is not StayDates:
            return invalid("A hotel is booked from check_in to check_out.", "check_in")
        if when.check_out <= when.check_in:
            return invalid("A stay ends after the day it begins.", "check_out")
    else:
        if type(when) is not SittingTime:
            return invalid("A table is booked for a time.", "starts_at")
        if quantity != 1:
            return invalid("Only rooms are booked by number.", "quantity")
    type_no = None
    if seat_type is not None:
        types = facts.plan.types
        if seat_type not in types:
            return invalid("The vendor has no seats of that type.", "seat_type")
        type_no = types.index(seat_type)
    return SeatRequest(party_size, when, type_no, quantity)


def span_for(facts: VendorFacts, request: SeatRequest, now: datetime) -> Span | Rejection:
    """The slots asked for, once hours, booking window and stay rules allow them."""
    when = request.when
    if isinstance(when, SittingTime):
        return sitting_span(facts, when, request.party_size, now)
    return stay_span(facts, when, now)
