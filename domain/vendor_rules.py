"""Whether a vendor's facts make sense: names, bounds, and that they fit each other. The first fault is named.

Paths are those of the request in API.md. Everything here was of the right type already.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

from domain.currency import CURRENCIES
from domain.local_time import zone_offsets
from domain.money import Money
from domain.rejection import Reason, Rejection
from domain.slots import DAY_MINUTES
from domain.vendor import Closure, DepositKind, Policy, Service, StayRules, Vendor, VendorKind

NAME_CHARACTERS_MAX: Final = 200
AMOUNT_MINOR_MAX: Final = 10**11
CAPACITY_MAX: Final = 10_000
SEATS_MAX: Final = 10_000
PLACES_MAX: Final = 1_000_000
HOLD_TTL_SECONDS_MAX: Final = 86_400
BOOK_AHEAD_DAYS_MAX: Final = 730
NIGHTS_MAX: Final = 365
COVERS_MAX: Final = PLACES_MAX
LIST_MAX: Final = 1_000
"""Closures, services, turn times: more of one of them than this is no vendor's intention."""
SEAT_TYPES_MAX: Final = 100
COMBINATIONS_MAX: Final = 200
COMBINED_SEATS_MAX: Final = 50
STARTS_BY_TYPE_MAX: Final = 2_000
"""Rows of a day's availability, of which anybody may ask for 62 days: six types of table, every 5 minutes round the clock."""
_STARTS_A_DAY_MAX: Final = DAY_MINUTES // 5

Fault = tuple[str, str]
"""A path and what is wrong there."""


def vendor_refusal(vendor: Vendor) -> Rejection | None:
    """The first thing that is wrong with a vendor's facts, or None; see `step_that_fits` for how its times fit."""
    for path, detail in _faults(vendor):
        return Rejection(Reason.INVALID_REQUEST, detail, path)
    return None


def _faults(vendor: Vendor) -> Iterator[Fault]:
    """Lazily, so that each check may rely on those before it."""
    return chain(
        _place_faults(vendor),
        _seat_faults(vendor),
        _service_faults(vendor.services),
        _rows_a_day_faults(vendor),
        _turn_faults(vendor),
        _kind_faults(vendor),
        _combination_faults(vendor),
        _closure_faults(vendor.closures, "closures"),
        _stay_faults(vendor),
        _policy_faults(vendor.policy, vendor),
    )


def _place_faults(vendor: Vendor) -> Iterator[Fault]:
    yield from _name_faults("name", vendor.name)
    yield from _name_faults("city", vendor.city)
    for path, text, characters_max in (
        ("address", vendor.address, NAME_CHARACTERS_MAX),
        ("phone", vendor.phone, NAME_CHARACTERS_MAX),
        ("description", vendor.description, None),
    ):
        yield from _text_faults(path, text, characters_max)
    for path, words in (("cuisines", vendor.cuisines), ("amenities", vendor.amenities)):
        yield from _count_faults(path, words)
        for index, word in enumerate(words):
            yield from _name_faults(f"{path}[{index}]", word)
    if not -90 <= vendor.location.lat <= 90:
        yield "location.lat", "A latitude lies between -90 and 90 degrees."
    if not -180 <= vendor.location.lon <= 180:
        yield "location.lon", "A longitude lies between -180 and 180 degrees."
    if not zone_offsets(vendor.time_zone):
        yield "time_zone", "There is no such IANA time zone."
    if vendor.currency not in CURRENCIES:
        yield "currency", "There is no such ISO 4217 currency."


def _seat_faults(vendor: Vendor) -> Iterator[Fault]:
    seen: set[str] = set()
    types: set[str] = set()
    seats = places = 0
    for index, group in enumerate(vendor.seats):
        path = f"seats[{index}]"
        yield from _name_faults(f"{path}.name", group.name)
        if group.name in seen:
            yield f"{path}.name", "Each seat has a name of its own."
        seen.add(group.name)
        yield from _name_faults(f"{path}.seat_type", group.seat_type)
        types.add(group.seat_type)
        if len(types) > SEAT_TYPES_MAX:
            yield f"{path}.seat_type", f"A vendor has {SEAT_TYPES_MAX} seat types at most."
        if not 1 <= group.capacity_min <= CAPACITY_MAX:
            yield f"{path}.capacity_min", f"A seat takes 1..{CAPACITY_MAX} guests at least."
        if not group.capacity_min <= group.capacity_max <= CAPACITY_MAX:
            yield f"{path}.capacity_max", f"The most a seat takes is capacity_min..{CAPACITY_MAX}."
        if not 1 <= group.quantity <= SEATS_MAX:
            yield f"{path}.quantity", f"A quantity is 1..{SEATS_MAX}."
        if group.price is not None:
            yield from _money_faults(f"{path}.price", group.price, vendor.currency)
        yield from _closure_faults(group.closures, f"{path}.closures")
        seats += group.quantity
        places += group.quantity * group.capacity_max
    if seats > SEATS_MAX or places > PLACES_MAX:
        yield "seats", f"A vendor has {SEATS_MAX} seats and {PLACES_MAX} places at most."


