"""What comes in and goes out about bookings, and the way between JSON and the domain's commands and values."""

from collections.abc import Mapping
from datetime import date, datetime
from hashlib import blake2b
from json import JSONEncoder
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import from_json

from domain.booking import Booking, BookingStatus, Contact
from domain.command import AmendBooking, Caller, Once, PlaceHold, SetStatus, SittingTime, StayDates, When
from domain.ids import BookingId, VendorId, booking_code
from domain.money import Money
from domain.request import QUANTITY_MAX
from domain.vendor import VendorKind
from serve_app.fields import (
    NO_NUL,
    ContactEmail,
    Day,
    Given,
    InstantOrLocal,
    Line,
    LongText,
    MoneyGiven,
    MoneyShown,
    Phone,
    Shown,
    Strict,
    fault_at,
    money_content,
)
from serve_app.headers import IDEMPOTENCY_KEY_CHARACTERS_MAX
from serve_app.payment_shown import PaymentShown

BULK_BOOKINGS_MAX: Final = 500

# More than any vendor has: a party beyond it is refused alike, however large it is.
_PARTY_MAX: Final = 2**31 - 1

_TIME_OR_DATES: Final = "Give a time or the dates of a stay, not both"
_AFTER_CHECK_IN: Final = "Input should be after check_in"

_canonical: Final = JSONEncoder(sort_keys=True, separators=(",", ":")).encode

AtLeastOne = Annotated[int, Field(ge=1)]
Quantity = Annotated[int, Field(ge=1, le=QUANTITY_MAX)]


class ContactGiven(Strict):
    name: Line | None = None
    email: ContactEmail | None = None
    phone: Phone | None = None


class PlaceHoldBody(Strict):
    """A restaurant takes `starts_at`, a hotel `check_in` and `check_out`."""

    party_size: AtLeastOne
    starts_at: InstantOrLocal | None = None
    check_in: Day | None = None
    check_out: Day | None = None
    seat_type: Line | None = None
    quantity: Quantity | None = None
    notes: LongText | None = None
    contact: ContactGiven | None = None

    @model_validator(mode="after")
    def _says_when(self) -> Self:
        if self.starts_at is not None:
            if self.check_in is not None or self.check_out is not None:
                raise fault_at("starts_at", _TIME_OR_DATES)
            return self
        if self.check_in is None:
            missing = "starts_at" if self.check_out is None else "check_in"
            raise fault_at(missing, "Field required: starts_at for a table, check_in and check_out for a room")
        if self.check_out is None:
            raise fault_at("check_out", "Field required")
        if self.check_out <= self.check_in:
            raise fault_at("check_out", _AFTER_CHECK_IN)
        return self


class BulkItem(PlaceHoldBody):
    vendor_id: UUID
    idempotency_key: (
        Annotated[str, StringConstraints(min_length=1, max_length=IDEMPOTENCY_KEY_CHARACTERS_MAX, pattern=NO_NUL)]
        | None
    ) = None


class BulkBody(Strict):
    """Each item is judged on its own: a badly shaped one is a 422 item."""

    bookings: Annotated[list[BulkItem], Field(min_length=1, max_length=BULK_BOOKINGS_MAX)]


class BulkEnvelope(Strict):
    bookings: Annotated[list[Any], Field(min_length=1, max_length=BULK_BOOKINGS_MAX)]


class AmendBody(Strict):
    """What is left out stays as it is; null clears `seat_type` and `notes`."""

    party_size: Given[AtLeastOne] = None
    starts_at: Given[InstantOrLocal] = None
    check_in: Given[Day] = None
    check_out: Given[Day] = None
    seat_type: Line | None = None
    quantity: Given[Quantity] = None
    notes: LongText | None = None

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.starts_at is not None and (self.check_in is not None or self.check_out is not None):
            raise fault_at("starts_at", _TIME_OR_DATES)
        if self.check_in is not None and self.check_out is not None and self.check_out <= self.check_in:
            raise fault_at("check_out", _AFTER_CHECK_IN)
        return self


class StatusBody(Strict):
    """`bill` goes with AVAILED only."""

    status: Literal["CONFIRMED", "CANCELLED", "AVAILED", "NO_SHOW"]
    reason: LongText | None = None
    bill: MoneyGiven | None = None

    @model_validator(mode="after")
    def _bill_with_avail(self) -> Self:
        if self.bill is not None and self.status != "AVAILED":
            raise fault_at("bill", "A bill goes with AVAILED only")
        return self


class SeatShown(Shown):
    seat_id: UUID
    name: str
    seat_type: str


class ContactShown(Shown):
    name: str | None
    email: str | None
    phone: str | None


