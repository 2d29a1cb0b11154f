"""Whether a party could be seated, for people who look at many vendors at once: what `decide_hold` would say, unbooked."""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice

from domain.command import SittingTime
from domain.local_time import (
    MINUTE_MAX,
    MINUTE_MIN,
    instant_minute,
    instant_of,
    local_minute,
    utc_minute,
    utc_minute_after_gap,
    wall_minute,
)
from domain.rejection import Rejection
from domain.request import SeatRequest, seat_request, span_for
from domain.search import SeatWish, Verdict
from domain.seating import can_seat
from domain.slots import DAY_MINUTES
from domain.start_table import StartTable
from domain.timing import Span
from domain.vendor_facts import VendorFacts
from domain.vendor_state import VendorState


def preview(state: VendorState, wish: SeatWish, *, now: datetime) -> Verdict:
    """A vendor's answer to a wish; alternatives are looked for only where the wish itself cannot be granted.

    They are starts of the same vendor-local day, nearest first, the earlier of two that are equally near. A hotel has
    none, and neither has a wish that makes no sense to the vendor, such as a type of seat that it does not have.
    """
    facts = state.facts
    request = seat_request(facts, wish.party_size, wish.when, wish.seat_type, wish.quantity)
    if isinstance(request, Rejection):
        return Verdict(facts.vendor_id, available=False)
    if _can_take(state, request, now):
        return Verdict(facts.vendor_id, available=True)
    if not wish.alternatives_max or facts.starts is None or not isinstance(wish.when, SittingTime):
        return Verdict(facts.vendor_id, available=False)
    others = islice(_other_starts(state, facts.starts, request, wish.when, now), wish.alternatives_max)
    return Verdict(facts.vendor_id, available=False, alternatives=tuple(others))


def _can_take(state: VendorState, request: SeatRequest, now: datetime) -> bool:
    span = span_for(state.facts, request, now)
    return isinstance(span, Span) and can_seat(state, request, span)


def _other_starts(
    state: VendorState, starts: StartTable, request: SeatRequest, asked: SittingTime, now: datetime
) -> Iterator[datetime]:
    """Starts of the asked day that can take the party, nearest first."""
    facts = state.facts
    on_both_clocks = _minutes(facts, asked.starts_at)
    if on_both_clocks is None:
        return
    asked_minute, asked_local = on_both_clocks
    offered = (utc_minute(facts.time_zone, local) for local in starts.starts_on(asked_local // DAY_MINUTES))
    for _, minute in sorted((abs(minute - asked_minute), minute) for minute in offered if minute is not None):
        other = SittingTime(instant_of(minute))
        if _can_take(state, request._replace(when=other), now):
            yield other.starts_at


def _minutes(facts: VendorFacts, starts_at: datetime) -> tuple[int, int] | None:
    """The asked time in UTC and on the vendor's wall; None for one so far away that nobody could book it."""
    if starts_at.tzinfo is not None:
        minute = instant_minute(starts_at)
        return (minute, local_minute(facts.time_zone, minute)[0]) if MINUTE_MIN <= minute < MINUTE_MAX else None
    local = wall_minute(starts_at)
    return (utc_minute_after_gap(facts.time_zone, local), local) if MINUTE_MIN <= local < MINUTE_MAX else None
