"""The closed list of expected noes. A refusal is a value, never an exception, and wrote nothing."""

from dataclasses import dataclass
from enum import StrEnum

from domain.ids import BookingId


class Reason(StrEnum):
    """Why a command was refused. The value is the `code` that a client sees."""

    INVALID_REQUEST = "invalid_request"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    EMAIL_TAKEN = "email_taken"
    WOULD_STRAND_BOOKINGS = "would_strand_bookings"
    NO_AVAILABILITY = "no_availability"
    OUTSIDE_OPENING_HOURS = "outside_opening_hours"
    OUTSIDE_BOOKING_WINDOW = "outside_booking_window"
    PARTY_TOO_LARGE = "party_too_large"
    STAY_NOT_ALLOWED = "stay_not_allowed"
    HOLD_EXPIRED = "hold_expired"
    ILLEGAL_TRANSITION = "illegal_transition"
    PAST_CANCELLATION_DEADLINE = "past_cancellation_deadline"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    VERSION_CONFLICT = "version_conflict"
    RATE_LIMITED = "rate_limited"

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed later."""
        return self in (Reason.NO_AVAILABILITY, Reason.RATE_LIMITED)


@dataclass(frozen=True, slots=True)
class Rejection:
    """One refusal: the reason, a sentence for people, and where it applies.

    `path` names the field of the request that is at fault (`services[0].first`), empty where no single one is.
    `bookings` is filled for WOULD_STRAND_BOOKINGS alone.
    """

    reason: Reason
    detail: str
    path: str = ""
    bookings: tuple[BookingId, ...] = ()
