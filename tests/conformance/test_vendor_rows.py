"""The rows unfolded from a vendor's facts: what SQL joins is what the facts say, whatever changed and whatever did not."""

from dataclasses import replace
from datetime import time
from itertools import pairwise

import asyncpg

from domain.event import VendorCreated, VendorUpdated
from domain.money import Money
from domain.vendor import SeatGroup, Service, Vendor
from storage.directory import Directory
from storage.postgres import Database
from storage.postgres_shard_store import PostgresShardStore
from tests.conformance.stores import ACTOR, house
from tests.fakes.houses import vendor_id

V = vendor_id(1)
FIRST = house(V)
(TABLES,) = FIRST.seats
BAR = SeatGroup("Bar", "counter", 1, 1, seat_nos=(4,))
LATE = (Service((5,), time(22), time(23), 30),)
CHANGES = (
    {"seats": (replace(TABLES, quantity=2, seat_nos=(1, 3)), BAR)},
    {"seats": (replace(TABLES, quantity=3, seat_nos=(1, 3, 5), price=Money(7, "EUR")), BAR)},
    {"description": "no seat and no hour of it"},
    {"seats": (replace(TABLES, quantity=4, seat_nos=(1, 3, 5, 6), price=Money(7, "EUR")), BAR)},
    {"seats": (BAR,), "services": LATE},
    {"seats": (replace(BAR, seat_type="stool", capacity_max=2),)},
)


async def test_rows_follow_the_facts_and_only_what_changed_is_written(database: str) -> None:
    store = await owned_store(database)
    admin = await asyncpg.connect(database)
    lease = await store.take(0, ACTOR)
    assert lease is not None
    await store.commit_vendor(lease, 1, VendorCreated(FIRST, "house@example.org", "h"))
    vendors = [FIRST]
    for change in CHANGES:
        vendors.append(replace(vendors[-1], version=vendors[-1].version + 1, **change))
    written = []
    for seq, (before, after) in enumerate(pairwise(vendors)):
        marks = await row_marks(admin)
        await store.commit_vendor(lease, 2 + seq, VendorUpdated(after, before))
        written.append(len(await row_marks(admin) - marks))
        assert await active_seats(admin) == seats_of(after)
        assert [tuple(row) for row in await admin.fetch("SELECT first_at, last_at FROM vendor_datetimeslot")] == [
            (one.first, one.last) for one in after.services
        ]
    # Rows written: T2 given up and the bar; dearer tables 1 and 3 and the new 5; none; the new 6; four tables given up
    # and one service; the stools.
    assert written == [2, 3, 0, 1, 5, 1]
    await admin.close()
    await store.close()


async def owned_store(database: str) -> PostgresShardStore:
    opened = Database(database, "test", 1)
    await Directory(opened).seed(1)
    await Directory(opened).claim(0, ACTOR.actor_id)
    await opened.close()
    return PostgresShardStore(database)


async def row_marks(admin: asyncpg.Connection) -> set[tuple[object, ...]]:
    """Changes for every row that is written, even to what it was before."""
    rows = await admin.fetch(
        "SELECT 'seat', ctid::text, xmin::text FROM vendor_seat"
        " UNION ALL SELECT 'service', ctid::text, xmin::text FROM vendor_datetimeslot"
    )
    return {tuple(row) for row in rows}


async def active_seats(admin: asyncpg.Connection) -> list[tuple[object, ...]]:
    rows = await admin.fetch(
        "SELECT seat_no, name, seat_type, capacity_min, capacity_max, price_minor FROM vendor_seat WHERE active ORDER BY 1"
    )
    return [tuple(row) for row in rows]


def seats_of(vendor: Vendor) -> list[tuple[object, ...]]:
    return sorted(
        (
            number,
            group.name,
            group.seat_type,
            group.capacity_min,
            group.capacity_max,
            group.price.amount_minor if group.price else None,
        )
        for group in vendor.seats
        for number in group.seat_nos
    )
