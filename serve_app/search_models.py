"""What may be asked of the search, and what it answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from domain.command import SittingTime, StayDates, When
from domain.search import Candidate, CandidateQuery, SearchOrder, SeatWish, Verdict
from domain.vendor import VendorKind
from serve_app.cursor import is_cursor
from serve_app.fields import (
    AMOUNT_MINOR_MAX,
    INT32_MAX,
    Day,
    InstantOrLocal,
    Line,
    MoneyShown,
    Name,
    QueryAmount,
    QueryFlag,
    QueryInt,
    QueryNumber,
    QueryPlace,
    Shown,
    Strict,
    fault_at,
    money_content,
)
from serve_app.vendor_shown import LocationShown

LIMIT_MAX: Final = 200
LIMIT_DEFAULT: Final = 50
RADIUS_KM_DEFAULT: Final = 10.0
RADIUS_KM_MAX: Final = 20_040
"""Half way round the Earth."""
ALTERNATIVES_MAX: Final = 3


def _well_formed(cursor: str) -> str:
    if not is_cursor(cursor):
        raise PydanticCustomError("cursor", "This is no cursor of this search")
    return cursor


class VendorsAsked(Strict):
    """`starts_at` asks restaurants, `check_in` and `check_out` ask hotels; with none of them nobody is asked.

    `price_max` is of one seat, of a room by the night. With a time asked for, a vendor is available only where such a
    seat is free then, and of tables put together each is one.
    """

    q: Line | None = None
    kind: Literal["restaurant", "hotel"] | None = None
    city: Name | None = None
    near: QueryPlace | None = None
    radius_km: Annotated[QueryNumber, Field(gt=0, le=RADIUS_KM_MAX)] | None = None
    cuisine: Name | None = None
    amenity: Name | None = None
    seat_type: Name | None = None
    party_size: Annotated[QueryInt, Field(ge=1, le=INT32_MAX)] | None = None
    price_max: Annotated[QueryAmount, Field(ge=0, le=AMOUNT_MINOR_MAX)] | None = None
    starts_at: InstantOrLocal | None = None
    check_in: Day | None = None
    check_out: Day | None = None
    sort: Literal["relevance", "distance", "price"] = "relevance"
    include_full: QueryFlag = False
    limit: Annotated[QueryInt, Field(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT
    cursor: Annotated[str, Field(max_length=100), AfterValidator(_well_formed)] | None = None

    @model_validator(mode="after")
    def _place_fits(self) -> Self:
        if self.near is None and self.radius_km is not None:
            raise fault_at("radius_km", "Input should come together with near")
        if self.near is None and self.sort == "distance":
            raise fault_at("sort", "Input should be distance only together with near")
        return self

    @model_validator(mode="after")
    def _dates_fit(self) -> Self:
        if self.starts_at is not None:
            for name, value in (("check_in", self.check_in), ("check_out", self.check_out)):
                if value is not None:
                    raise fault_at(name, "Input should not come together with starts_at")
        if self.check_in is not None and self.check_out is None:
            raise fault_at("check_out", "Input should come together with check_in")
        if self.check_out is not None:
            if self.check_in is None:
                raise fault_at("check_in", "Input should come together with check_out")
            if self.check_out <= self.check_in:
                raise fault_at("check_out", "Input should be after check_in")
        return self

    @model_validator(mode="after")
    def _kind_fits(self) -> Self:
        if self.starts_at is not None and self.kind == "hotel":
            raise fault_at("starts_at", "Input should be check_in and check_out where a hotel is looked for")
        if self.check_in is not None and self.kind == "restaurant":
            raise fault_at("check_in", "Input should be starts_at where a restaurant is looked for")
        return self


class FoundShown(Shown):
    """`cuisines` are a restaurant's and `amenities` a hotel's. `available` is null where no time was asked for.

    `alternatives` are other starts of that day, nearest first, where the restaurant is full at the asked time.
    `from_price` is the vendor's lowest price (of the asked type of seat), of seats that are taken then too.
    `as_of` is when this was known.
    """

    vendor_id: UUID
    kind: VendorKind
    name: str
    city: str
    location: LocationShown
    cuisines: list[str] | None
    amenities: list[str] | None
    distance_km: float | None
    from_price: MoneyShown | None
    available: bool | None
    alternatives: list[datetime] | None
    as_of: datetime


class FoundListShown(Shown):
    """A page may be short, or even empty, and there is more as long as there is a `next_cursor`."""

    items: list[FoundShown]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """A candidate on its way into the answer; `verdict` is None where no time was asked for."""

    candidate: Candidate
    verdict: Verdict | None
    as_of: datetime


def query_of(asked: VendorsAsked) -> CandidateQuery:
    """What the index is asked; a time asked for says which kind of vendor it can be."""
    kind = asked.kind
    if asked.starts_at is not None:
        kind = "restaurant"
    elif asked.check_in is not None:
        kind = "hotel"
    return CandidateQuery(
        order=SearchOrder(asked.sort),
        text=(asked.q or "").strip() or None,
        kind=None if kind is None else VendorKind(kind),
        city=asked.city,
        near=asked.near,
        radius_km=None if asked.near is None else asked.radius_km or RADIUS_KM_DEFAULT,
        cuisine=asked.cuisine,
        amenity=asked.amenity,
        seat_type=asked.seat_type,
        party_size=asked.party_size,
        price_max_minor=asked.price_max,
    )


def wish_of(asked: VendorsAsked) -> SeatWish | None:
    """What the shards are asked; None where no time was asked for."""
    when = _when(asked)
    if when is None:
        return None
    alternatives_max = ALTERNATIVES_MAX if asked.include_full else 0
    return SeatWish(
        when,
        asked.party_size or 1,
        asked.seat_type,
        alternatives_max=alternatives_max,
        price_max_minor=asked.price_max,
    )


def found_content(found: Sequence[Found]) -> list[dict[str, Any]]:
    """In the members of `FoundShown`."""
    return [_found_content(one.candidate, one.verdict, one.as_of) for one in found]


def _when(asked: VendorsAsked) -> When | None:
    if asked.starts_at is not None:
        return SittingTime(asked.starts_at)
    if asked.check_in is not None and asked.check_out is not None:
        return StayDates(asked.check_in, asked.check_out)
    return None


def _found_content(candidate: Candidate, verdict: Verdict | None, as_of: datetime) -> dict[str, Any]:
    restaurant = candidate.kind is VendorKind.RESTAURANT
    return {
        "vendor_id": candidate.vendor_id,
        "kind": candidate.kind,
        "name": candidate.name,
        "city": candidate.city,
        "location": {"lat": candidate.location.lat, "lon": candidate.location.lon},
        "cuisines": candidate.cuisines if restaurant else None,
        "amenities": None if restaurant else candidate.amenities,
        "distance_km": None if candidate.distance_km is None else round(candidate.distance_km, 3),
        "from_price": money_content(candidate.from_price),
        "available": None if verdict is None else verdict.available,
        "alternatives": (verdict.alternatives or None) if verdict is not None else None,
        "as_of": as_of,
    }
