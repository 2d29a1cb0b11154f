"""What the services need of the world, as protocols: the stores' read side, the shards' reports, the clock, chance.

The composition root passes real ones in. Every method of a store may raise `storage.errors.StoreUnavailable`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias
from uuid import UUID

from domain.booking import Booking
from domain.booking_list import BookingFilter, BookingPage, ListPosition
from domain.command import Role
from domain.ids import BookingId, UserId, VendorId
from domain.ledger import Balance, BookedMovement
from domain.payment import Payment
from domain.search import Candidate, CandidateQuery, SortPosition
from domain.user import Credentials, User
from domain.vendor import Vendor

Clock: TypeAlias = Callable[[], datetime]
"""The present instant, aware and in UTC."""

RandomBits: TypeAlias = Callable[[], int]
"""128 bits that nobody can guess."""


class TokenValidity(Protocol):
    async def tokens_valid_from(self, role: Role, account_id: UUID) -> datetime | None:
        """Tokens issued before this instant are over; None where there is no such account."""
        ...


class Accounts(TokenValidity, Protocol):
    """E-mail addresses come folded to lower case."""

    async def create_user(self, user: User, password_hash: str) -> None:
        """Raises EmailTaken."""
        ...

    async def user_by_id(self, user_id: UserId) -> User | None: ...

    async def user_credentials(self, user_id: UserId) -> Credentials | None: ...

    async def user_login_by_email(self, email: str) -> Credentials | None: ...

    async def vendor_login_by_email(self, email: str) -> Credentials | None: ...

    async def vendor_email(self, vendor_id: VendorId) -> str | None: ...

    async def update_user(
        self,
        user: User,
        *,
        expected_version: int,
        password_hash: str | None = None,
        tokens_valid_from: datetime | None = None,
    ) -> None:
        """Store the user, whose version is one above the expected; raises VersionConflict. None leaves a column."""
        ...

    async def rehash(self, role: Role, checked: Credentials, password_hash: str) -> None:
        """Keep the same password under newer Argon2 parameters; tokens stay valid and the version stays.

        Nothing happens where another password was set since the old hash was checked.
        """
        ...


class VendorReads(Protocol):
    async def by_id(self, vendor_id: VendorId) -> Vendor | None: ...

    async def doubt(self, vendor_id: VendorId) -> None:
        """Told of a change that may or may not have happened, so that no cache is believed for a while. Never raises."""
        ...

    @property
    def era(self) -> bytes:
        """What `note` is to be given, had before the vendor was written."""
        ...

    async def note(self, vendor: Vendor, era: bytes = b"") -> None:
        """Told of a vendor that was just committed, so that no older one is read from a cache. Never raises."""
        ...


class UserReads(Protocol):
    async def by_id(self, user_id: UserId) -> User | None: ...

    @property
    def era(self) -> bytes:
        """What `note` is to be given, had before the user was written."""
        ...

    async def note(self, user: User, era: bytes = b"") -> None:
        """Told of a user that was just written, so that no older one is read from a cache. Never raises."""
        ...

    async def doubt(self, user_id: UserId) -> None:
        """Told that a write of the user may have happened or not. Never raises."""
        ...


class BookingLists(Protocol):
    """Pages of at most `limit`, newest start first, strictly after the position; current and archived in one order."""

    async def of_user(
        self, user_id: UserId, chosen: BookingFilter, *, now: datetime, after: ListPosition | None, limit: int
    ) -> BookingPage: ...

    async def of_vendor(
        self, vendor_id: VendorId, chosen: BookingFilter, *, now: datetime, after: ListPosition | None, limit: int
    ) -> BookingPage: ...


class BookingNotes(Protocol):
    """Told of what the shards wrote before the client is, so that nobody reads an older one from a cache. Never raises."""

    @property
    def era(self) -> bytes:
        """What `note` is to be given, had before the booking was written."""
        ...

    async def note(self, booking: Booking, era: bytes = b"", *, replayed: bool = False) -> None:
        """One that is `replayed` is as it was then, and may have changed since."""
        ...

    async def doubt(self, booking_id: BookingId) -> None:
        """A change of the booking may have happened or not."""
        ...


class CachedBookings(Protocol):
    """Never raises: a cache that is away knows nothing."""

    async def known(self, booking_id: BookingId) -> Booking | None:
        """The booking as it stands; None where only the shard or the primary can tell."""
        ...

    @property
    def era(self) -> bytes:
        """What `fill` is to be given, had before the booking was read."""
        ...

    async def fill(self, booking: Booking, era: bytes) -> None: ...


class Payments(Protocol):
    """The deposits of bookings. Only bookings whose terms have a `deposit_version` above 0 are ever asked for."""

    async def arrange(self, booking: Booking) -> Payment | None:
        """See to it that the guest can pay what the booking, as it was just written, asks for; its payment that counts.

        Without effect where that was seen to. A provider that is away leaves the payment without its address.
        """
        ...

    async def of(self, booking: Booking) -> Payment | None:
        """The payment that counts; None where there is none yet."""
        ...

    async def of_many(self, bookings: Sequence[Booking]) -> Mapping[BookingId, Payment]: ...

    async def agreed(self, booking: Booking) -> Payment | None:
        """The payment for the deposit as this form of the booking agreed on it, which may have been replaced since."""
        ...

    async def declined(self, booking_ids: Sequence[BookingId]) -> frozenset[BookingId]:
        """Those whose payment's last try was declined."""
        ...


