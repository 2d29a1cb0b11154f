"""What a shard needs of its database, as a protocol: Postgres behind it in production, a rigorous fake in simulation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from domain.booking import Booking
from domain.event import BookingEvent, VendorCreated, VendorUpdated
from domain.ids import BookingId, VendorId
from domain.vendor import Vendor


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds a shard: the actor's id, the node's name and the process id on that node."""

    actor_id: str
    node: str
    pid: int


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write a shard, until somebody raises the epoch."""

    shard_id: int
    epoch: int


@dataclass(frozen=True, slots=True)
class WordChange:
    """Bits of one word of one seat: `clear` are given back, `set` are taken. Both are 0..2**64-1; word = slot >> 6."""

    vendor_id: VendorId
    seat_no: int
    word: int
    clear: int
    set: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The first success under an idempotency key: `scope` is a 16-byte digest of caller, vendor and key."""

    scope: bytes
    fingerprint: bytes
    booking: Booking


@dataclass(slots=True)
class Batch:
    """Everything that one statement writes, all or nothing.

    Each booking and each scope occurs at most once. `words` holds one change per booking, seat and word, just as
    `word_changes` gave it: a word that two bookings share stands there twice, and the store merges them. It must not be
    merged before, because an OR of two changes hides that both take the same bit; the store counts the bits and raises
    GuardRefused. `placed` are new rows; a row of `changed` must be stored with the version before it. `events` become the batch's one outbox row, keyed (shard, epoch, seq).
    """

    lease: Lease
    seq: int
    words: list[WordChange] = field(default_factory=list)
    placed: list[Booking] = field(default_factory=list)
    changed: list[Booking] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    events: list[BookingEvent] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class VendorRecord:
    """A vendor with what its live bookings take: (seat_no, word, mask) and, by start slot, covers of live sittings."""

    vendor: Vendor
    words: Sequence[tuple[int, int, int]]
    covers: Mapping[int, int]


class ShardStore(Protocol):
    """One shard's database. Every method may raise StoreUnavailable; writes raise Fenced when the epoch is over."""

    async def take(self, shard_id: int, owner: Owner) -> Lease | None:
        """Raise the epoch and own the shard, if the directory names this actor; None where it names another.

        Waits a bounded time for the old owner's statement, then ends its backend by its application_name.
        """
        ...

    async def retake(self, lease: Lease) -> Lease:
        """Raise our own epoch after a lost connection, so that no statement of the old epoch can commit any more."""
        ...

    async def committed(self, lease: Lease, seq: int) -> bool:
        """Whether the batch of that (old) lease and number is in the database; ask only after `retake`."""
        ...

    async def is_current(self, lease: Lease) -> bool:
        """Whether the lease's epoch is still the shard's newest: how an idle owner that slept finds out that it is not.

        A plain read that locks nothing and waits for nobody.
        """
        ...

    async def last_instant(self, shard_id: int) -> datetime | None:
        """The newest instant this shard wrote, so that its time never goes backwards over a restart."""
        ...

    async def buckets(self, shard_id: int) -> frozenset[int]: ...

    async def load_holds(self, shard_id: int) -> Sequence[Booking]:
        """All BLOCKED bookings of the shard's buckets."""
        ...

    async def load_ended(
        self, shard_id: int, ended_before: datetime, limit: int, after: tuple[datetime, BookingId] | None = None
    ) -> Sequence[Booking]:
        """CONFIRMED bookings whose end lies before the instant, for the system's own avail.

        By end and id, oldest first; `after` is the end and the id of the last one of the page before.
        """
        ...

    async def load_vendors(self, vendor_ids: Sequence[VendorId]) -> Mapping[VendorId, VendorRecord]:
        """In one or two queries; unknown ids are absent."""
        ...

    async def load_bookings(self, booking_ids: Sequence[BookingId]) -> Mapping[BookingId, Booking]: ...

    async def load_vendor(self, vendor_id: VendorId) -> Vendor | None:
        """The vendor alone, without what is taken."""
        ...

    async def load_seats_in_use(
        self, vendor_id: VendorId, ends_after: datetime, seat_nos: Sequence[int]
    ) -> frozenset[int]:
        """Those of the seats on which bookings hold slots that end after the instant."""
        ...

    async def load_stranded(
        self, vendor_id: VendorId, ends_after: datetime, capacities: Mapping[int, int], limit: int
    ) -> Sequence[BookingId]:
        """Bookings with slots that end after the instant and that seats of these capacities would strand, by start.

        `capacities` are the largest parties that the vendor's seats will take, by seat number. A booking is stranded
        where one of its seats is not among them, or where together they take fewer guests than it has.
        """
        ...

    async def load_answers(self, scopes: Sequence[bytes]) -> Mapping[bytes, Answer]: ...

    async def load_vendor_page(self, shard_id: int, after: VendorId | None, limit: int) -> Sequence[VendorRecord]:
        """For the background sweep: the shard's vendors in id order."""
        ...

    async def commit(self, batch: Batch) -> None:
        """The one statement of a batch. Raises Fenced, GuardRefused or OutcomeUnknown; returns only after COMMIT."""
        ...

    async def commit_vendor(self, lease: Lease, seq: int, event: VendorCreated | VendorUpdated) -> None:
        """A vendor's rows, its seats, its account on creation, its words when rescaled. Also raises EmailTaken."""
        ...

    async def close(self) -> None: ...
