"""Whether a party could be seated, for people who look at many vendors at once: what `decide_hold` would say, unbooked."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import Final

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
from domain.search import SeatWish, Verdict, folded
from domain.seating import can_seat, fits_ever, seat_cost
from domain.slots import DAY_MINUTES
from domain.timing import Span
from domain.vendor_facts import VendorFacts
from domain.vendor_state import VendorState

STARTS_COST_MAX: Final = 10_000
"""How long other starts of a day are tried, in the unit of `seat_cost`: some 10 ms. A house of 30 kinds of table and combinations
whose day has a start every five minutes stays below; of a larger one the starts far from the asked time are left out."""


def preview(state: VendorState, wish: SeatWish, *, now: datetime) -> Verdict:
    """A vendor's answer to a wish; alternatives are looked for only where the wish itself cannot be granted.

    They are starts of the same vendor-local day, nearest first, the earlier of two that are equally near. A hotel has
    none, and neither has a wish that makes no sense to the vendor, such as a type of seat that it does not have, or that no
    seat of its could ever grant. STARTS_COST_MAX says how long a very large house is looked at.
    """
    facts = state.facts
    requests = _requests(facts, wish)
    if not requests:
        return Verdict(facts.vendor_id, available=False)
    if _can_take(state, requests, wish.price_max_minor, now):
        return Verdict(facts.vendor_id, available=True)
    if not wish.alternatives_max:
        return Verdict(facts.vendor_id, available=False)
    others = islice(_other_starts(state, requests, wish, now), wish.alternatives_max)
    return Verdict(facts.vendor_id, available=False, alternatives=tuple(others))


def _requests(facts: VendorFacts, wish: SeatWish) -> Sequence[SeatRequest]:
    """The wish in the vendor's own terms: none where it makes no sense, several where a type is written in several ways."""
    request = seat_request(facts, wish.party_size, wish.when, None, wish.quantity)
    if isinstance(request, Rejection):
        return ()
    if wish.seat_type is None:
        return (request,)
    type_nos = _type_nos_by_folded(facts.plan.types).get(_folded(wish.seat_type), ())
    return [request._replace(type_no=type_no) for type_no in type_nos]


_folded: Final = lru_cache(maxsize=256)(folded)
"""A search asks every vendor for the same type."""


@lru_cache(maxsize=4096)
def _type_nos_by_folded(types: tuple[str, ...]) -> Mapping[str, Sequence[int]]:
    """Once for all vendors that use the same words."""
    type_nos: dict[str, list[int]] = {}
    for type_no, seat_type in enumerate(types):
        type_nos.setdefault(folded(seat_type), []).append(type_no)
    return type_nos


def _can_take(state: VendorState, requests: Sequence[SeatRequest], price_max_minor: int | None, now: datetime) -> bool:
    """Whether any of the requests, which differ in nothing but the type of seat, can be granted."""
    span = span_for(state.facts, requests[0], now)
    return isinstance(span, Span) and any(can_seat(state, request, span, price_max_minor) for request in requests)


def _other_starts(
    state: VendorState, requests: Sequence[SeatRequest], wish: SeatWish, now: datetime
) -> Iterator[datetime]:
    """Starts of the asked day that can take the party, nearest first."""
    facts = state.facts
    if facts.starts is None or not isinstance(wish.when, SittingTime):
        return
    plan = facts.plan
    requests = [request for request in requests if fits_ever(plan, request, wish.price_max_minor)]
    if not requests:
        return
    tries_max = max(wish.alternatives_max, STARTS_COST_MAX // (seat_cost(plan) * len(requests)))
    on_both_clocks = _minutes(facts, wish.when.starts_at)
    if on_both_clocks is None:
        return
    asked_minute, asked_local = on_both_clocks
    offered = (utc_minute(facts.time_zone, local) for local in facts.starts.starts_on(asked_local // DAY_MINUTES))
    nearest = sorted((abs(minute - asked_minute), minute) for minute in offered if minute is not None)
    for _, minute in nearest[:tries_max]:
        other = SittingTime(instant_of(minute))
        if _can_take(state, [request._replace(when=other) for request in requests], wish.price_max_minor, now):
            yield other.starts_at


def _minutes(facts: VendorFacts, starts_at: datetime) -> tuple[int, int] | None:
    """The asked time in UTC and on the vendor's wall; None for one so far away that nobody could book it."""
    if starts_at.tzinfo is not None:
        minute = instant_minute(starts_at)
        return (minute, local_minute(facts.time_zone, minute)[0]) if MINUTE_MIN <= minute < MINUTE_MAX else None
    local = wall_minute(starts_at)
    return (utc_minute_after_gap(facts.time_zone, local), local) if MINUTE_MIN <= local < MINUTE_MAX else None
