"""The schema: the seed's entities by name, migrations that go up and down, SQL files that say what they are for."""

import asyncio
import json
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID

import pytest
from pogo_core.util import migrate as pogo

from domain.event import VendorCreated
from domain.ids import bucket_of, seat_id_of
from storage.booking_rows import COLUMNS
from storage.directory import Directory
from storage.event_json import events_of_outbox
from storage.migrate import MIGRATIONS, migrate
from storage.postgres import Database, sql
from storage.postgres_shard_store import PostgresShardStore
from tests.conformance.stores import ACTOR, booking, house, placing
from tests.fakes.houses import EVENING, vendor_id

SEED = {"user", "city", "vendor", "vendor_seat", "vendor_datetimeslot", "bookable_seat_slot", "booking"}
SQL = Path(__file__).parents[2] / "storage" / "sql"


async def relations(connection):
    rows = await connection.fetch("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
    return {row["table_name"] for row in rows if not row["table_name"].startswith("_pogo")}


async def test_the_seeds_entities_are_there_by_name(admin):
    assert await relations(admin) >= SEED


async def test_every_relation_says_what_it_is_for(admin):
    silent = await admin.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')"
        " AND obj_description(oid, 'pg_class') IS NULL AND relname NOT LIKE '\\_pogo%'"
    )
    assert [row["relname"] for row in silent] == []


async def test_migrating_again_changes_nothing(database, admin):
    before = await relations(admin)
    await asyncio.gather(migrate(database), migrate(database))
    assert await relations(admin) == before


async def test_migrations_go_down_and_up_again(database, admin):
    await pogo.rollback(admin, MIGRATIONS, schema_name="public")
    assert await relations(admin) == set()
    await migrate(database)
    assert await relations(admin) >= SEED


async def test_charges_of_before_were_asked_for_by_the_version_of_their_payment(database, admin):
    await pogo.rollback(admin, MIGRATIONS, count=1, schema_name="public")
    await admin.execute(
        "INSERT INTO payment (payment_id, booking_id, vendor_id, user_id, created_at, amount_minor, kept_minor, number,"
        " settled_version, revision, currency, provider) SELECT $1, $1, $1, $1, now(), 2000, 0, 3, 0, 1, 'EUR', 'sandbox'",
        UUID(int=1),
    )
    await admin.execute(
        "INSERT INTO payment_charge VALUES ($1, 1, 2000, NULL, 'open', 'sandbox', 'co_1', NULL)", UUID(int=1)
    )
    await migrate(database)
    charges = await admin.fetchval("SELECT charges FROM whole_payment")
    assert [(one["number"], one["asked_version"]) for one in json.loads(charges)] == [(1, 3)]


async def test_the_columns_of_booking_are_the_fields_of_booking(admin):
    rows = await admin.fetch("SELECT column_name FROM information_schema.columns WHERE table_name = 'booking'")
    assert {row["column_name"] for row in rows} == set(COLUMNS)


async def test_sql_and_python_agree_on_ids_and_slots(admin):
    of = vendor_id(12345, bucket=0xABC)
    assert await admin.fetchval("SELECT bucket_of($1)", of) == bucket_of(of) == 0xABC
    assert await admin.fetchval("SELECT first_id_of_bucket($1)", 0xABC) == UUID(int=0xABC << 116)
    for seat_no in (1, 77, (1 << 20) - 1):
        assert await admin.fetchval("SELECT seat_id_of($1, $2)", of, seat_no) == seat_id_of(of, seat_no)
        assert await admin.fetchval("SELECT seat_no_of($1)", seat_id_of(of, seat_no)) == seat_no
    assert await admin.fetchval("SELECT slot_at($1, 30)", EVENING) == booking(of, 1).first_slot
    night = datetime(2026, 12, 24, 23, 59, tzinfo=UTC)
    assert await admin.fetchval("SELECT slot_at($1, 0)", night) == date(2026, 12, 24).toordinal()


async def test_a_booking_unfolds_into_its_seat_slots(database, admin):
    open_database = Database(database, "test", 1)
    await Directory(open_database).seed(1)
    await Directory(open_database).claim(0, ACTOR.actor_id)
    await open_database.close()
    of = vendor_id(1)
    store = PostgresShardStore(database)
    lease = await store.take(0, ACTOR)
    await store.commit_vendor(lease, 1, VendorCreated(house(of), "house@example.org", "h"))
    one = booking(of, 1, seats=(1, 3))
    await store.commit(placing(lease, 2, one))
    rows = await admin.fetch("SELECT booking_id, seat_id, slot FROM bookable_seat_slot ORDER BY seat_no, slot")
    assert [tuple(row) for row in rows] == [
        (one.booking_id, seat_id_of(of, seat), slot)
        for seat in (1, 3)
        for slot in range(one.first_slot, one.first_slot + 3)
    ]
    told = await admin.fetchrow("SELECT events, bookings FROM outbox WHERE seq = 2")
    [event] = events_of_outbox(told["events"], told["bookings"])
    assert event["type"] == "HoldPlaced"
    assert event["booking"]["booking_id"] == str(one.booking_id)
    assert event["booking"]["version"] == 1
    opened = await admin.fetchrow("SELECT events, bookings FROM outbox WHERE seq = 1")
    [event] = events_of_outbox(opened["events"], opened["bookings"])
    assert event["type"] == "VendorCreated"
    assert "password_hash" not in str(event)
    assert "house@example.org" not in str(event)
    assert await admin.fetchval("SELECT count(*) FROM vendor_seat WHERE active") == 3
    assert await admin.fetchval("SELECT slot_kind FROM vendor_datetimeslot") == "sitting"
    await store.close()


@pytest.mark.parametrize("path", sorted(SQL.glob("*.sql")), ids=lambda path: path.stem)
def test_each_sql_file_says_in_one_line_what_it_is_for(path):
    first = sql(path.stem).splitlines()[0]
    assert first.startswith(f"-- {path.stem}: ")