class LedgerReads(Protocol):
    """`since` is included, `until` is not; None is no bound."""

    async def of_vendor(
        self, vendor_id: VendorId, *, since: datetime | None = None, until: datetime | None = None
    ) -> Sequence[Balance]:
        """One balance for each currency that moved."""
        ...

    async def movements_of_vendor(
        self,
        vendor_id: VendorId,
        movements_max: int,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        after: tuple[datetime, int] | None = None,
    ) -> Sequence[BookedMovement]:
        """The oldest first, from behind the `position` of the last one of the page before."""
        ...


class Candidates(Protocol):
    async def candidates(self, query: CandidateQuery, *, after: SortPosition | None, limit: int) -> Sequence[Candidate]:
        """The next vendors that fit the query, in its order, strictly after the position."""
        ...


class ArchivedBookings(Protocol):
    async def by_id(self, booking_id: BookingId) -> Booking | None: ...


@dataclass(frozen=True, slots=True)
class ShardReport:
    """One shard as its operator sees it. `batch_commands` is the mean size of recent batches; times in milliseconds.

    What only the live actor knows is None while nobody answers.
    """

    shard_id: int
    owner: str | None
    epoch: int
    node: str | None
    pid: int | None
    buckets: int
    express_address: str | None = None
    bookings: int | None = None
    batch_commands: float | None = None
    queue: int | None = None
    commit_p50_ms: float | None = None
    commit_p99_ms: float | None = None


@dataclass(frozen=True, slots=True)
class AuditFigure:
    """One thing that the audit counted: `faults` is how many break the rule, of which some are named in `examples`.

    What is not `judged` is told for information and can have no faults.
    """

    name: str
    counted: int
    faults: int = 0
    judged: bool = True
    examples: tuple[str, ...] = ()


class Operations(Protocol):
    async def shards(self) -> Sequence[ShardReport]: ...

    async def move(self, shard_id: int, to_node: str | None) -> ShardReport | None:
        """Give the shard a new owner, on that node if one is named; the shard afterwards, None if there is none.

        Raises LookupError for a node that is not there.
        """
        ...

    async def verify(self) -> Sequence[AuditFigure]: ...


class Tally(Protocol):
    """A metric that counts; names are fixed words, never of a request."""

    def __call__(self, name: str) -> None: ...
