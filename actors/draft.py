"""One batch in the making: commands decided one after another on an overlay of memory, nothing of it visible yet."""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import cast

from actors.errors import DecisionFailed, OverlaySpoilt
from actors.idempotency import replay, scope_of
from actors.limits import ShardLimits
from actors.mailbox import Asked
from actors.memory import ShardMemory
from actors.outcome import NO_VENDOR, Done, Outcome
from domain.booking import Booking, BookingStatus
from domain.command import AmendBooking, BookingCommand, Caller, Once, PlaceHold, SetStatus
from domain.decide import NO_SUCH_BOOKING, decide_change, decide_hold, may_change, may_hold
from domain.event import BookingEvent
from domain.evolve import evolve, word_changes
from domain.ids import BookingId, UserId, VendorId
from domain.rejection import Reason, Rejection
from domain.vendor_state import VendorState
from storage.shard_store import Answer, Batch, Lease, WordChange

_log = logging.getLogger(__name__)

TOO_MANY_HOLDS = Rejection(Reason.RATE_LIMITED, "Too many unpaid bookings at once; confirm or cancel some first.")


class Overlay:
    """A vendor inside a batch: its forked state, and by (seat_no, word) every bit that the batch changes."""

    __slots__ = ("changed", "state")

    def __init__(self, state: VendorState) -> None:
        self.state = state
        self.changed: dict[tuple[int, int], int] = {}

    def disjoint(self, changes: Sequence[tuple[int, int, int, int]]) -> bool:
        """Whether the batch has not touched any of these bits yet.

        A bit may change only once in a batch: the statement could not tell two takers of one bit from one, and a bit
        freed in this batch is not free before the batch has committed.
        """
        changed = self.changed
        for seat_no, word, clear, set_ in changes:  # noqa: SIM110 - every booking passes here, and a loop is quicker
            if changed.get((seat_no, word), 0) & (clear | set_):
                return False
        return True

    def add(self, changes: Sequence[tuple[int, int, int, int]]) -> None:
        changed = self.changed
        for seat_no, word, clear, set_ in changes:
            changed[seat_no, word] = changed.get((seat_no, word), 0) | clear | set_


