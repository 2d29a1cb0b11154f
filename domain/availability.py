"""What is still free, for people who look before they book. The answer comes from the same rules as `decide`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
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


def availability(state: VendorState, query: AvailabilityQuery, *, now: datetime) -> list[FreeSeats] | Rejection:
    """Seats that would take the party, by date, time and seat type; rows with nothing free are left out.

    Where no single seat of a type is free, the declared combinations of it that would take the party are counted.
    """
    refusal = _refusal(state, query)
    if refusal is not None:
        return refusal
    hotel = state.kind is VendorKind.HOTEL
    slot_count = 1 if hotel else sitting_slots(state.facts, query.party_size)
    first, last = day_of(query.first), day_of(query.last)
    rows: list[FreeSeats] = []
    if hotel:
        rows.extend(_rows(state, query, list(_nights(state, first, last, now)), slot_count))
    else:
        for day in range(first, last + 1):
            rows.extend(_rows(state, query, list(_starts(state, day, query.party_size, now)), slot_count))
    return rows


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


def _nights(state: VendorState, first: int, last: int, now: datetime) -> Iterator[Chance]:
    facts = state.facts
    for day in range(first, last + 1):
        if stay_window(facts, day, now) is None and not facts.closed_between(day, day):
            yield Chance(day + EPOCH_ORDINAL, day, day, None)


def _starts(state: VendorState, day: int, party_size: int, now: datetime) -> Iterator[Chance]:
    facts = state.facts
    if facts.starts is None or not MINUTE_MIN <= day * DAY_MINUTES < MINUTE_MAX:
        return
    pace = facts.covers_per_step
    for local in facts.starts.starts_on(day):
        minute = utc_minute(facts.time_zone, local)
        if minute is None:
            continue
        service_day = offered_by(facts, minute, local)
        if service_day is None or facts.closed_between(service_day, day):
            continue
        if sitting_window(facts, minute, day, now) is not None:
            continue
        slot = minute // facts.step_minutes
        if pace is None or state.covers_at(slot) + party_size <= pace:
            yield Chance(slot, day, service_day, instant_of(minute))


def _rows(
    state: VendorState, query: AvailabilityQuery, chances: Sequence[Chance], slot_count: int
) -> Iterator[FreeSeats]:
    if not chances:
        return
    plan = state.facts.plan
    free = _free(state, chances, slot_count)
    fitting = _fitting(plan, query.party_size)
    prices = _prices(plan)
    type_nos = [plan.types.index(query.seat_type)] if query.seat_type is not None else range(len(plan.types))
    counted = []
    for type_no in type_nos:
        seats = np.flatnonzero(fitting == type_no)
        of_type = free[seats]
        cheapest = np.where(of_type, prices[seats, None], np.iinfo(np.int64).max).min(
            axis=0, initial=np.iinfo(np.int64).max
        )
        counted.append((type_no, of_type.sum(axis=0).tolist(), cheapest.tolist()))
    for place, chance in enumerate(chances):
        for type_no, counts, cheapest_minor in counted:
            count = counts[place] or _combined(plan, free[:, place], query.party_size, type_no)
            if count:
                price_minor = cheapest_minor[place] if counts[place] else NO_PRICE
                price = None if price_minor == NO_PRICE else Money(price_minor, state.facts.currency)
                yield FreeSeats(date_of(chance.day), chance.starts_at, plan.types[type_no], count, price)


def _free(state: VendorState, chances: Sequence[Chance], slot_count: int) -> NDArray[np.bool_]:
    """By position and chance: whether the seat is in sale and all its slots are free."""
    plan = state.facts.plan
    first_word = min(chance.slot for chance in chances) // WORD_BITS
    last_word = (max(chance.slot for chance in chances) + slot_count - 1) // WORD_BITS
    bits = np.zeros((len(plan), last_word - first_word + 1, WORD_BITS), dtype=np.uint8)
    for word in range(first_word, last_word + 1):
        column = state.column(word)
        if column is not None:
            octets = np.frombuffer(column, dtype="<u8").view(np.uint8).reshape(len(plan), 8)
            bits[:, word - first_word] = np.unpackbits(octets, axis=1, bitorder="little")
    taken_before = np.zeros((len(plan), bits.shape[1] * WORD_BITS + 1), dtype=np.int32)
    np.cumsum(bits.reshape(len(plan), bits.shape[1] * WORD_BITS), axis=1, out=taken_before[:, 1:])
    begins = np.array([chance.slot for chance in chances]) - first_word * WORD_BITS
    free: NDArray[np.bool_] = taken_before[:, begins + slot_count] == taken_before[:, begins]
    if plan.closures:
        for place, chance in enumerate(chances):
            free[list(plan.closed_between(chance.service_day, chance.day)), place] = False
    return free


def _fitting(plan: SeatPlan, party_size: int) -> NDArray[np.int64]:
    """By position: the seat's type where it takes the party, else -1."""
    fitting = np.full(len(plan), -1, dtype=np.int64)
    for seat_class in plan.classes:
        if seat_class.capacity_min <= party_size <= seat_class.capacity_max:
            fitting[seat_class.start : seat_class.end] = seat_class.type_no
    return fitting


def _prices(plan: SeatPlan) -> NDArray[np.int64]:
    prices = np.full(len(plan), NO_PRICE, dtype=np.int64)
    for seat_class in plan.classes:
        prices[seat_class.start : seat_class.end] = seat_class.price_minor
    return prices


def _combined(plan: SeatPlan, free: NDArray[np.bool_], party_size: int, type_no: int) -> int:
    """How many combinations would take the party; one of several types counts under its first seat's."""
    return sum(
        combination.capacity_min <= party_size <= combination.capacity_max
        and plan.class_of(combination.positions[0]).type_no == type_no
        and all(free[position] for position in combination.positions)
        for combination in plan.combinations
    )
