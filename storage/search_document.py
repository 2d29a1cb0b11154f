"""What an index keeps of a vendor, and the candidate that is read back from it. The same for every adapter."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final
from uuid import UUID

from domain.ids import VendorId
from domain.money import Money
from domain.search import Candidate, CandidateQuery, SortPosition, folded
from domain.vendor import Location, Vendor, VendorKind
from storage.search_text import words
from storage.sphere import distance_km

_LABEL_CHARACTERS_MAX: Final = 200
_TEXT_WORDS_MAX: Final = 1000


@dataclass(frozen=True, slots=True)
class SearchDocument:
    """`name` is in the order of the name; `about` and `description` are distinct words.

    `city`, `cuisines`, `amenities` and the keys of `prices` are labels. `prices` is by seat type the lowest price in
    minor units, None where no seat of it has one; `from_minor` is the lowest of all. `party_max` is what the largest
    seat or combination takes. `shown` is what a candidate shows of it, as JSON values.
    """

    vendor_id: VendorId
    version: int
    kind: VendorKind
    location: Location
    name: tuple[str, ...]
    about: tuple[str, ...]
    description: tuple[str, ...]
    city: str
    cuisines: tuple[str, ...]
    amenities: tuple[str, ...]
    party_max: int
    prices: dict[str, int | None]
    from_minor: int | None
    shown: dict[str, Any]


def search_document(vendor: Vendor) -> SearchDocument:
    about = (vendor.kind, vendor.city, *vendor.cuisines, *vendor.amenities)
    prices = _prices(vendor)
    return SearchDocument(
        vendor_id=vendor.vendor_id,
        version=vendor.version,
        kind=vendor.kind,
        location=vendor.location,
        name=tuple(words(vendor.name))[:_TEXT_WORDS_MAX],
        about=tuple(dict.fromkeys(chain.from_iterable(map(words, about))))[:_TEXT_WORDS_MAX],
        description=tuple(dict.fromkeys(words(vendor.description or "")))[:_TEXT_WORDS_MAX],
        city=label(vendor.city),
        cuisines=tuple(map(label, vendor.cuisines)),
        amenities=tuple(map(label, vendor.amenities)),
        party_max=_party_max(vendor),
        prices=prices,
        from_minor=min((price for price in prices.values() if price is not None), default=None),
        shown={
            "kind": vendor.kind,
            "name": vendor.name,
            "city": vendor.city,
            "lat": vendor.location.lat,
            "lon": vendor.location.lon,
            "cuisines": list(vendor.cuisines),
            "amenities": list(vendor.amenities),
            "currency": vendor.currency,
        },
    )


def newest(vendors: Iterable[Vendor]) -> list[SearchDocument]:
    """One document for each vendor, of its newest version, by id."""
    by_id: dict[UUID, Vendor] = {}
    for vendor in vendors:
        known = by_id.setdefault(vendor.vendor_id, vendor)
        if known.version < vendor.version:
            by_id[vendor.vendor_id] = vendor
    return [search_document(by_id[vendor_id]) for vendor_id in sorted(by_id)]


def label(text: str) -> str:
    """What is compared whole: a city, a cuisine, an amenity, a seat type. Safe for any store, whatever was typed."""
    return folded(text).encode("utf-8", "ignore").decode().replace("\0", "")[:_LABEL_CHARACTERS_MAX]


def candidate(
    query: CandidateQuery,
    vendor_id: VendorId,
    version: int,
    shown: dict[str, Any],
    *,
    from_minor: int | None,
    key: float,
) -> Candidate:
    """`from_minor` is of the asked seat type."""
    location = Location(shown["lat"], shown["lon"])
    return Candidate(
        vendor_id=vendor_id,
        version=version,
        kind=VendorKind(shown["kind"]),
        name=shown["name"],
        city=shown["city"],
        location=location,
        cuisines=tuple(shown["cuisines"]),
        amenities=tuple(shown["amenities"]),
        from_price=None if from_minor is None else Money(from_minor, shown["currency"]),
        distance_km=None if query.near is None else distance_km(query.near, location),
        position=SortPosition(key, vendor_id),
    )


def _prices(vendor: Vendor) -> dict[str, int | None]:
    prices: dict[str, int | None] = {}
    for group in vendor.seats:
        seat_type = label(group.seat_type)
        price = None if group.price is None else group.price.amount_minor
        known = prices.setdefault(seat_type, price)
        if price is not None and (known is None or price < known):
            prices[seat_type] = price
    prices.pop("", None)
    return prices


def _party_max(vendor: Vendor) -> int:
    capacities = {group.name: group.capacity_max for group in vendor.seats}
    combined = (sum(_of_known(capacities, names)) for names in vendor.combinations)
    return max(chain(capacities.values(), combined), default=0)


def _of_known(capacities: dict[str, int], names: Sequence[str]) -> list[int]:
    return [capacities[name] for name in names if name in capacities]
