"""What is still free, for people who look before they book. The answer comes from the same rules as `decide`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import chain
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from domain.local_time import MINUTE_MAX, MINUTE_MIN, date_of, day_of, instant_of, utc_minute
from domain.money import Money
from domain.rejection import Rejection
from domain.request import invalid
from domain.seat_plan import NO_PRICE, SeatPlan
from domain.slots import DAY_MINUTES, EPOCH_ORDINAL, WORD_BITS
from domain.timing import offered_by, sitting_slots, sitting_window, stay_window
from domain.vendor import VendorKind
from domain.vendor_state import VendorState

DAYS_MAX: Final = 62
NIGHTS_A_SLICE: Final = 16

_DEAREST: Final = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class AvailabilityQuery:
    """Vendor-local dates, both included."""

    first: date
    last: date
    party_size: int = 1
    seat_type: str | None = None


@dataclass(frozen=True, slots=True)
class FreeSeats:
    """`free` seats of a type that would take the party; `starts_at` is None for a hotel's night."""

    date: date
    starts_at: datetime | None
    seat_type: str
    free: int
    from_price: Money | None = None


class Chance(NamedTuple):
    """A night, or a time at which a party may sit down; `service_day` and `day` as in `domain.timing.Span`."""

    slot: int
    day: int
    service_day: int
    starts_at: datetime | None


class Fitting(NamedTuple):
    """What of a seat type would take the party, worked out once for all days.

    `classes` are places in the plan's list and `prices` theirs, in minor units or NO_PRICE. A combination of several
    types counts under its first seat's.
    """

    type_no: int
    classes: list[int]
    prices: NDArray[np.int64]
    combinations: list[list[int]]


def availability(state: VendorState, query: AvailabilityQuery, *, now: datetime) -> list[FreeSeats] | Rejection:
    """Seats that would take the party, by date, time and seat type; rows with nothing free are left out.

    Where no single seat of a type is free, the declared combinations of it that would take the party are counted.
    """
    slices = availability_slices(state, query, now=now)
    return slices if isinstance(slices, Rejection) else list(chain.from_iterable(slices))


def availability_slices(
    state: VendorState, query: AvailabilityQuery, *, now: datetime
) -> Iterator[list[FreeSeats]] | Rejection:
    """As `availability`, a few days at a time, so that who asks may see to other things in between.

    Each slice is true of the state when it is taken: a batch merged in between shows in those that follow.
    """
    refusal = _refusal(state, query)
    return _slices(state, query, now) if refusal is None else refusal


def _slices(state: VendorState, query: AvailabilityQuery, now: datetime) -> Iterator[list[FreeSeats]]:
    hotel = state.kind is VendorKind.HOTEL
    fitting = list(_fitting(state.facts.plan, query))
    slot_count = 1 if hotel else sitting_slots(state.facts, query.party_size)
    days = range(day_of(query.first), day_of(query.last) + 1)
    for begin in range(0, len(days), NIGHTS_A_SLICE if hotel else 1):
        if hotel:
            chances = list(_nights(state, days[begin : begin + NIGHTS_A_SLICE], now))
        else:
            chances = list(_starts(state, days[begin], query.party_size, now))
        yield _rows(state, fitting, chances, slot_count) if chances and fitting else []


def _refusal(state: VendorState, query: AvailabilityQuery) -> Rejection | None:
    days = (query.last - query.first).days + 1
    if days < 1:
        return invalid("The last day is not before the first.", "to")
    if days > DAYS_MAX:
        return invalid(f"Ask for {DAYS_MAX} days at most.", "to")
    if query.party_size < 1:
        return invalid("A party is one guest at least.", "party_size")
    if query.seat_type is not None and query.seat_type not in state.facts.plan.types:
        return invalid("The vendor has no seats of that type.", "seat_type")
    return None


def _nights(state: VendorState, days: range, now: datetime) -> Iterator[Chance]:
    facts = state.facts
    for day in days:
        if stay_window(facts, day, now) is None and not facts.closed_between(day, day):
            yield Chance(day + EPOCH_ORDINAL, day, day, None)


def _starts(state: VendorState, day: int, party_size: int, now: datetime) -> Iterator[Chance]:
    facts = state.facts
    if facts.starts is None or not MINUTE_MIN <= day * DAY_MINUTES < MINUTE_MAX:
        return
    pace = facts.covers_per_step
    closed = {service_day: facts.closed_between(service_day, day) for service_day in (day - 1, day)}
    for local in facts.starts.starts_on(day):
        minute = utc_minute(facts.time_zone, local)
        if minute is None:
            continue
        service_day = offered_by(facts, minute, local)
        if service_day is None or closed[service_day]:
            continue
        if sitting_window(facts, minute, day, now) is not None:
            continue
        slot = minute // facts.step_minutes
        if pace is None or state.covers_at(slot) + party_size <= pace:
            yield Chance(slot, day, service_day, instant_of(minute))


