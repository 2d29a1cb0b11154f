"""What an event does to a vendor's memory, and what it does to the words in the database."""

from domain.booking import Booking
from domain.event import BookingEvent
from domain.rescale import in_step
from domain.slots import run_words
from domain.vendor_state import VendorState


def evolve(state: VendorState, event: BookingEvent) -> None:
    """Apply an event to a forked state."""
    position_of = state.facts.plan.position_of
    for seat_no, word, clear, set_ in word_changes(event):
        position = position_of(seat_no)
        if position is not None:
            state.change_word(position, word, clear, set_)
    if state.facts.covers_per_step is not None:
        _count_covers(state, event)


def word_changes(event: BookingEvent) -> list[tuple[int, int, int, int]]:
    """The (seat_no, word, clear, set) rows that an event needs, sorted by seat and word.

    When what the booking holds changes at all, everything it held is cleared and everything it now holds is set, so
    that the guard checks the whole of both. Words count in the step of the booking after the event.
    """
    after = event.booking
    if event.before is None:
        words = run_words(after.first_slot, after.held_slot_count)
        if len(after.seats) == 1:
            seat_no = after.seats[0].seat_no
            return [(seat_no, word, 0, mask) for word, mask in words]
        return [(seat_no, word, 0, mask) for seat_no in _seat_nos(after) for word, mask in words]
    before = in_step(event.before, after.step_minutes)
    if _held(before) == _held(after):
        return []
    changes: dict[tuple[int, int], tuple[int, int]] = {}
    for seat_no in _seat_nos(before):
        for word, mask in run_words(before.first_slot, before.held_slot_count):
            changes[seat_no, word] = (mask, 0)
    for seat_no in _seat_nos(after):
        for word, mask in run_words(after.first_slot, after.held_slot_count):
            clear, _ = changes.get((seat_no, word), (0, 0))
            changes[seat_no, word] = (clear, mask)
    return [(seat_no, word, clear, set_) for (seat_no, word), (clear, set_) in sorted(changes.items())]


def _seat_nos(booking: Booking) -> list[int]:
    return sorted([seat.seat_no for seat in booking.seats])


def _held(booking: Booking) -> tuple[int, int, list[int]]:
    """What the booking holds, alike for any two that hold the same."""
    if not booking.held_slot_count:
        return 0, 0, []
    return booking.first_slot, booking.held_slot_count, _seat_nos(booking)


def _count_covers(state: VendorState, event: BookingEvent) -> None:
    after = event.booking
    before = event.before
    if before is not None and before.held_slot_count:
        before = in_step(before, after.step_minutes)
        state.change_covers(before.first_slot, -before.party_size)
    if after.held_slot_count:
        state.change_covers(after.first_slot, after.party_size)
