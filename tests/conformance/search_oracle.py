"""What a search must answer, by looking at every vendor: slow, plain, and none of it shared with the product."""

import unicodedata
from dataclasses import dataclass, replace
from functools import cache
from math import asin, cos, inf, radians, sin, sqrt

from domain.search import SearchOrder
from domain.vendor import Location
from tests.fakes.houses import hotel, restaurant, vendor_id

LITTLE_WORDS = {"a", "an", "and", "at", "by", "for", "in", "near", "of", "on", "or", "the", "to", "with"}
LITTLE_WORDS |= {"am", "auf", "bei", "das", "der", "die", "fur", "im", "in", "mit", "oder", "und", "zum", "zur"}
METRE = 0.001


def tavern(number, **changes):
    return replace(restaurant(vendor_id(number)), **{"name": f"House {number}", **changes})


def inn(number, **changes):
    return replace(hotel(vendor_id(number)), **{"name": f"House {number}", **changes})


@dataclass(frozen=True)
class Expected:
    """One vendor of the answer. Distances may be off by a metre, everything else is exact."""

    vendor: object
    key: float
    from_minor: int | None
    distance_km: float | None


def answer(query, vendors):
    """All that fit, in order."""
    found = []
    for vendor in vendors:
        points = points_of(query.text, vendor)
        if fits(query, vendor) and points != 0:
            apart = None if query.near is None else haversine_km(query.near, vendor.location)
            price = price_of(vendor, query.seat_type)
            if query.order is SearchOrder.PRICE:
                key = inf if price is None else float(price)
            elif query.order is SearchOrder.RELEVANCE and query.text is not None:
                key = -float(points)
            else:
                key = 0.0 if apart is None else apart
            found.append(Expected(vendor, key, price, apart))
    return sorted(found, key=lambda one: (one.key, one.vendor.vendor_id))


def fits(query, vendor):
    groups = [group for group in vendor.seats if query.seat_type is None or same(group.seat_type, query.seat_type)]
    if query.price_max_minor is not None:
        groups = [group for group in groups if group.price and group.price.amount_minor <= query.price_max_minor]
    sizes = {group.name: group.capacity_max for group in vendor.seats}
    largest = max([*sizes.values(), *(sum(sizes[name] for name in names) for names in vendor.combinations)])
    return (
        (query.kind is None or vendor.kind is query.kind)
        and (query.city is None or same(vendor.city, query.city))
        and (query.cuisine is None or any(same(cuisine, query.cuisine) for cuisine in vendor.cuisines))
        and (query.amenity is None or any(same(amenity, query.amenity) for amenity in vendor.amenities))
        and (query.party_size is None or largest >= query.party_size)
        and ((query.seat_type is None and query.price_max_minor is None) or bool(groups))
        and (
            query.near is None
            or query.radius_km is None
            or haversine_km(query.near, vendor.location) <= query.radius_km + METRE
        )
    )


def price_of(vendor, seat_type):
    prices = [
        group.price.amount_minor
        for group in vendor.seats
        if group.price and (seat_type is None or same(group.seat_type, seat_type))
    ]
    return min(prices, default=None)


def points_of(text, vendor):
    """None without a text, 0 where the vendor is not found."""
    if text is None:
        return None
    phrase = words(text)[:10]
    asked = [word for word in phrase if word not in LITTLE_WORDS] or phrase
    name = words(vendor.name)
    about = [
        word for part in (*vendor.cuisines, *vendor.amenities, vendor.city, vendor.kind.value) for word in words(part)
    ]
    description = words(vendor.description or "")
    total = 0
    for word in dict.fromkeys(asked):
        points = 8 * begins(word, name) + 4 * mistyped(word, name)
        points += 2 * (begins(word, about) or mistyped(word, about))
        points += begins(word, description) or mistyped(word, description)
        if not points:
            return 0
        total += points
    if any(name[at : at + len(phrase)] == phrase for at in range(len(name))):
        total += 16 * len(phrase)
    return total


def words(text):
    found, word = [], ""
    for sign in f"{bare(text)} ":
        if sign.isalnum():
            word += sign
        elif word:
            found.append(word)
            word = ""
    return found


def bare(text):
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return (
        "".join(sign for sign in decomposed if not unicodedata.combining(sign))
        .replace("ł", "l")
        .replace("ø", "o")
        .strip()
    )


def same(one, other):
    return bare(one) == bare(other)


def begins(word, among):
    return any(other.startswith(word) for other in among)


def mistyped(word, among):
    forgiven = 0 if len(word) <= 3 else 1 if len(word) <= 7 else 2
    return any(edits(word, other) <= forgiven for other in among)


@cache
def edits(one, other):
    """Letters put in, left out, changed or swapped with their neighbour."""
    if not one or not other:
        return len(one) + len(other)
    if one[-1] == other[-1]:
        return edits(one[:-1], other[:-1])
    ways = [edits(one[:-1], other), edits(one, other[:-1]), edits(one[:-1], other[:-1])]
    if len(one) > 1 and len(other) > 1 and one[-1] == other[-2] and one[-2] == other[-1]:
        ways.append(edits(one[:-2], other[:-2]))
    return 1 + min(ways)


def haversine_km(one, other):
    lat, other_lat = radians(one.lat), radians(other.lat)
    across = radians(other.lon - one.lon)
    part = sin((other_lat - lat) / 2) ** 2 + cos(lat) * cos(other_lat) * sin(across / 2) ** 2
    return 2 * 6371.0088 * asin(min(1.0, sqrt(part)))


def north(location, km):
    """A place so far due north."""
    return Location(location.lat + km / 6371.0088 * 180 / 3.141592653589793, location.lon)