def _service_faults(services: Sequence[Service]) -> Iterator[Fault]:
    yield from _count_faults("services", services)
    for index, service in enumerate(services):
        path = f"services[{index}]"
        if not service.days:
            yield f"{path}.days", "A service has a weekday."
        yield from _weekday_faults(f"{path}.days", service.days)
        for name, at in (("first", service.first), ("last", service.last)):
            if at.second or at.microsecond or at.tzinfo is not None:
                yield f"{path}.{name}", "A local time of hours and minutes."
        if not 1 <= service.every_minutes <= DAY_MINUTES:
            yield f"{path}.every_minutes", f"An interval is 1..{DAY_MINUTES} minutes."


def _rows_a_day_faults(vendor: Vendor) -> Iterator[Fault]:
    """Starts at one time are counted once for each service that offers them, but no day has more than its steps."""
    starts = [0] * 7
    for service in vendor.services:
        first = service.first.hour * 60 + service.first.minute
        last = service.last.hour * 60 + service.last.minute
        every = service.every_minutes
        last += DAY_MINUTES if last < first else 0
        own = len(range(first, min(last + 1, DAY_MINUTES), every))
        late = len(range(first, last + 1, every)) - own
        for weekday in service.days:
            starts[weekday] += own
            starts[(weekday + 1) % 7] += late
    types = len({group.seat_type for group in vendor.seats})
    if min(max(starts), _STARTS_A_DAY_MAX) * types > STARTS_BY_TYPE_MAX:
        yield "services", f"The starts of a day, for each seat type, are {STARTS_BY_TYPE_MAX} at most."


def _turn_faults(vendor: Vendor) -> Iterator[Fault]:
    yield from _count_faults("turn_minutes", vendor.turn_minutes)
    if vendor.kind is VendorKind.RESTAURANT and not vendor.turn_minutes:
        yield "turn_minutes", "A restaurant says how long a party sits."
    seen: set[int] = set()
    for index, turn in enumerate(vendor.turn_minutes):
        path = f"turn_minutes[{index}]"
        if not 1 <= turn.party_max <= PLACES_MAX or turn.party_max in seen:
            yield f"{path}.party_max", "Each row has a party of its own, of one guest at least."
        seen.add(turn.party_max)
        if not 1 <= turn.minutes <= DAY_MINUTES:
            yield f"{path}.minutes", f"A party sits 1..{DAY_MINUTES} minutes."


def _kind_faults(vendor: Vendor) -> Iterator[Fault]:
    """What belongs to the other kind of vendor only."""
    pace = vendor.covers_per_step
    if vendor.kind is VendorKind.HOTEL:
        for path, given in (
            ("services", vendor.services),
            ("turn_minutes", vendor.turn_minutes),
            ("combinations", vendor.combinations),
            ("pacing", pace),
        ):
            if given:
                yield path, "Only a restaurant has these."
    if pace is not None and not 1 <= pace <= COVERS_MAX:
        yield "pacing.covers_per_step", f"A pace is 1..{COVERS_MAX} covers."
    for path, at in (("check_in", vendor.check_in), ("check_out", vendor.check_out)):
        if at.second or at.microsecond or at.tzinfo is not None:
            yield path, "A local time of hours and minutes."


