"""The same time in slots of another length. A step only ever becomes finer, so nothing is lost."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from domain.booking import Booking
from domain.slots import WORD_BITS, run_words


def rescale_words(words: Iterable[tuple[int, int, int]], old_step: int, new_step: int) -> list[tuple[int, int, int]]:
    """Rewrite (seat_no, word, mask) rows for a finer step, sorted by seat and word. `new_step` divides `old_step`."""
    scale = _scale(old_step, new_step)
    finer: dict[tuple[int, int], int] = {}
    for seat_no, word, mask in words:
        for bit in range(WORD_BITS):
            if mask >> bit & 1:
                for new_word, new_mask in run_words((word * WORD_BITS + bit) * scale, scale):
                    finer[seat_no, new_word] = finer.get((seat_no, new_word), 0) | new_mask
    return [(seat_no, word, mask) for (seat_no, word), mask in sorted(finer.items())]


def rescale_covers(covers: Mapping[int, int], old_step: int, new_step: int) -> dict[int, int]:
    """Covers by start slot, for a finer step."""
    scale = _scale(old_step, new_step)
    return {slot * scale: count for slot, count in covers.items()}


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
