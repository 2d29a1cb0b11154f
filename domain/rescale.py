"""The same time in slots of another length. A step only ever becomes finer, so nothing is lost."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from domain.booking import Booking
from domain.slots import WORD_BITS


def rescale_words(words: Iterable[tuple[int, int, int]], old_step: int, new_step: int) -> list[tuple[int, int, int]]:
    """Rewrite (seat_no, word, mask) rows for a finer step, sorted by seat and word. `new_step` divides `old_step`.

    A word becomes `old_step / new_step` words, in which each of its bits stands as often; those without a bit are left out.
    """
    scale = _scale(old_step, new_step)
    coarse = list(words)
    masks = np.array([mask for _, _, mask in coarse], dtype="<u8")
    bits = np.unpackbits(masks.view(np.uint8).reshape(-1, WORD_BITS // 8), axis=1, bitorder="little")
    finer = np.packbits(np.repeat(bits, scale, axis=1), axis=1, bitorder="little").view("<u8")
    return sorted(
        (seat_no, word * scale + part, mask)
        for (seat_no, word, _), parts in zip(coarse, finer.tolist(), strict=True)
        for part, mask in enumerate(parts)
        if mask
    )


def in_step(booking: Booking, step_minutes: int) -> Booking:
    """The booking with its slots counted in the vendor's present step."""
    if booking.step_minutes == step_minutes:
        return booking
    scale = _scale(booking.step_minutes, step_minutes)
    return replace(
        booking,
        step_minutes=step_minutes,
        first_slot=booking.first_slot * scale,
        slot_count=booking.slot_count * scale,
        held_slot_count=booking.held_slot_count * scale,
    )


def _scale(old_step: int, new_step: int) -> int:
    """How many new slots make an old one. Raises ValueError where that is no whole number."""
    if old_step == new_step:
        return 1
    if min(old_step, new_step) <= 0 or old_step % new_step:
        raise ValueError(f"slots of {old_step} minutes cannot be counted in slots of {new_step}")
    return old_step // new_step
