"""What people search for, and what an index says of a vendor. Pure values and the folding of text."""

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from domain.command import When
from domain.ids import VendorId
from domain.money import Money
from domain.vendor import Location, VendorKind

_STRUCK: Final = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ı": "i", "æ": "ae", "œ": "oe"})
"""Letters that Unicode does not take apart, though people type them without the stroke."""


class SearchOrder(StrEnum):
    RELEVANCE = "relevance"
    DISTANCE = "distance"
    PRICE = "price"


@dataclass(frozen=True, slots=True)
class CandidateQuery:
    """What an index is asked. None leaves a thing open.

    `text` matches name, description, cuisines, amenities and city, typing errors forgiven. `city`, `cuisine`, `amenity`
    and `seat_type` match whole, ignoring case and accents. `party_size` leaves out vendors whose largest seat or
    combination is smaller (`party_max`). `price_max_minor` keeps vendors with a seat (of `seat_type` where given) at or
    below it. `radius_km` counts from `near`. SearchOrder.DISTANCE needs `near`; PRICE puts vendors without a price last;
    RELEVANCE without a text is by distance where `near` is given, else by id.
    """

    order: SearchOrder = SearchOrder.RELEVANCE
    text: str | None = None
    kind: VendorKind | None = None
    city: str | None = None
    near: Location | None = None
    radius_km: float | None = None
    cuisine: str | None = None
    amenity: str | None = None
    seat_type: str | None = None
    party_size: int | None = None
    price_max_minor: int | None = None


@dataclass(frozen=True, slots=True)
class SortPosition:
    """Where a candidate stands in its list: the sort keys of its order as floats (smaller first), then the id."""

    key: float
    vendor_id: VendorId


@dataclass(frozen=True, slots=True)
class Candidate:
    """A vendor as a search shows it.

    `from_price` is its lowest seat price (of the asked `seat_type` where given), whether that seat is free or not.
    """

    vendor_id: VendorId
    version: int
    kind: VendorKind
    name: str
    city: str
    location: Location
    cuisines: tuple[str, ...]
    amenities: tuple[str, ...]
    from_price: Money | None
    distance_km: float | None
    position: SortPosition


@dataclass(frozen=True, slots=True)
class SeatWish:
    """What a shard judges: whether this party could be seated then.

    `seat_type` ignores case and accents as the index does, and None takes any. With `price_max_minor` only seats at or
    below it count, in the vendor's currency and for a room by the night; a seat without a price does not count, and of
    seats that are put together each must.
    """

    when: When
    party_size: int
    seat_type: str | None = None
    quantity: int = 1
    alternatives_max: int = 0
    price_max_minor: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A shard's word on one vendor. `alternatives` are other starts of the same local day, nearest first."""

    vendor_id: VendorId
    available: bool
    alternatives: tuple[datetime, ...] = ()


def folded(text: str) -> str:
    """Without case, accents and doubled spaces, so that "Zürich", "ZURICH" and "zurich" are one, and so are Łódź and Lodz."""
    # Twice, because what a sign stands for may have a case of its own: "™" is "TM".
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    bare = "".join(sign for sign in decomposed if not unicodedata.combining(sign))
    return " ".join(bare.translate(_STRUCK).split())
