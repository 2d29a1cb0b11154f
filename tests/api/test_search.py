"""GET /vendors: what may be asked, what is refused, what is found, page by page, and what a time asked for changes."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID, uuid4

import httpx
import pytest

from actors.client import JUDGED_MAX
from actors.outcome import Trouble, Unavailable
from domain.command import StayDates
from domain.ids import VendorId, vendor_id_from
from domain.search import Verdict
from domain.vendor import Location
from serve_app.auth import Tokens
from serve_app.search import PREFIX, SearchDeps, search_app
from storage.vendors import VendorReads
from tests.api.driving import Api, done, hotel, refused, restaurant
from tests.api.in_process import KEYS
from tests.domain.desk import hotel as hotel_facts
from tests.domain.desk import restaurant as restaurant_facts
from tests.fakes.memory_search_index import MemorySearchIndex

VIENNA = "48.2,16.37"
FIELDS = {
    "vendor_id", "kind", "name", "city", "location", "cuisines", "amenities", "distance_km", "from_price", "available",
    "alternatives", "as_of",
}  # fmt: skip

_numbers = count(1)


@pytest.fixture
def town() -> str:
    """A city that no other test has vendors in."""
    return f"Testburg {next(_numbers)} {uuid4().hex[:8]}"


@pytest.fixture
def opened(api: Api, server, town):
    """Opens a house in the town and waits until the index knows it."""

    async def open_one(body):
        house = await api.house({**body, "city": town})
        if server is not None:
            vendor = await VendorReads(server.database, None).by_id(VendorId(UUID(house.id)))
            await server.index.put([vendor])
        else:
            await until_found(api, house.id, town)
        return house

    return open_one


async def until_found(api, vendor_id, town):
    """A running server's own indexer puts it there, in its own time."""
    async with asyncio.timeout(10):
        while vendor_id not in await found(api, city=town):  # noqa: ASYNC110 - a server elsewhere raises no event here
            await asyncio.sleep(0.05)


async def search(api, **asked):
    return done(await api.http.get(PREFIX, params=asked))


async def found(api, **asked):
    return [item["vendor_id"] for item in (await search(api, **asked))["items"]]


async def test_what_is_found_is_told(api, opened, town):
    house = await opened(restaurant(name="Goldener Hirsch", cuisines=["Austrian"]))
    inn = await opened(hotel(name="Hotel Sacher"))
    items = {item["vendor_id"]: item for item in (await search(api, city=town, near=VIENNA))["items"]}
    assert items.keys() == {house.id, inn.id}
    assert all(item.keys() == FIELDS for item in items.values())
    shown = items[house.id]
    assert datetime.fromisoformat(shown.pop("as_of"))
    assert shown == {
        "vendor_id": house.id,
        "kind": "restaurant",
        "name": "Goldener Hirsch",
        "city": town,
        "location": {"lat": 48.2, "lon": 16.37},
        "cuisines": ["Austrian"],
        "amenities": None,
        "distance_km": 0.0,
        "from_price": None,
        "available": None,
        "alternatives": None,
    }
    assert (items[inn.id]["cuisines"], items[inn.id]["amenities"]) == (None, ["sauna"])
    assert items[inn.id]["from_price"] == {"amount_minor": 12_000, "currency": "EUR"}


