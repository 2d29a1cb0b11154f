"""What a shard remembers: committed facts only, each kind with a bound, all of it rebuilt from the database."""

import heapq
from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime, timedelta

from actors.limits import ShardLimits
from domain.booking import Booking, BookingStatus
from domain.event import BookingEvent
from domain.ids import BookingId, UserId, VendorId
from domain.slots import EPOCH
from domain.vendor import VendorKind
from domain.vendor_state import VendorState
from storage.shard_store import Answer, VendorRecord


class LiveHolds:
    """BLOCKED bookings by the time they die, and how many each guest has.

    An entry of the heap may be out of date (confirmed, cancelled); the dictionary says which are still alive. The
    booking itself need not be in memory. Bounded by what the database holds BLOCKED.
    """

    def __init__(self) -> None:
        self._by_time: list[tuple[datetime, BookingId]] = []
        self._alive: dict[BookingId, tuple[datetime, UserId]] = {}
        self._per_guest: dict[UserId, int] = {}

    def __len__(self) -> int:
        return len(self._alive)

    def of_guest(self, user_id: UserId) -> int:
        return self._per_guest.get(user_id, 0)

    def note(self, booking: Booking) -> None:
        """Take in the newest form of a booking."""
        known = self._alive.get(booking.booking_id)
        if booking.status is BookingStatus.BLOCKED and booking.hold_expires_at is not None:
            entry = (booking.hold_expires_at, booking.user_id)
            if known is None:
                self._per_guest[booking.user_id] = self._per_guest.get(booking.user_id, 0) + 1
            if known != entry:
                self._alive[booking.booking_id] = entry
                heapq.heappush(self._by_time, (booking.hold_expires_at, booking.booking_id))
        elif known is not None:
            self.drop(booking.booking_id)

    def drop(self, booking_id: BookingId) -> None:
        """The booking is BLOCKED no longer, or not ours any more."""
        known = self._alive.pop(booking_id, None)
        if known is None:
            return
        user_id = known[1]
        left = self._per_guest[user_id] - 1
        if left:
            self._per_guest[user_id] = left
        else:
            del self._per_guest[user_id]

    def next_expiry(self) -> datetime | None:
        """When the next hold dies; also drops what is out of date at the heap's top."""
        while self._by_time:
            expires_at, booking_id = self._by_time[0]
            alive = self._alive.get(booking_id)
            if alive is not None and alive[0] == expires_at:
                return expires_at
            heapq.heappop(self._by_time)
        return None

    def take_due(self, now: datetime, limit: int) -> list[BookingId]:
        """Remove from the heap the holds that die at or before `now`; `put_back` those that could not be expired."""
        due: list[BookingId] = []
        while len(due) < limit:
            expires_at = self.next_expiry()
            if expires_at is None or expires_at > now:
                break
            due.append(heapq.heappop(self._by_time)[1])
        return due

    def put_back(self, booking_id: BookingId, *, not_before: datetime | None = None) -> None:
        """Take a hold that was due, and still lives, into the heap again, to be due at once or at `not_before`."""
        alive = self._alive.get(booking_id)
        if alive is None:
            return
        due_at, user_id = alive
        if not_before is not None:
            due_at = not_before
            self._alive[booking_id] = (due_at, user_id)
        heapq.heappush(self._by_time, (due_at, booking_id))


