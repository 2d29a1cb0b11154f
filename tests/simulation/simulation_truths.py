"""What must hold of a batch, of an owner's memory and of the whole story, told as a list of what does not."""

from collections.abc import Sequence
from datetime import datetime

from actors.shard import Shard
from domain.booking import Booking, BookingStatus
from domain.command import ExpireHold
from domain.event import (
    BookingCancelled,
    BookingConfirmed,
    BookingEvent,
    DepositPaid,
    VendorCreated,
    VendorUpdated,
)
from domain.evolve import word_changes
from domain.ids import BookingId, bucket_of
from domain.vendor_state import VendorState
from storage.shard_store import Batch
from tests.fakes.memory_store import MemoryDatabase


def batch_untruths(batch: Batch) -> list[str]:
    """A bit, a booking and a key change at most once in a batch."""
    found = []
    ids = [event.booking.booking_id for event in batch.events]
    if len(set(ids)) != len(ids):
        found.append("a booking changed twice in one batch")
    scopes = [answer.scope for answer in batch.answers]
    if len(set(scopes)) != len(scopes):
        found.append("a key was answered twice in one batch")
    seen: dict[tuple[int, int, int], int] = {}
    for event in batch.events:
        for seat_no, word, clear, set_ in word_changes(event):
            key = (event.booking.vendor_id.int, seat_no, word)
            if seen.get(key, 0) & (clear | set_):
                found.append("a bit changed twice in one batch")
            seen[key] = seen.get(key, 0) | clear | set_
    return found


def memory_untruths(shard: Shard, database: MemoryDatabase, spoilt: Sequence[VendorState]) -> list[str]:
    """Memory against the database, except for the vendors whose memory was spoilt on purpose."""
    memory = shard._memory
    found = [
        f"memory of vendor {vendor_id} is not what the database holds"
        for vendor_id, state in memory.vendors.items()
        if not any(state is one for one in spoilt) and _held(state) != _stored(database, state)
    ]
    found += [
        f"memory of booking {booking.booking_id} is not what the database holds"
        for booking in memory.bookings.values()
        if database.bookings.get(booking.booking_id) != booking
    ]
    if any(database.answers.get(scope) != answer for scope, answer in memory.answers.items()):
        found.append("memory of an answer is not what the database holds")
    owned = [b for b in database.bookings.values() if bucket_of(b.booking_id) in shard._ownership.buckets]
    if {b.booking_id for b in owned if b.status is BookingStatus.BLOCKED} - _timed(shard):
        found.append("a live hold has no timer")
    return found


def _timed(shard: Shard) -> set[BookingId]:
    """The holds that will be expired: by their place in the heap, or because that is under way."""
    holds, mailbox = shard._memory.holds, shard._mailbox
    under_way = [one.command for one in (*shard._in_hand, *mailbox._first)]
    return {
        *(booking_id for due_at, booking_id in holds._by_time if holds._alive.get(booking_id, (None,))[0] == due_at),
        *(command.booking_id for command in under_way if isinstance(command, ExpireHold)),
    }


def history_untruths(database: MemoryDatabase) -> list[str]:
    """The outbox tells one story of each booking, in order, under epochs that only grow, in time that only grows."""
    found = []
    forms: dict[BookingId, Booking] = {}
    epochs: dict[int, int] = {}
    instants: dict[int, datetime] = {}
    for row in database.outbox.values():
        if row.epoch < epochs.get(row.shard_id, 0):
            found.append(f"epoch {row.epoch} wrote after epoch {epochs[row.shard_id]}")
        epochs[row.shard_id] = row.epoch
        for event in row.events:
            if isinstance(event, VendorCreated | VendorUpdated):
                continue
            instant = event.booking.updated_at
            if instant < instants.get(row.shard_id, instant):
                found.append("time went backwards inside a shard")
            instants[row.shard_id] = instant
            if forms.get(event.booking.booking_id) != event.before:
                found.append(f"booking {event.booking.booking_id} changed from what it was not")
            forms[event.booking.booking_id] = event.booking
            found += deposit_untruths(event)
    if forms != database.bookings:
        found.append("the outbox and the bookings tell different stories")
    return found


def deposit_untruths(event: BookingEvent) -> list[str]:
    """A deposit comes once, for a hold that waits for it; nothing is confirmed without it unless it was waived."""
    before, after = event.before, event.booking
    found = []
    if before is not None and after.deposit_paid and not before.deposit_paid:
        kind = DepositPaid if after.terms.by_hand else BookingConfirmed
        if before.status is not BookingStatus.BLOCKED or before.terms.deposit is None or type(event) is not kind:
            found.append(f"booking {after.booking_id} was paid for and waited for no deposit")
    if isinstance(event, BookingConfirmed):
        settled = (after.deposit_paid, after.deposit_waived)
        if settled not in ([(True, False), (False, True)] if after.terms.deposit else [(False, False)]):
            found.append(f"booking {after.booking_id} was confirmed without its deposit")
    if isinstance(event, BookingCancelled) and event.late != after.cancelled_late:
        found.append(f"booking {after.booking_id} was cancelled late, or was not")
    return found


def _held(state: VendorState) -> dict[tuple[int, int], int]:
    return {
        (seat_no, word): mask
        for word, column in state.columns.items()
        for seat_no, mask in zip(state.facts.plan.seat_nos, column, strict=True)
        if mask
    }


def _stored(database: MemoryDatabase, state: VendorState) -> dict[tuple[int, int], int]:
    return {(seat_no, word): mask for seat_no, word, mask in database.record_of(state.vendor_id).words}
