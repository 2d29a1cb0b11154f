"""Both search indexes name the same vendors: every filter, typing errors, places, prices, and pages that hold together."""

import asyncio
import random
from dataclasses import replace
from math import cos, inf, pi, radians, sin

import httpx
import pytest

from domain.money import Money
from domain.search import CandidateQuery, SearchOrder, SortPosition
from domain.vendor import Location, SeatGroup, VendorKind
from storage.errors import StoreUnavailable
from storage.search_index_url import search_index_at
from tests.conformance.search_oracle import inn, north, tavern
from tests.fakes.houses import vendor_id

ZURICH, PORTO = Location(47.37, 8.54), Location(41.15, -8.61)
NOWHERE = "postgresql://nobody@127.0.0.1:1/none"

TOWN = [
    tavern(1, name="Trattoria Rossi", city="Zürich", cuisines=("Italian",), location=ZURICH),
    tavern(2, name="Café Garden", city="ZURICH", cuisines=("French", "Thai"), location=north(ZURICH, 3)),
    tavern(3, name="The Italian Garden", city="Łódź", cuisines=("Greek",), description="Riverside terrace."),
    inn(4, name="Hotel Rossini", city="Porto", amenities=("Wi-Fi", "Pool"), location=PORTO),
    inn(
        5,
        name="Grand Hotel",
        city="Zürich",
        amenities=("Spa",),
        location=north(ZURICH, 30),
        description="By the Rossi.",
    ),
]
ROOMS = (
    SeatGroup("S", "Single", 1, 1, price=Money(5000, "EUR")),
    SeatGroup("D", "double", 1, 2, price=Money(9000, "EUR")),
    SeatGroup("D2", "Double", 1, 3, price=Money(8000, "EUR")),
    SeatGroup("B", "bunk", 1, 6),
)


async def found(index, limit=1000, **asked):
    """The numbers of the houses, in order."""
    candidates = await index.candidates(CandidateQuery(**asked), after=None, limit=limit)
    return [number_of(candidate.vendor_id) for candidate in candidates]


def number_of(an_id):
    return next(number for number in range(1, 10_000) if vendor_id(number) == an_id)


async def test_each_filter_alone_and_together(index):
    await index.put(TOWN)
    for asked, numbers in [
        ({}, [1, 2, 3, 4, 5]),
        ({"kind": VendorKind.HOTEL}, [4, 5]),
        ({"city": "zurich"}, [1, 2, 5]),
        ({"city": "ZÜRICH"}, [1, 2, 5]),
        ({"city": "lodz"}, [3]),
        ({"city": "Zür"}, []),
        ({"cuisine": "thai"}, [2]),
        ({"cuisine": "ITALIAN"}, [1]),
        ({"amenity": "wi-fi"}, [4]),
        ({"amenity": "fi"}, []),
        ({"seat_type": "TABLE"}, [1, 2, 3]),
        ({"seat_type": "double"}, [4, 5]),
        ({"price_max_minor": 9000}, [4, 5]),
        ({"price_max_minor": 8999}, []),
        ({"party_size": 3}, [1, 2, 3]),
        ({"near": ZURICH, "radius_km": 10.0}, [1, 2]),
        ({"near": ZURICH, "radius_km": 40.0}, [1, 2, 5]),
        ({"city": "Zurich", "kind": VendorKind.RESTAURANT}, [1, 2]),
        ({"city": "Zurich", "kind": VendorKind.RESTAURANT, "cuisine": "French", "party_size": 4}, [2]),
        ({"city": "Zurich", "amenity": "spa", "seat_type": "double", "price_max_minor": 9000}, [5]),
        ({"city": "Porto", "cuisine": "French"}, []),
        ({"text": "rossi", "city": "Zurich"}, [1, 5]),
        ({"text": "rossi", "near": ZURICH, "radius_km": 10.0, "order": SearchOrder.DISTANCE}, [1]),
        ({"city": "\0", "cuisine": "\ud800"}, []),
    ]:
        assert await found(index, **asked) == numbers, asked


