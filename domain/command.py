"""What callers may ask of a shard. Imperative names; shapes were checked at the edge, facts are checked by `decide`."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final, TypeAlias
from uuid import UUID

from domain.booking import BookingStatus, Contact
from domain.ids import BookingId, UserId, VendorId
from domain.money import Money
from domain.vendor import Vendor


class Role(StrEnum):
    USER = "user"
    VENDOR = "vendor"
    OPERATOR = "operator"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `account_id` is the user's or vendor's id; the operator and the system carry a nil UUID."""

    role: Role
    account_id: UUID


SYSTEM: Final = Caller(Role.SYSTEM, UUID(int=0))
"""Holdfast itself: a deposit that came, say."""


@dataclass(frozen=True, slots=True)
class Once:
    """The caller's idempotency key and a digest of the request it came with (method, path and canonical body)."""

    key: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class SittingTime:
    """When a party sits down: an aware instant in UTC, or a naive vendor-local time."""

    starts_at: datetime


@dataclass(frozen=True, slots=True)
class StayDates:
    """Vendor-local nights from `check_in` to the night before `check_out`."""

    check_in: date
    check_out: date


When: TypeAlias = SittingTime | StayDates


@dataclass(frozen=True, slots=True)
class PlaceHold:
    """Book: hold seats for a party. `booking_id` was minted by the caller's edge in the vendor's bucket."""

    booking_id: BookingId
    vendor_id: VendorId
    caller: Caller
    party_size: int
    when: When
    seat_type: str | None = None
    quantity: int = 1
    notes: str | None = None
    contact: Contact | None = None
    once: Once | None = None

    @property
    def user_id(self) -> UserId:
        return UserId(self.caller.account_id)


@dataclass(frozen=True, slots=True)
class AmendBooking:
    """Change a booking. None leaves a field as it is. `starts_at` is aware UTC or naive vendor-local.

    `clear_notes` and `clear_seat_type` say that the request gave an explicit null.
    """

    booking_id: BookingId
    caller: Caller
    expected_version: int | None = None
    party_size: int | None = None
    starts_at: datetime | None = None
    check_in: date | None = None
    check_out: date | None = None
    seat_type: str | None = None
    quantity: int | None = None
    notes: str | None = None
    clear_notes: bool = False
    clear_seat_type: bool = False
    once: Once | None = None


@dataclass(frozen=True, slots=True)
class SetStatus:
    """Move a booking to CONFIRMED, CANCELLED, AVAILED or NO_SHOW, by a guest, a vendor, an operator or the system.

    `bill` is what the guest owes the house, set off against the deposit on AVAILED.
    """

    booking_id: BookingId
    caller: Caller
    status: BookingStatus
    expected_version: int | None = None
    reason: str | None = None
    bill: Money | None = None
    once: Once | None = None


@dataclass(frozen=True, slots=True)
class ExpireHold:
    """The shard's own: the hold's life is over."""

    booking_id: BookingId


@dataclass(frozen=True, slots=True)
class SettleEnded:
    """The shard's own: nobody marked the booking within the time after its end, so the guest counts as having come."""

    booking_id: BookingId


@dataclass(frozen=True, slots=True)
class CreateVendor:
    """Open a vendor. `vendor.version` is 1 and its seats have no numbers yet; `email` is folded to lower case."""

    vendor: Vendor
    email: str
    password_hash: str


@dataclass(frozen=True, slots=True)
class UpdateVendor:
    """Replace a vendor's facts. `changes` holds only what the request gave, by the field names of `Vendor`."""

    vendor_id: VendorId
    caller: Caller
    changes: "VendorChanges"
    expected_version: int | None = None


VendorChanges: TypeAlias = dict[str, object]

BookingCommand: TypeAlias = AmendBooking | SetStatus | ExpireHold | SettleEnded
Command: TypeAlias = PlaceHold | BookingCommand | CreateVendor | UpdateVendor
