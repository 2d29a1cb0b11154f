"""`verify` finds every kind of fault that is put there on purpose, and nothing where all is well."""

import asyncio

import pytest

from domain.event import VendorCreated
from domain.ids import BUCKETS, seat_id_of
from storage.audit import Audit
from storage.directory import Directory
from storage.postgres import Database, StatementTooLong
from storage.postgres_shard_store import PostgresShardStore
from tests.conformance.slow_database import Slow
from tests.conformance.stores import ACTOR, booking, cancelled, changing, house, placing
from tests.fakes.houses import vendor_id

V = vendor_id(1, bucket=4095)


@pytest.fixture
async def booked(open_database, database):
    """Three bookings, one of them cancelled; the last on two seats."""
    directory = Directory(open_database)
    await directory.seed(1)
    await directory.claim(0, ACTOR.actor_id)
    store = PostgresShardStore(database)
    lease = await store.take(0, ACTOR)
    await store.commit_vendor(lease, 1, VendorCreated(house(V), "house@example.org", "h"))
    made = [
        booking(V, 1),
        booking(V, 2, seats=(2, 3), slots=40),
        booking(V, 3, first_slot=booking(V, 1).first_slot + 9),
    ]
    await store.commit(placing(lease, 2, *made))
    await store.commit(changing(lease, 3, cancelled(made[2])))
    await store.close()
    return made


async def faults(database):
    report = await Audit(database, buckets_at_once=2048).run()
    assert report.ok == (not any(figure.faults for figure in report.figures if figure.judged))
    return {figure.name: figure.faults for figure in report.figures if figure.faults}


async def test_all_is_well(booked, open_database):
    told = []
    report = await Audit(open_database).run(lambda done, all_: told.append((done, all_)))
    assert report.ok
    counted = {figure.name: figure.counted for figure in report.figures}
    assert counted["seat-slots are held by one booking only"] == 3 + 80
    assert counted["bookings hold what their status says"] == 3
    assert counted["no outbox row is stuck"] == 3
    assert counted["parked messages"] == 0
    assert told[-1] == (4096, 4096)
    assert len(told) == 256


async def test_an_empty_database_is_well(open_database):
    assert await faults(open_database) == {}


async def test_a_bit_too_many_is_found(booked, open_database, admin):
    await admin.execute(
        "UPDATE seat_word SET mask = mask | 1::bigint << 63 WHERE mask <> 0 AND seat_id = $1", seat_id_of(V, 1)
    )
    assert await faults(open_database) == {"taken words equal the slots that bookings hold": 1}


async def test_a_bit_too_few_is_found(booked, open_database, admin):
    await admin.execute("UPDATE seat_word SET mask = 0 WHERE seat_id = $1", seat_id_of(V, 1))
    assert await faults(open_database) == {"taken words equal the slots that bookings hold": 1}


async def test_a_missing_row_is_found(booked, open_database, admin):
    await admin.execute("DELETE FROM seat_word WHERE seat_id = $1", seat_id_of(V, 1))
    assert await faults(open_database) == {"taken words equal the slots that bookings hold": 1}


async def test_a_row_of_nobody_is_found(booked, open_database, admin):
    await admin.execute("INSERT INTO seat_word VALUES ($1, 5, 1)", seat_id_of(vendor_id(9), 1))
    assert await faults(open_database) == {"taken words equal the slots that bookings hold": 1}


async def test_a_seat_sold_twice_is_found(booked, open_database, admin):
    await admin.execute(
        "UPDATE booking SET held_slot_count = 3, status = 'CONFIRMED', first_slot = $2 WHERE booking_id = $1",
        booked[2].booking_id,
        booked[0].first_slot + 1,
    )
    found = await faults(open_database)
    assert found["seat-slots are held by one booking only"] == 2


async def test_a_cancelled_booking_that_holds_is_found(booked, open_database, admin):
    await admin.execute("UPDATE booking SET held_slot_count = 3 WHERE booking_id = $1", booked[2].booking_id)
    found = await faults(open_database)
    assert found["bookings hold what their status says"] == 1


async def test_a_booking_of_no_vendor_is_found(booked, open_database, admin):
    await admin.execute("UPDATE booking SET vendor_id = $1 WHERE booking_id = $2", vendor_id(8), booked[2].booking_id)
    assert await faults(open_database) == {"bookings have a vendor": 1}


async def test_a_seat_that_never_was_is_found(booked, open_database, admin):
    await admin.execute("DELETE FROM vendor_seat WHERE seat_no = 3")
    assert await faults(open_database) == {"booked seats are seats of their vendor": 1}


