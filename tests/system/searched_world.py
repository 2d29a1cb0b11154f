"""Many vendors of the demo's making, with closures and paces of their own, written straight into a database; and questions."""

import random
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg

from domain.command import CreateVendor, PlaceHold, SittingTime, StayDates
from domain.decide_vendor import decide_create
from domain.event import VendorCreated
from domain.ids import VendorId, booking_id_from, vendor_id_from
from domain.vendor import Vendor
from holdfast.demo_world import DemoSize, make_world
from serve_app.vendor_models import CreateVendorBody, vendor_of
from storage.postgres_shard_store import PostgresShardStore
from storage.shard_store import VendorRecord
from storage.vendor_rows import datetimeslot_rows, seat_rows, vendor_json
from tests.fakes.houses import guest

NOW = datetime(2027, 1, 11, 9, tzinfo=UTC)  # a Monday
EVENINGS = [NOW.date() + timedelta(days=ahead) for ahead in (2, 3, 4)]
HOURS = ["19:00", "19:30", "20:00", "20:30", "18:00", "12:30"]
_MADE_AT_ONCE = 5_000
_GUESTS = 20_000


def vendors(count: int, seed: int) -> Iterator[Vendor]:
    """As the demo makes them, each decided on as its creation would be."""
    chance = random.Random(seed)
    for begin in range(0, count, _MADE_AT_ONCE):
        size = DemoSize(vendors=min(_MADE_AT_ONCE, count - begin), guests=1, bookings=0)
        for number, house in enumerate(make_world(size, seed + begin, NOW.date()).houses, start=begin):
            email = f"house-{number}@example.org"
            given = _with_habits(chance, {**house.vendor, "email": email, "password": "correct horse"})
            body = CreateVendorBody.model_validate(given)
            # Their order in a list by id is not that of their making.
            vendor = vendor_of(body, vendor_id_from(chance.getrandbits(128)), NOW)
            event = decide_create(CreateVendor(vendor, email, "hash"), now=NOW)
            assert isinstance(event, VendorCreated), event
            yield event.vendor


def _with_habits(chance: random.Random, body: dict[str, Any]) -> dict[str, Any]:
    """What the demo's houses do not have: days closed, seats out of sale, a pace, rules of stay, a short booking window."""
    if chance.random() < 0.2:
        body["closures"] = [_closure(chance)]
    if chance.random() < 0.2:
        body["seats"] = [{**body["seats"][0], "closures": [_closure(chance)]}, *body["seats"][1:]]
    if chance.random() < 0.1:
        limits = chance.choice([{"book_ahead_days_max": 2}, {"book_ahead_minutes_min": 3 * 24 * 60}])
        body["policy"] = {**body["policy"], **limits}
    if body["kind"] == "hotel":
        if chance.random() < 0.3:
            body["stay"] = {"min_nights": 2, "max_nights": 14, "closed_to_arrival": [chance.choice(["wed", "thu"])]}
    elif chance.random() < 0.25:
        body["pacing"] = {"covers_per_step": chance.randint(2, 8)}
    return body


def _closure(chance: random.Random) -> dict[str, str]:
    first = chance.choice(EVENINGS)
    return {"from": str(first), "to": str(first + timedelta(days=chance.randint(0, 2)))}


async def write_all(url: str, made: Sequence[Vendor]) -> None:
    """Their rows as their creations would have left them, by COPY."""
    connection = await asyncpg.connect(url)
    await connection.set_type_codec(
        "jsonb", encoder=lambda document: b"\1" + document, decoder=bytes, schema="pg_catalog", format="binary"
    )
    try:
        cities = sorted({vendor.city for vendor in made})
        await connection.execute("INSERT INTO city (name) SELECT unnest($1::text[])", cities)
        numbers = {row["name"]: row["city_id"] for row in await connection.fetch("SELECT name, city_id FROM city")}
        await connection.copy_records_to_table(
            "vendor",
            columns=["vendor_id", "city_id", "email", "password_hash", "facts"],
            records=(
                (v.vendor_id, numbers[v.city], f"{v.vendor_id}@example.org", "hash", vendor_json(v)) for v in made
            ),
        )
        await connection.copy_records_to_table(
            "vendor_seat",
            columns=[
                *("vendor_id", "seat_no", "seat_id", "name", "seat_type"),
                *("capacity_min", "capacity_max", "price_minor"),
            ],
            records=((v.vendor_id, *row) for v in made for row in zip(*seat_rows(v).columns(), strict=True)),
        )
        await connection.copy_records_to_table(
            "vendor_datetimeslot",
            columns=["vendor_id", "ordinal", "slot_kind", "days", "first_at", "last_at", "every_minutes"],
            records=((v.vendor_id, *row) for v in made for row in datetimeslot_rows(v)),
        )
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