async def test_a_candidate_shows_what_a_list_needs(index):
    of = replace(inn(7, name="Pensão Sol", city="Porto", location=PORTO, amenities=("Wi-Fi",)), version=3, seats=ROOMS)
    await index.put([of])
    near = north(PORTO, 5)
    [shown] = await index.candidates(CandidateQuery(near=near, radius_km=6, seat_type="DOUBLE"), after=None, limit=10)
    assert (shown.vendor_id, shown.version, shown.kind) == (of.vendor_id, 3, VendorKind.HOTEL)
    assert (shown.name, shown.city, shown.location) == ("Pensão Sol", "Porto", PORTO)
    assert (shown.cuisines, shown.amenities) == ((), ("Wi-Fi",))
    assert shown.from_price == Money(8000, "EUR")
    assert shown.distance_km == pytest.approx(5, abs=0.001)
    assert shown.position == SortPosition(pytest.approx(5, abs=0.001), of.vendor_id)
    [shown] = await index.candidates(CandidateQuery(), after=None, limit=10)
    assert (shown.from_price, shown.distance_km, shown.position.key) == (Money(5000, "EUR"), None, 0.0)
    [shown] = await index.candidates(CandidateQuery(seat_type="bunk"), after=None, limit=10)
    assert shown.from_price is None


async def test_typing_errors_are_forgiven_in_every_text(index):
    await index.put(
        [
            tavern(1, name="Margherita", city="Bologna", cuisines=("Italian",)),
            inn(2, name="Adler", city="Wien", amenities=("Breakfast",), description="Quiet rooms beside the orchard."),
            tavern(3, name="Thai Orchid", city="Ulm"),
        ]
    )
    for text, numbers in [
        ("italain", [1]),
        ("itallian", [1]),
        ("Itali", [1]),
        ("margerita", [1]),
        ("magrhertia", [1]),
        ("bolonga", [1]),
        ("MARGHERITA Bologna", [1]),
        ("margherita wien", []),
        ("brekfast", [2]),
        ("orchard", [2]),
        ("orchad", [2, 3]),
        ("orcchd", []),
        ("alder", [2]),
        ("tahi", [3]),
        ("ulm", [3]),
        ("ull", []),
        ("resturant", [1, 3]),
        ("hotel in wien", [2]),
        ("the", [2]),
        ("?!", []),
        ("", []),
    ]:
        assert sorted(await found(index, text=text)) == numbers, text


async def test_a_phrase_comes_before_a_beginning_before_a_typing_error_before_other_texts(index):
    await index.put(
        [
            tavern(1, name="Plain", description="A golden lion hangs over the door"),
            tavern(2, name="Plain", cuisines=("Golden Lion",)),
            tavern(3, name="Goldne Lions"),
            tavern(4, name="Golden Lioness"),
            tavern(5, name="Lion Golden"),
            tavern(6, name="At the Golden Lion"),
            tavern(7, name="At the Golden Lion", cuisines=("lion",)),
            tavern(8, name="Something else"),
        ]
    )
    assert await found(index, text="golden lion") == [7, 6, 5, 4, 3, 2, 1]
    candidates = await index.candidates(CandidateQuery(text="golden lion"), after=None, limit=10)
    assert [-candidate.position.key for candidate in candidates] == [58, 56, 24, 20, 16, 4, 2]


async def test_points_do_not_depend_on_what_else_is_there(index):
    await index.put([tavern(1, name="Golden Lion")])
    [alone] = await index.candidates(CandidateQuery(text="lion"), after=None, limit=10)
    await index.put([tavern(number, name="Lion") for number in range(2, 60)])
    candidates = await index.candidates(CandidateQuery(text="lion"), after=None, limit=100)
    assert alone in candidates
    assert len({candidate.position.key for candidate in candidates}) == 1


@pytest.mark.parametrize(
    ("near", "there"),
    [
        (Location(0, 179.99), Location(0, -179.99)),
        (Location(0, 180), Location(0, -179.98)),
        (Location(-16.5, -179.999), Location(-16.5, 180)),
        (Location(89.99, 0), Location(89.99, 180)),
        (Location(-90, 0), Location(-89.99, 77)),
        (Location(90, 12), Location(89.995, -170)),
        (Location(51.5, 0.01), Location(51.5, -0.01)),
    ],
)
async def test_nearness_knows_no_date_line_and_no_pole(index, near, there):
    await index.put([tavern(1, location=there), tavern(2, location=Location(20, 20)), tavern(3, location=near)])
    assert await found(index, near=near, radius_km=3) == [3, 1]
    assert await found(index, near=near, order=SearchOrder.DISTANCE, limit=2) == await found(
        index, near=near, radius_km=3
    )


async def test_a_radius_ends_where_it_says(index):
    places = {1: 9.0, 2: 9.995, 3: 10.005, 4: 11.0}
    await index.put([tavern(number, location=north(PORTO, km)) for number, km in places.items()])
    assert await found(index, near=PORTO, radius_km=10) == [1, 2]
    assert await found(index, near=north(PORTO, 9), radius_km=0) == [1]
    assert await found(index, near=PORTO, radius_km=20_100) == [1, 2, 3, 4]
    assert await found(index, near=Location(-PORTO.lat, 180 + PORTO.lon), radius_km=19_999) == []
    assert await found(index, near=Location(-PORTO.lat, 180 + PORTO.lon), radius_km=20_010) == [4, 3, 2, 1]


