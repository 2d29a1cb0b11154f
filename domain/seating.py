"""Which seats a party gets: the smallest that fits, a single one before a combination, the tightest gap among equals."""

from collections.abc import Sequence
from itertools import chain
from typing import Final, TypeAlias

from domain.rejection import Reason, Rejection
from domain.request import SeatRequest
from domain.room_choice import rooms_for
from domain.seat_plan import NO_PRICE, ClosedSeats, SeatClass, SeatPlan
from domain.slots import WORD_BITS, run_words
from domain.timing import Span
from domain.vendor import VendorKind
from domain.vendor_state import Column, VendorState

GAP_CANDIDATES_MAX: Final = 32
"""How many equal free seats are compared: a house of 500 like rooms need not look at each."""

ROOM_STEPS_MAX: Final = 20_000
"""How long rooms of several sizes are weighed against each other: some 20 ms. A real house needs a few hundred."""

_BLOCK: Final = 2 * GAP_CANDIDATES_MAX

FULL = Rejection(Reason.NO_AVAILABILITY, "Nothing that fits is free then.")
BELOW_MINIMUM = Rejection(Reason.NO_AVAILABILITY, "No seat takes so small a party.")
PACE_REACHED = Rejection(Reason.NO_AVAILABILITY, "The kitchen takes no more guests at that time.")
TOO_LARGE = Rejection(Reason.PARTY_TOO_LARGE, "No seat or combination takes so large a party.")

Taken: TypeAlias = list[tuple[Column, int]]
"""The columns that a run of slots touches, each with the run's bits in it; words where nothing is taken are absent."""


def choose(state: VendorState, request: SeatRequest, span: Span) -> Sequence[int] | Rejection:
    """Positions of the seats for a new request at a time that the vendor offers."""
    chosen = choose_seats(state, request, span, state.facts.plan.closed_between(span.first_day, span.last_day))
    if state.facts.covers_per_step is not None and chosen is not TOO_LARGE and not pace_allows(state, request, span):
        return PACE_REACHED
    return chosen


def choose_seats(
    state: VendorState, request: SeatRequest, span: Span, closed: ClosedSeats
) -> Sequence[int] | Rejection:
    """As `choose`, whatever the pace; the caller says which seats are out of sale."""
    if request.quantity == 1:
        return _one_seat(state, request, span, closed)
    return _rooms(state, request, span, closed)


def can_seat(state: VendorState, request: SeatRequest, span: Span, price_max_minor: int | None = None) -> bool:
    """Whether `choose` would find seats, without weighing which are best: for a search that looks at many vendors.

    Seats that cost more than `price_max_minor`, or have no price, are as good as out of sale to who gave one.
    """
    if not pace_allows(state, request, span):
        return False
    plan = state.facts.plan
    closed = plan.closed_between(span.first_day, span.last_day)
    if price_max_minor is not None:
        closed = _dearer_closed(plan, closed, price_max_minor)
    if request.quantity != 1:
        return not isinstance(_rooms(state, request, span, closed), Rejection)
    taken = taken_in(state, span.first_slot, span.slot_count)
    return _any_free(plan, request, taken, closed) or _combination(plan, request, taken, closed) is not None


def fits_ever(plan: SeatPlan, request: SeatRequest, price_max_minor: int | None) -> bool:
    """Whether any seat or combination takes such a party for such a price, when all are free."""
    closed = bytearray() if price_max_minor is None else _dearer_closed(plan, bytearray(), price_max_minor)
    return _any_free(plan, request, [], closed) or _combination(plan, request, [], closed) is not None


def seat_cost(plan: SeatPlan) -> int:
    """What one `can_seat` costs at most, in units of about a microsecond."""
    return 1 + len(plan.classes) + 4 * len(plan.combinations) + len(plan) // 8


def _dearer_closed(plan: SeatPlan, closed: ClosedSeats, price_max_minor: int) -> ClosedSeats:
    for start, end, _, _, _, _, price_minor in plan.classes:
        if price_minor == NO_PRICE or price_minor > price_max_minor:
            closed = closed or bytearray(len(plan))
            closed[start:end] = b"\1" * (end - start)
    return closed


