"""Whom a change of seats would strand, said plainly over bookings: what the database is asked for, and what it must say."""

from collections.abc import Iterable, Mapping

from domain.booking import Booking
from domain.ids import BookingId


def seats_in_use(standing: Iterable[Booking]) -> frozenset[int]:
    return frozenset(seat.seat_no for booking in standing for seat in booking.seats)


def stranded(standing: Iterable[Booking], capacities: Mapping[int, int]) -> list[BookingId]:
    """Bookings of which a seat is gone, or whose seats together no longer take the party, by start."""
    return [
        booking.booking_id
        for booking in sorted(standing, key=lambda b: (b.starts_at, b.booking_id))
        if any(seat.seat_no not in capacities for seat in booking.seats)
        or sum(capacities[seat.seat_no] for seat in booking.seats) < booking.party_size
    ]