def _rows(
    state: VendorState, fitting: Sequence[Fitting], chances: Sequence[Chance], slot_count: int
) -> list[FreeSeats]:
    plan = state.facts.plan
    free = _free(state, chances, slot_count)
    begins = [seat_class.start for seat_class in plan.classes]
    by_class = np.add.reduceat(free, begins, axis=1, dtype=np.int64)
    counted = [(plan.types[one.type_no], *_counted(free, by_class, one)) for one in fitting]
    rows: list[FreeSeats] = []
    for place, chance in enumerate(chances):
        on = date_of(chance.day)
        for seat_type, counts, prices_minor in counted:
            if counts[place]:
                price_minor = prices_minor[place]
                price = None if price_minor == NO_PRICE else Money(price_minor, state.facts.currency)
                rows.append(FreeSeats(on, chance.starts_at, seat_type, counts[place], price))
    return rows


def _counted(free: NDArray[np.bool_], by_class: NDArray[np.int64], fitting: Fitting) -> tuple[list[int], list[int]]:
    """By chance: how many seats, or else combinations, of a type are free, and the lowest price of a seat."""
    of_type = by_class[:, fitting.classes]
    counts = of_type.sum(axis=1)
    prices = np.where(of_type > 0, fitting.prices, _DEAREST).min(axis=1, initial=_DEAREST)
    if fitting.combinations and not counts.all():
        combined = np.zeros_like(counts)
        for positions in fitting.combinations:
            combined += free[:, positions].all(axis=1)
        prices[counts == 0] = NO_PRICE
        counts = np.where(counts, counts, combined)
    return counts.tolist(), prices.tolist()


def _free(state: VendorState, chances: Sequence[Chance], slot_count: int) -> NDArray[np.bool_]:
    """By chance and position: whether the seat is in sale and all its slots are free."""
    plan = state.facts.plan
    first_word = min(chance.slot for chance in chances) // WORD_BITS
    last_word = (max(chance.slot for chance in chances) + slot_count - 1) // WORD_BITS
    slots = (last_word - first_word + 1) * WORD_BITS
    taken_before = np.zeros((slots + 1, len(plan)), dtype=np.int16)
    for word in range(first_word, last_word + 1):
        column = state.column(word)
        if column is not None:
            octets = np.frombuffer(column, dtype="<u8").view(np.uint8).reshape(len(plan), 8)
            begin = (word - first_word) * WORD_BITS + 1
            taken_before[begin : begin + WORD_BITS] = np.unpackbits(octets, axis=1, bitorder="little").T
    np.cumsum(taken_before, axis=0, dtype=np.int16, out=taken_before)
    begins = np.array([chance.slot for chance in chances]) - first_word * WORD_BITS
    free: NDArray[np.bool_] = taken_before[begins + slot_count] == taken_before[begins]
    if plan.closures:
        places: dict[tuple[int, int], list[int]] = {}
        for place, chance in enumerate(chances):
            places.setdefault((chance.service_day, chance.day), []).append(place)
        for days, on_those in places.items():
            closed = plan.closed_between(*days)
            if closed:
                free[np.ix_(np.array(on_those), np.flatnonzero(np.frombuffer(closed, dtype=np.uint8)))] = False
    return free


def _fitting(plan: SeatPlan, query: AvailabilityQuery) -> Iterator[Fitting]:
    """By type, in order of the vendor's list; types that could not take the party at all are left out."""
    party_size = query.party_size
    classes: dict[int, list[int]] = {}
    combinations: dict[int, list[list[int]]] = {}
    for number, seat_class in enumerate(plan.classes):
        if seat_class.capacity_min <= party_size <= seat_class.capacity_max:
            classes.setdefault(seat_class.type_no, []).append(number)
    for combination in plan.combinations:
        if combination.capacity_min <= party_size <= combination.capacity_max:
            type_no = plan.class_of(combination.positions[0]).type_no
            combinations.setdefault(type_no, []).append(list(combination.positions))
    for type_no, seat_type in enumerate(plan.types):
        if query.seat_type in (None, seat_type) and (type_no in classes or type_no in combinations):
            alike = classes.get(type_no, [])
            prices = np.array([plan.classes[number].price_minor for number in alike], dtype=np.int64)
            yield Fitting(type_no, alike, prices, combinations.get(type_no, []))