def pace_allows(state: VendorState, request: SeatRequest, span: Span) -> bool:
    """Whether the step in which the sitting starts takes the party's covers too."""
    pace = state.facts.covers_per_step
    return pace is None or state.covers_at(span.first_slot) + request.party_size <= pace


def keeps_seats(
    state: VendorState, positions: Sequence[int], request: SeatRequest, span: Span, closed: ClosedSeats
) -> bool:
    """Whether a party may stay where it sits: its seats are in sale, free, of the type, and still fit it."""
    plan = state.facts.plan
    if len(_free(positions, taken_in(state, span.first_slot, span.slot_count), closed)) < len(positions):
        return False
    classes = [plan.class_of(position) for position in positions]
    if request.type_no is not None and any(c.type_no != request.type_no for c in classes):
        return False
    party_size = request.party_size
    if state.kind is VendorKind.RESTAURANT and len(positions) > 1:
        wanted = set(positions)
        return any(
            set(combination.positions) == wanted and combination.capacity_min <= party_size <= combination.capacity_max
            for combination in plan.combinations
        )
    return sum(c.capacity_min for c in classes) <= party_size <= sum(c.capacity_max for c in classes)


def taken_in(state: VendorState, first_slot: int, count: int) -> Taken:
    taken: Taken = []
    for word, mask in run_words(first_slot, count):
        column = state.column(word)
        if column is not None:
            taken.append((column, mask))
    return taken


def _one_seat(state: VendorState, request: SeatRequest, span: Span, closed: ClosedSeats) -> Sequence[int] | Rejection:
    """A party at one table, at one declared combination, or in one room."""
    taken = taken_in(state, span.first_slot, span.slot_count)
    free = _smallest_free(state.facts.plan, request, taken, closed)
    if len(free) == 1:
        return free
    if free:
        return (_tightest(state, free, span.first_slot, span.slot_count),)
    return _combination(state.facts.plan, request, taken, closed) or _why_none(state.facts.plan, request)


def _smallest_free(plan: SeatPlan, request: SeatRequest, taken: Taken, closed: ClosedSeats) -> list[int]:
    """Free single seats of the first tier that has any, the first few of them."""
    party_size, _, type_no, _ = request
    free: list[int] = []
    free_tier = -1
    for start, end, capacity_min, capacity_max, class_type, tier, _ in plan.classes:
        if not capacity_min <= party_size <= capacity_max or (type_no is not None and class_type != type_no):
            continue
        if free and tier != free_tier:
            break
        free_tier = tier
        for block in range(start, end, _BLOCK):
            if len(free) >= GAP_CANDIDATES_MAX:
                break
            free += _free(range(block, min(block + _BLOCK, end)), taken, closed)
    return free


def _any_free(plan: SeatPlan, request: SeatRequest, taken: Taken, closed: ClosedSeats) -> bool:
    """Whether any single seat that fits is free, whichever it is."""
    party_size, _, type_no, _ = request
    for start, end, capacity_min, capacity_max, class_type, _, _ in plan.classes:
        if not capacity_min <= party_size <= capacity_max or (type_no is not None and class_type != type_no):
            continue
        if not taken and not closed:
            return True
        for block in range(start, end, _BLOCK):
            if _free(range(block, min(block + _BLOCK, end)), taken, closed):
                return True
    return False


def _combination(plan: SeatPlan, request: SeatRequest, taken: Taken, closed: ClosedSeats) -> tuple[int, ...] | None:
    """The smallest declared combination that takes the party and is free as a whole."""
    party_size, _, type_no, _ = request
    for capacity_min, capacity_max, combination_type, positions in plan.combinations:
        if not capacity_min <= party_size <= capacity_max or (type_no is not None and combination_type != type_no):
            continue
        if len(_free(positions, taken, closed)) == len(positions):
            return positions
    return None


def _why_none(plan: SeatPlan, request: SeatRequest) -> Rejection:
    """Nothing is free: whether it could be, another time, for such a party."""
    party_size, _, type_no, _ = request
    minima = [
        capacity_min
        for capacity_min, capacity_max, seat_type in chain(
            ((c.capacity_min, c.capacity_max, c.type_no) for c in plan.classes),
            ((c.capacity_min, c.capacity_max, c.type_no) for c in plan.combinations),
        )
        if party_size <= capacity_max and (type_no is None or seat_type == type_no)
    ]
    if not minima:
        return TOO_LARGE
    return FULL if min(minima) <= party_size else BELOW_MINIMUM