@pytest.mark.parametrize(
    ("asked", "whom"),
    [
        ({}, "house inn far"),
        ({"kind": "restaurant"}, "house far"),
        ({"kind": "hotel"}, "inn"),
        ({"q": "hirsch"}, "house"),
        ({"q": ""}, "house inn far"),
        ({"q": "  "}, "house inn far"),
        ({"cuisine": "austrian"}, "house"),
        ({"amenity": "Sauna"}, "inn"),
        ({"seat_type": "suite"}, "inn"),
        ({"seat_type": "throne"}, ""),
        ({"party_size": "4"}, "house inn far"),
        ({"party_size": "5"}, "far"),
        ({"price_max": "12000"}, "inn"),
        ({"price_max": "11999"}, ""),
        ({"price_max": "12000", "seat_type": "suite"}, ""),
        ({"price_max": "1000000000000"}, "inn"),
        ({"near": VIENNA}, "house inn"),
        ({"near": VIENNA, "radius_km": "60.5"}, "house inn far"),
        ({"near": "-48.2,-16.37"}, ""),
        ({"near": VIENNA, "radius_km": "20040", "sort": "distance"}, "house inn far"),
        ({"sort": "price"}, "inn house far"),
    ],
)
async def test_every_way_to_narrow_it_down(api, opened, town, asked, whom):
    houses = {
        "house": await opened(restaurant(name="Goldener Hirsch")),
        "inn": await opened(hotel(name="Hotel Sacher")),
        "far": await opened(
            restaurant(
                name="Pressburg",
                cuisines=["slovak"],
                location={"lat": 48.14, "lon": 17.1},
                seats=[{"name": "T", "seat_type": "table", "capacity_min": 1, "capacity_max": 9}],
            )
        ),
    }
    ids = await found(api, city=town.upper(), **asked)
    assert sorted(ids) == sorted(houses[name].id for name in whom.split())
    if asked.get("sort") == "price":
        assert ids[0] == houses["inn"].id
    if asked.get("sort") == "distance":
        assert ids[2] == houses["far"].id


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("x=1", "x"),
        ("vendor_id=1", "vendor_id"),
        ("kind=bar", "kind"),
        ("kind=Hotel", "kind"),
        ("kind=", "kind"),
        ("q=a%00b", "q"),
        ("q=" + "x" * 201, "q"),
        ("city=", "city"),
        ("city=%20", "city"),
        ("city=" + "x" * 201, "city"),
        ("cuisine=a%00", "cuisine"),
        ("amenity=", "amenity"),
        ("seat_type=" + "x" * 201, "seat_type"),
        ("near=48.2", "near"),
        ("near=48.2,16.37,5", "near"),
        ("near=48.2%2016.37", "near"),
        ("near=NaN,NaN", "near"),
        ("near=inf,0", "near"),
        ("near=1e1,0", "near"),
        ("near=90.1,0", "near"),
        ("near=-90.1,0", "near"),
        ("near=0,180.1", "near"),
        ("near=0,-999", "near"),
        ("near=", "near"),
        ("radius_km=5", "radius_km"),
        (f"near={VIENNA}&radius_km=0", "radius_km"),
        (f"near={VIENNA}&radius_km=-1", "radius_km"),
        (f"near={VIENNA}&radius_km=NaN", "radius_km"),
        (f"near={VIENNA}&radius_km=20041", "radius_km"),
        (f"near={VIENNA}&radius_km=1e3", "radius_km"),
        ("sort=distance", "sort"),
        ("sort=name", "sort"),
        ("party_size=0", "party_size"),
        ("party_size=-1", "party_size"),
        ("party_size=2.5", "party_size"),
        ("party_size=two", "party_size"),
        ("party_size=2147483648", "party_size"),
        ("price_max=-1", "price_max"),
        ("price_max=1.5", "price_max"),
        ("price_max=1000000000001", "price_max"),
        ("price_max=99999999999999", "price_max"),
        ("starts_at=tomorrow", "starts_at"),
        ("starts_at=2030-01-01", "starts_at"),
        ("starts_at=2030-02-30T19:00", "starts_at"),
        ("starts_at=10000-01-01T19:00", "starts_at"),
        ("starts_at=9999-12-31T23:59:59-23:59", "starts_at"),
        ("starts_at=2030-01-01T19:00&check_in=2030-01-01", "check_in"),
        ("starts_at=2030-01-01T19:00&check_in=2030-01-01&check_out=2030-01-02", "check_in"),
        ("starts_at=2030-01-01T19:00&check_out=2030-01-01", "check_out"),
        ("check_in=2030-01-01", "check_out"),
        ("check_out=2030-01-01", "check_in"),
        ("check_in=2030-01-01&check_out=2030-01-01", "check_out"),
        ("check_in=2030-01-02&check_out=2030-01-01", "check_out"),
        ("check_in=2030-01-01T15:00&check_out=2030-01-02", "check_in"),
        ("check_in=2030-01-01&check_out=10000-01-01", "check_out"),
        ("kind=hotel&starts_at=2030-01-01T19:00", "starts_at"),
        ("kind=restaurant&check_in=2030-01-01&check_out=2030-01-02", "check_in"),
        ("include_full=1", "include_full"),
        ("include_full=True", "include_full"),
        ("include_full=", "include_full"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("cursor=", "cursor"),
        ("cursor=abc", "cursor"),
        ("cursor=" + "A" * 40, "cursor"),
        ("cursor=" + "A" * 101, "cursor"),
        ("q=a&q=b", "q"),
        ("q=%ff", ""),
    ],
)
async def test_what_makes_no_sense_is_refused_by_name(api, query, path):
    refused(await api.http.get(f"{PREFIX}?{query}"), 422, "invalid_request", path)


