"""What happened, in the past tense. Every booking event carries the whole booking after it, and the one before."""

from dataclasses import dataclass
from typing import TypeAlias

from domain.booking import Booking
from domain.vendor import Vendor


@dataclass(frozen=True, slots=True)
class HoldPlaced:
    """A new booking: BLOCKED, or CONFIRMED at once where nothing is due and approval is automatic."""

    booking: Booking
    before: None = None


@dataclass(frozen=True, slots=True)
class BookingConfirmed:
    booking: Booking
    before: Booking


@dataclass(frozen=True, slots=True)
class DepositPaid:
    """The deposit is there, and the vendor has yet to approve. No topic tells of it: the booking is a hold as before."""

    booking: Booking
    before: Booking


@dataclass(frozen=True, slots=True)
class BookingAmended:
    booking: Booking
    before: Booking


@dataclass(frozen=True, slots=True)
class BookingCancelled:
    """`late` is true when the guest cancelled after the deadline, so that part of a deposit is kept."""

    booking: Booking
    before: Booking
    late: bool = False


@dataclass(frozen=True, slots=True)
class BookingAvailed:
    """`bill_minor` is what the house asked, in the deposit's currency, None where no bill was given."""

    booking: Booking
    before: Booking
    bill_minor: int | None = None


@dataclass(frozen=True, slots=True)
class BookingNoShow:
    booking: Booking
    before: Booking


@dataclass(frozen=True, slots=True)
class HoldExpired:
    booking: Booking
    before: Booking


@dataclass(frozen=True, slots=True)
class VendorCreated:
    vendor: Vendor
    email: str
    password_hash: str


@dataclass(frozen=True, slots=True)
class VendorUpdated:
    """`rescaled` says that the slot length became finer and the vendor's words must be rewritten with it."""

    vendor: Vendor
    before: Vendor
    rescaled: bool = False


BookingEvent: TypeAlias = (
    HoldPlaced
    | BookingConfirmed
    | DepositPaid
    | BookingAmended
    | BookingCancelled
    | BookingAvailed
    | BookingNoShow
    | HoldExpired
)
VendorEvent: TypeAlias = VendorCreated | VendorUpdated
Event: TypeAlias = BookingEvent | VendorEvent
