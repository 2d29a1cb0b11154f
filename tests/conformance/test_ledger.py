"""The ledger: nothing in it ever changes, every movement is balanced, and it is read page by page in one order."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from domain.booking import BookingStatus, Terms
from domain.ids import BookingId, booking_id_from
from domain.ledger import Account, Movement, MovementKind
from domain.money import Money
from domain.payment import Capture, Refund, capture
from domain.payment_steps import new_payment
from storage.ledger import Balance, Ledger
from storage.postgres_payments import PostgresPayments
from tests.conformance.stores import booking
from tests.fakes.houses import vendor_id

V, W = vendor_id(1), vendor_id(2)
START = datetime(2026, 12, 1, 12, tzinfo=UTC)


@pytest.fixture
def store(open_database):
    return PostgresPayments(open_database)


@pytest.fixture
def ledger(open_database):
    return Ledger(open_database)


async def captured(store, number, *, of=V, currency="EUR"):
    """A payment with a capture of 500 at a fee of 15."""
    held = replace(
        booking(of, number, status=BookingStatus.BLOCKED), terms=Terms(Money(500, currency), deposit_version=1)
    )
    new = await store.write(None, new_payment(held, (), "sandbox", START), booking_version=1)
    return await store.write(new, capture(new, Capture(f"cap-{of}-{number}", 1, 500, 15)), booking_version=1)


async def at(admin, *instants):
    """Let the movements have happened at these instants, in the order of their ids."""
    await admin.execute("ALTER TABLE ledger_movement DISABLE TRIGGER ledger_movement_stays")
    for movement_id, instant in enumerate(instants, 1):
        await admin.execute("UPDATE ledger_movement SET moved_at = $2 WHERE movement_id = $1", movement_id, instant)
    await admin.execute("ALTER TABLE ledger_movement ENABLE TRIGGER ledger_movement_stays")


# What the database itself sees to


@pytest.mark.parametrize("table", ["ledger_movement", "ledger_entry"])
@pytest.mark.parametrize(
    "statement", ["UPDATE {} SET amount_minor = amount_minor + 1", "DELETE FROM {}", "TRUNCATE {} CASCADE"]
)
async def test_nothing_in_the_ledger_changes(store, ledger, admin, table, statement):
    await captured(store, 1)
    before = await ledger.movements_of_vendor(V, 10)
    with pytest.raises(asyncpg.RaiseError, match="only ever added to"):
        await admin.execute(statement.format(table))
    assert await ledger.movements_of_vendor(V, 10) == before
    assert len(before) == 2


MOVEMENT = (
    "INSERT INTO ledger_movement (payment_id, booking_id, vendor_id, user_id, amount_minor, booking_version,"
    " payment_revision, position, kind, currency, provider, reference)"
    " SELECT payment_id, booking_id, vendor_id, user_id, 70, 1, 99, 1, 'keep', 'EUR', 'sandbox', '' FROM payment"
    " RETURNING movement_id"
)
ENTRY = "INSERT INTO ledger_entry (movement_id, account, holder, currency, amount_minor) VALUES ($1, $2, 'x', $3, $4)"


async def moved(admin, entries):
    """A movement of 70 euro cents with these entries, as no statement of ours would write it."""
    async with admin.transaction():
        movement_id = await admin.fetchval(MOVEMENT)
        for entry in entries:
            await admin.execute(ENTRY, movement_id, *entry)


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [("guest", "EUR", 70)],
        [("guest", "EUR", 70), ("vendor", "EUR", -69)],
        [("guest", "EUR", 71), ("vendor", "EUR", -71)],
        [("guest", "USD", 70), ("vendor", "USD", -70)],
        [("guest", "EUR", 70), ("vendor", "EUR", -50), ("fees", "EUR", -20)],
    ],
    ids=repr,
)
async def test_a_movement_without_its_balance_is_never_committed(store, ledger, admin, entries):
    payment = await captured(store, 1)
    with pytest.raises(asyncpg.RaiseError, match="not balanced"):
        await moved(admin, entries)
    assert await ledger.of_booking(payment.booking_id) == (Balance("EUR", -500, 0, 485, 15),)


async def test_a_movement_with_its_balance_is(store, ledger, admin):
    payment = await captured(store, 1)
    await moved(admin, [("guest", "EUR", 70), ("vendor", "EUR", -70)])
    assert await ledger.of_booking(payment.booking_id) == (Balance("EUR", -430, -70, 485, 15),)


async def test_nothing_is_added_to_a_movement_afterwards(store, admin):
    await captured(store, 1)
    with pytest.raises(asyncpg.RaiseError, match="not balanced"):
        await admin.execute(ENTRY, 1, "vendor", "EUR", 5)


async def test_accounts_carry_their_holders(store, admin):
    payment = await captured(store, 1)
    await store.write(payment, replace(payment, kept_minor=300), booking_version=2)
    rows = await admin.fetch("SELECT DISTINCT account, holder FROM ledger_entry")
    assert {row["account"]: row["holder"] for row in rows} == {
        "guest": str(payment.user_id),
        "vendor": str(payment.vendor_id),
        "provider": "sandbox",
        "fees": "sandbox",
    }


# Reading


async def test_a_movement_says_what_caused_it(store, ledger):
    payment = await captured(store, 1)
    [came, fee] = await ledger.movements_of_vendor(V, 10)
    assert came.movement == Movement(MovementKind.CAPTURE, Account.GUEST, Account.PROVIDER, 500, f"cap-{V}-1")
    assert fee.movement == Movement(MovementKind.FEE, Account.PROVIDER, Account.FEES, 15, f"cap-{V}-1")
    assert came.amount == Money(500, "EUR")
    assert (came.payment_id, came.payment_revision) == (payment.payment_id, payment.revision)
    assert (came.booking_id, came.booking_version) == (payment.booking_id, 1)
    assert (came.vendor_id, came.user_id, came.provider) == (V, payment.user_id, "sandbox")
    assert type(came.booking_id) is UUID
    assert abs(came.moved_at - datetime.now(UTC)) < timedelta(hours=1)


async def test_pages_follow_each_other_without_gap_or_repetition(store, ledger, admin):
    for number in range(1, 6):
        await captured(store, number)
        await captured(store, 100 + number, of=W)
    same = START + timedelta(hours=1)
    await at(admin, *[same] * 8, *[START] * 8, *[same + timedelta(hours=1)] * 4)
    found = []
    while page := await ledger.movements_of_vendor(V, 3, after=found[-1].position if found else None):
        assert len(page) <= 3
        found += page
    assert len(found) == 10
    assert {one.vendor_id for one in found} == {V}
    assert [one.position for one in found] == sorted(one.position for one in found)
    assert [one.movement_id for one in found] == [9, 10, 13, 14, 1, 2, 5, 6, 17, 18]
    assert found == await ledger.movements_of_vendor(V, 100)


async def test_a_stretch_of_time_begins_with_its_first_instant_and_ends_before_its_last(store, ledger, admin):
    one, two, three = [await captured(store, number) for number in (1, 2, 3)]
    second = timedelta(seconds=1)
    await at(admin, START, START, START + second, START + second, START + 2 * second, START + 2 * second)
    stretch = {"since": START + second, "until": START + 2 * second}
    assert [one.movement_id for one in await ledger.movements_of_vendor(V, 10, **stretch)] == [3, 4]
    assert await ledger.of_vendor(V, **stretch) == (Balance("EUR", -500, 0, 485, 15),)
    assert await ledger.of_vendor(V, until=START + 2 * second) == (Balance("EUR", -1000, 0, 970, 30),)
    assert await ledger.of_vendor(V) == (Balance("EUR", -1500, 0, 1455, 45),)
    assert [bool(await ledger.of_booking(of.booking_id, **stretch)) for of in (one, two, three)] == [False, True, False]


async def test_balances_of_several_currencies_stand_side_by_side(store, ledger):
    await captured(store, 1)
    yen = await captured(store, 2, currency="JPY")
    await store.write(yen, replace(yen, refunds=(Refund(1, yen.captures[0].reference, 500),)), booking_version=2)
    assert await ledger.of_vendor(V) == (Balance("EUR", -500, 0, 485, 15), Balance("JPY", 0, 0, -15, 15))
    assert await ledger.of_vendor(W) == ()
    assert await ledger.of_booking(BookingId(booking_id_from(V, 99))) == ()