class ShardMemory:
    """Vendors by use and bytes, bookings and idempotent answers by use and count, live holds by time."""

    def __init__(self, limits: ShardLimits) -> None:
        self._limits = limits
        self.vendors: OrderedDict[VendorId, VendorState] = OrderedDict()
        self.bookings: OrderedDict[BookingId, Booking] = OrderedDict()
        self.answers: OrderedDict[bytes, Answer] = OrderedDict()
        self.holds = LiveHolds()
        self.vendor_bytes = 0
        self._bytes_of: dict[VendorId, int] = {}
        self._being_written: set[VendorId] = set()
        self._swept_past: set[VendorId] = set()

    def keep_vendor(self, record: VendorRecord) -> None:
        """Compile a vendor as the database has it now."""
        state = VendorState.of(record.vendor, record.words, record.covers)
        self.vendors[state.vendor_id] = state
        self._weigh(state)

    def begin_sweep(self) -> None:
        """A page of vendors is about to be read beside the batches."""
        self._swept_past = set(self._being_written)

    def keep_swept(self, page: Iterable[VendorRecord]) -> None:
        """Take in vendors that were read beside the batches, but none that a batch wrote meanwhile or already loaded."""
        for record in page:
            vendor_id = record.vendor.vendor_id
            if vendor_id not in self.vendors and vendor_id not in self._swept_past:
                self.keep_vendor(record)
                self.vendors.move_to_end(vendor_id, last=False)

    def end_sweep(self) -> None:
        self._swept_past.clear()

    def about_to_write(self, vendor_ids: Iterable[VendorId]) -> None:
        """From now on the database may be ahead of memory for these vendors, until the write is known to have ended."""
        self._being_written = set(vendor_ids)
        self._swept_past |= self._being_written

    def keep_booking(self, booking: Booking) -> None:
        self.bookings[booking.booking_id] = booking
        self.bookings.move_to_end(booking.booking_id)

    def keep_answer(self, answer: Answer) -> None:
        self.answers[answer.scope] = answer
        self.answers.move_to_end(answer.scope)

    def apply(self, forks: dict[VendorId, VendorState], events: Iterable[BookingEvent], answers: list[Answer]) -> None:
        """A committed batch becomes memory."""
        for vendor_id, fork in forks.items():
            state = self.vendors.get(vendor_id)
            if state is None:
                continue  # dropped while the outcome was unknown; it is read anew when next touched
            state.merge(fork)
            self.vendors.move_to_end(vendor_id)
            self._weigh(state)
        bookings, holds = self.bookings, self.holds
        for event in events:
            booking = event.booking
            if event.before is None:
                bookings[booking.booking_id] = booking
                if booking.status is BookingStatus.BLOCKED:
                    holds.note(booking)
            else:
                self.keep_booking(booking)
                holds.note(booking)
        for answer in answers:
            self.answers[answer.scope] = answer
        self.evict()

    def forget_vendor(self, vendor_id: VendorId) -> None:
        if self.vendors.pop(vendor_id, None) is not None:
            self.vendor_bytes -= self._bytes_of.pop(vendor_id)

    def forget_past(self, vendor_id: VendorId, before: datetime) -> None:
        """Drop the words of a vendor that end before an instant; they stay in the database."""
        state = self.vendors.get(vendor_id)
        if state is not None:
            hotel = state.kind is VendorKind.HOTEL
            state.forget_before(
                before.toordinal() if hotel else (before - EPOCH) // timedelta(minutes=state.step_minutes)
            )
            self._weigh(state)

    def forget_bookings_of(self, vendor_id: VendorId) -> None:
        for booking_id in [b.booking_id for b in self.bookings.values() if b.vendor_id == vendor_id]:
            del self.bookings[booking_id]

    @property
    def full_of_vendors(self) -> bool:
        return self.vendor_bytes >= self._limits.vendor_bytes_max

    def evict(self) -> None:
        """Back within the bounds, least recently used first; only between batches, so that none loses what it loaded."""
        while self.vendor_bytes > self._limits.vendor_bytes_max and len(self.vendors) > 1:
            self.forget_vendor(next(iter(self.vendors)))
        while len(self.bookings) > self._limits.bookings_kept_max:
            self.bookings.popitem(last=False)
        while len(self.answers) > self._limits.answers_kept_max:
            self.answers.popitem(last=False)

    def _weigh(self, state: VendorState) -> None:
        held = state.bytes_held()
        self.vendor_bytes += held - self._bytes_of.get(state.vendor_id, 0)
        self._bytes_of[state.vendor_id] = held
