"""A search index that looks at every vendor: slow, and plain enough to be believed. Text is found by whole words alone."""

import re
from collections.abc import AsyncIterator, Sequence
from functools import lru_cache
from math import asin, cos, inf, radians, sin, sqrt

from domain.ids import VendorId
from domain.money import Money
from domain.search import Candidate, CandidateQuery, SearchOrder, SortPosition, folded
from domain.vendor import Location, Vendor
from storage.errors import StoreUnavailable

EARTH_KM = 6371.0088


class MemorySearchIndex:
    """`away` makes every call raise. `asked` are the calls that were made: (query, after, limit)."""

    def __init__(self, vendors: Sequence[Vendor] = ()) -> None:
        self.vendors: dict[VendorId, Vendor] = {vendor.vendor_id: vendor for vendor in vendors}
        self.away = False
        self.asked: list[tuple[CandidateQuery, SortPosition | None, int]] = []

    async def candidates(self, query: CandidateQuery, *, after: SortPosition | None, limit: int) -> Sequence[Candidate]:
        self.asked.append((query, after, limit))
        if self.away:
            raise StoreUnavailable("the search index is away")
        found = [candidate_of(query, vendor) for vendor in self.vendors.values() if fits(query, vendor)]
        found.sort(key=place)
        return [one for one in found if after is None or place(one) > (after.key, after.vendor_id)][:limit]

    async def put(self, vendors: Sequence[Vendor]) -> None:
        for vendor in vendors:
            known = self.vendors.get(vendor.vendor_id)
            if known is None or known.version <= vendor.version:
                self.vendors[vendor.vendor_id] = vendor

    async def rebuild(self, vendors: AsyncIterator[Sequence[Vendor]]) -> None:
        async for page in vendors:
            await self.put(page)

    async def count(self) -> int:
        return len(self.vendors)

    async def close(self) -> None:
        return None


def place(candidate: Candidate) -> tuple[float, VendorId]:
    return candidate.position.key, candidate.position.vendor_id


def fits(query: CandidateQuery, vendor: Vendor) -> bool:
    """Everything that a query asks, one thing after the other."""
    if query.kind is not None and query.kind is not vendor.kind:
        return False
    near, radius_km = query.near, query.radius_km
    if near is not None and radius_km is not None and distance_km(near, vendor.location) > radius_km:
        return False
    for asked, labels in (
        (query.city, (vendor.city,)),
        (query.cuisine, vendor.cuisines),
        (query.amenity, vendor.amenities),
        (query.seat_type, tuple(group.seat_type for group in vendor.seats)),
    ):
        if asked is not None and plain(asked) not in map(plain, labels):
            return False
    if query.party_size is not None and query.party_size > party_max(vendor):
        return False
    if query.price_max_minor is not None:
        price = price_of(query, vendor)
        if price is None or price > query.price_max_minor:
            return False
    return query.text is None or words(query.text) <= words_of(vendor)


def party_max(vendor: Vendor) -> int:
    """What the largest table or room takes, or the largest tables that may be put together."""
    capacities = {group.name: group.capacity_max for group in vendor.seats}
    return max([*capacities.values(), *(sum(capacities[name] for name in names) for names in vendor.combinations)])


def candidate_of(query: CandidateQuery, vendor: Vendor) -> Candidate:
    price = price_of(query, vendor)
    distance = None if query.near is None else distance_km(query.near, vendor.location)
    key = 0.0
    if query.order is SearchOrder.PRICE:
        key = inf if price is None else float(price)
    elif distance is not None and (query.order is SearchOrder.DISTANCE or query.text is None):
        key = distance
    return Candidate(
        vendor_id=vendor.vendor_id,
        version=vendor.version,
        kind=vendor.kind,
        name=vendor.name,
        city=vendor.city,
        location=vendor.location,
        cuisines=vendor.cuisines,
        amenities=vendor.amenities,
        from_price=None if price is None else Money(price, vendor.currency),
        distance_km=distance,
        position=SortPosition(key, vendor.vendor_id),
    )


def price_of(query: CandidateQuery, vendor: Vendor) -> int | None:
    prices = [
        group.price.amount_minor
        for group in vendor.seats
        if group.price and (query.seat_type is None or plain(group.seat_type) == plain(query.seat_type))
    ]
    return min(prices, default=None)


@lru_cache(maxsize=100_000)
def plain(text: str) -> str:
    return folded(text)


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", folded(text)))


def words_of(vendor: Vendor) -> set[str]:
    return words(" ".join([vendor.name, vendor.city, vendor.description or "", *vendor.cuisines, *vendor.amenities]))


def distance_km(one: Location, other: Location) -> float:
    """The haversine formula."""
    lat, other_lat = radians(one.lat), radians(other.lat)
    half = sin((other_lat - lat) / 2) ** 2 + cos(lat) * cos(other_lat) * sin(radians(other.lon - one.lon) / 2) ** 2
    return 2 * EARTH_KM * asin(min(1.0, sqrt(half)))
