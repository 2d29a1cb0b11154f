"""Events as they lie in the outbox, one row per batch: what happened in `events`, the bookings it happened to in `bookings`.

A booking event is `{"type": "HoldPlaced", "booking": 3}`, with `late` or `bill_minor` where it has them, and `confirms`
where an amendment made a hold CONFIRMED; its number counts into `bookings`, so that a batch's bookings are encoded and
sent once, for their rows and for the outbox. A vendor event is `{"type": "VendorUpdated", "vendor": {...}}`, never with
an e-mail address or a password hash.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from domain.booking import BookingStatus
from domain.event import BookingAmended, BookingAvailed, BookingCancelled, BookingEvent, VendorCreated, VendorUpdated
from domain.ids import BookingId

_CONFIRMING: Final = (BookingStatus.BLOCKED, BookingStatus.CONFIRMED)


def booking_events_json(events: Sequence[BookingEvent], position: Mapping[BookingId, int]) -> bytes:
    """`position` says where each booking stands among the batch's. KeyError for an event of none of them."""
    return orjson.dumps([_told(event, position) for event in events])


def vendor_event_json(event: VendorCreated | VendorUpdated) -> bytes:
    return orjson.dumps([{"type": type(event).__name__, "vendor": event.vendor}])


def events_of_outbox(events: str | bytes, bookings: str | bytes) -> list[dict[str, Any]]:
    """One row of the outbox as whole events: `booking` is the booking's document instead of a number."""
    documents = orjson.loads(bookings)
    told: list[dict[str, Any]] = orjson.loads(events)
    return [event | {"booking": documents[event["booking"]]} if "booking" in event else event for event in told]


def _told(event: BookingEvent, position: Mapping[BookingId, int]) -> dict[str, Any]:
    told: dict[str, Any] = {"type": type(event).__name__, "booking": position[event.booking.booking_id]}
    match event:
        case BookingCancelled(late=late):
            told["late"] = late
        case BookingAvailed(bill_minor=bill_minor):
            told["bill_minor"] = bill_minor
        case BookingAmended(booking=after, before=before) if (before.status, after.status) == _CONFIRMING:
            told["confirms"] = True
        case _:
            pass
    return told
