"""Slots, and the words of 64 bits that hold them.

A slot has a number that depends on nothing a vendor may change except its step. A restaurant's slot number is its
first minute since 1970 in UTC, divided by the step; a hotel's is the night's ordinal, `date.toordinal()` of the
evening it begins. Slot n is bit `n & 63` of word `n >> 6`.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from math import gcd
from typing import Final, TypeAlias

from domain.rejection import Reason, Rejection
from domain.vendor import Service

WORD_BITS: Final = 64
STEP_MINUTES_MIN: Final = 5
STEP_MINUTES_MAX: Final = 60
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
DAY_MINUTES: Final = 1440

WordMask: TypeAlias = tuple[int, int]
"""A word's number, and the bits of it that are meant."""


def run_words(first_slot: int, count: int) -> list[WordMask]:
    """The words that `count` consecutive slots touch, in order, each with its bits."""
    word = first_slot >> 6
    bit = first_slot & 63
    if bit + count <= WORD_BITS:
        return [(word, ((1 << count) - 1) << bit)] if count else []
    bits = ((1 << count) - 1) << bit
    words: list[WordMask] = []
    while bits:
        words.append((word, bits & 0xFFFF_FFFF_FFFF_FFFF))
        bits >>= WORD_BITS
        word += 1
    return words


def step_that_fits(services: Sequence[Service], zone_offsets: Iterable[int]) -> int | Rejection:
    """The longest slot, in minutes, on whose edges every start of every service falls, whatever the clocks do.

    It divides 60 and is at least 5; the refusal names the first field that makes this impossible. `zone_offsets` are
    minutes east of UTC.
    """
    step = gcd(STEP_MINUTES_MAX, *zone_offsets)
    if step < STEP_MINUTES_MIN:
        return _unfit("time_zone", "the zone's distance from UTC")
    for index, service in enumerate(services):
        step = gcd(step, service.first.hour * 60 + service.first.minute)
        if step < STEP_MINUTES_MIN:
            return _unfit(f"services[{index}].first", "this start with the rest of the week")
        step = gcd(step, service.every_minutes)
        if step < STEP_MINUTES_MIN:
            return _unfit(f"services[{index}].every_minutes", "this interval with the rest of the week")
    return step


def _unfit(path: str, what: str) -> Rejection:
    return Rejection(
        Reason.INVALID_REQUEST,
        f"No slot of {STEP_MINUTES_MIN} minutes or more that divides an hour fits {what}.",
        path,
    )