@pytest.mark.parametrize(
    "query",
    [
        "starts_at=9999-12-31T23:59:59",
        "starts_at=9999-12-31T23:59:59Z",
        "starts_at=0001-01-01T00:00",
        "starts_at=0001-01-01T00:00:00Z&include_full=true",
        "check_in=0001-01-01&check_out=9999-12-31",
        "check_in=9999-12-30&check_out=9999-12-31&include_full=true",
        "starts_at=2030-01-01T19:00&party_size=2147483647",
        "near=90,180&radius_km=0.001",
        "near=-90,-180&sort=distance",
        "q=%22%27%28%29%3A%2A%26%7C%21%5C%25_%F0%9F%98%80",
        "city=%C5%81%C3%B3d%C5%BA",
    ],
)
async def test_far_off_questions_are_answered(api, query):
    page = done(await api.http.get(f"{PREFIX}?{query}"))
    assert not any(item["available"] or item["alternatives"] for item in page["items"])


async def test_a_bad_token_is_refused_and_none_is_not(api, guest):
    refused(await api.http.get(PREFIX, headers={"Authorization": "Bearer x"}), 401, "unauthenticated")
    for headers in ({}, guest.headers, api.operator):
        assert (await api.http.get(PREFIX, headers=headers)).status_code == 200


async def test_only_those_who_can_take_the_party_then(api, guest, opened, town):
    house, inn = await opened(restaurant()), await opened(hotel())
    table, stay = {"city": town, "starts_at": api.at(19)}, {"city": town, "check_in": str(api.day()), "check_out": str(api.day(9))}  # fmt: skip
    [shown] = (await search(api, **table))["items"]
    assert (shown["vendor_id"], shown["available"], shown["alternatives"]) == (house.id, True, None)
    assert await found(api, **stay) == [inn.id]
    assert await found(api, **table, party_size=4) == [house.id]
    assert await found(api, **table, party_size=5) == []
    assert await found(api, **{**table, "starts_at": api.at(15)}) == []
    for _ in range(2):
        await api.booked(guest, house)
    assert await found(api, **table) == []
    assert await found(api, **{**table, "starts_at": api.at(12)}) == [house.id]
    for _ in range(4):
        await api.booked(guest, inn, party_size=2)
    assert await found(api, **stay) == []
    booking = (await api.booked(guest, inn, check_in=str(api.day(20)), check_out=str(api.day(22)), seat_type="suite"))["booking_id"]  # fmt: skip
    later = {"city": town, "check_in": str(api.day(21)), "check_out": str(api.day(22)), "party_size": 3}
    assert await found(api, **later) == []
    done(await api.set_status(guest, booking, "CANCELLED"))
    assert await found(api, **later) == [inn.id]


async def test_with_a_date_only_rooms_that_are_cheap_enough_count(api, guest, opened, town):
    single, double = (
        {"name": name, "seat_type": name, "capacity_min": 1, "capacity_max": 2, "price": {"amount_minor": price, "currency": "EUR"}}
        for name, price in (("single", 5000), ("double", 12_000))
    )  # fmt: skip
    inn = await opened(hotel(seats=[single, double]))
    asked = {"city": town, "check_in": str(api.day()), "check_out": str(api.day(9))}
    for price in ("5000", "6000", "12000"):
        assert await found(api, **asked, price_max=price) == [inn.id]
    await api.booked(guest, inn, seat_type="single")
    assert await found(api, **asked, price_max="6000") == []
    assert await found(api, **asked, price_max="12000") == [inn.id]
    [shown] = (await search(api, **asked, price_max="6000", include_full="true"))["items"]
    # What the vendor begins at, not what is left of it.
    assert (shown["available"], shown["from_price"]["amount_minor"]) == (False, 5000)


