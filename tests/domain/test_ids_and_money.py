"""Ids say where they belong; money is whole minor units."""

from uuid import RFC_4122

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.currency import CURRENCIES, decimal_text, decimals_of
from domain.ids import BUCKETS, SEAT_NO_MAX, booking_code, booking_id_from, bucket_of, seat_id_of, vendor_id_from
from domain.money import Money

bits = st.integers(0, 2**128 - 1)


@given(bits, bits, st.integers(1, SEAT_NO_MAX))
def test_seats_and_bookings_stand_in_their_vendors_bucket(vendor_bits: int, booking_bits: int, seat_no: int) -> None:
    vendor_id = vendor_id_from(vendor_bits)
    booking_id = booking_id_from(vendor_id, booking_bits)
    seat_id = seat_id_of(vendor_id, seat_no)
    assert bucket_of(vendor_id) == bucket_of(booking_id) == bucket_of(seat_id) == vendor_bits >> 116 < BUCKETS
    assert vendor_id.int & SEAT_NO_MAX == 0
    assert seat_id.int - vendor_id.int == seat_no
    for an_id in (vendor_id, booking_id, seat_id):
        assert (an_id.version, an_id.variant) == (8, RFC_4122)


@given(bits)
def test_a_code_has_eight_letters_that_nobody_mistakes(random_bits: int) -> None:
    code = booking_code(booking_id_from(vendor_id_from(0), random_bits))
    assert len(code) == 8
    assert not set(code) - set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")


def test_shares_of_money_round_down() -> None:
    assert Money(199, "EUR").percent(50) == Money(99, "EUR")
    assert Money(199, "EUR").times(3) == Money(597, "EUR")


@pytest.mark.parametrize(
    ("amount_minor", "currency", "text"),
    [
        (2500, "EUR", "25.00"),
        (5, "USD", "0.05"),
        (0, "EUR", "0.00"),
        (-5, "EUR", "-0.05"),
        (-2505, "KWD", "-2.505"),
        (2500, "JPY", "2500"),
        (-2500, "KRW", "-2500"),
        (7, "BHD", "0.007"),
        (10**12, "TND", "1000000000.000"),
    ],
)
def test_amounts_as_people_write_them(amount_minor: int, currency: str, text: str) -> None:
    assert decimal_text(amount_minor, currency) == text


def test_every_currency_has_its_decimals() -> None:
    by_decimals = {count: {code for code in CURRENCIES if decimals_of(code) == count} for count in (0, 2, 3)}
    assert sum(map(len, by_decimals.values())) == len(CURRENCIES)
    assert by_decimals[3] == {"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"}
    assert len(by_decimals[0]) == 16