async def test_half_the_earth_takes_in_the_opposite_point(index):
    """Which by rounding comes out a little further away than half the earth."""
    opposite = {(-60, -125): (60, 55), (-60, 55): (60, -125), (-45, -160): (45, 20), (-45, -150): (45, 30)}
    await index.put([tavern(number, location=Location(*there)) for number, there in enumerate(opposite.values(), 1)])
    for here in opposite:
        assert sorted(await found(index, near=Location(*here), radius_km=20_040)) == [1, 2, 3, 4]


async def test_a_radius_is_round(index):
    """A square would take in corners that lie outside of the circle, whichever way its sides point."""
    turns = [2 * pi * step / 24 for step in range(24)]

    def around(km, turn):
        placed = north(PORTO, km * cos(turn))
        return replace(
            placed, lon=placed.lon + (north(PORTO, km * sin(turn)).lat - PORTO.lat) / cos(radians(placed.lat))
        )

    await index.put([tavern(number, location=around(9.9, turn)) for number, turn in enumerate(turns, start=1)])
    await index.put([tavern(number, location=around(10.2, turn)) for number, turn in enumerate(turns, start=101)])
    assert sorted(await found(index, near=PORTO, radius_km=10)) == list(range(1, 25))


async def test_by_distance(index):
    kms = {1: 700.0, 2: 0.5, 3: 15_000.0, 4: 0.5, 5: 0.52}
    await index.put([tavern(number, location=north(Location(-60, 10), km)) for number, km in kms.items()])
    asked = {"near": Location(-60, 10)}
    assert await found(index, order=SearchOrder.DISTANCE, **asked) == [2, 4, 5, 1, 3]
    assert await found(index, **asked) == [2, 4, 5, 1, 3]
    assert await found(index, text="house", order=SearchOrder.DISTANCE, **asked) == [2, 4, 5, 1, 3]


async def test_by_price_those_without_one_come_last(index):
    def seats(*pairs):
        return tuple(
            SeatGroup(str(at), seat_type, 1, 2, price=None if price is None else Money(price, "EUR"))
            for at, (seat_type, price) in enumerate(pairs)
        )

    await index.put(
        [
            inn(1, seats=seats(("single", 4000), ("double", 9000))),
            inn(2, seats=seats(("double", None), ("double", 7000))),
            inn(3, seats=seats(("double", None))),
            inn(4, seats=seats(("suite", 4000))),
            inn(5, seats=seats(("suite", None), ("double", 0))),
        ]
    )
    assert await found(index, order=SearchOrder.PRICE) == [5, 1, 4, 2, 3]
    assert await found(index, order=SearchOrder.PRICE, seat_type="double") == [5, 2, 1, 3]
    assert await found(index, order=SearchOrder.PRICE, seat_type="double", price_max_minor=7000) == [5, 2]
    assert await found(index, seat_type="single", price_max_minor=3999) == []
    assert await found(index, seat_type="double", price_max_minor=4000) == [5]
    candidates = await index.candidates(CandidateQuery(order=SearchOrder.PRICE), after=None, limit=10)
    assert [candidate.position.key for candidate in candidates] == [0, 4000, 4000, 7000, inf]


async def test_a_party_may_sit_at_seats_that_are_combined(index):
    two, four = SeatGroup("A", "table", 1, 2), SeatGroup("B", "table", 1, 4)
    await index.put(
        [
            tavern(1, seats=(two, four)),
            tavern(2, seats=(two, four), combinations=(("A", "B"),)),
            tavern(3, seats=(replace(two, quantity=9),)),
        ]
    )
    assert [await found(index, party_size=party) for party in (2, 4, 6, 7)] == [[1, 2, 3], [1, 2], [2], []]


async def test_an_older_version_changes_nothing_and_an_update_moves_a_vendor(index):
    before = replace(tavern(1, name="Old Name", city="Ulm", location=PORTO), version=2)
    after = replace(tavern(1, name="New Sign", city="Wien", location=ZURICH, cuisines=("Thai",)), version=3)
    await index.put([before])
    await index.put([after, before])
    await index.put([before])
    assert await found(index, city="Wien", text="new sign", cuisine="thai") == [1]
    assert await found(index, near=ZURICH, radius_km=1) == [1]
    assert await found(index, city="Ulm") == await found(index, text="old") == []
    assert await found(index, near=PORTO, radius_km=1) == []
    await index.put([after, after])
    assert await index.count() == 1