@pytest.mark.parametrize("asked_type", ["Séparée", "separee", "SEPAREE", "sÉparÉe"])
async def test_a_type_of_seat_is_found_however_it_is_written(api, guest, opened, town, asked_type):
    seats = [
        {"name": seat_type, "seat_type": seat_type, "capacity_min": 1, "capacity_max": 2}
        for seat_type in ("table", "Séparée", "separee")
    ]
    house = await opened(restaurant(seats=seats))
    asked = {"city": town, "starts_at": api.at(19), "seat_type": asked_type}
    for seat_type in ("Séparée", "separee"):
        assert await found(api, **asked) == [house.id]
        await api.booked(guest, house, seat_type=seat_type)
    assert await found(api, **asked) == []
    [shown] = (await search(api, **asked, include_full="true"))["items"]
    assert (shown["available"], len(shown["alternatives"])) == (False, 3)


async def test_a_time_without_an_offset_is_each_vendors_own(api, opened, town):
    vienna = await opened(restaurant())
    tokyo = await opened(restaurant(time_zone="Asia/Tokyo"))
    local = api.at(20)
    assert sorted(await found(api, city=town, starts_at=local)) == sorted([vienna.id, tokyo.id])
    seven_in_tokyo = f"{api.day()}T19:00:00+09:00"
    assert await found(api, city=town, starts_at=seven_in_tokyo) == [tokyo.id]


async def test_the_full_ones_and_their_other_times(api, guest, opened, town):
    house, inn = await opened(restaurant()), await opened(hotel())
    for hour, minute in ((19, 30), (19, 30), (12, 0)):
        await api.booked(guest, house, starts_at=api.at(hour, minute))
    asked = {"city": town, "starts_at": api.at(19), "include_full": "true", "party_size": 2}
    [shown] = (await search(api, **asked))["items"]
    assert (shown["vendor_id"], shown["available"]) == (house.id, False)
    day = api.day()
    wall = [datetime.fromisoformat(one).astimezone(tz_of_vienna()) for one in shown["alternatives"]]
    assert [f"{one:%Y-%m-%dT%H:%M}" for one in wall] == [f"{day}T{at}" for at in ("18:00", "21:00", "21:30")]
    for one in shown["alternatives"]:
        await api.booked(guest, house, starts_at=one)
    assert (await search(api, **{**asked, "include_full": "false"}))["items"] == []
    [full_day] = (await search(api, **{**asked, "starts_at": api.at(19, ahead=-3)}))["items"]
    assert (full_day["available"], full_day["alternatives"]) == (False, None)
    too_many = {"city": town, "check_in": str(day), "check_out": str(api.day(9)), "party_size": 3, "include_full": "true"}  # fmt: skip
    await api.booked(guest, inn, party_size=3)
    [shown] = (await search(api, **too_many))["items"]
    assert (shown["vendor_id"], shown["available"], shown["alternatives"]) == (inn.id, False, None)


async def test_pages_one_after_the_other(api, opened, town):
    houses = {(await opened(restaurant(name=f"House {number}"))).id for number in range(7)}
    for asked in ({"city": town}, {"city": town, "near": VIENNA, "sort": "distance"}, {"city": town, "starts_at": api.at(19)}):  # fmt: skip
        for limit in (1, 2, 3, 7, 8):
            seen = await all_pages(api, limit=limit, **asked)
            assert len(seen) == len(houses)
            assert set(seen) == houses


async def test_a_cursor_survives_what_is_opened_and_booked_meanwhile(api, guest, opened, town):
    houses = [await opened(restaurant(name=f"House {number}")) for number in range(6)]
    asked = {"city": town, "starts_at": api.at(19), "limit": 2}
    first = await search(api, **asked)
    seen = [item["vendor_id"] for item in first["items"]]
    new = await opened(restaurant(name="New"))
    rest = [house for house in houses if house.id not in seen]
    for _ in range(2):
        await api.booked(guest, rest[0])
    seen += await all_pages(api, cursor=first["next_cursor"], **asked)
    assert len(seen) == len(set(seen))
    assert {house.id for house in houses} - {rest[0].id} <= set(seen) <= {house.id for house in houses} | {new.id}


