"""The one table from what went wrong to what a client is told: status, title, and the problem document itself (RFC 9457).

HTTP status exists here and nowhere else. A test checks that every `Reason`, `Trouble` and `EdgeCode` has a row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import orjson
from pydantic import ValidationError

from actors.outcome import Trouble, Unavailable
from domain.ids import BookingId
from domain.rejection import Reason, Rejection
from storage.errors import OutcomeUnknown, StoreError


class EdgeCode(StrEnum):
    """What only the HTTP edge can refuse. The value is the `code` that a client sees."""

    UNAUTHENTICATED = "unauthenticated"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    BAD_SIGNATURE = "bad_signature"
    PAYMENT_DECLINED = "payment_declined"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    INTERNAL = "internal"


Code: TypeAlias = Reason | Trouble | EdgeCode

_ROWS: Final[tuple[tuple[Code, int, str], ...]] = (
    (Reason.INVALID_REQUEST, 422, "The request is not well formed"),
    (EdgeCode.UNAUTHENTICATED, 401, "Nobody is logged in"),
    (Reason.FORBIDDEN, 403, "Not yours to do"),
    (Reason.NOT_FOUND, 404, "Not found"),
    (EdgeCode.METHOD_NOT_ALLOWED, 405, "No such method here"),
    (EdgeCode.BAD_SIGNATURE, 400, "The signature is wrong"),
    (Reason.EMAIL_TAKEN, 409, "The e-mail address is taken"),
    (Reason.WOULD_STRAND_BOOKINGS, 409, "Bookings stand in the way"),
    (Reason.NO_AVAILABILITY, 409, "Nothing is free"),
    (Reason.OUTSIDE_OPENING_HOURS, 409, "Outside opening hours"),
    (Reason.OUTSIDE_BOOKING_WINDOW, 409, "Outside the booking window"),
    (Reason.PARTY_TOO_LARGE, 409, "The party is too large"),
    (Reason.STAY_NOT_ALLOWED, 409, "The stay is not allowed"),
    (Reason.HOLD_EXPIRED, 409, "The hold has expired"),
    (Reason.ILLEGAL_TRANSITION, 409, "Not from this status"),
    (Reason.PAST_CANCELLATION_DEADLINE, 409, "The deadline has passed"),
    (Reason.IDEMPOTENCY_KEY_REUSED, 409, "The idempotency key belongs to another request"),
    (Reason.VERSION_CONFLICT, 412, "Somebody else changed it first"),
    (EdgeCode.PAYMENT_DECLINED, 402, "The payment was declined"),
    (EdgeCode.PAYLOAD_TOO_LARGE, 413, "The body is too large"),
    (Reason.RATE_LIMITED, 429, "Too many requests"),
    (Trouble.OVERLOADED, 503, "Too busy at the moment"),
    (Trouble.DEPENDENCY_UNAVAILABLE, 503, "Something we need is away"),
    (Trouble.SHARD_MOVING, 503, "The shard is moving"),
    (Trouble.OUTCOME_UNKNOWN, 503, "It is not known whether it happened"),
    (EdgeCode.INTERNAL, 500, "A fault of ours"),
)

STATUS: Final[Mapping[str, int]] = MappingProxyType({code.value: status for code, status, _ in _ROWS})
TITLE: Final[Mapping[str, str]] = MappingProxyType({code.value: title for code, _, title in _ROWS})

ERRORS_SHOWN_MAX: Final = 50
_RETRY_AFTER_SECONDS: Final = 1
_RATE_LIMIT_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class FieldError:
    """`path` names the field as a client would write it: `services[0].first`, a query parameter or a header."""

    path: str
    message: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A refusal on its way out. `retry_after_seconds` is filled for 429 and 503; `allow` for 405; `booking_id` for 402."""

    code: Code
    detail: str
    errors: tuple[FieldError, ...] = ()
    bookings: tuple[BookingId, ...] = ()
    booking_id: BookingId | None = None
    retry_after_seconds: int | None = None
    allow: str | None = None

    @property
    def status(self) -> int:
        return STATUS[self.code]


def invalid(path: str, message: str) -> Problem:
    """One field of the request is at fault."""
    return Problem(Reason.INVALID_REQUEST, f"{path}: {message}" if path else message, (FieldError(path, message),))