PAGED = [
    CandidateQuery(),
    CandidateQuery(text="house"),
    CandidateQuery(order=SearchOrder.PRICE),
    CandidateQuery(order=SearchOrder.PRICE, seat_type="suite"),
    CandidateQuery(near=PORTO, order=SearchOrder.DISTANCE),
    CandidateQuery(near=PORTO, radius_km=500.0, text="hous"),
]


def alike(number, chance):
    """Houses with many ties: few places, few prices, few names."""
    seat_types = chance.sample(["single", "double", "suite"], 2)
    prices = [chance.choice([None, Money(5000, "EUR"), Money(7000, "EUR")]) for _ in seat_types]
    seats = tuple(SeatGroup(name, name, 1, 2, price=price) for name, price in zip(seat_types, prices, strict=True))
    name = chance.choice(["House", "House House", "Household", "Guest House"])
    return inn(number, name=name, seats=seats, location=north(PORTO, chance.randrange(4)))


async def pages(index, query, size, between=None):
    position, seen = None, []
    while page := await index.candidates(query, after=position, limit=size):
        seen += [candidate.vendor_id for candidate in page]
        position = page[-1].position
        if between is not None:
            await between()
    return seen


async def test_pages_give_each_vendor_once_however_many_tie(index):
    chance = random.Random(1)
    await index.put([alike(number, chance) for number in range(1, 401)])
    for query in PAGED:
        whole = [candidate.vendor_id for candidate in await index.candidates(query, after=None, limit=1000)]
        assert len(whole) == len(set(whole)) >= 200, query
        assert await pages(index, query, 7 if query.text else 60) == whole, query


async def test_pages_hold_while_vendors_come(index):
    chance, numbers = random.Random(2), iter(range(1001, 2000))
    there = [alike(number, chance) for number in range(1, 201)]
    await index.put(there)

    async def between():
        await index.put([alike(next(numbers), chance) for _ in range(5)])

    for query in (PAGED[1], PAGED[2], PAGED[4]):
        fitting = {candidate.vendor_id for candidate in await index.candidates(query, after=None, limit=5000)}
        seen = await pages(index, query, 100, between)
        assert len(seen) == len(set(seen))
        assert fitting <= set(seen)


async def test_a_put_is_found_within_a_second(index):
    await index.put(TOWN)
    await index.put([tavern(9, name="Zwölf Apostel")])
    async with asyncio.timeout(1):
        while await found(index, text="apostel") != [9]:
            pass


async def test_an_empty_index_answers_before_anything_was_put(index):
    assert await index.candidates(CandidateQuery(text="x"), after=None, limit=5) == []
    assert await index.count() == 0


async def test_many_processes_may_come_first(search_urls):
    indexes = [search_index_at(*search_urls) for _ in range(8)]
    await asyncio.gather(*(index.put([tavern(number)]) for number, index in enumerate(indexes, start=1)))
    counts = [await index.count() for index in indexes]
    assert counts == [8] * 8
    for index in indexes:
        await index.close()


async def test_a_search_waits_a_moment_for_an_index_that_opens(elasticsearch_url):
    url = f"{elasticsearch_url}-opening"
    index = search_index_at(url, "")
    await index.put([tavern(1)])
    async with httpx.AsyncClient() as server:
        (await server.post(f"{url}/_close")).raise_for_status()
        (await server.post(f"{url}/_open", params={"wait_for_active_shards": "0"})).raise_for_status()
        assert len(await index.candidates(CandidateQuery(), after=None, limit=10)) == 1
    await index.close()


async def test_an_index_that_is_away_says_so(free_port):
    for away in (
        search_index_at("", f"postgresql://nobody@127.0.0.1:{free_port}/none"),
        search_index_at(f"http://127.0.0.1:{free_port}/vendors", NOWHERE),
    ):
        for asked in (
            away.candidates(CandidateQuery(), after=None, limit=1),
            away.put(TOWN),
            away.count(),
            away.rebuild(no_vendors()),
        ):
            with pytest.raises(StoreUnavailable):
                await asked
        await away.close()


async def no_vendors():
    yield []


@pytest.mark.parametrize("url", ["ftp://127.0.0.1:1/x", "http://127.0.0.1:1", "http://127.0.0.1:1/a/b", "vendors"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ValueError, match="http://host:port/alias"):
        search_index_at(url, NOWHERE)