def _rooms(state: VendorState, request: SeatRequest, span: Span, closed: ClosedSeats) -> Sequence[int] | Rejection:
    """Several rooms of one type that take the party together: the type that leaves the fewest places empty."""
    party_size, _, type_no, quantity = request
    first_slot, count = span.first_slot, span.slot_count
    plan = state.facts.plan
    taken = taken_in(state, first_slot, count)
    best: tuple[tuple[int, int], list[int]] | None = None
    by_type: dict[int, list[SeatClass]] = {}
    for seat_class in plan.classes:
        if type_no is None or seat_class.type_no == type_no:
            by_type.setdefault(seat_class.type_no, []).append(seat_class)
    large_enough = [classes for classes in by_type.values() if _places(classes, quantity) >= party_size]
    for classes in large_enough:
        free = [
            (position, seat_class)
            for seat_class in classes
            for position in _by_gap(
                state, _free(range(seat_class.start, seat_class.end), taken, closed), first_slot, count
            )
        ]
        rooms = rooms_for(free, party_size, quantity, ROOM_STEPS_MAX // len(large_enough))
        if rooms is None:
            continue
        cost = sum(room.capacity_max for _, room in rooms), sum(room.price_minor for _, room in rooms)
        if best is None or cost < best[0]:
            best = cost, [position for position, _ in rooms]
    if best is not None:
        return best[1]
    return FULL if large_enough else TOO_LARGE


def _places(classes: Sequence[SeatClass], quantity: int) -> int:
    """How many guests the largest `quantity` rooms of these classes take."""
    places = 0
    for seat_class in reversed(classes):
        rooms = min(quantity, seat_class.end - seat_class.start)
        places += rooms * seat_class.capacity_max
        quantity -= rooms
    return places


def _free(positions: Sequence[int], taken: Taken, closed: ClosedSeats) -> list[int]:
    """Those of the positions where the whole run is free, in order."""
    if len(taken) == 1:
        column, mask = taken[0]
        free = [position for position in positions if not column[position] & mask]
    else:
        free = list(positions)
        for column, mask in taken:
            free = [position for position in free if not column[position] & mask]
    if closed:
        return [position for position in free if not closed[position]]
    return free


def _tightest(state: VendorState, free: Sequence[int], first_slot: int, count: int) -> int:
    """The seat whose free stretch around the run is shortest, so that long ones stay whole; the first among equals."""
    gaps = _gaps(state, free, first_slot, count)
    return free[gaps.index(min(gaps))]


def _by_gap(state: VendorState, free: Sequence[int], first_slot: int, count: int) -> list[int]:
    """Tightest first; those beyond the first few stay in order behind them."""
    gaps = _gaps(state, free, first_slot, count)
    order = sorted(range(len(gaps)), key=gaps.__getitem__)
    return [free[place] for place in order] + list(free[len(gaps) :])


def _gaps(state: VendorState, free: Sequence[int], first_slot: int, count: int) -> list[int]:
    """Free slots right before and after the run, for the first few of the seats; sees one word beyond on either side."""
    first_word = (first_slot >> 6) - 1
    last_word = ((first_slot + count - 1) >> 6) + 1
    around: list[tuple[Column, int]] = []
    for word in range(first_word, last_word + 1):
        column = state.column(word)
        if column is not None:
            around.append((column, (word - first_word) * WORD_BITS))
    begin = first_slot - first_word * WORD_BITS
    end = begin + count
    beyond = (last_word - first_word + 1) * WORD_BITS - end
    before = (1 << begin) - 1
    gaps: list[int] = []
    for position in free[:GAP_CANDIDATES_MAX]:
        bits = 0
        for column, shift in around:
            bits |= column[position] << shift
        after = bits >> end
        gaps.append(begin - (bits & before).bit_length() + ((after & -after).bit_length() - 1 if after else beyond))
    return gaps
