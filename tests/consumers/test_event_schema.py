"""The rule of docs/reference/events.md: what was written once is read for ever, and read alike by older programs."""

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from consumers.event_documents import BookingDocument, VendorDocument
from consumers.event_schema import SCHEMA, Poison, decode, encode, refunded_message
from domain.booking import Booking
from domain.event import (
    BookingAmended,
    BookingAvailed,
    BookingCancelled,
    BookingConfirmed,
    DepositPaid,
    HoldPlaced,
    VendorCreated,
)
from domain.payment import Refund, RefundState
from domain.payment_steps import new_payment
from domain.vendor import Vendor
from storage.booking_rows import booking_from_json, booking_json, bookings_json
from storage.event_json import booking_events_json, vendor_event_json
from storage.event_log import Delivered, Topic
from storage.outbox import OutboxRow
from tests.consumers.event_values import DINNER, HOTEL, STAY, TOLD, TOLD_SINCE

SAMPLES = Path(__file__).parent / "event_samples"


def sample(topic):
    return json.loads((SAMPLES / f"{topic}.json").read_text("utf-8"))


def delivered(topic, document):
    """As the log would bring it, under the key that it should have."""
    told = TOLD[topic]
    key = HOTEL.vendor_id if topic is Topic.NEW_VENDOR else told.booking.booking_id
    value = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Delivered(topic, 0, 1, str(key), value)


def row(*events, bookings=()):
    position = {booking.booking_id: number for number, booking in enumerate(bookings)}
    return OutboxRow(1, 2, 3, booking_events_json(events, position).decode(), bookings_json(bookings).decode())


@pytest.mark.parametrize("topic", Topic)
def test_an_old_message_still_tells_what_it_told(topic):
    assert decode(delivered(topic, sample(topic))) == TOLD[topic]


@pytest.mark.parametrize("name", TOLD_SINCE)
def test_a_message_with_fields_that_came_later_tells_them_too(name):
    topic = TOLD_SINCE[name].topic
    message = delivered(topic, sample(name))
    assert decode(message) == TOLD_SINCE[name]


def test_every_topic_has_a_frozen_message():
    assert {path.stem for path in SAMPLES.iterdir()} == {*Topic, *TOLD_SINCE}
    assert set(TOLD) == set(Topic)