class Draft:
    """Decides commands in order and gathers what one statement must write.

    A command is put off to the next batch when its booking, its idempotency scope or one of its bits was already changed
    in this one, or when the batch is large enough without it. Outcomes are only given out after the commit, refusals
    too: they may rest on the overlay.
    """

    def __init__(self, memory: ShardMemory, now: datetime, limits: ShardLimits) -> None:
        self._memory = memory
        self._now = now
        self._holds_max = limits.holds_per_guest_max
        self._words_max = limits.batch_words_max
        self._touched: set[BookingId] = set()
        self._scopes: set[bytes] = set()
        self._new_holds: dict[UserId, int] = {}
        self.overlays: dict[VendorId, Overlay] = {}
        self.events: list[BookingEvent] = []
        self.words: list[WordChange] = []
        self.placed: list[Booking] = []
        self.changed: list[Booking] = []
        self.answers: list[Answer] = []
        self.outcomes: list[tuple[Asked, Outcome]] = []
        self.failures: list[tuple[Asked, DecisionFailed]] = []
        self.deferred: list[Asked] = []
        self.doubts: list[int] = []
        """Places in `outcomes` of answers that an earlier success unknown to memory would turn into its replay."""

    @property
    def vendor_ids(self) -> list[VendorId]:
        return list(self.overlays)

    def decide_all(self, asked: Sequence[Asked]) -> None:
        for place, one in enumerate(asked):
            if len(self.words) >= self._words_max:
                self.deferred += asked[place:]
                return
            command = one.command
            try:
                if type(command) is PlaceHold:
                    outcome = self._hold(one, command)
                else:
                    outcome = self._change(one, cast("BookingCommand", command))
            except OverlaySpoilt:
                raise
            except Exception as error:  # noqa: BLE001 - see below
                # Deciding is pure, so one bad command cannot have spoilt the others: it alone gets the blame.
                _log.exception("deciding %s failed", type(command).__name__)
                self.failures.append((one, DecisionFailed(f"{type(error).__name__} while deciding")))
                continue
            if outcome is None:
                self.deferred.append(one)
            else:
                self.outcomes.append((one, outcome))

    def batch(self, lease: Lease, seq: int) -> Batch:
        """The rows of the one statement.

        Words come once for each booking that changes them: the statement counts their bits before it merges them, so
        that it stops two takers of one bit even if we did not.
        """
        return Batch(lease, seq, self.words, self.placed, self.changed, self.answers, self.events)

    def _hold(self, asked: Asked, command: PlaceHold) -> Outcome | None:
        vendor_id = command.vendor_id
        overlay = self.overlays.get(vendor_id)
        state = overlay.state if overlay is not None else self._memory.vendors.get(vendor_id)
        refusal = may_hold(command)
        if state is None:
            return NO_VENDOR if refusal is None else refusal
        if refusal is not None:
            # A malformed wish is told so even where its sender may not book at all.
            shape = decide_hold(state, command, now=self._now)
            return shape if isinstance(shape, Rejection) else refusal
        booking_id = command.booking_id
        if booking_id in self._touched:
            return None
        known, deferred = self._seen(asked, command.caller, vendor_id, booking_id, command.once)
        if deferred or known is not None:
            return known
        known_booking = self._memory.bookings.get(booking_id)
        if known_booking is not None and same_hold(known_booking, command):
            # With a key, the first answer is what counts, and it may be older than the booking is now.
            return self._doubt(asked, Done(known_booking, replayed=True))
        event = decide_hold(state, command, now=self._now)
        if isinstance(event, Rejection):
            return self._doubt(asked, event)
        unpaid = event.booking.status is BookingStatus.BLOCKED
        if unpaid and self._holds_of(command.user_id) >= self._holds_max:
            return self._doubt(asked, TOO_MANY_HOLDS)
        if not self._record(asked, event, command.once):
            return None
        if unpaid:
            self._new_holds[command.user_id] = self._new_holds.get(command.user_id, 0) + 1
        self.placed.append(event.booking)
        return Done(event.booking)

    def _holds_of(self, user_id: UserId) -> int:
        return self._memory.holds.of_guest(user_id) + self._new_holds.get(user_id, 0)

    def _change(self, asked: Asked, command: BookingCommand) -> Outcome | None:
        booking_id = command.booking_id
        if booking_id in self._touched:
            return None
        booking = self._memory.bookings.get(booking_id)
        if booking is None:
            return NO_SUCH_BOOKING
        once = None
        if isinstance(command, (AmendBooking, SetStatus)):
            refusal = may_change(booking, command)
            if refusal is not None:
                return refusal
            once = command.once
            known, deferred = self._seen(asked, command.caller, booking.vendor_id, booking_id, once)
            if deferred or known is not None:
                return known
        overlay = self.overlays.get(booking.vendor_id)
        state = overlay.state if overlay is not None else self._memory.vendors[booking.vendor_id]
        event = decide_change(state, booking, command, now=self._now)
        if isinstance(event, Rejection):
            return self._doubt(asked, event)
        if not self._record(asked, event, once):
            return None
        self.changed.append(event.booking)
        return Done(event.booking)

    def _seen(
        self, asked: Asked, caller: Caller, vendor_id: VendorId, booking_id: BookingId, once: Once | None
    ) -> tuple[Outcome | None, bool]:
        """The answer of an earlier send under the same key, and whether to wait for one of this very batch."""
        if once is None:
            return None, False
        scope = asked.scope
        if scope is None:
            scope = asked.scope = scope_of(caller, vendor_id, once)
        if scope in self._scopes:
            self._touched.add(booking_id)
            return None, True
        answer = self._memory.answers.get(scope)
        return (None if answer is None else replay(answer, once)), False

    def _record(self, asked: Asked, event: BookingEvent, once: Once | None) -> bool:
        """Take the event into the overlay; False when the command must wait for the next batch."""
        booking = event.booking
        self._touched.add(booking.booking_id)
        if once is not None and asked.scope is not None:
            self._scopes.add(asked.scope)
        changes = word_changes(event)
        overlay = self.overlays.get(booking.vendor_id)
        if overlay is None:
            overlay = self.overlays[booking.vendor_id] = Overlay(self._memory.vendors[booking.vendor_id].fork())
        elif not overlay.disjoint(changes):
            return False
        overlay.add(changes)
        self.words += [WordChange(booking.vendor_id, *change) for change in changes]
        try:
            evolve(overlay.state, event)
        except Exception as error:
            raise OverlaySpoilt(f"{type(event).__name__} of booking {booking.booking_id}") from error
        self.events.append(event)
        if once is not None and asked.scope is not None:
            self.answers.append(Answer(asked.scope, once.fingerprint, booking))
        return True

    def _doubt(self, asked: Asked, outcome: Outcome) -> Outcome:
        if asked.scope is not None or asked.again:
            self.doubts.append(len(self.outcomes))
        return outcome


def same_hold(booking: Booking, command: PlaceHold) -> bool:
    """Whether the booking is what this very command made when it was sent before."""
    return booking.user_id == command.user_id and booking.vendor_id == command.vendor_id
