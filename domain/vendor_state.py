"""One vendor as a shard remembers it: its compiled facts, and which slots of which seats are taken.

Occupancy is kept by word: a *column* is one array of 64-bit masks, one for each seat by position, and exists only
once something in that word is taken. A fork reads through to what it was forked from and copies a column before its
first change of it, once; its copies are its own until they are merged. So a fork costs nothing, is dropped or merged
as a whole, and a column that anybody else may see is never changed in place.
"""

from array import array
from collections.abc import Iterable, Mapping
from typing import Optional, TypeAlias

from domain.booking import Booking
from domain.ids import VendorId
from domain.slots import WORD_BITS, run_words
from domain.vendor import Vendor, VendorKind
from domain.vendor_facts import VendorFacts, compile_facts

Column: TypeAlias = "array[int]"
"""The 64-bit masks of one word, by seat position."""

_COLUMN_BYTES = 180
"""An array without its items, its word's number and its place in the dictionary."""
_COVERS_BYTES = 100


class VendorState:
    """Made by `of` from the database, changed by `domain.evolve` alone, and that on a fork.

    `columns` and `covers` of a fork hold only what differs from its `base`, and nobody else has its columns. `covers` counts, by start slot, the
    guests of sittings that hold slots; it is kept only where the vendor sets a pace.
    """

    __slots__ = ("base", "columns", "covers", "facts")

    def __init__(self, facts: VendorFacts, base: Optional["VendorState"] = None) -> None:
        self.facts = facts
        self.base = base
        self.columns: dict[int, Column] = {}
        self.covers: dict[int, int] = {}

    @classmethod
    def of(cls, vendor: Vendor, words: Iterable[tuple[int, int, int]], covers: Mapping[int, int]) -> "VendorState":
        """From a vendor and its taken (seat_no, word, mask) rows; `covers` by start slot. Load anew after an update.

        Rows of seats that the vendor has no longer are left out: nobody can ask for them.
        """
        state = cls(compile_facts(vendor))
        plan = state.facts.plan
        places = {seat_no: position for position, seat_no in enumerate(plan.seat_nos)}
        columns = state.columns
        for seat_no, word, mask in words:
            position = places.get(seat_no)
            if position is None or not mask:
                continue
            column = columns.get(word)
            if column is None:
                column = columns[word] = array("Q", bytes(8 * len(plan)))
            column[position] |= mask
        if vendor.covers_per_step is not None:
            state.covers.update(covers)
        return state

    @property
    def vendor_id(self) -> VendorId:
        return self.facts.vendor_id

    @property
    def version(self) -> int:
        return self.facts.version

    @property
    def kind(self) -> VendorKind:
        return self.facts.kind

    @property
    def step_minutes(self) -> int:
        return self.facts.step_minutes

    def fork(self) -> "VendorState":
        """An overlay that reads through to this state and keeps its changes to itself."""
        return VendorState(self.facts, self)

    def merge(self, fork: "VendorState") -> None:
        """Take over what a fork of this state changed. The columns are the fork's no longer: it would copy them again."""
        self.columns.update(fork.columns)
        self.covers.update(fork.covers)
        fork.columns = {}

    def column(self, word: int) -> "Column | None":
        """The masks of a word by position, or None where nothing was ever taken; not to be changed."""
        state: VendorState | None = self
        while state is not None:
            column = state.columns.get(word)
            if column is not None:
                return column
            state = state.base
        return None

    def covers_at(self, slot: int) -> int:
        state: VendorState | None = self
        while state is not None:
            covers = state.covers.get(slot)
            if covers is not None:
                return covers
            state = state.base
        return 0

    def change_word(self, position: int, word: int, clear: int, set_: int) -> None:
        """Give back and take bits of one seat."""
        column = self.columns.get(word)
        if column is None or self.base is None:
            known = self.column(word)
            column = known[:] if known is not None else array("Q", bytes(8 * len(self.facts.plan)))
            self.columns[word] = column
        column[position] = column[position] & ~clear | set_

    def change_covers(self, slot: int, more: int) -> None:
        if self.facts.covers_per_step is not None:
            self.covers[slot] = self.covers_at(slot) + more

    def without(self, booking: Booking) -> "VendorState":
        """A fork in which the booking holds nothing, to see where else it would fit. Slots are the vendor's own."""
        fork = self.fork()
        for seat in booking.seats:
            position = self.facts.plan.position_of(seat.seat_no)
            if position is not None:
                for word, mask in run_words(booking.first_slot, booking.held_slot_count):
                    fork.change_word(position, word, mask, 0)
        if booking.held_slot_count:
            fork.change_covers(booking.first_slot, -booking.party_size)
        return fork

    def forget_before(self, slot: int) -> None:
        """Drop what lies wholly before a slot: it can be booked no more."""
        first_word = slot // WORD_BITS
        for word in [word for word in self.columns if word < first_word]:
            del self.columns[word]
        for start in [start for start in self.covers if start < slot]:
            del self.covers[start]

    def bytes_held(self) -> int:
        """About how much memory this takes."""
        return (
            self.facts.bytes_held
            + len(self.columns) * (_COLUMN_BYTES + 8 * len(self.facts.plan))
            + len(self.covers) * _COVERS_BYTES
        )
