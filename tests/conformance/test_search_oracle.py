"""Both search indexes answer random questions as somebody would who looked at every vendor."""

import random

import pytest

from domain.money import Money
from domain.search import CandidateQuery, SearchOrder
from domain.vendor import Location, SeatGroup, VendorKind
from tests.conformance.search_oracle import METRE, answer, inn, tavern

VENDORS = 200
QUESTIONS = 150

CITIES = {
    "Zürich": Location(47.37, 8.54),
    "Porto": Location(41.15, -8.61),
    "Łódź": Location(51.76, 19.46),
    "Suva": Location(-18.14, 178.44),
    "Taveuni": Location(-16.85, -179.97),
    "Longyearbyen": Location(78.22, 15.65),
}
WORDS = (
    "garden", "gardens", "gardener", "rossi", "rosso", "rossini", "trattoria", "bistro", "hotel", "grand", "the", "in",
    "café", "sol", "sole", "solé", "harbour", "harbor", "market", "basket", "thai", "lion", "lions", "müller", "moller",
)  # fmt: skip
CUISINES = ("Italian", "Thai", "Mexican", "American", "Japanese", "Crème Brûlée")
AMENITIES = ("Wi-Fi", "Pool", "Spa", "Breakfast room")
SEAT_TYPES = ("table", "Table", "window", "double", "suite", "Séparée")
PRICES = (None, None, 0, 4500, 5000, 5000, 12_000)


def town(chance):
    return [vendor(number, chance) for number in range(1, VENDORS + 1)]


def vendor(number, chance):
    city = chance.choice(list(CITIES))
    make, facts = (tavern, {"cuisines": some(CUISINES, chance)}) if chance.random() < 0.6 else (
        inn, {"amenities": some(AMENITIES, chance)}
    )  # fmt: skip
    seats = tuple(
        SeatGroup(f"S{at}", chance.choice(SEAT_TYPES), 1, chance.randint(1, 8), price=price(chance))
        for at in range(chance.randint(1, 4))
    )
    return make(
        number,
        name=" ".join(chance.choices(WORDS, k=chance.randint(1, 4))).title(),
        city=city if chance.random() < 0.7 else city.upper(),
        location=beside(CITIES[city], chance),
        description=" ".join(chance.choices(WORDS, k=6)) if chance.random() < 0.4 else None,
        seats=seats,
        combinations=(("S0", "S1"),) if len(seats) > 1 and make is tavern else (),
        **facts,
    )


def some(among, chance):
    return tuple(chance.sample(among, chance.randint(0, 2)))


def price(chance):
    minor = chance.choice(PRICES)
    return None if minor is None else Money(minor, "EUR")


def beside(city, chance):
    """On a coarse grid, so that places are the same or far enough apart for any engine."""
    return Location(round(city.lat + chance.randrange(4) * 0.02, 5), round(city.lon + chance.randrange(2) * 0.02, 5))


def question(chance):
    def perhaps(share, make):
        return make() if chance.random() < share else None

    near = perhaps(0.5, lambda: off_the_grid(chance))
    orders = list(SearchOrder) if near else [SearchOrder.RELEVANCE, SearchOrder.PRICE]
    return CandidateQuery(
        order=chance.choice(orders),
        text=perhaps(0.6, lambda: " ".join(mistype(word, chance) for word in asked_words(chance))),
        kind=perhaps(0.2, lambda: chance.choice(list(VendorKind))),
        city=perhaps(0.2, lambda: chance.choice([*CITIES, "zurich", "LODZ", "Por"])),
        near=near,
        radius_km=perhaps(0.7, lambda: chance.choice([1.3, 5.1, 17.7, 311.3, 4321.1])),
        cuisine=perhaps(0.15, lambda: chance.choice(CUISINES).lower()),
        amenity=perhaps(0.1, lambda: chance.choice(AMENITIES).upper()),
        seat_type=perhaps(0.3, lambda: chance.choice([*SEAT_TYPES, "separee"])),
        party_size=perhaps(0.3, lambda: chance.randint(1, 14)),
        price_max_minor=perhaps(0.3, lambda: chance.choice([0, 4499, 4500, 5000, 20_000])),
    )


def off_the_grid(chance):
    city = chance.choice(list(CITIES.values()))
    return Location(city.lat + chance.uniform(-0.1, 0.1), (city.lon + chance.uniform(-0.1, 0.1) + 180) % 360 - 180)


def asked_words(chance):
    return chance.choices([*WORDS, *CUISINES, *CITIES, "restaurant"], k=chance.choices([1, 2, 3], [6, 3, 1])[0])


def mistype(word, chance):
    for _ in range(chance.choices([0, 1, 2], [4, 4, 2])[0]):
        at = chance.randrange(len(word) + 1)
        word = chance.choice(
            [
                word[:at] + word[at + 1 :],
                word[:at] + chance.choice("aeiorstn") + word[at:],
                word[:at] + chance.choice("aeiorstn") + word[at + 1 :],
                word[:at] + word[at + 1 : at + 2] + word[at : at + 1] + word[at + 2 :],
                word[:at],
                word.upper(),
            ]
        )
    return word or "x"


def wrong(query, given, expected):
    """What is wrong with an answer, or nothing. A metre is forgiven in the order by distance, nowhere else."""
    by_id = {one.vendor.vendor_id: one for one in expected}
    if [candidate.vendor_id for candidate in given if candidate.vendor_id not in by_id] or len(given) != len(expected):
        return f"{len(given)} given, {len(expected)} expected"
    by_distance = query.near is not None and query.order is not SearchOrder.PRICE and (
        query.order is SearchOrder.DISTANCE or query.text is None
    )  # fmt: skip
    for candidate, following in zip(given, [*given, None][1:], strict=True):
        one = by_id.pop(candidate.vendor_id, None)
        if one is None:
            return f"{candidate.name} twice"
        if (candidate.from_price and candidate.from_price.amount_minor) != one.from_minor:
            return f"{candidate.name} from {candidate.from_price}, expected {one.from_minor}"
        if candidate.distance_km != (None if one.distance_km is None else pytest.approx(one.distance_km, abs=METRE)):
            return f"{candidate.name} at {candidate.distance_km} km, expected {one.distance_km}"
        if not by_distance and candidate.position.key != one.key:
            return f"{candidate.name} at {candidate.position.key}, expected {one.key}"
        if following is None:
            break
        after = next(other for other in expected if other.vendor.vendor_id == following.vendor_id)
        same = one.vendor.location == after.vendor.location if by_distance else one.key == after.key
        if one.key > after.key + METRE * by_distance or (same and one.vendor.vendor_id > after.vendor.vendor_id):
            return f"{candidate.name} before {following.name}"
    return None


@pytest.mark.parametrize("seed", [1, 2])
async def test_random_questions_get_the_answers_of_the_oracle(index, seed):
    chance = random.Random(seed)
    vendors = town(chance)
    await index.put(vendors)
    answered = 0
    for _ in range(QUESTIONS):
        query = question(chance)
        expected = answer(query, vendors)
        given = await index.candidates(query, after=None, limit=VENDORS + 1)
        assert wrong(query, given, expected) is None, (seed, query)
        half = await index.candidates(query, after=given[len(given) // 2].position, limit=VENDORS) if given else []
        assert list(half) == list(given[len(given) // 2 + 1 :]), (seed, query)
        answered += bool(expected)
    assert answered > QUESTIONS // 4