async def test_an_outbox_row_that_nobody_publishes_is_found(booked, open_database, admin):
    await admin.execute("UPDATE outbox SET created_at = now() - interval '9 minutes' WHERE seq = 3")
    assert await faults(open_database) == {}
    await admin.execute("UPDATE outbox SET created_at = now() - interval '11 minutes' WHERE seq < 3")
    assert await faults(open_database) == {"no outbox row is stuck": 2}
    report = await Audit(open_database, buckets_at_once=2048).run()
    [figure] = [figure for figure in report.figures if figure.name == "no outbox row is stuck"]
    assert "batch 1, committed at" in figure.examples[0]
    await admin.execute("UPDATE outbox SET published_at = now()")
    assert await faults(open_database) == {}


async def test_parked_messages_are_counted_and_not_judged(open_database, admin):
    await admin.execute(
        "INSERT INTO parked_message (consumer, topic, partition, message_offset, key, value, error, settled_at)"
        " SELECT 'notifier', 'new_booking', 0, n, 'k', '', 'E', CASE WHEN n = 3 THEN now() END"
        " FROM generate_series(1, 3) AS n"
    )
    assert await faults(open_database) == {}
    report = await Audit(open_database, buckets_at_once=2048).run()
    [counted] = [figure.counted for figure in report.figures if figure.name == "parked messages"]
    assert counted == 2


async def test_it_runs_while_bookings_go_on(booked, open_database, database):
    """Each range is one snapshot, so that a batch is seen whole or not at all."""
    store = PostgresShardStore(database)
    lease = await store.take(0, ACTOR)
    done = asyncio.Event()

    async def guests():
        seq = 0
        while not done.is_set():
            seq += 2
            one = booking(V, 100 + seq, first_slot=booking(V, 1).first_slot + 200)
            await store.commit(placing(lease, seq, one))
            await store.commit(changing(lease, seq + 1, cancelled(one)))
        return seq

    busy = asyncio.create_task(guests())
    for _ in range(40):
        assert await faults(open_database) == {}
    done.set()
    assert await busy > 10
    await store.close()


async def test_what_takes_too_long_is_looked_at_in_smaller_portions_and_counted_once(booked, open_database, database):
    slow = Slow(database, "test", 1)
    told = []
    report = await Audit(slow).run(lambda done, _: told.append(done))
    assert report == await Audit(open_database).run()
    assert told == list(range(2, BUCKETS + 1, 2))
    assert slow.widths["audit_money_sums"] == [2] * (BUCKETS // 2)
    await slow.close()


async def test_a_single_bucket_that_takes_too_long_is_said(open_database, database, admin):
    """By the real server, which ends the statement that waits."""
    async with admin.transaction():
        await admin.execute("LOCK booking")
        with pytest.raises(StatementTooLong):
            await Audit(open_database, buckets_at_once=4, statement_seconds_max=0.1).run()


async def test_it_has_more_patience_than_those_who_serve_guests(booked, database, admin):
    impatient = Database(database, "test", 2, statement_seconds_max=0.1)
    told = []
    async with admin.transaction():
        await admin.execute("LOCK vendor")
        audit = asyncio.create_task(Audit(impatient, buckets_at_once=BUCKETS).run(lambda done, _: told.append(done)))
        for _ in range(4):
            with pytest.raises(StatementTooLong):
                await impatient.value("count_vendors")
    assert (await audit).ok
    assert told == [BUCKETS]
    await impatient.close()


async def test_what_is_too_many_to_count_is_estimated(booked, open_database, admin, monkeypatch):
    sizes = {"remembered answers": "idempotency_key", "no outbox row is stuck": "outbox"}
    await admin.execute("INSERT INTO idempotency_key SELECT n::text::bytea, '', '{}' FROM generate_series(1, 40) AS n")

    async def told():
        report = await Audit(open_database, buckets_at_once=2048).run()
        return {figure.name: (figure.counted, figure.about) for figure in report.figures if figure.name in sizes}

    answers = await admin.fetchval("SELECT count(*) FROM idempotency_key")
    assert await told() == {"remembered answers": (answers, False), "no outbox row is stuck": (3, False)}
    monkeypatch.setattr("storage.audit._COUNTED_MAX", 2)
    assert await told() == {"remembered answers": (3, True), "no outbox row is stuck": (3, True)}
    await admin.execute("ANALYZE idempotency_key")
    assert await told() == {"remembered answers": (answers, True), "no outbox row is stuck": (3, True)}
    monkeypatch.setattr("storage.audit._COUNTED_MAX", answers)
    assert await told() == {"remembered answers": (answers, False), "no outbox row is stuck": (3, False)}
