"""What somebody with so much money sees of a vendor, worked out another way than `domain.seating` does."""

from dataclasses import replace
from datetime import date

from domain.vendor import Closure, Vendor
from domain.vendor_facts import compile_facts
from domain.vendor_state import VendorState

EVER = Closure(date(1970, 1, 1), date(9999, 12, 31))


def cheap_enough(vendor: Vendor, state: VendorState, price_max_minor: int | None) -> VendorState:
    """The vendor and its bookings as they are, but seats that cost more, or have no price, out of sale for good."""
    if price_max_minor is None:
        return state
    seats = [
        group if group.price and group.price.amount_minor <= price_max_minor else replace(group, closures=(EVER,))
        for group in vendor.seats
    ]
    # Closures do not change the order of the seats, so what is taken of each is read through.
    return VendorState(compile_facts(replace(vendor, seats=tuple(seats))), state)