async def test_a_cursor_is_of_use_for_its_own_search_alone(api, opened, town):
    for number in range(3):
        await opened(restaurant(name=f"House {number}"))
    asked = {"city": town, "starts_at": api.at(19), "near": VIENNA}
    cursor = (await search(api, **asked, limit=1))["next_cursor"]
    assert len((await search(api, **asked, limit=2, cursor=cursor))["items"]) == 2
    for other in (
        {**asked, "city": "Elsewhere"},
        {**asked, "starts_at": api.at(20)},
        {**asked, "party_size": "2"},
        {**asked, "radius_km": "11"},
        {**asked, "sort": "price"},
        {**asked, "include_full": "true"},
        {**asked, "q": "house"},
        {"city": town, "near": VIENNA},
    ):
        response = await api.http.get(PREFIX, params={**other, "cursor": cursor})
        refused(response, 422, "invalid_request", "cursor")
    bent = ("A" if cursor[0] != "A" else "B") + cursor[1:]
    refused(await api.http.get(PREFIX, params={**asked, "cursor": bent}), 422, "invalid_request", "cursor")


async def all_pages(api, **asked):
    seen = []
    while True:
        page = await search(api, **asked)
        seen += [item["vendor_id"] for item in page["items"]]
        if page["next_cursor"] is None:
            return seen
        asked["cursor"] = page["next_cursor"]


class Judges:
    """Shards that can take a party at every `every`th vendor and know nobody beyond `known`; `answer` is given instead."""

    def __init__(self, every=1, answer=None, known=1 << 30) -> None:
        self.every = every
        self.answer = answer
        self.known = known
        self.judged = []

    async def judge(self, vendor_ids, wish):
        self.judged.append(len(vendor_ids))
        if self.answer is not None:
            return self.answer
        numbered = {vendor_id: number_of(vendor_id) for vendor_id in vendor_ids}
        return [
            Verdict(vendor_id, number % self.every == 0, () if number % self.every == 0 else (NOON,) * wish.alternatives_max)
            for vendor_id, number in numbered.items()
            if number < self.known
        ]  # fmt: skip


NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def number_of(vendor_id) -> int:
    return (UUID(str(vendor_id)).int >> 20) & 0xFFFFF


class AnybodysTokens:
    async def tokens_valid_from(self, role, account_id):
        return None


class Alone:
    """The search service by itself, over so many restaurants and hotels and shards that are made up."""

    def __init__(self, vendors: int = 0, **judging) -> None:
        facts = [restaurant_facts(), hotel_facts()]
        self.index = MemorySearchIndex(
            [
                replace(
                    facts[number % 2],
                    vendor_id=vendor_id_from(number << 20),
                    location=Location(0, number / 1000),
                )
                for number in range(vendors)
            ]
        )
        self.judges = Judges(**judging)
        clock = lambda: NOON  # noqa: E731
        app = search_app(SearchDeps(self.index, self.judges, Tokens(KEYS, AnybodysTokens(), clock), clock))
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")

    async def get(self, **asked):
        return await self.http.get(PREFIX, params=asked)

    async def pages(self, **asked):
        """The numbers on each page."""
        pages = []
        while True:
            page = done(await self.get(**asked))
            pages.append([number_of(item["vendor_id"]) for item in page["items"]])
            if page["next_cursor"] is None:
                return pages
            asked["cursor"] = page["next_cursor"]


TABLES = {"starts_at": "2030-01-01T19:00"}
ROOMS = {"check_in": "2030-01-01", "check_out": "2030-01-02"}


async def test_no_more_than_two_thousand_are_judged_for_a_request():
    alone = Alone(8_200, every=100_000)
    page = done(await alone.get(**TABLES))
    assert [item["vendor_id"] for item in page["items"]] == [str(vendor_id_from(0))]
    assert page["next_cursor"] is not None
    assert sum(alone.judges.judged) == JUDGED_MAX
    assert max(alone.judges.judged) <= 1000
    pages = await alone.pages(**TABLES)
    assert pages == [[0], [], []]


