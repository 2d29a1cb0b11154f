"""Several rooms of one type for one party: `sum(capacity_min) <= party_size <= sum(capacity_max)`.

The fewest places are left empty, and among such choices the cheapest is taken. Rooms of one size (least and most
guests) differ in price alone, so what is chosen is how many of each size: a knapsack, exact for any real house. A
vendor may still declare hundreds of sizes; then the weighing ends at a limit and an exchange of rooms must do.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from operator import itemgetter
from typing import Final, NamedTuple, Optional

from domain.seat_plan import SeatClass

Room = tuple[int, SeatClass]
"""A free room's position, and what it is like."""

_PRICE: Final = itemgetter(0)


class _Taken(NamedTuple):
    """How many rooms of a size are taken, and those of the sizes before it; `price_minor` is of all of them."""

    price_minor: int
    rooms: int
    before: Optional["_Taken"]


def rooms_for(free: Sequence[Room], party_size: int, quantity: int, steps_max: int) -> list[Room] | None:
    """The best `quantity` of the free rooms, or None; `free` goes by capacity_max, then price, then preference.

    Exact within `steps_max` combinations weighed. Beyond, rooms that fit may not be the best, or be overlooked where
    it takes their capacity_min to tell.
    """
    if len(free) < quantity:
        return None
    smallest = list(free[:quantity])
    if _fit(smallest, party_size):
        return smallest
    if sum(room.capacity_max for _, room in free[-quantity:]) < party_size:
        return None
    if sum(sorted(room.capacity_min for _, room in free)[:quantity]) > party_size:
        return None
    exchanged = _by_exchange(free, party_size, quantity)
    if exchanged is not None and not _fit(exchanged, party_size):
        exchanged = None
    known = free[-quantity:] if exchanged is None else exchanged
    places_max = sum(room.capacity_max for _, room in known)
    sizes: dict[tuple[int, int], list[Room]] = {}
    for position, room in free:
        sizes.setdefault((room.capacity_max, room.capacity_min), []).append((position, room))
    try:
        counts = _counts(sizes, party_size, quantity, places_max, steps_max)
    except _TooManySizes:
        return exchanged
    if counts is None:
        return None
    return [room for rooms, count in zip(sizes.values(), counts, strict=True) for room in rooms[:count]]


class _TooManySizes(Exception):
    """There are more choices than may be weighed."""


def _fit(rooms: Sequence[Room], party_size: int) -> bool:
    return sum(room.capacity_min for _, room in rooms) <= party_size <= sum(room.capacity_max for _, room in rooms)


def _counts(
    sizes: dict[tuple[int, int], list[Room]], party_size: int, quantity: int, places_max: int, steps_max: int
) -> list[int] | None:
    """How many rooms to take of each size, at most `places_max` places in all. Raises _TooManySizes.

    `reached` are the ways to take rooms of the sizes seen so far: by (rooms, most guests, least guests), the cheapest.
    """
    reached: dict[tuple[int, int, int], _Taken | None] = {(0, 0, 0): None}
    left = sum(map(len, sizes.values()))
    shapes = list(sizes)
    largest = shapes[-1][0]
    least_of_rest = list(accumulate((least for _, least in reversed(shapes)), min))[::-1]
    steps = 0
    for place, ((most, least), rooms) in enumerate(sizes.items()):
        prices = list(accumulate((room.price_minor for _, room in rooms), initial=0))
        left -= len(rooms)
        smallest, humblest = (shapes[place + 1][0], least_of_rest[place + 1]) if left else (0, 0)
        further: dict[tuple[int, int, int], _Taken | None] = {}
        for (taken, places, needed), before in reached.items():
            price_before = before.price_minor if before is not None else 0
            for count in range(max(0, quantity - taken - left), min(len(rooms), quantity - taken) + 1):
                steps += 1
                rest = quantity - taken - count
                key = taken + count, places + count * most, needed + count * least
                if (
                    key[1] + rest * largest < party_size
                    or key[1] + rest * smallest > places_max
                    or key[2] + rest * humblest > party_size
                ):
                    continue
                price_minor = price_before + prices[count]
                known = further.get(key)
                if known is None or price_minor < known.price_minor:
                    further[key] = _Taken(price_minor, count, before)
            if steps > steps_max:
                raise _TooManySizes
        reached = further
    ends = [(places, taken) for (_, places, _), taken in reached.items() if taken is not None]
    if not ends:
        return None
    fewest = min(places for places, _ in ends)
    return _unfolded(min((taken for places, taken in ends if places == fewest), key=_PRICE))


def _unfolded(taken: _Taken | None) -> list[int]:
    counts: list[int] = []
    while taken is not None:
        counts.append(taken.rooms)
        taken = taken.before
    return counts[::-1]


def _by_exchange(free: Sequence[Room], party_size: int, quantity: int) -> list[Room] | None:
    """The smallest rooms, of which some are given up for larger ones until the party fits; minima are not looked at.

    While one exchange is not enough, the smallest room goes for the largest; the last one gains as little as it may.
    """
    rooms, spare = list(free[:quantity]), list(free[quantity:])
    short = party_size - sum(room.capacity_max for _, room in rooms)
    while short > 0:
        gain = spare[-1][1].capacity_max - rooms[0][1].capacity_max if spare else 0
        if gain <= 0:
            return None
        given, taken = 0, len(spare) - 1
        if gain >= short:
            gain, given, taken = _least_exchange(rooms, spare, short)
        rooms.append(spare.pop(taken))
        del rooms[given]
        short -= gain
    return rooms


def _least_exchange(rooms: Sequence[Room], spare: Sequence[Room], short: int) -> tuple[int, int, int]:
    """The smallest gain of at least `short` places, and which room is given for which spare one."""
    capacities = [room.capacity_max for _, room in spare]
    exchanges = []
    for less, given in {room.capacity_max: place for place, (_, room) in enumerate(rooms)}.items():
        taken = bisect_left(capacities, less + short)
        if taken < len(capacities):
            exchanges.append((capacities[taken] - less, given, taken))
    return min(exchanges)