def _combination_faults(vendor: Vendor) -> Iterator[Fault]:
    yield from _count_faults("combinations", vendor.combinations, COMBINATIONS_MAX)
    groups = {group.name: group for group in vendor.seats}
    seen: set[frozenset[str]] = set()
    for index, names in enumerate(vendor.combinations):
        path = f"combinations[{index}]"
        if len(names) < 2 or len(set(names)) < len(names):
            yield path, "A combination names two seats or more, each once."
        if len(names) > COMBINED_SEATS_MAX:
            yield path, f"A combination has {COMBINED_SEATS_MAX} seats at most."
        if frozenset(names) in seen:
            yield path, "The same seats are combined above."
        seen.add(frozenset(names))
        for place, name in enumerate(names):
            group = groups.get(name)
            if group is None:
                yield f"{path}[{place}]", "There is no seat of that name."
            elif group.quantity != 1:
                yield f"{path}[{place}]", "Only seats of quantity 1 are combined."


def _closure_faults(closures: Sequence[Closure], path: str) -> Iterator[Fault]:
    yield from _count_faults(path, closures)
    for index, closure in enumerate(closures):
        if closure.last < closure.first:
            yield f"{path}[{index}].to", "A closure ends on the day it begins, or after it."
        yield from _text_faults(f"{path}[{index}].reason", closure.reason, NAME_CHARACTERS_MAX)


def _stay_faults(vendor: Vendor) -> Iterator[Fault]:
    stay = vendor.stay
    if vendor.kind is VendorKind.RESTAURANT and stay != StayRules():
        yield "stay", "Only a hotel has these."
    if not 1 <= stay.max_nights <= NIGHTS_MAX:
        yield "stay.max_nights", f"A stay is 1..{NIGHTS_MAX} nights."
    if not 1 <= stay.min_nights <= stay.max_nights:
        yield "stay.min_nights", "The fewest nights are 1..max_nights."
    yield from _weekday_faults("stay.closed_to_arrival", stay.closed_to_arrival)
    yield from _weekday_faults("stay.closed_to_departure", stay.closed_to_departure)


def _policy_faults(policy: Policy, vendor: Vendor) -> Iterator[Fault]:
    for path, value, least, most in (
        ("hold_ttl_seconds", policy.hold_ttl_seconds, 1, HOLD_TTL_SECONDS_MAX),
        ("book_ahead_days_max", policy.book_ahead_days_max, 0, BOOK_AHEAD_DAYS_MAX),
        ("book_ahead_minutes_min", policy.book_ahead_minutes_min, 0, BOOK_AHEAD_DAYS_MAX * DAY_MINUTES),
        ("cancel_before_hours", policy.cancel_before_hours, 0, BOOK_AHEAD_DAYS_MAX * 24),
        ("keep_on_late_cancel_percent", policy.keep_on_late_cancel_percent, 0, 100),
        ("deposit.amount_minor", policy.deposit.amount_minor, 0, AMOUNT_MINOR_MAX),
        ("deposit.percent", policy.deposit.percent, 0, 100),
    ):
        if not least <= value <= most:
            yield f"policy.{path}", f"It is {least}..{most}."
    if policy.deposit.kind is DepositKind.PERCENT and not all(group.price for group in vendor.seats):
        yield "policy.deposit.percent", "A percentage needs a price on each seat."


def _money_faults(path: str, money: Money, currency: str) -> Iterator[Fault]:
    if not 0 <= money.amount_minor <= AMOUNT_MINOR_MAX:
        yield f"{path}.amount_minor", f"An amount is 0..{AMOUNT_MINOR_MAX} minor units."
    if money.currency != currency:
        yield f"{path}.currency", f"The vendor's currency is {currency}."


def _name_faults(path: str, name: str) -> Iterator[Fault]:
    if not name.strip():
        yield path, "It is not empty."
    yield from _text_faults(path, name, NAME_CHARACTERS_MAX)


def _text_faults(path: str, text: str | None, characters_max: int | None) -> Iterator[Fault]:
    if text is None:
        return
    if "\0" in text:
        yield path, "A text holds no NUL character."
    if characters_max is not None and len(text) > characters_max:
        yield path, f"It has {characters_max} characters at most."


def _count_faults(path: str, rows: Sequence[object], most: int = LIST_MAX) -> Iterator[Fault]:
    if len(rows) > most:
        yield path, f"There are {most} of these at most."


def _weekday_faults(path: str, days: Sequence[int]) -> Iterator[Fault]:
    if len(set(days)) < len(days) or any(not 0 <= day <= 6 for day in days):
        yield path, "Weekdays, each once."