@pytest.mark.parametrize("every", [1, 2, 6, 14])
@pytest.mark.parametrize("limit", [1, 3, 50, 200])
@pytest.mark.parametrize("when", [TABLES, ROOMS])
async def test_pages_hold_each_once_and_in_order(every, limit, when):
    alone = Alone(300, every=every)
    pages = await alone.pages(**when, limit=limit, near="0,0", radius_km=200, sort="distance")
    parity = 0 if when is TABLES else 1
    expected = [number for number in range(parity, 300, 2) if number % every == 0]
    assert [number for page in pages for number in page] == expected
    assert all(len(page) == limit for page in pages[:-1])


async def test_with_the_full_ones_every_candidate_is_on_a_page():
    alone = Alone(300, every=4, known=200)
    pages = await alone.pages(**TABLES, limit=60, include_full="true")
    # Those that no shard knows are on none.
    assert [number for page in pages for number in page] == list(range(0, 200, 2))
    assert alone.judges.judged[0] == 60
    items = done(await alone.get(**TABLES, limit=3, include_full="true"))["items"]
    assert [(item["available"], item["alternatives"]) for item in items] == [
        (True, None),
        (False, ["2030-01-01T12:00:00Z"] * 3),
        (True, None),
    ]


async def test_without_a_time_no_shard_is_asked():
    alone = Alone(10)
    assert len(done(await alone.get(limit=4))["items"]) == 4
    assert alone.judges.judged == []
    assert len(await alone.pages(limit=5)) == 2
    [(query, after, limit)] = alone.index.asked[:1]
    assert (after, limit, query.kind) == (None, 5, None)


async def test_a_radius_is_ten_kilometres_unless_said():
    alone = Alone(10)
    for asked, radius in (({"near": "0,0"}, 10.0), ({"near": "0,0", "radius_km": "2.5"}, 2.5), ({}, None)):
        done(await alone.get(**asked))
        assert alone.index.asked[-1][0].radius_km == radius


async def test_the_index_away():
    alone = Alone(10)
    alone.index.away = True
    for asked in ({}, TABLES):
        response = await alone.get(**asked)
        assert refused(response, 503, "dependency_unavailable")["transient"] is True
        assert "search" in response.json()["detail"]
    alone.index.away = False
    assert (await alone.get()).status_code == 200


@pytest.mark.parametrize("trouble", [Trouble.SHARD_MOVING, Trouble.OVERLOADED, Trouble.DEPENDENCY_UNAVAILABLE])
async def test_a_shard_in_trouble(trouble):
    alone = Alone(10, answer=Unavailable(trouble, "For a reason.", retry_after_seconds=4))
    response = await alone.get(**ROOMS)
    assert refused(response, 503, trouble.value)["transient"] is True
    assert response.headers["retry-after"] == "4"
    assert (await alone.get()).status_code == 200


async def test_what_the_shards_are_asked():
    wishes = []

    class Noting(Judges):
        async def judge(self, vendor_ids, wish):
            wishes.append(wish)
            return await super().judge(vendor_ids, wish)

    alone = Alone(4)
    alone.judges.__class__ = Noting
    await alone.get(**ROOMS)
    await alone.get(**TABLES, party_size=3, seat_type="table", include_full="true")
    await alone.get(**ROOMS, price_max=12_000)
    assert isinstance(wishes[0].when, StayDates)
    assert (wishes[0].party_size, wishes[0].seat_type, wishes[0].alternatives_max) == (1, None, 0)
    assert (wishes[1].party_size, wishes[1].seat_type, wishes[1].alternatives_max) == (3, "table", 3)
    assert [wish.price_max_minor for wish in wishes] == [None, None, 12_000]
    assert wishes[1].when.starts_at + timedelta(0) == datetime.fromisoformat("2030-01-01T19:00")


def tz_of_vienna():
    from zoneinfo import ZoneInfo

    return ZoneInfo("Europe/Vienna")
