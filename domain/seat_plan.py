"""A vendor's seats, compiled for choosing among them: alike seats are one class, and no seat is an object.

Seats are put in order of preference (smallest first, then cheapest, then as listed) and known by their *position* in
it. A class is a run of positions whose seats nothing tells apart; classes of one *tier* take the same party for the
same price, and among their free seats the gap decides.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, repeat
from operator import attrgetter
from sys import intern
from typing import Final, NamedTuple, TypeAlias

from domain.booking import BookedSeat
from domain.local_time import day_of
from domain.vendor import SeatGroup

NO_PRICE: Final = -1

_LOOKED_THROUGH_MAX: Final = 64
"""Up to so many seats, looking through their numbers is as quick as any index, and most houses are no larger."""
_NO_INDEX: Final = array("H")

_START: Final = attrgetter("start")
_FIRST_DAY: Final = attrgetter("first_day")


class SeatClass(NamedTuple):
    """Seats at positions `start..end-1`. `price_minor` is NO_PRICE where the vendor gave none."""

    start: int
    end: int
    capacity_min: int
    capacity_max: int
    type_no: int
    tier: int
    price_minor: int


class Combination(NamedTuple):
    """Seats that are put together for a party larger than any one of them takes; `type_no` is -1 where they differ."""

    capacity_min: int
    capacity_max: int
    type_no: int
    positions: tuple[int, ...]


class SeatClosure(NamedTuple):
    """A group's seats, positions `start..end-1`, are out of sale from `first_day` to `last_day`, both included.

    Days since 1970. One for the whole group: seats of a group stand side by side.
    """

    start: int
    end: int
    first_day: int
    last_day: int


ClosedSeats: TypeAlias = bytearray
"""By position, 1 where the seat is out of sale; empty where none is. A mask is made and asked in no time."""


@dataclass(frozen=True, slots=True)
class SeatPlan:
    """`seat_nos` and `group_of` are by position; `group_names` are joined by NUL, which no name may hold.

    `closures` are by their first day. `by_number` are the positions in the order of the seats' numbers, empty in a
    house so small that nobody needs it.
    """

    seat_nos: "array[int]"
    by_number: "array[int]"
    group_of: "array[int]"
    group_names: str
    types: tuple[str, ...]
    classes: tuple[SeatClass, ...]
    combinations: tuple[Combination, ...]
    closures: tuple[SeatClosure, ...]

    def __len__(self) -> int:
        return len(self.seat_nos)

    def position_of(self, seat_no: int) -> int | None:
        """Where the seat stands, or None when the vendor has it no longer."""
        if not self.by_number:
            try:
                return self.seat_nos.index(seat_no)
            except ValueError:
                return None
        place = bisect_left(self.by_number, seat_no, key=self.seat_nos.__getitem__)
        if place == len(self.by_number) or self.seat_nos[self.by_number[place]] != seat_no:
            return None
        return self.by_number[place]

    def class_of(self, position: int) -> SeatClass:
        return self.classes[bisect_right(self.classes, position, key=_START) - 1]

    def booked(self, positions: Sequence[int]) -> tuple[BookedSeat, ...]:
        """The seats as a booking writes them down."""
        names = self.group_names.split("\0")
        return tuple(
            [
                BookedSeat(
                    self.seat_nos[position], names[self.group_of[position]], self.types[self.class_of(position).type_no]
                )
                for position in positions
            ]
        )

    def closed_between(self, first_day: int, last_day: int) -> ClosedSeats:
        """Which seats are out of sale on any day of the range, both ends included. The caller may change the mask."""
        closed = bytearray()
        for start, end, _, closed_until in self.closures[: bisect_right(self.closures, last_day, key=_FIRST_DAY)]:
            if first_day <= closed_until:
                if not closed:
                    closed = bytearray(len(self))
                closed[start:end] = b"\1" * (end - start)
        return closed


def compile_plan(groups: Sequence[SeatGroup], combinations: Sequence[Sequence[str]]) -> SeatPlan:
    """Put the seats in order. The groups have their numbers, and combinations name groups of one seat."""
    types = tuple(dict.fromkeys(intern(group.seat_type) for group in groups))
    type_nos = {seat_type: type_no for type_no, seat_type in enumerate(types)}
    keys = [_class_key(group, type_nos) for group in groups]
    order = sorted(range(len(groups)), key=keys.__getitem__)
    seat_nos = array("I")
    group_of = array("H" if len(groups) < 1 << 16 else "I")
    first_position: dict[str, int] = {}
    closures: list[SeatClosure] = []
    classes: list[SeatClass] = []
    tiers: dict[tuple[int, int], int] = {}
    for alike, members in groupby(order, key=keys.__getitem__):
        start = len(seat_nos)
        for index in members:
            group = groups[index]
            begin = first_position[group.name] = len(seat_nos)
            seat_nos.extend(group.seat_nos)
            group_of.extend(repeat(index, len(group.seat_nos)))
            closures.extend(
                SeatClosure(begin, len(seat_nos), day_of(closure.first), day_of(closure.last))
                for closure in group.closures
            )
        capacity_max, price, capacity_min, type_no = alike
        tier = tiers.setdefault((capacity_max, price), len(tiers))
        classes.append(SeatClass(start, len(seat_nos), capacity_min, capacity_max, type_no, tier, price))
    shared = tuple(classes)
    return SeatPlan(
        seat_nos,
        _by_number(seat_nos),
        group_of,
        intern("\0".join(group.name for group in groups)),
        _same_types(types),
        _same_classes(shared),
        tuple(sorted((_combination(names, first_position, shared) for names in combinations), key=_smallest_first)),
        tuple(sorted(closures, key=_FIRST_DAY)),
    )


def _by_number(seat_nos: "array[int]") -> "array[int]":
    if len(seat_nos) <= _LOOKED_THROUGH_MAX:
        return _NO_INDEX
    order = sorted(range(len(seat_nos)), key=seat_nos.__getitem__)
    return array("H" if len(seat_nos) < 1 << 16 else "I", order)


def _class_key(group: SeatGroup, type_nos: dict[str, int]) -> tuple[int, int, int, int]:
    price_minor = group.price.amount_minor if group.price else NO_PRICE
    return group.capacity_max, price_minor, group.capacity_min, type_nos[group.seat_type]


def _smallest_first(combination: Combination) -> tuple[int, int]:
    return combination.capacity_max, len(combination.positions)


def _combination(names: Sequence[str], first_position: dict[str, int], classes: Sequence[SeatClass]) -> Combination:
    positions = tuple(first_position[name] for name in names)
    members = [classes[bisect_right(classes, position, key=_START) - 1] for position in positions]
    type_nos = {member.type_no for member in members}
    return Combination(
        max(member.capacity_max for member in members) + 1,
        sum(member.capacity_max for member in members),
        type_nos.pop() if len(type_nos) == 1 else -1,
        positions,
    )


@lru_cache(maxsize=4096)
def _same_types(types: tuple[str, ...]) -> tuple[str, ...]:
    """One tuple for all vendors that use the same words."""
    return types


@lru_cache(maxsize=4096)
def _same_classes(classes: tuple[SeatClass, ...]) -> tuple[SeatClass, ...]:
    """One tuple for all vendors whose seats are alike."""
    return classes