class BookingShown(Shown):
    booking_id: UUID
    code: str
    user_id: UUID
    vendor_id: UUID
    kind: VendorKind
    status: BookingStatus
    version: int
    party_size: int
    seats: list[SeatShown]
    starts_at: datetime
    ends_at: datetime
    check_in: date | None
    check_out: date | None
    hold_expires_at: datetime | None
    price: MoneyShown | None
    payment: PaymentShown | None
    notes: str | None
    contact: ContactShown | None
    created_at: datetime
    updated_at: datetime
    cancel_reason: str | None


class BookingStatusShown(Shown):
    booking_id: UUID
    status: BookingStatus
    version: int
    hold_expires_at: datetime | None
    payment_status: str | None


class HeldItemShown(Shown):
    """The status is 201; `replayed` where an earlier request under the item's key made the booking."""

    status: Literal[201]
    booking: BookingShown
    replayed: bool


class RefusedItemShown(Shown):
    """The status and the problem document that a request of its own would have got."""

    status: int
    problem: dict[str, Any]


class BulkShown(Shown):
    """In the order of the request."""

    items: list[HeldItemShown | RefusedItemShown]


def hold_of(
    body: PlaceHoldBody, caller: Caller, vendor_id: VendorId, booking_id: BookingId, once: Once | None
) -> PlaceHold:
    return PlaceHold(
        booking_id,
        vendor_id,
        caller,
        min(body.party_size, _PARTY_MAX),
        _when(body),
        body.seat_type,
        1 if body.quantity is None else body.quantity,
        body.notes,
        None if body.contact is None else _contact(body.contact),
        once,
    )


def amendment_of(
    body: AmendBody, caller: Caller, booking_id: BookingId, expected_version: int | None, once: Once | None
) -> AmendBooking:
    given = body.model_fields_set
    return AmendBooking(
        booking_id,
        caller,
        expected_version,
        party_size=None if body.party_size is None else min(body.party_size, _PARTY_MAX),
        starts_at=body.starts_at,
        check_in=body.check_in,
        check_out=body.check_out,
        seat_type=body.seat_type,
        quantity=body.quantity,
        notes=body.notes,
        clear_notes="notes" in given and body.notes is None,
        clear_seat_type="seat_type" in given and body.seat_type is None,
        once=once,
    )


def status_change_of(
    body: StatusBody, caller: Caller, booking_id: BookingId, expected_version: int | None, once: Once | None
) -> SetStatus:
    bill = None if body.bill is None else Money(body.bill.amount_minor, body.bill.currency)
    return SetStatus(booking_id, caller, BookingStatus(body.status), expected_version, body.reason, bill, once)


def once_of(key: str | None, request_line: str, raw: bytes) -> Once | None:
    """The key with a digest of what was asked; spaces and the order of members do not make another request."""
    return None if key is None else once(key, request_line, from_json(raw))


def once(key: str, request_line: str, content: Any) -> Once:
    """`content` is JSON as `from_json` reads it, which has whole numbers of any length; orjson would refuse them."""
    asked = f"{request_line}\n{_canonical(content)}"
    return Once(key, blake2b(asked.encode(), digest_size=16).digest())


def booking_content(booking: Booking, payment: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The booking as a client sees it, in the members of `BookingShown`; written out by hand because it is hot.

    `payment` has the members of `PaymentShown`.
    """
    vendor_id = str(booking.vendor_id)
    # A seat's id is its vendor's with the seat's number in the last 20 bits: five hexadecimal digits.
    of_vendor = vendor_id[:-5]
    contact = booking.contact
    return {
        "booking_id": booking.booking_id,
        "code": booking_code(booking.booking_id),
        "user_id": booking.user_id,
        "vendor_id": vendor_id,
        "kind": booking.kind,
        "status": booking.status,
        "version": booking.version,
        "party_size": booking.party_size,
        "seats": [
            {"seat_id": f"{of_vendor}{seat.seat_no:05x}", "name": seat.name, "seat_type": seat.seat_type}
            for seat in booking.seats
        ],
        "starts_at": booking.starts_at,
        "ends_at": booking.ends_at,
        "check_in": booking.check_in,
        "check_out": booking.check_out,
        "hold_expires_at": booking.hold_expires_at,
        "price": money_content(booking.price),
        "payment": payment,
        "notes": booking.notes,
        "contact": None if contact is None else {"name": contact.name, "email": contact.email, "phone": contact.phone},
        "created_at": booking.created_at,
        "updated_at": booking.updated_at,
        "cancel_reason": booking.cancel_reason,
    }


def status_content(booking: Booking, payment: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {
        "booking_id": booking.booking_id,
        "status": booking.status,
        "version": booking.version,
        "hold_expires_at": booking.hold_expires_at,
        "payment_status": None if payment is None else payment["status"],
    }


def _when(body: PlaceHoldBody) -> When:
    if body.starts_at is not None:
        return SittingTime(body.starts_at)
    if body.check_in is None or body.check_out is None:
        raise RuntimeError("a hold came past its model without a time")
    return StayDates(body.check_in, body.check_out)


def _contact(given: ContactGiven) -> Contact:
    return Contact(given.name, given.email, given.phone)