def shape(value):
    """Names and kinds, which may grow but not change."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def assert_still_there(old, new, at="message"):
    if isinstance(old, dict):
        for name, inner in old.items():
            assert name in new, f"{at}.{name} is not written any more"
            assert_still_there(inner, new[name], f"{at}.{name}")
    elif isinstance(old, list) and old:
        assert_still_there(old[0], new[0], f"{at}[]")
    else:
        assert old == new, f"{at} was {old}, is {new}"


@pytest.mark.parametrize(
    ("topic", "written"),
    [
        (Topic.NEW_BOOKING, row(BookingConfirmed(DINNER, DINNER), bookings=[DINNER])),
        (
            Topic.BOOKING_CANCELLED,
            row(
                BookingCancelled(replace(DINNER, cancel_reason="ill"), DINNER, late=True),
                bookings=[replace(DINNER, cancel_reason="ill")],
            ),
        ),
        (Topic.BOOKING_AVAILED, row(BookingAvailed(STAY, STAY, bill_minor=1), bookings=[STAY])),
        (Topic.NEW_VENDOR, OutboxRow(1, 2, 3, vendor_event_json(VendorCreated(HOTEL, "e", "h")).decode(), "[]")),
    ],
)
def test_what_is_written_today_has_every_field_that_an_older_reader_relies_on(topic, written):
    (message,) = encode(written)
    assert message.topic is topic
    assert_still_there(shape(sample(topic)), shape(json.loads(message.value)))


def test_a_refund_that_is_told_has_every_field_and_is_read_again():
    booking = TOLD[Topic.PAYMENT_REFUNDED].booking
    made = new_payment(replace(booking, status="BLOCKED"), (), "sandbox", booking.created_at)
    refund = Refund(1, "cap", 2000, RefundState.DONE)
    message = refunded_message(booking, made, refund, booking.updated_at)
    assert_still_there(shape(sample(Topic.PAYMENT_REFUNDED)), shape(json.loads(message.value)))
    told = decode(Delivered(message.topic, 0, 1, message.key, message.value))
    wanted = TOLD[Topic.PAYMENT_REFUNDED]
    assert told == replace(wanted, event_id=f"{made.payment_id}-refund-1", occurred_at=booking.updated_at)


def test_a_hold_is_told_as_a_booking_only_once_it_is_confirmed():
    blocked = replace(DINNER, status="BLOCKED")
    assert encode(row(HoldPlaced(blocked), bookings=[blocked])) == []
    (message,) = encode(row(HoldPlaced(DINNER), bookings=[DINNER]))
    assert (message.topic, message.key) == (Topic.NEW_BOOKING, str(DINNER.booking_id))


def amended(before, after):
    """What is written of an amendment between the two states."""
    booking = replace(DINNER, version=3, status=after)
    (message,) = encode(row(BookingAmended(booking, replace(DINNER, status=before)), bookings=[booking]))
    told = decode(Delivered(message.topic, 0, 1, message.key, message.value))
    assert told.booking == booking
    return told.topic


def test_a_hold_that_an_amendment_confirms_is_told_as_a_booking():
    assert amended("BLOCKED", "CONFIRMED") is Topic.NEW_BOOKING


@pytest.mark.parametrize("status", ["BLOCKED", "CONFIRMED"])
def test_an_amendment_that_confirms_nothing_is_told_as_one(status):
    assert amended(status, status) is Topic.BOOKING_AMENDED


def test_an_older_shard_does_not_say_what_an_amendment_confirmed():
    written = row(BookingAmended(DINNER, replace(DINNER, status="BLOCKED")), bookings=[DINNER])
    (message,) = encode(replace(written, events='[{"type": "BookingAmended", "booking": 0}]'))
    assert message.topic is Topic.BOOKING_AMENDED


def test_a_hold_that_is_paid_and_not_approved_is_told_to_nobody():
    paid = replace(DINNER, status="BLOCKED", deposit_paid=True)
    made = encode(row(DepositPaid(paid, paid), BookingConfirmed(STAY, STAY), bookings=[paid, STAY]))
    assert [message.key for message in made] == [str(STAY.booking_id)]


def test_events_of_a_batch_are_numbered_by_their_place_in_it():
    blocked = replace(STAY, status="BLOCKED")
    made = encode(row(HoldPlaced(blocked), BookingConfirmed(DINNER, DINNER), bookings=[blocked, DINNER]))
    assert [json.loads(message.value)["event_id"] for message in made] == ["1-2-3-1"]


def with_unknown_fields(value):
    """A newer writer may add a field anywhere."""
    if isinstance(value, dict):
        return {name: with_unknown_fields(inner) for name, inner in value.items()} | {"added_later": {"x": [1]}}
    if isinstance(value, list):
        return [with_unknown_fields(inner) for inner in value]
    return value


@pytest.mark.parametrize("topic", Topic)
def test_fields_of_a_newer_writer_are_ignored(topic):
    assert decode(delivered(topic, with_unknown_fields(sample(topic)))) == TOLD[topic]


def test_a_booking_that_was_told_can_be_stored_again_exactly():
    told = decode(delivered(Topic.BOOKING_AVAILED, sample(Topic.BOOKING_AVAILED))).booking
    assert booking_from_json(booking_json(told)) == STAY
    assert booking_json(told) == booking_json(STAY)
    paid = TOLD_SINCE["booking_availed.2"].booking
    assert booking_from_json(booking_json(paid)) == paid


def test_a_booking_stored_before_there_were_payments_is_read_alike():
    """As it lies in the archive, in remembered answers and in caches, of which none is ever rewritten."""
    old = json.dumps(sample(Topic.NEW_BOOKING)["booking"])
    assert booking_from_json(old) == DINNER
    assert booking_from_json(json.dumps(sample(Topic.BOOKING_EXPIRED)["booking"])).terms.deposit_version == 0


def test_instants_with_another_offset_are_read_as_utc():
    document = sample(Topic.NEW_BOOKING)
    document["booking"]["starts_at"] = "2026-12-24T19:00:00+01:00"
    told = decode(delivered(Topic.NEW_BOOKING, document)).booking
    assert (told.starts_at, told.starts_at.utcoffset().seconds) == (DINNER.starts_at, 0)


@pytest.mark.parametrize(("document", "of"), [(BookingDocument, Booking), (VendorDocument, Vendor)])
def test_the_document_has_every_field_of_the_domain(document, of):
    """Fails when a field is added to the domain and forgotten here: give it a default, and tell it."""
    assert set(document.model_fields) == {field.name for field in fields(of)}


def changed(topic=Topic.NEW_BOOKING, **changes):
    return sample(topic) | changes


def changed_booking(**changes):
    document = sample(Topic.NEW_BOOKING)
    return document | {"booking": document["booking"] | changes}


def without(name, topic=Topic.NEW_BOOKING):
    document = sample(topic)
    subject = document["vendor" if topic is Topic.NEW_VENDOR else "booking"]
    (subject if name in subject else document).pop(name)
    return document


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"", "JSON"),
        (b"\xff\xfe", "JSON"),
        (b"[1]", "object"),
        (b"{}", "schema"),
        (changed(schema=SCHEMA + 1), "newer"),
        (changed(schema=SCHEMA + 1, booking="of a shape not known yet"), "newer"),
        (changed(schema=0), "schema"),
        (changed(schema="1"), "schema"),
        (changed(type="booking_forgotten"), "type|tag"),
        (changed(type="booking_expired"), "tells of booking_expired"),
        (changed(event_id=""), "event_id"),
        (changed(event_id=7), "event_id"),
        (changed(booking=None), "booking"),
        (without("booking"), "booking"),
        (without("version"), "version"),
        (without("terms"), "terms"),
        (without("vendor_id"), "vendor_id"),
        (changed_booking(version="2"), "version"),
        (changed_booking(version=0), "version"),
        (changed_booking(status="MISLAID"), "status"),
        (changed_booking(starts_at="2026-12-24T18:00:00"), "starts_at"),
        (changed_booking(starts_at="soon"), "starts_at"),
        (changed_booking(user_id="me"), "user_id"),
        (changed_booking(seats=[{"seat_no": 1}]), "seats"),
        (changed_booking(price={"amount_minor": 1.5, "currency": "EUR"}), "price"),
    ],
)
def test_what_cannot_be_understood_is_poison_and_says_why(document, said):
    with pytest.raises(Poison, match=said):
        decode(delivered(Topic.NEW_BOOKING, document))


def test_a_vendor_without_a_name_is_poison():
    with pytest.raises(Poison, match="name"):
        decode(delivered(Topic.NEW_VENDOR, without("name", Topic.NEW_VENDOR)))


def test_a_message_under_another_key_is_poison():
    message = delivered(Topic.NEW_BOOKING, sample(Topic.NEW_BOOKING))
    with pytest.raises(Poison, match="key"):
        decode(replace(message, key="elsewhere"))


def test_poison_does_not_repeat_what_people_wrote():
    document = changed_booking(version="x", contact={"email": ["ana@example.org"]})
    with pytest.raises(Poison) as raised:
        decode(delivered(Topic.NEW_BOOKING, document))
    assert "ana@example.org" not in str(raised.value)


@pytest.mark.parametrize(
    ("events", "bookings"),
    [('[{"type": "Odd"}]', "[]"), ('[{"type": "BookingConfirmed", "booking": 3}]', "[]"), ("{", "[]"), ("[{}]", "[]")],
)
def test_an_outbox_row_that_nobody_wrote_is_named(events, bookings):
    with pytest.raises(ValueError, match="outbox row 4-5-6"):
        encode(OutboxRow(4, 5, 6, events, bookings))
