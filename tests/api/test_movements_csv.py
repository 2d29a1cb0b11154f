"""A file that bookkeepers open in spreadsheets: amounts as people write them, and nothing that runs."""

import csv
import io
from datetime import UTC, datetime
from uuid import UUID

import pytest

from domain.ids import BookingId, UserId, VendorId
from domain.ledger import Account, BookedMovement, Movement, MovementKind
from domain.payment import PaymentId
from serve_app.movements_csv import COLUMNS, movements_csv


def booked(amount_minor=1000, currency="EUR", **given):
    reference = given.pop("reference", "ch_1")
    movement = Movement(MovementKind.CAPTURE, Account.GUEST, Account.PROVIDER, amount_minor, reference)
    ids = [UUID(int=number) for number in range(4)]
    return BookedMovement(
        7,
        datetime(2026, 11, 23, 12, 0, 1, 500, tzinfo=UTC),
        PaymentId(ids[0]),
        1,
        BookingId(ids[1]),
        2,
        VendorId(ids[2]),
        UserId(ids[3]),
        given.pop("provider", "sandbox"),
        currency,
        movement,
    )


def rows(*movements):
    return list(csv.DictReader(io.StringIO(movements_csv(movements), newline="")))


def test_a_line_for_each_movement():
    (row,) = rows(booked())
    assert row == {
        "movement": "7",
        "moved_at": "2026-11-23T12:00:01.000500Z",
        "booking_id": str(UUID(int=1)),
        "booking_version": "2",
        "payment_id": str(UUID(int=0)),
        "what": "capture",
        "from_account": "guest",
        "to_account": "provider",
        "amount": "10.00",
        "currency": "EUR",
        "provider": "sandbox",
        "reference": "ch_1",
    }


def test_no_movements_is_a_line_of_names():
    assert movements_csv([]) == ",".join(COLUMNS) + "\r\n"


@pytest.mark.parametrize(("currency", "text"), [("EUR", "12345.67"), ("JPY", "1234567"), ("KWD", "1234.567")])
def test_amounts_have_their_currencys_decimals(currency, text):
    assert rows(booked(1_234_567, currency))[0]["amount"] == text


@pytest.mark.parametrize(
    "reference",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "|cmd", " =1", '=HYPERLINK("http://x")', "%0A=1"],
)
def test_what_looks_like_a_formula_is_text(reference):
    row = rows(booked(reference=reference, provider=reference))[0]
    assert row["reference"] == f"'{reference}"
    assert row["provider"] == f"'{reference}"


@pytest.mark.parametrize("reference", ["", "ch_1", 'a"b', "a,b", "a\r\nb", "ünïcode", "a=b", "1-2"])
def test_other_text_comes_through_as_it_is(reference):
    assert rows(booked(reference=reference))[0]["reference"] == reference
