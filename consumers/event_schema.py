"""What stands in a message of the event log: schema version 1, written from the outbox and read by every consumer.

The rule that keeps old and new programs able to read each other is in docs/reference/events.md; frozen messages in
tests/consumers/event_samples/ hold us to it.
"""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeAlias

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from consumers.event import BookingHappened, Happened, PaymentRefunded, VendorHappened
from consumers.event_documents import BookingDocument, Instant, MoneyDocument, VendorDocument, Version
from domain.booking import Booking, BookingStatus
from domain.payment import Payment, Refund
from storage.event_json import events_of_outbox
from storage.event_log import Delivered, Message, Topic
from storage.outbox import OutboxRow

SCHEMA: Final = 1

_BOOKING_TOPICS: Final[dict[str, Topic | None]] = {
    "BookingConfirmed": Topic.NEW_BOOKING,
    "BookingAmended": Topic.BOOKING_AMENDED,
    "BookingCancelled": Topic.BOOKING_CANCELLED,
    "BookingAvailed": Topic.BOOKING_AVAILED,
    "BookingNoShow": Topic.BOOKING_NO_SHOW,
    "HoldExpired": Topic.BOOKING_EXPIRED,
    "DepositPaid": None,
}
_VENDOR_TYPES: Final = ("VendorCreated", "VendorUpdated")


class Poison(Exception):
    """A message that no reader of this version will ever understand; the text says why."""


class _Event(BaseModel):
    """Unknown fields are ignored, so that a newer writer may add some. Values have their own types: no "3" for 3."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    event_id: Annotated[str, Field(min_length=1)]


class _BookingEvent(_Event):
    type: Literal[Topic.NEW_BOOKING, Topic.BOOKING_AMENDED, Topic.BOOKING_NO_SHOW, Topic.BOOKING_EXPIRED]
    booking: BookingDocument

    def happened(self) -> Happened:
        return BookingHappened(self.event_id, self.type, self.booking.to_domain())


class _BookingCancelled(_Event):
    type: Literal[Topic.BOOKING_CANCELLED]
    booking: BookingDocument
    late: bool = False

    def happened(self) -> Happened:
        return BookingHappened(self.event_id, self.type, self.booking.to_domain(), late=self.late)


class _BookingAvailed(_Event):
    type: Literal[Topic.BOOKING_AVAILED]
    booking: BookingDocument
    bill_minor: int | None = None

    def happened(self) -> Happened:
        return BookingHappened(self.event_id, self.type, self.booking.to_domain(), bill_minor=self.bill_minor)


class _PaymentRefunded(_Event):
    type: Literal[Topic.PAYMENT_REFUNDED]
    booking: BookingDocument
    occurred_at: Instant
    payment_number: Version
    refund_number: Version
    refunded: MoneyDocument

    def happened(self) -> Happened:
        booking, refunded = self.booking.to_domain(), self.refunded.to_domain()
        return PaymentRefunded(
            self.event_id, self.type, booking, self.payment_number, self.refund_number, refunded, self.occurred_at
        )


class _NewVendor(_Event):
    type: Literal[Topic.NEW_VENDOR]
    vendor: VendorDocument

    def happened(self) -> Happened:
        return VendorHappened(self.event_id, self.type, self.vendor.to_domain())


_AnyEvent: TypeAlias = Annotated[
    _BookingEvent | _BookingCancelled | _BookingAvailed | _PaymentRefunded | _NewVendor, Field(discriminator="type")
]


class _Envelope(BaseModel):
    """Read first, to know whether the rest can be read."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    schema_version: Annotated[int, Field(alias="schema", ge=1)]


_EVENTS: Final[TypeAdapter[_AnyEvent]] = TypeAdapter(_AnyEvent)


def encode(row: OutboxRow) -> list[Message]:
    """The messages of one outbox row, in their order; none for a hold that was placed or paid and is not confirmed yet.

    Raises ValueError for a row that no version of ours wrote.
    """
    try:
        told = events_of_outbox(row.events, row.bookings)
        made = [
            _message(topic, event, f"{row.shard_id}-{row.epoch}-{row.seq}-{index}")
            for index, event in enumerate(told)
            if (topic := _topic(event)) is not None
        ]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        name = f"{row.shard_id}-{row.epoch}-{row.seq}"
        raise ValueError(f"outbox row {name} cannot be told: {type(error).__name__}: {error}") from error
    return made


def refunded_message(booking: Booking, payment: Payment, refund: Refund, now: datetime) -> Message:
    """What the payment desk tells of a refund; under the same `event_id` however often it does."""
    told = {
        "schema": SCHEMA,
        "type": Topic.PAYMENT_REFUNDED,
        "event_id": f"{payment.payment_id}-refund-{refund.number}",
        "occurred_at": now,
        "booking": booking,
        "payment_id": payment.payment_id,
        "payment_number": payment.number,
        "refund_number": refund.number,
        "refunded": {"amount_minor": refund.amount_minor, "currency": payment.currency},
    }
    return Message(Topic.PAYMENT_REFUNDED, str(booking.booking_id), orjson.dumps(told))


def decode(message: Delivered) -> Happened:
    """What a message tells. Raises Poison where it is malformed, of a newer schema, or not what its place says."""
    try:
        version = _Envelope.model_validate_json(message.value).schema_version
        if version > SCHEMA:
            raise Poison(f"schema {version} is newer than {SCHEMA}, the newest that this program reads")
        happened = _EVENTS.validate_json(message.value).happened()
    except ValidationError as error:
        raise Poison(_reasons(error)) from error
    if happened.topic is not message.topic:
        raise Poison(f"a message of the topic {message.topic} tells of {happened.topic}")
    if message.key != _key(happened):
        raise Poison(f"a message of the key {message.key!r} tells of {_key(happened)}")
    return happened


def _message(topic: Topic, event: dict[str, Any], event_id: str) -> Message:
    subject = "vendor" if topic is Topic.NEW_VENDOR else "booking"
    document = event[subject]
    told: dict[str, Any] = {
        "schema": SCHEMA,
        "type": topic,
        "event_id": event_id,
        "occurred_at": document["updated_at"],
        subject: document,
    }
    told |= {name: event[name] for name in ("late", "bill_minor") if name in event}
    return Message(topic, str(document[f"{subject}_id"]), orjson.dumps(told))


def _topic(event: dict[str, Any]) -> Topic | None:
    """`new_booking` is told when a booking becomes CONFIRMED, at once, later or by an amendment: never of a hold."""
    if event["type"] == "HoldPlaced":
        return Topic.NEW_BOOKING if event["booking"]["status"] == BookingStatus.CONFIRMED else None
    if event.get("confirms"):
        return Topic.NEW_BOOKING
    return Topic.NEW_VENDOR if event["type"] in _VENDOR_TYPES else _BOOKING_TOPICS[event["type"]]


def _key(happened: Happened) -> str:
    if isinstance(happened, VendorHappened):
        return str(happened.vendor.vendor_id)
    return str(happened.booking.booking_id)


def _reasons(error: ValidationError) -> str:
    """Where and what, without the values: they are people's names and addresses."""
    found = [f"{'.'.join(map(str, fault['loc'])) or 'message'}: {fault['msg']}" for fault in error.errors()[:5]]
    return "; ".join(found)