async def in_pages(made: Sequence[Vendor], size: int = 1000) -> AsyncIterator[Sequence[Vendor]]:
    for begin in range(0, len(made), size):
        yield made[begin : begin + size]


async def records(url: str, made: Sequence[Vendor]) -> AsyncIterator[VendorRecord]:
    """What the database holds of them now."""
    store = PostgresShardStore(url)
    try:
        async for page in in_pages(made):
            found = await store.load_vendors([vendor.vendor_id for vendor in page])
            assert len(found) == len(page)
            for record in found.values():
                yield record
    finally:
        await store.close()


def holds(made: Sequence[Vendor], count: int, chance: random.Random) -> Iterator[PlaceHold]:
    """Wishes of guests, who mostly want the same few houses on the same few evenings."""
    fame = [1.0 / (1 + rank) ** 0.6 for rank in range(len(made))]
    for vendor in chance.choices(made, fame, k=count):
        yield hold_of(vendor.vendor_id, _when(chance, vendor), chance.choice([1, 2, 2, 2, 3, 4, 4, 6]), chance)


def hold_of(
    of: VendorId, when: SittingTime | StayDates, party: int, chance: random.Random, seat_type: str | None = None
) -> PlaceHold:
    by = guest(chance.randrange(_GUESTS))
    return PlaceHold(booking_id_from(of, chance.getrandbits(128)), of, by, party, when, seat_type)


def _when(chance: random.Random, vendor: Vendor) -> SittingTime | StayDates:
    if vendor.kind == "hotel":
        return _stay(chance)
    return SittingTime(datetime.fromisoformat(f"{_evening(chance)}T{chance.choice(HOURS)}"))


def _evening(chance: random.Random) -> date:
    return chance.choices(EVENINGS, [6, 2, 1])[0]


def _stay(chance: random.Random) -> StayDates:
    check_in = _evening(chance)
    return StayDates(check_in, check_in + timedelta(days=chance.choice([1, 1, 2, 3])))


def question(chance: random.Random, made: Sequence[Vendor]) -> dict[str, str]:
    """The query parameters of one search, about some vendor's surroundings or habits or nothing in particular."""
    like = chance.choice(made)
    asked = {"limit": str(chance.choice([5, 10, 20, 50])), "party_size": str(chance.choice([1, 2, 2, 2, 4, 4, 6, 8]))}
    if chance.random() < 0.5:
        # The famous are mostly full.
        like = chance.choice(made[: max(1, len(made) // 20)])
    if like.kind == "hotel":
        stay = _stay(chance)
        asked |= {"check_in": str(stay.check_in), "check_out": str(stay.check_out)}
    else:
        asked["starts_at"] = _starts_at(chance, like)
    narrowed = {
        "city": like.city,
        "near": f"{like.location.lat:.4f},{like.location.lon:.4f}",
        "cuisine": next(iter(like.cuisines), ""),
        "amenity": next(iter(like.amenities), ""),
        "seat_type": chance.choice(like.seats).seat_type,
        "q": like.name.split()[-1],
    }
    names = chance.sample(sorted(name for name, value in narrowed.items() if value), chance.choice([0, 1, 1, 2]))
    asked |= {name: narrowed[name] for name in names}
    prices = [group.price.amount_minor for group in like.seats if group.price]
    if prices and chance.random() < 0.3:
        asked["price_max"] = str(chance.choice(prices))
    if "seat_type" in asked and chance.random() < 0.3:
        asked["seat_type"] = asked["seat_type"].upper()
    if "near" in asked:
        asked["radius_km"] = chance.choice(["3", "10", "60", "20000"])
    asked["sort"] = chance.choice(["relevance", "price", *(["distance"] if "near" in asked else [])])
    return asked


def _starts_at(chance: random.Random, like: Vendor) -> str:
    """Mostly on the wall of whichever vendor it is, now and then one instant, or a time that nobody offers."""
    wall = datetime.fromisoformat(f"{_evening(chance)}T{chance.choice(HOURS)}")
    odd = chance.random()
    if odd < 0.05:
        wall += timedelta(minutes=7)
    if odd > 0.8:
        return wall.replace(tzinfo=ZoneInfo(like.time_zone)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return wall.strftime("%Y-%m-%dT%H:%M")
