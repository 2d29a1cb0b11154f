"""The tables of a Postgres in miniature: what its transactions check, write and refuse."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime

from domain.booking import Booking
from domain.event import BookingEvent, VendorCreated, VendorUpdated
from domain.ids import BUCKETS, BookingId, VendorId
from domain.vendor import Vendor
from storage.errors import EmailTaken, Fenced, GuardRefused
from storage.shard_store import Answer, Batch, Lease, VendorRecord

Word = tuple[VendorId, int, int]
_ALL_BITS = (1 << 64) - 1


@dataclass(slots=True)
class ShardRow:
    shard_id: int
    epoch: int = 0
    actor_id: str = ""
    node: str = ""
    pid: int = 0
    last_instant: datetime | None = None


@dataclass(slots=True)
class VendorRow:
    vendor: Vendor
    email: str
    password_hash: str


@dataclass(frozen=True, slots=True)
class OutboxRow:
    shard_id: int
    epoch: int
    seq: int
    events: tuple[BookingEvent | VendorCreated | VendorUpdated, ...]


@dataclass(slots=True)
class MemoryDatabase:
    """The tables. Synchronous methods are transactions: they check everything before they write anything."""

    shards: dict[int, ShardRow] = field(default_factory=dict)
    bucket_shard: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    vendors: dict[VendorId, VendorRow] = field(default_factory=dict)
    words: dict[Word, int] = field(default_factory=dict)
    bookings: dict[BookingId, Booking] = field(default_factory=dict)
    answers: dict[bytes, Answer] = field(default_factory=dict)
    outbox: dict[tuple[int, int, int], OutboxRow] = field(default_factory=dict)
    guarded: bool = True

    def seed(self, shards: int) -> None:
        for shard_id in range(shards):
            self.shards.setdefault(shard_id, ShardRow(shard_id))
        self.bucket_shard = [bucket % shards for bucket in range(BUCKETS)]

    def claim(self, shard_id: int, actor_id: str) -> None:
        """Name the actor that may take the shard; the present owner writes on until the named one takes it."""
        self.shards[shard_id].actor_id = actor_id

    def move_bucket(self, bucket: int, to_shard: int) -> None:
        giver = self.shards[self.bucket_shard[bucket]]
        giver.epoch += 1
        self.bucket_shard[bucket] = to_shard

    def fence(self, lease: Lease) -> ShardRow:
        row = self.shards[lease.shard_id]
        if row.epoch != lease.epoch:
            raise Fenced(f"shard {lease.shard_id}: epoch {lease.epoch} is over, now {row.epoch}")
        return row

    def commit(self, batch: Batch) -> None:
        row = self.fence(batch.lease)
        self._refuse_malformed(batch)
        words = self._guarded_words(batch) if self.guarded else self._blind_words(batch)
        for booking in batch.placed:
            if booking.booking_id in self.bookings or booking.vendor_id not in self.vendors:
                raise GuardRefused(f"booking {booking.booking_id} exists, or its vendor does not")
        for booking in batch.changed:
            stored = self.bookings.get(booking.booking_id)
            if stored is None or stored.version != booking.version - 1:
                raise GuardRefused(f"booking {booking.booking_id} is not at version {booking.version - 1}")
        for answer in batch.answers:
            if answer.scope in self.answers:
                raise GuardRefused("an idempotency scope was answered before")
        self._write_outbox(row, batch.lease, batch.seq, tuple(batch.events))
        self.words.update(words)
        for booking in (*batch.placed, *batch.changed):
            self.bookings[booking.booking_id] = booking
        self.answers.update((answer.scope, answer) for answer in batch.answers)

    def commit_vendor(self, lease: Lease, seq: int, event: VendorCreated | VendorUpdated) -> None:
        row = self.fence(lease)
        vendor = event.vendor
        stored = self.vendors.get(vendor.vendor_id)
        match event:
            case VendorCreated(email=email, password_hash=password_hash):
                if any(other.email == email for other in self.vendors.values()):
                    raise EmailTaken(email)
                if stored is not None:
                    raise GuardRefused(f"vendor {vendor.vendor_id} exists")
                self._write_outbox(row, lease, seq, (event,))
                self.vendors[vendor.vendor_id] = VendorRow(vendor, email, password_hash)
            case VendorUpdated(before=before, rescaled=rescaled):
                if stored is None or stored.vendor.version != before.version:
                    raise GuardRefused(f"vendor {vendor.vendor_id} is not at version {before.version}")
                self._write_outbox(row, lease, seq, (event,))
                stored.vendor = vendor
                if rescaled:
                    self._rescale(vendor)

    def record_of(self, vendor_id: VendorId) -> VendorRecord | None:
        row = self.vendors.get(vendor_id)
        if row is None:
            return None
        taken = [
            (seat_no, word, mask) for (owner, seat_no, word), mask in self.words.items() if owner == vendor_id and mask
        ]
        covers: dict[int, int] = defaultdict(int)
        for booking in self.bookings.values():
            if booking.vendor_id == vendor_id and booking.held_slot_count:
                covers[_rescaled_slot(booking, row.vendor)] += booking.party_size
        return VendorRecord(row.vendor, sorted(taken), dict(covers))

    def problems(self) -> list[str]:
        """What `verify` would find: words that differ from the union of held slots, slots sold twice, odd versions."""
        expected: dict[Word, int] = defaultdict(int)
        found: list[str] = []
        for booking in self.bookings.values():
            for key, mask in held_words(booking, self.vendors[booking.vendor_id].vendor):
                if expected[key] & mask:
                    found.append(f"sold twice: {key} {expected[key] & mask:#x} (booking {booking.booking_id})")
                expected[key] |= mask
        found.extend(
            f"word {key}: stored {self.words.get(key, 0):#x}, held {expected.get(key, 0):#x}"
            for key in expected.keys() | self.words.keys()
            if expected.get(key, 0) != self.words.get(key, 0)
        )
        return found

    def _refuse_malformed(self, batch: Batch) -> None:
        for name, keys in (
            ("booking", [booking.booking_id for booking in (*batch.placed, *batch.changed)]),
            ("scope", [answer.scope for answer in batch.answers]),
        ):
            if len(set(keys)) != len(keys):
                raise GuardRefused(f"a {name} occurs twice in one batch")
        for change in batch.words:
            if not 0 <= change.clear <= _ALL_BITS or not 0 < change.clear | change.set <= _ALL_BITS:
                raise ValueError(f"not a word of 64 bits: {change}")

    def _guarded_words(self, batch: Batch) -> dict[Word, int]:
        """A word may come several times, once a booking; a bit that two of them give or take is refused."""
        merged: dict[Word, tuple[int, int]] = {}
        for change in batch.words:
            key = (change.vendor_id, change.seat_no, change.word)
            clear, set_ = merged.get(key, (0, 0))
            if clear & change.clear or set_ & change.set:
                raise GuardRefused(f"seat {change.seat_no}, word {change.word}: one bit for two bookings of a batch")
            merged[key] = (clear | change.clear, set_ | change.set)
        after = {}
        for key, (clear, set_) in merged.items():
            mask = self.words.get(key, 0)
            if mask & clear != clear or mask & ~clear & set_:
                raise GuardRefused(f"seat {key[1]}, word {key[2]} is not as the batch assumed")
            after[key] = mask & ~clear | set_
        return after

    def _blind_words(self, batch: Batch) -> dict[Word, int]:
        """The negative control: what happens with the guard off."""
        after: dict[Word, int] = {}
        for change in batch.words:
            key = (change.vendor_id, change.seat_no, change.word)
            after[key] = after.get(key, self.words.get(key, 0)) & ~change.clear | change.set
        return after

    def _write_outbox(
        self, row: ShardRow, lease: Lease, seq: int, events: tuple[BookingEvent | VendorCreated | VendorUpdated, ...]
    ) -> None:
        key = (lease.shard_id, lease.epoch, seq)
        if key in self.outbox:
            raise GuardRefused(f"batch {key} was written before")
        self.outbox[key] = OutboxRow(*key, events)
        instants = [
            e.vendor.updated_at if isinstance(e, VendorCreated | VendorUpdated) else e.booking.updated_at
            for e in events
        ]
        row.last_instant = max([*instants, *([row.last_instant] if row.last_instant else [])], default=None)

    def _rescale(self, vendor: Vendor) -> None:
        """Bookings keep the step they were made in, so the words can be written anew from them."""
        for key in [key for key in self.words if key[0] == vendor.vendor_id]:
            del self.words[key]
        for booking in self.bookings.values():
            if booking.vendor_id == vendor.vendor_id:
                for key, mask in held_words(booking, vendor):
                    self.words[key] = self.words.get(key, 0) | mask


def held_words(booking: Booking, vendor: Vendor) -> list[tuple[Word, int]]:
    """The words that a booking's held slots take, in the vendor's present step."""
    first = _rescaled_slot(booking, vendor)
    count = booking.held_slot_count * _scale(booking, vendor)
    words: dict[Word, int] = defaultdict(int)
    for seat in booking.seats:
        for slot in range(first, first + count):
            words[booking.vendor_id, seat.seat_no, slot >> 6] |= 1 << (slot & 63)
    return list(words.items())


def _scale(booking: Booking, vendor: Vendor) -> int:
    return booking.step_minutes // vendor.step_minutes if vendor.step_minutes else 1


def _rescaled_slot(booking: Booking, vendor: Vendor) -> int:
    return booking.first_slot * _scale(booking, vendor)
