"""Whether a vendor takes guests at a time, and which slots that is. Order of checks: hours, booking window, stay rules."""

from datetime import date, datetime, timedelta
from typing import NamedTuple

from domain.command import SittingTime, StayDates
from domain.local_time import (
    MINUTE_MAX,
    MINUTE_MIN,
    day_of,
    instant_minute,
    instant_of,
    local_day,
    local_minute,
    utc_minute,
    utc_minute_after_gap,
    wall_minute,
)
from domain.rejection import Reason, Rejection
from domain.slots import DAY_MINUTES, EPOCH_ORDINAL
from domain.vendor_facts import VendorFacts

CLOSED = Rejection(Reason.OUTSIDE_OPENING_HOURS, "Nobody can be seated at that time.")
HOUSE_CLOSED = Rejection(Reason.OUTSIDE_OPENING_HOURS, "The house is closed then.")
SKIPPED = Rejection(Reason.OUTSIDE_OPENING_HOURS, "The clocks skip that local time.")
REPEATED = Rejection(Reason.OUTSIDE_OPENING_HOURS, "That hour happens twice, and only its first pass is offered.")
PAST = Rejection(Reason.OUTSIDE_BOOKING_WINDOW, "That time is past.")
TOO_SOON = Rejection(Reason.OUTSIDE_BOOKING_WINDOW, "That is too soon to be booked.")
TOO_FAR = Rejection(Reason.OUTSIDE_BOOKING_WINDOW, "That is too far ahead to be booked.")


class Span(NamedTuple):
    """The slots of a sitting or stay, and when it is.

    `first_day` and `last_day` are the vendor-local days, since 1970, on which its seats must be in sale: a sitting's
    date and its service's day, or a stay's nights. `nights` is 0 for a sitting.
    """

    first_slot: int
    slot_count: int
    starts_at: datetime
    ends_at: datetime
    first_day: int
    last_day: int
    nights: int = 0
    check_in: date | None = None
    check_out: date | None = None


