"""A booking, its states, and which slots of which seats it holds."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from domain.ids import BookingId, UserId, VendorId
from domain.money import Money
from domain.vendor import VendorKind


class BookingStatus(StrEnum):
    """BLOCKED (held, unpaid) -> CONFIRMED -> AVAILED | NO_SHOW; the rest see docs/reference/booking-states.md."""

    BLOCKED = "BLOCKED"
    CONFIRMED = "CONFIRMED"
    AVAILED = "AVAILED"
    NO_SHOW = "NO_SHOW"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"


LIVE = frozenset({BookingStatus.BLOCKED, BookingStatus.CONFIRMED})


@dataclass(frozen=True, slots=True)
class Contact:
    name: str | None = None
    email: str | None = None
    phone: str | None = None


@dataclass(frozen=True, slots=True)
class BookedSeat:
    """A seat as it was called when it was booked. `seat_no` is lasting; see `domain.ids.seat_id_of`."""

    seat_no: int
    name: str
    seat_type: str


@dataclass(frozen=True, slots=True)
class Terms:
    """What the guest agreed to: a later change of the vendor's policy does not touch a booking already made.

    `deposit` is what is due before the booking is confirmed, None where nothing is. `cancel_before_hours` and
    `keep_on_late_cancel_percent` are the vendor's at the time of booking (or of the last amendment), and `by_hand` says
    that it then approved each booking by hand. `deposit_version` is the version of the booking that set the deposit to
    what it is, or took it away; 0 where there never was one.
    """

    deposit: Money | None = None
    cancel_before_hours: int = 0
    keep_on_late_cancel_percent: int = 0
    by_hand: bool = False
    deposit_version: int = 0


@dataclass(frozen=True, slots=True)
class Booking:
    """One reservation and every change of it so far; `version` counts the changes from 1.

    It asked for `slot_count` consecutive slots from `first_slot` on each of its seats, and still holds the first
    `held_slot_count` of them: all while BLOCKED, CONFIRMED or AVAILED, those begun after a NO_SHOW (whose undo takes
    none back), none once CANCELLED or EXPIRED. `step_minutes` is the vendor's slot length that the two slot numbers
    count in, 0 for nights. `no_show_at` is when NO_SHOW was set. Instants are aware and in UTC; `check_in` and
    `check_out` are vendor-local dates of a stay. `price` is the whole stay's. `deposit_paid` says that the deposit of these
    terms came while the booking was BLOCKED, `deposit_waived` that the house did without it. `cancelled_late` and
    `bill_minor` (in the deposit's currency, None where no bill was given) say what the house may keep of it.
    """

    booking_id: BookingId
    vendor_id: VendorId
    user_id: UserId
    kind: VendorKind
    status: BookingStatus
    version: int
    party_size: int
    seats: tuple[BookedSeat, ...]
    step_minutes: int
    first_slot: int
    slot_count: int
    held_slot_count: int
    starts_at: datetime
    ends_at: datetime
    created_at: datetime
    updated_at: datetime
    terms: Terms
    check_in: date | None = None
    check_out: date | None = None
    seat_type: str | None = None
    hold_expires_at: datetime | None = None
    price: Money | None = None
    notes: str | None = None
    contact: Contact | None = None
    cancel_reason: str | None = None
    no_show_at: datetime | None = None
    deposit_waived: bool = False
    deposit_paid: bool = False
    cancelled_late: bool = False
    bill_minor: int | None = None

    @property
    def live(self) -> bool:
        return self.status in LIVE
