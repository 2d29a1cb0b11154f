"""Identifiers that say where they belong: the bucket stands in the first 12 bits of every id.

Vendor, seat and booking ids are version 8 UUIDs (RFC 9562, "custom"). A vendor's first 12 bits are random and
name its bucket for ever; its seats and bookings repeat them, so any id finds its shard without a look-up. A vendor
id ends in 20 zero bits, and a seat's id is the vendor's id with the seat's number in their place.
"""

from typing import Final, NewType
from uuid import UUID

UserId = NewType("UserId", UUID)
VendorId = NewType("VendorId", UUID)
SeatId = NewType("SeatId", UUID)
BookingId = NewType("BookingId", UUID)

BUCKETS: Final = 4096
SEAT_NO_MAX: Final = (1 << 20) - 1

_BUCKET_SHIFT: Final = 116
_BELOW_BUCKET: Final = (1 << _BUCKET_SHIFT) - 1
_VERSION_AND_VARIANT: Final = (0xF << 76) | (0b11 << 62)
_VERSION_8: Final = (0x8 << 76) | (0b10 << 62)
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def bucket_of(an_id: UUID) -> int:
    """The bucket, 0..4095, of a vendor, seat or booking."""
    return an_id.int >> _BUCKET_SHIFT


def vendor_id_from(random_bits: int) -> VendorId:
    """Make a vendor's id of 128 random bits."""
    return VendorId(_custom_uuid(random_bits & ~SEAT_NO_MAX))


def booking_id_from(vendor_id: VendorId, random_bits: int) -> BookingId:
    """Make a booking's id in its vendor's bucket, of 128 random bits."""
    bucket = vendor_id.int & ~_BELOW_BUCKET
    return BookingId(_custom_uuid(bucket | (random_bits & _BELOW_BUCKET)))


def seat_id_of(vendor_id: VendorId, seat_no: int) -> SeatId:
    """The lasting id of a vendor's seat; `seat_no` is 1..SEAT_NO_MAX and never given to another seat."""
    return SeatId(UUID(int=vendor_id.int | seat_no))


def booking_code(booking_id: BookingId) -> str:
    """Eight letters and digits that people can read to each other over the telephone (Crockford's base 32)."""
    bits = booking_id.int & ((1 << 40) - 1)
    return "".join(_CROCKFORD[(bits >> shift) & 31] for shift in range(35, -5, -5))


def _custom_uuid(bits: int) -> UUID:
    return UUID(int=(bits & ~_VERSION_AND_VARIANT) | _VERSION_8)