def invalid_fields(errors: Sequence[FieldError]) -> Problem:
    first = errors[0]
    detail = f"{first.path}: {first.message}" if first.path else first.message
    if len(errors) > 1:
        detail += f" (and {len(errors) - 1} more)"
    return Problem(Reason.INVALID_REQUEST, detail, tuple(errors[:ERRORS_SHOWN_MAX]))


def not_found(what: str = "There is nothing at this address.") -> Problem:
    return Problem(Reason.NOT_FOUND, what)


def forbidden(why: str) -> Problem:
    return Problem(Reason.FORBIDDEN, why)


def payment_declined(booking_id: BookingId) -> Problem:
    """Who waits for a booking hears that its payment was declined; the seats are held on."""
    return Problem(
        EdgeCode.PAYMENT_DECLINED,
        "The payment was declined. It can be paid again until the hold ends.",
        booking_id=booking_id,
    )


def problem_of(refusal: Rejection | Unavailable) -> Problem:
    """What a shard refused, ready for a client."""
    if isinstance(refusal, Unavailable):
        return Problem(refusal.trouble, refusal.detail, retry_after_seconds=max(1, refusal.retry_after_seconds))
    errors: tuple[FieldError, ...] = ()
    if refusal.reason is Reason.INVALID_REQUEST:
        errors = (FieldError(refusal.path, refusal.detail),)
    wait = _RATE_LIMIT_SECONDS if refusal.reason is Reason.RATE_LIMITED else None
    return Problem(refusal.reason, refusal.detail, errors, refusal.bookings, retry_after_seconds=wait)


def problem_of_store(error: StoreError) -> Problem:
    """A store that failed while an account or a list was read or written; booking writes never come this way."""
    if isinstance(error, OutcomeUnknown):
        return Problem(
            Trouble.OUTCOME_UNKNOWN,
            "The connection was lost while this was being written; ask again before you repeat it.",
            retry_after_seconds=_RETRY_AFTER_SECONDS,
        )
    return Problem(
        Trouble.DEPENDENCY_UNAVAILABLE,
        "The database is away for the moment; nothing was written.",
        retry_after_seconds=_RETRY_AFTER_SECONDS,
    )


def transient(code: Code) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(code, Reason):
        return code.transient
    return isinstance(code, Trouble)


def document(problem: Problem) -> dict[str, Any]:
    """The problem document; a client may rely on every member that is always there."""
    content: dict[str, Any] = {
        "type": f"urn:holdfast:problem:{problem.code.value}",
        "title": TITLE[problem.code],
        "status": STATUS[problem.code],
        "detail": problem.detail,
        "code": problem.code.value,
        "transient": transient(problem.code),
    }
    if problem.errors or problem.code is Reason.INVALID_REQUEST:
        content["errors"] = [{"path": error.path, "message": error.message} for error in problem.errors]
    if problem.code is Reason.WOULD_STRAND_BOOKINGS:
        content["bookings"] = [str(booking_id) for booking_id in problem.bookings]
    if problem.booking_id is not None:
        content["booking_id"] = str(problem.booking_id)
    return content


def headers(problem: Problem, body: bytes) -> list[tuple[bytes, bytes]]:
    lines = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    if problem.code is EdgeCode.UNAUTHENTICATED:
        lines.append((b"www-authenticate", b"Bearer"))
    if STATUS[problem.code] in {429, 503}:
        lines.append((b"retry-after", b"%d" % (problem.retry_after_seconds or _RETRY_AFTER_SECONDS)))
    if problem.allow is not None:
        lines.append((b"allow", problem.allow.encode("ascii")))
    return lines


def rendered(problem: Problem) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    """Status, body and headers of the answer."""
    body = orjson.dumps(document(problem))
    return STATUS[problem.code], body, headers(problem, body)


def ill_formed(error: ValidationError) -> Problem:
    """Pydantic's findings in our words; what the client sent is never echoed."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return invalid_fields([FieldError(_path(detail["loc"]), detail["msg"]) for detail in found])


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part.isprintable() and len(part) <= 100:
            path += f".{part}" if path else part
        else:
            path += ".?" if path else "?"
    return path