def sitting_span(
    facts: VendorFacts, when: SittingTime, party_size: int, now: datetime, *, judged: bool = True
) -> Span | Rejection:
    """The slots of a sitting. `judged=False` takes the time as agreed before, and only counts its slots."""
    at = _sitting_minutes(facts, when.starts_at)
    if isinstance(at, Rejection):
        return at
    minute, local, second_pass = at
    service_day = day = local // DAY_MINUTES
    if judged:
        if second_pass:
            return REPEATED
        offered = offered_by(facts, minute, local)
        if offered is None or when.starts_at.second or when.starts_at.microsecond:
            return CLOSED
        service_day = offered
        if facts.closures and facts.closed_between(service_day, day):
            return HOUSE_CLOSED
        refusal = sitting_window(facts, minute, day, now)
        if refusal is not None:
            return refusal
    step = facts.step_minutes
    slot_count = sitting_slots(facts, party_size)
    begins = instant_of(minute)
    ends = begins + timedelta(minutes=slot_count * step)
    return Span(minute // step, slot_count, begins, ends, service_day, day)


def offered_by(facts: VendorFacts, minute: int, local: int) -> int | None:
    """The day whose service begins a sitting at that UTC and local minute; None where none does."""
    if facts.starts is None or minute % facts.step_minutes:
        return None
    return facts.starts.service_day(local)


def sitting_slots(facts: VendorFacts, party_size: int) -> int:
    """How many slots a party sits; beyond the last row the last row counts."""
    for party_max, slots in facts.turns:
        if party_size <= party_max:
            return slots
    return facts.turns[-1][1]


def stay_span(
    facts: VendorFacts, when: StayDates, now: datetime, *, judged: bool = True, arrival_judged: bool = True
) -> Span | Rejection:
    """The nights of a stay, `check_out` being after `check_in`.

    `judged=False` takes the dates as agreed before; `arrival_judged=False` spares only the booking window.
    """
    first, last = day_of(when.check_in), day_of(when.check_out) - 1
    if judged:
        if facts.closures and facts.closed_between(first, last):
            return HOUSE_CLOSED
        refusal = (stay_window(facts, first, now) if arrival_judged else None) or _stay_rules(facts, when)
        if refusal is not None:
            return refusal
    zone = facts.time_zone
    return Span(
        first + EPOCH_ORDINAL,
        last + 1 - first,
        instant_of(utc_minute_after_gap(zone, first * DAY_MINUTES + facts.check_in_minute)),
        instant_of(utc_minute_after_gap(zone, (last + 1) * DAY_MINUTES + facts.check_out_minute)),
        first,
        last,
        last + 1 - first,
        when.check_in,
        when.check_out,
    )


def nights_begun(facts: VendorFacts, check_in: date, now: datetime) -> int:
    """How many nights of a stay have begun by now: each begins at check-in time on its date."""
    local, _ = local_minute(facts.time_zone, instant_minute(now))
    day, minute = divmod(local, DAY_MINUTES)
    return day - day_of(check_in) + (1 if minute >= facts.check_in_minute else 0)


def _sitting_minutes(facts: VendorFacts, starts_at: datetime) -> tuple[int, int, bool] | Rejection:
    """The UTC minute, the local one, and whether that is the second pass of a repeated hour."""
    if starts_at.tzinfo is not None:
        minute = instant_minute(starts_at)
        if not MINUTE_MIN <= minute < MINUTE_MAX:
            return PAST if minute < MINUTE_MIN else TOO_FAR
        return minute, *local_minute(facts.time_zone, minute)
    local = wall_minute(starts_at)
    if not MINUTE_MIN <= local < MINUTE_MAX:
        whole = not (starts_at.second or starts_at.microsecond)
        if not whole or facts.starts is None or facts.starts.service_day(local) is None:
            return CLOSED
        return PAST if local < MINUTE_MIN else TOO_FAR
    known = utc_minute(facts.time_zone, local)
    return SKIPPED if known is None else (known, local, False)


def sitting_window(facts: VendorFacts, minute: int, day: int, now: datetime) -> Rejection | None:
    now_minute = instant_minute(now)
    policy = facts.policy
    if minute < now_minute or (minute == now_minute and (now.second or now.microsecond)):
        return PAST
    ahead = policy.book_ahead_minutes_min
    if ahead and (minute < now_minute + ahead or (minute == now_minute + ahead and (now.second or now.microsecond))):
        return TOO_SOON
    if day - local_minute(facts.time_zone, now_minute)[0] // DAY_MINUTES > policy.book_ahead_days_max:
        return TOO_FAR
    return None


def stay_window(facts: VendorFacts, first_day: int, now: datetime) -> Rejection | None:
    policy = facts.policy
    today = local_day(facts.time_zone, now)
    if first_day < today:
        return PAST
    if first_day - today > policy.book_ahead_days_max:
        return TOO_FAR
    ahead = policy.book_ahead_minutes_min
    if ahead:
        arrival = utc_minute_after_gap(facts.time_zone, first_day * DAY_MINUTES + facts.check_in_minute)
        if instant_of(arrival) < now + timedelta(minutes=ahead):
            return TOO_SOON
    return None


def _stay_rules(facts: VendorFacts, when: StayDates) -> Rejection | None:
    stay = facts.stay
    nights = (when.check_out - when.check_in).days
    if nights < stay.min_nights:
        return _no_stay(f"A stay is {stay.min_nights} nights at least.", "check_out")
    if nights > stay.max_nights:
        return _no_stay(f"A stay is {stay.max_nights} nights at most.", "check_out")
    if when.check_in.weekday() in stay.closed_to_arrival:
        return _no_stay("Nobody can arrive on that day of the week.", "check_in")
    if when.check_out.weekday() in stay.closed_to_departure:
        return _no_stay("Nobody can leave on that day of the week.", "check_out")
    return None


def _no_stay(detail: str, path: str) -> Rejection:
    return Rejection(Reason.STAY_NOT_ALLOWED, detail, path)
