"""Payments and the inbox, on Postgres and in memory: changes that exclude each other, movements, looks, what waits for a person."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import orjson
import pytest

from domain.booking import BookingStatus, Terms
from domain.ledger import Account, Movement, MovementKind
from domain.money import Money
from domain.payment import Capture, Charge, ChargeState, Refund, RefundState, capture, declined, opened, refund_known
from domain.payment_steps import new_payment
from storage.errors import VersionConflict
from storage.ledger import Balance, Ledger
from storage.payment_store import FIRST_PLACE, Due, Received, ReferenceTaken, Unnoticed, Unpaid
from storage.postgres import Database
from storage.postgres_inbox import PostgresInbox
from storage.postgres_payments import PostgresPayments
from tests.conformance.stores import booking
from tests.fakes.houses import OPENED, vendor_id
from tests.fakes.payments import MemoryInbox, MemoryPayments

V = vendor_id(1)
CREATED = datetime(2026, 12, 1, 12, 30, 15, 500000, tzinfo=UTC)
CLOSES = CREATED + timedelta(minutes=9)
DAY = timedelta(days=1)
INSTANT = timedelta(microseconds=1)
CAPTURE = Capture("cap-1", 1, 500, 15)
KEEP = Movement(MovementKind.KEEP, Account.VENDOR, Account.GUEST, 300)


class MemoryMoney:
    def __init__(self):
        self.bookings = []
        self.told = asyncio.Event()
        self.store = MemoryPayments(bookings=lambda: self.bookings, told=self.told.set)
        self.inbox = MemoryInbox(told=self.told.set)

    async def booked(self, *bookings):
        self.bookings += bookings

    async def ledger(self):
        return [(one.movement, one.booking_version, one.payment_revision) for one in self.store.ledger]

    async def of_booking(self, booking_id):
        return self.store.balances_of_booking(booking_id)

    async def of_vendor(self, of):
        return self.store.balances_of_vendor(of)

    async def close(self):
        return


class PostgresMoney:
    def __init__(self, url):
        self.url = url
        self.told = asyncio.Event()
        self.database = Database(url, "test", 4)
        self.store = PostgresPayments(self.database)
        self.inbox = PostgresInbox(self.database)
        self.books = Ledger(self.database)

    async def open(self):
        self.admin = await asyncpg.connect(self.url)
        await self.admin.add_listener("payments", lambda *_: self.told.set())

    async def booked(self, *bookings):
        for one in bookings:
            await self.admin.execute(
                "INSERT INTO booking SELECT * FROM jsonb_populate_record(NULL::booking, $1)", orjson.dumps(one).decode()
            )

    async def ledger(self):
        vendors = await self.admin.fetch("SELECT DISTINCT vendor_id FROM ledger_movement")
        found = [one for row in vendors for one in await self.books.movements_of_vendor(row["vendor_id"], 100)]
        found.sort(key=lambda one: one.movement_id)
        return [(one.movement, one.booking_version, one.payment_revision) for one in found]

    async def of_booking(self, booking_id):
        return await self.books.of_booking(booking_id)

    async def of_vendor(self, of):
        return await self.books.of_vendor(of)

    async def close(self):
        await self.database.close()
        await self.admin.close()


@pytest.fixture
async def money(database_url):
    if database_url is None:
        made = MemoryMoney()
    else:
        made = PostgresMoney(database_url)
        await made.open()
    yield made
    await made.close()


@pytest.fixture
def store(money):
    return money.store


@pytest.fixture
def inbox(money):
    return money.inbox


def held(number=1, *, deposit_minor=500, currency="EUR", version=1, **changes):
    """A booking that is BLOCKED until its deposit is there."""
    terms = Terms(Money(deposit_minor, currency), 24, 50, deposit_version=version)
    return replace(booking(V, number, status=BookingStatus.BLOCKED), terms=terms, version=version, **changes)


def wanted(number=1, **changes):
    """The payment that such a booking lacks."""
    return new_payment(held(number, **changes), (), "sandbox", CREATED)


def paid(payment, received=CAPTURE):
    return capture(payment, received)


async def written(store, number=1, **changes):
    return await store.write(None, wanted(number, **changes), booking_version=1)


def soon():
    return datetime.now(UTC) + timedelta(minutes=1)


async def due(store, now=None):
    return [one.payment_id for one in await store.due(now or soon(), 100)]


# Keeping payments


async def test_a_payment_comes_back_as_it_was_written(store):
    new = wanted()
    first = await store.write(None, new, booking_version=1)
    assert first == replace(new, revision=1)
    assert await store.by_id(new.payment_id) == first
    assert await store.of_booking(new.booking_id) == (first,)
    assert await store.of_bookings([new.booking_id, held(2).booking_id]) == {new.booking_id: (first,)}


async def test_nothing_is_there_before_it_is_written(store):
    assert await store.by_id(wanted().payment_id) is None
    assert await store.of_booking(held().booking_id) == ()
    assert await store.of_bookings([]) == {}
    assert await due(store) == []
    assert await store.stuck(10) == []


async def test_every_part_comes_back_in_its_order(store):
    before = await written(store)
    after = replace(
        before,
        amount_minor=700,
        kept_minor=300,
        settled_version=4,
        charges=(
            Charge(1, 500, 1, ChargeState.PAID, CLOSES, "ch-1", "https://pay.example.org/1"),
            Charge(2, 200, 3, ChargeState.CLOSING, CLOSES.replace(microsecond=0), "ch-2"),
            Charge(3, 250, 4),
        ),
        captures=(Capture("cap-9", 2, 200, 7), CAPTURE, Capture("cap-0", 1, 20)),
        refunds=(Refund(1, "cap-1", 100, RefundState.SENT, "re-1"), Refund(2, "cap-0", 20), Refund(3, "cap-9", 100)),
    )
    stored = await store.write(before, after, booking_version=2)
    assert stored == replace(after, revision=2)
    assert await store.by_id(after.payment_id) == stored
    again = refund_known(stored, 2, RefundState.DONE, "re-2")
    assert await store.write(stored, again, booking_version=2) == replace(again, revision=3)
    assert await store.of_booking(after.booking_id) == (replace(again, revision=3),)


async def test_the_payments_of_a_booking_come_by_their_number(store):
    second = await store.write(None, replace(wanted(version=7), charges=()), booking_version=7)
    first = await store.write(None, wanted(), booking_version=1)
    other = await written(store, 2)
    assert await store.of_booking(first.booking_id) == (first, second)
    assert await store.of_bookings([other.booking_id, first.booking_id]) == {
        first.booking_id: (first, second),
        other.booking_id: (other,),
    }


# Changes exclude each other


async def test_a_payment_is_written_anew_once(store, money):
    first = await written(store)
    for again in (wanted(), replace(wanted(), payment_id=wanted(2).payment_id)):
        with pytest.raises(VersionConflict):
            await store.write(None, paid(again), booking_version=1)
    assert await store.of_booking(first.booking_id) == (first,)
    assert await store.by_id(wanted(2).payment_id) is None
    assert await money.ledger() == []


async def test_of_two_changes_from_one_revision_one_is_written(store, money):
    before = await written(store)
    changes = [paid(before, Capture(f"cap-{number}", 1, 500)) for number in range(8)]
    outcomes = await asyncio.gather(
        *(store.write(before, change, booking_version=1) for change in changes), return_exceptions=True
    )
    [won] = [outcome for outcome in outcomes if not isinstance(outcome, Exception)]
    assert {type(outcome) for outcome in outcomes if outcome is not won} == {VersionConflict}
    assert await store.by_id(before.payment_id) == won
    assert len(await money.ledger()) == 1


async def test_a_change_from_an_older_revision_writes_nothing_at_all(store, money):
    before = await written(store)
    newer = await store.write(before, opened(before, 1, "ch-1", "https://pay.example.org/1"), booking_version=1)
    stale = replace(paid(before), charges=(Charge(1, 500, 1, ChargeState.CLOSED), Charge(2, 10, 1)), kept_minor=300)
    with pytest.raises(VersionConflict):
        await store.write(before, stale, booking_version=1)
    assert await store.by_id(before.payment_id) == newer
    assert await money.ledger() == []


async def test_a_change_of_what_was_never_written_is_refused(store):
    for never in (wanted(), replace(wanted(), revision=1)):
        with pytest.raises(VersionConflict):
            await store.write(never, paid(never), booking_version=1)
    assert await store.of_booking(wanted().booking_id) == ()


async def test_money_that_another_payment_has_is_refused(store, money):
    first, second = await written(store), await written(store, 2)
    first = await store.write(first, paid(first), booking_version=1)
    booked = await money.ledger()
    with pytest.raises(ReferenceTaken, match="cap-1"):
        await store.write(second, paid(second), booking_version=1)
    assert await store.by_id(second.payment_id) == second
    assert await money.ledger() == booked
    assert (await store.write(second, paid(second, replace(CAPTURE, reference="cap-2")), booking_version=1)).captures


async def test_money_of_the_same_name_with_another_provider_is_other_money(store):
    first = await written(store)
    await store.write(first, paid(first), booking_version=1)
    second = await store.write(None, replace(wanted(2), provider="stripe"), booking_version=1)
    assert (await store.write(second, paid(second), booking_version=1)).captures == (CAPTURE,)


async def test_a_checkout_that_another_payment_has_is_refused(store):
    first, second = await written(store), await written(store, 2)
    await store.write(first, opened(first, 1, "ch-1", "https://pay.example.org/1"), booking_version=1)
    with pytest.raises(ReferenceTaken, match="ch-1"):
        await store.write(second, opened(second, 1, "ch-1", "https://pay.example.org/1"), booking_version=1)
    assert await store.by_id(second.payment_id) == second


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_minor": 0},
        {"kept_minor": -1},
        {"charges": (Charge(1, 0, 1),)},
        {"captures": (Capture("cap-1", 1, -5),)},
        {"captures": (Capture("cap-1", 2, 5),)},
        {"captures": (CAPTURE,), "refunds": (Refund(1, "cap-1", 0),)},
        {"refunds": (Refund(1, "cap-1", 5),)},
    ],
    ids=repr,
)
async def test_what_can_only_be_a_mistake_is_refused(store, money, changes):
    before = await written(store)
    with pytest.raises((asyncpg.IntegrityConstraintViolationError, ValueError, KeyError)):
        await store.write(before, replace(before, **changes), booking_version=1)
    assert await store.by_id(before.payment_id) == before
    assert await money.ledger() == []


# The ledger


async def test_a_change_books_what_it_moves_and_why(store, money):
    before = await written(store)
    assert await money.ledger() == []
    captured = await store.write(before, paid(before), booking_version=1)
    refund = Refund(1, "cap-1", 200)
    settled = replace(captured, kept_minor=300, settled_version=5, refunds=(refund,))
    settled = await store.write(captured, settled, booking_version=5)
    done = await store.write(settled, refund_known(settled, 1, RefundState.DONE, "re-1"), booking_version=5)
    back = await store.write(done, replace(done, kept_minor=0), booking_version=6)
    assert back.revision == 5
    assert await money.ledger() == [
        (Movement(MovementKind.CAPTURE, Account.GUEST, Account.PROVIDER, 500, "cap-1"), 1, 2),
        (Movement(MovementKind.FEE, Account.PROVIDER, Account.FEES, 15, "cap-1"), 1, 2),
        (KEEP, 5, 3),
        (Movement(MovementKind.REFUND, Account.PROVIDER, Account.GUEST, 200, "cap-1"), 5, 3),
        (Movement(MovementKind.GIVE_BACK, Account.GUEST, Account.VENDOR, 300), 6, 5),
    ]


async def test_what_came_is_booked_under_the_version_that_asked_for_it_whoever_writes_it(store, money):
    before = await written(store)
    asked = replace(before, amount_minor=700, charges=(*before.charges, Charge(2, 200, 4)))
    asked = await store.write(before, asked, booking_version=5)
    rest = Capture("cap-2", 2, 200, 7)
    came = replace(paid(asked), captures=(CAPTURE, rest), refunds=(Refund(1, "cap-2", 50),))
    await store.write(asked, came, booking_version=9)
    assert [(moved.kind, moved.reference, version) for moved, version, _ in await money.ledger()] == [
        ("capture", "cap-1", 1),
        ("fee", "cap-1", 1),
        ("capture", "cap-2", 4),
        ("fee", "cap-2", 4),
        ("refund", "cap-2", 9),
    ]


async def test_a_fee_that_is_known_later_is_kept_and_booked_once(store, money):
    before = await written(store)
    without = await store.write(before, paid(before, replace(CAPTURE, fee_minor=0)), booking_version=1)
    with_fee = await store.write(without, paid(without), booking_version=1)
    assert with_fee.captures == (CAPTURE,)
    assert await store.by_id(before.payment_id) == with_fee
    assert paid(with_fee, replace(CAPTURE, fee_minor=0)) is with_fee
    other = await store.write(with_fee, opened(with_fee, 1, "ch-1", "https://pay.example.org/1"), booking_version=2)
    assert await store.by_id(before.payment_id) == other
    assert other.captures == (CAPTURE,)
    assert await money.ledger() == [
        (Movement(MovementKind.CAPTURE, Account.GUEST, Account.PROVIDER, 500, "cap-1"), 1, 2),
        (Movement(MovementKind.FEE, Account.PROVIDER, Account.FEES, 15, "cap-1"), 1, 3),
    ]


async def test_a_refund_that_fails_after_it_was_done_is_kept_and_made_anew_and_moves_nothing(store, money):
    before = await written(store)
    done = replace(paid(before), refunds=(Refund(1, "cap-1", 200, RefundState.DONE, "re-1"),))
    done = await store.write(before, done, booking_version=2)
    booked = await money.ledger()
    failed = await store.write(done, refund_known(done, 1, RefundState.REFUSED, "re-1"), booking_version=1)
    assert (await store.by_id(before.payment_id)).refunds == (Refund(1, "cap-1", 200, RefundState.REFUSED, "re-1"),)
    assert [one.payment_id for one in await store.due(soon(), 10)] == [before.payment_id]
    again = await store.write(failed, refund_known(failed, 1, RefundState.WANTED), booking_version=1)
    assert (await store.by_id(before.payment_id)).refunds == (Refund(1, "cap-1", 200),)
    assert await store.by_id(before.payment_id) == again
    assert await money.ledger() == booked


async def test_balances_add_up_by_booking_and_by_vendor(store, money):
    one = await written(store)
    one = await store.write(one, paid(one), booking_version=1)
    await store.write(one, replace(one, kept_minor=300, refunds=(Refund(1, "cap-1", 200),)), booking_version=2)
    two = await written(store, 2, deposit_minor=9000, currency="KWD")
    await store.write(two, paid(two, Capture("cap-2", 1, 9000)), booking_version=1)
    three = await written(store, 3)
    await store.write(three, paid(three, Capture("cap-3", 1, 500)), booking_version=1)
    assert await money.of_booking(one.booking_id) == (Balance("EUR", 0, -300, 285, 15),)
    assert await money.of_booking(two.booking_id) == (Balance("KWD", -9000, 0, 9000, 0),)
    assert await money.of_booking(held(4).booking_id) == ()
    assert await money.of_vendor(V) == (Balance("EUR", -500, -300, 785, 15), Balance("KWD", -9000, 0, 9000, 0))
    assert await money.of_vendor(vendor_id(2)) == ()


async def test_one_that_came_twice_is_booked_twice_under_its_own_names(store, money):
    before = await written(store)
    twice = paid(paid(before), Capture("cap-2", 1, 500))
    await store.write(before, twice, booking_version=1)
    booked = [movement.reference for movement, _, _ in await money.ledger() if movement.kind is MovementKind.CAPTURE]
    assert booked == ["cap-1", "cap-2"]


# Looking after payments


async def test_what_is_written_is_looked_at_soon(store, money):
    before = await written(store)
    assert await store.due(soon(), 10) == [Due(before.payment_id, before.booking_id, 0)]
    await asyncio.wait_for(money.told.wait(), 10)
    await store.rest(before, look_at=None, over=True)
    assert await due(store) == []
    money.told.clear()
    await store.write(before, paid(before), booking_version=1)
    assert await due(store) == [before.payment_id]
    await asyncio.wait_for(money.told.wait(), 10)


async def test_one_at_rest_is_due_when_its_time_has_come(store):
    payment = await written(store)
    await store.rest(payment, look_at=CLOSES, over=False)
    assert await due(store, CLOSES - timedelta(seconds=1)) == []
    assert await due(store, CLOSES) == [payment.payment_id]


async def test_the_longest_due_come_first_and_not_too_many(store):
    payments = [await written(store, number) for number in (1, 2, 3)]
    for payment, minutes in zip(payments, (2, 3, 1), strict=True):
        await store.rest(payment, look_at=CLOSES + timedelta(minutes=minutes), over=False)
    ordered = [payments[index].payment_id for index in (2, 0, 1)]
    late = CLOSES + timedelta(hours=1)
    assert await due(store, late) == ordered
    assert [one.payment_id for one in await store.due(late, 2)] == ordered[:2]


async def test_whoever_looked_before_a_change_does_not_lay_it_to_rest(store):
    seen = await written(store)
    await store.write(seen, paid(seen), booking_version=1)
    await store.rest(seen, look_at=None, over=True)
    assert await due(store) == [seen.payment_id]


async def test_whoever_looked_before_a_nudge_does_not_lay_it_to_rest(store, money):
    """Its booking has changed meanwhile, which the one who looked need not have seen."""
    seen = await written(store)
    await store.rest(seen, look_at=None, over=True)
    await asyncio.wait_for(money.told.wait(), 10)
    money.told.clear()
    assert await store.nudge([seen.booking_id, held(2).booking_id]) == 1
    await asyncio.wait_for(money.told.wait(), 10)
    await store.rest(seen, look_at=None, over=True)
    assert await due(store) == [seen.payment_id]
    nudged = await store.by_id(seen.payment_id)
    assert nudged.revision == seen.revision
    await store.rest(nudged, look_at=None, over=True)
    assert await due(store) == []


async def test_a_nudge_is_no_change_of_the_payment(store):
    """Whoever opens a checkout just then need not begin again."""
    before = await written(store)
    await store.nudge([before.booking_id])
    after = await store.write(before, paid(before), booking_version=1)
    await store.rest(after, look_at=None, over=False)
    assert await due(store) == [before.payment_id]
    assert await store.write(after, replace(after, kept_minor=5), booking_version=1)


async def test_a_nudge_hastens_and_never_delays(store):
    payments = [await written(store, number) for number in (1, 2)]
    past = datetime(2026, 1, 1, tzinfo=UTC)
    await store.rest(payments[0], look_at=past, over=False)
    await store.rest(payments[1], look_at=datetime(2999, 1, 1, tzinfo=UTC), over=False)
    assert await store.nudge([payment.booking_id for payment in payments]) == 2
    assert await due(store, past) == [payments[0].payment_id]
    assert await due(store) == [payments[0].payment_id, payments[1].payment_id]
    assert await store.nudge([]) == 0


async def test_looks_that_fail_are_counted_until_one_does_not(store):
    payment = await written(store)
    for tries in (1, 2):
        await store.failed(payment, look_at=CLOSES, error="away \0 \ud800", patience=DAY)
        assert await store.due(CLOSES, 10) == [Due(payment.payment_id, payment.booking_id, tries)]
    assert await due(store, CLOSES - timedelta(seconds=1)) == []
    await store.rest(payment, look_at=CLOSES, over=False)
    assert await store.due(CLOSES, 10) == [Due(payment.payment_id, payment.booking_id, 0)]
    await store.failed(payment, look_at=CLOSES, error="away", patience=DAY)
    await store.write(payment, paid(payment), booking_version=1)
    assert await store.due(CLOSES, 10) == [Due(payment.payment_id, payment.booking_id, 0)]


@pytest.mark.parametrize("what", ["changed", "nudged"])
async def test_whoever_looked_before_news_puts_nothing_off(store, what):
    """A payment that was captured just then is due, whatever went wrong with the look at what it was before."""
    seen = await written(store)
    if what == "changed":
        await store.write(seen, paid(seen), booking_version=1)
    else:
        await store.nudge([seen.booking_id])
    await store.failed(seen, look_at=soon() + timedelta(hours=1), error="away", patience=timedelta(0))
    assert await store.due(soon(), 10) == [Due(seen.payment_id, seen.booking_id, 0)]
    await store.give_up(seen, "shut")
    assert await due(store) == [seen.payment_id]
    assert await store.stuck(10) == []


async def test_which_payments_of_a_booking_are_due(store):
    first = await written(store)
    second = await store.write(None, replace(wanted(version=7), charges=()), booking_version=7)
    await written(store, 2)
    assert await store.due_of(first.booking_id, soon()) == {first.payment_id: 0, second.payment_id: 0}
    await store.rest(first, look_at=CLOSES, over=False)
    await store.rest(second, look_at=None, over=False)
    assert await store.due_of(first.booking_id, CLOSES) == {first.payment_id: 0}
    await store.failed(first, look_at=CLOSES, error="away", patience=DAY)
    assert await store.due_of(first.booking_id, CLOSES) == {first.payment_id: 1}
    assert await store.due_of(first.booking_id, CLOSES - timedelta(seconds=1)) == {}
    assert await store.due_of(held(3).booking_id, soon()) == {}


# What waits for a person


async def test_what_was_given_up_waits_for_a_person(store, money):
    payment = await written(store)
    await store.give_up(payment, "the account \0 is shut")
    assert await due(store) == []
    [stuck] = await store.stuck(10)
    assert (stuck.payment, stuck.reason) == (payment, "the account \\0 is shut")
    assert abs(stuck.since - datetime.now(UTC)) < timedelta(hours=1)
    money.told.clear()
    assert await store.retry(payment.payment_id)
    await asyncio.wait_for(money.told.wait(), 10)
    assert await store.stuck(10) == []
    assert await due(store) == [payment.payment_id]
    assert not await store.retry(wanted(2).payment_id)


async def test_news_of_a_stuck_payment_is_booked_and_looked_at_and_it_stays_with_the_person(store, money):
    payment = await written(store)
    await store.give_up(payment, "shut")
    [before] = await store.stuck(10)
    after = await store.write(payment, paid(payment), booking_version=1)
    assert len(await money.ledger()) == 2
    assert await due(store) == [payment.payment_id]
    await store.give_up(after, "still shut")
    [stuck] = await store.stuck(10)
    assert (stuck.payment, stuck.reason, stuck.since) == (after, "still shut", before.since)
    await store.rest(after, look_at=None, over=False)
    assert await store.stuck(10) == []


async def test_a_stuck_payment_keeps_the_reason_that_was_told_until_there_is_a_new_one(store):
    payment = await written(store)
    for reason, anew in (("shut by its bank", False), ("refused", False), ("closed", True)):
        await store.give_up(payment, reason, anew=anew)
        [stuck] = await store.stuck(10)
        assert stuck.reason == (reason if anew else "shut by its bank")


async def test_a_stuck_payment_is_looked_at_again_all_the_same(store):
    payment = await written(store)
    await store.give_up(payment, "shut", look_at=CLOSES)
    assert await due(store, CLOSES - timedelta(seconds=1)) == []
    assert await due(store, CLOSES) == [payment.payment_id]
    assert len(await store.stuck(10)) == 1


async def test_what_fails_for_long_is_told_to_a_person_and_tried_on_until_a_look_ends_well(store):
    payment = await written(store)
    for _ in range(2):
        await store.failed(payment, look_at=CLOSES, error="away", patience=DAY)
    assert await store.stuck(10) == []
    payment = await store.write(payment, paid(payment), booking_version=1)  # no end of what is failing
    await store.failed(payment, look_at=CLOSES, error="no money \0", patience=INSTANT)
    [before] = await store.stuck(10)
    assert (before.payment, before.reason) == (payment, "no money \\0")
    assert abs(before.since - datetime.now(UTC)) < timedelta(hours=1)
    assert await store.due(CLOSES, 10) == [Due(payment.payment_id, payment.booking_id, 1)]
    await store.failed(payment, look_at=CLOSES, error="away", patience=INSTANT)
    [stuck] = await store.stuck(10)
    assert (stuck.reason, stuck.since) == ("away", before.since)
    await store.rest(payment, look_at=CLOSES, over=False)
    assert await store.stuck(10) == []
    await store.failed(payment, look_at=CLOSES, error="away", patience=INSTANT)
    assert await store.stuck(10) == []


async def test_what_fails_may_be_told_to_a_person_at_once(store):
    payment = await written(store)
    await store.failed(payment, look_at=CLOSES, error="away", patience=timedelta(0))
    assert [stuck.reason for stuck in await store.stuck(10)] == ["away"]
    assert await due(store, CLOSES) == [payment.payment_id]


async def test_what_a_person_has_seen_to_is_not_told_of_at_once(store):
    payment = await written(store)
    await store.failed(payment, look_at=CLOSES, error="away", patience=INSTANT)
    await store.retry(payment.payment_id)
    [payment] = await store.of_booking(payment.booking_id)
    await store.failed(payment, look_at=CLOSES, error="away", patience=INSTANT)
    assert await store.stuck(10) == []


async def test_a_look_that_came_to_its_end_begins_the_count_anew(store):
    payment = await written(store)
    await store.failed(payment, look_at=CLOSES, error="away", patience=INSTANT)
    await store.give_up(payment, "shut", look_at=CLOSES)
    await store.failed(payment, look_at=CLOSES, error="away", patience=INSTANT)
    assert [stuck.reason for stuck in await store.stuck(10)] == ["shut"]


async def test_the_longest_stuck_come_first(store):
    payments = [await written(store, number) for number in (1, 2, 3)]
    for index in (2, 0, 1):
        await store.give_up(payments[index], "shut")
    stuck = [one.payment.payment_id for one in await store.stuck(2)]
    assert stuck == [payments[2].payment_id, payments[0].payment_id]


async def test_declined_is_the_last_try_of_the_last_payment(store):
    tried = [await written(store, number) for number in (1, 2, 3, 4)]
    for payment in tried[:3]:
        await store.write(payment, declined(payment, 1), booking_version=1)
    await store.write(None, replace(wanted(2, version=3), charges=(Charge(1, 700, 1),)), booking_version=3)
    refused = await store.by_id(tried[2].payment_id)
    again = (replace(refused.charges[0], state=ChargeState.CLOSING), Charge(2, 500, 1))
    await store.write(refused, replace(refused, charges=again), booking_version=1)
    older = (Charge(1, 500, 1, ChargeState.DECLINED), Charge(2, 700, 1, ChargeState.CLOSED))
    stayed = await store.write(tried[3], replace(tried[3], charges=older), booking_version=1)
    asked = [held(number).booking_id for number in (1, 2, 3, 4, 5)]
    assert await store.declined(asked) == {held(1).booking_id, held(4).booking_id}
    assert await store.declined(asked[:2]) == {held(1).booking_id}
    assert await store.declined([]) == frozenset()
    first = await store.by_id(tried[0].payment_id)
    await store.write(first, paid(first), booking_version=1)
    await store.write(
        stayed, replace(stayed, charges=(Charge(1, 500, 1, ChargeState.CLOSED), older[1])), booking_version=1
    )
    assert await store.declined(asked) == frozenset()


@pytest.mark.parametrize(
    ("older", "newer", "found"),
    [
        (ChargeState.DECLINED, ChargeState.OPEN, False),
        (ChargeState.DECLINED, ChargeState.OPENING, False),
        (ChargeState.OPEN, ChargeState.DECLINED, True),
        (ChargeState.OPENING, ChargeState.DECLINED, True),
    ],
)
async def test_of_two_that_can_be_paid_the_newer_one_says_whether_it_is_declined(store, older, newer, found):
    payment = await written(store)
    charges = (Charge(1, 500, 1, older), Charge(2, 700, 1, newer))
    await store.write(payment, replace(payment, charges=charges), booking_version=1)
    assert await store.declined([payment.booking_id]) == ({payment.booking_id} if found else frozenset())


# Bookings that a crash left without their payment

CONFIRMED = {"status": BookingStatus.CONFIRMED}
LATER = OPENED + timedelta(minutes=5)


@pytest.mark.parametrize(
    ("made", "payments", "lacking"),
    [
        (held(), {}, True),
        (held(), {1: "EUR"}, False),
        (held(version=3), {1: "EUR"}, True),
        (held(version=3), {1: "EUR", 3: "EUR"}, False),
        (held(version=3), {4: "EUR"}, False),
        (held(**CONFIRMED), {}, True),
        (held(**CONFIRMED, version=3), {1: "EUR"}, False),
        (held(**CONFIRMED, version=3, currency="USD"), {1: "EUR"}, True),
        (held(**CONFIRMED, version=3, currency="USD"), {1: "EUR", 3: "USD"}, False),
        (held(**CONFIRMED, version=5, currency="USD"), {1: "EUR", 3: "USD"}, False),
        (held(**CONFIRMED, version=5), {1: "EUR", 3: "USD"}, True),
        (held(deposit_waived=True), {}, False),
        (held(status=BookingStatus.CANCELLED), {}, False),
        (held(status=BookingStatus.AVAILED), {}, False),
        (replace(held(), terms=Terms()), {}, False),
        (replace(held(), terms=Terms(deposit_version=2)), {}, False),
    ],
)
async def test_bookings_without_the_payment_that_they_want(store, money, made, payments, lacking):
    await money.booked(replace(made, updated_at=OPENED))
    for number, currency in payments.items():
        new = replace(wanted(version=number, currency=currency), charges=())
        await store.write(None, new, booking_version=number)
    known = await store.of_booking(made.booking_id)
    assert (new_payment(made, known, "sandbox", CREATED) is not None) is lacking
    found = await store.without_payment(LATER, 10)
    assert found == Unpaid([made.booking_id] if lacking else [], None)


async def test_who_is_without_payment_is_asked_page_by_page(store, money):
    """By when they changed last, two of them at the same moment; a page is full though its bookings lack nothing."""
    at = [OPENED + timedelta(minutes=minutes) for minutes in (1, 2, 2, 3)]
    made = [held(number, updated_at=changed) for number, changed in enumerate(at, 1)]
    made[1:3] = sorted(made[1:3], key=lambda one: one.booking_id)
    await money.booked(*reversed(made), held(9, status=BookingStatus.CANCELLED), replace(held(10), terms=Terms()))
    ids = [one.booking_id for one in made]
    assert await store.without_payment(LATER, 10) == Unpaid(ids, None)
    assert await store.without_payment(LATER, 4) == Unpaid(ids, (at[3], ids[3]))
    assert await store.without_payment(LATER, 2) == Unpaid(ids[:2], (at[1], ids[1]))
    assert await store.without_payment(LATER, 2, after=(at[1], ids[1])) == Unpaid(ids[2:], (at[3], ids[3]))
    assert await store.without_payment(LATER, 2, after=(at[3], ids[3])) == Unpaid([], None)
    assert await store.without_payment(at[3], 10) == Unpaid(ids[:3], None)
    assert await store.without_payment(LATER, 10, after=(at[1], FIRST_PLACE[1])) == Unpaid(ids[1:], None)
    for one in made[:2]:
        await store.write(None, new_payment(one, (), "sandbox", CREATED), booking_version=1)
    assert await store.without_payment(LATER, 2) == Unpaid([], (at[1], ids[1]))


@pytest.mark.parametrize(
    ("changes", "settled_version", "unnoticed"),
    [
        ({}, 0, False),
        ({"status": BookingStatus.CONFIRMED, "deposit_paid": True}, 0, False),
        ({"status": BookingStatus.CANCELLED}, 0, True),
        ({"status": BookingStatus.EXPIRED}, 0, True),
        ({"status": BookingStatus.AVAILED}, 2, False),
        ({"status": BookingStatus.AVAILED}, 1, True),
        ({"status": BookingStatus.CONFIRMED, "deposit_waived": True}, 0, True),
        ({"status": BookingStatus.CONFIRMED, "deposit_waived": True}, 2, False),
        ({"terms": Terms(Money(700, "EUR"), 24, 50, deposit_version=1)}, 0, True),
        ({"terms": Terms(None, 24, 50, deposit_version=2)}, 0, True),
    ],
)
async def test_bookings_that_moved_on_from_their_payment(store, money, changes, settled_version, unnoticed):
    changed = replace(held(), version=2, updated_at=OPENED, **changes)
    await money.booked(changed)
    payment = await store.write(None, replace(wanted(), settled_version=settled_version), booking_version=1)
    assert await store.unnoticed(soon(), 10) == Unnoticed([], None)  # it is due anyway
    await store.rest(payment, look_at=soon() + timedelta(days=1), over=False)
    expected = Unnoticed([changed.booking_id] if unnoticed else [], None)
    assert await store.unnoticed(soon(), 10) == expected
    assert await store.unnoticed(OPENED, 10) == Unnoticed([], None)
    await store.rest(payment, look_at=None, over=False)
    assert await store.unnoticed(soon(), 10) == expected
    await store.give_up(payment, "a person has it")
    assert await store.unnoticed(soon(), 10) == Unnoticed([], None)
    await store.retry(payment.payment_id)
    [payment] = await store.of_booking(changed.booking_id)
    await store.rest(payment, look_at=None, over=True)
    assert await store.unnoticed(soon(), 10) == Unnoticed([], None)


async def test_who_moved_on_is_asked_page_by_page(store, money):
    """By their id, each booking once; a page is full though nobody moved on, and holds nothing that is over."""
    numbers = sorted(range(1, 7), key=lambda number: held(number).booking_id)
    await money.booked(*(held(number, status=BookingStatus.EXPIRED, updated_at=OPENED) for number in range(1, 7)))
    payments = [await written(store, number) for number in numbers]
    replacing = await store.write(None, wanted(numbers[1], version=2), booking_version=2)
    for payment in (*payments[:5], replacing):  # the last one is due
        await store.rest(payment, look_at=None, over=payment is payments[3])
    ids = [payment.booking_id for payment in payments if payment is not payments[3]]
    assert await store.unnoticed(LATER, 10) == Unnoticed(ids[:4], None)
    assert await store.unnoticed(LATER, 5) == Unnoticed(ids[:4], ids[4])
    assert await store.unnoticed(LATER, 2) == Unnoticed(ids[:2], ids[1])
    assert await store.unnoticed(LATER, 2, after=ids[1]) == Unnoticed(ids[2:4], ids[3])
    assert await store.unnoticed(LATER, 2, after=ids[3]) == Unnoticed([], None)
    assert await store.unnoticed(LATER, 1, after=ids[3]) == Unnoticed([], ids[4])
    assert await store.unnoticed(LATER, 10, after=ids[4]) == Unnoticed([], None)


@pytest.mark.parametrize("over", ["the first one", "the last one"])
async def test_only_from_the_last_payment_a_booking_moves_on(store, money, over):
    """One that was replaced may be open for longer, until its refund is done."""
    ended = held(status=BookingStatus.EXPIRED, updated_at=OPENED)
    await money.booked(ended)
    first = await written(store)
    last = await store.write(None, wanted(version=2), booking_version=2)
    await store.rest(first, look_at=None, over=over == "the first one")
    await store.rest(last, look_at=None, over=over == "the last one")
    found = [ended.booking_id] if over == "the first one" else []
    assert await store.unnoticed(LATER, 1) == Unnoticed(found, ended.booking_id)


async def test_a_payment_without_its_booking_has_nothing_to_notice(store, money):
    """It left for the archive; the page is full all the same."""
    payment = await written(store)
    await store.rest(payment, look_at=None, over=False)
    assert await store.unnoticed(soon(), 1) == Unnoticed([], payment.booking_id)


# The inbox


async def test_a_message_is_kept_once(inbox, money):
    assert await inbox.put("sandbox", "ev-1", b'{"a": "\xc3\xbc"}')
    await asyncio.wait_for(money.told.wait(), 10)
    assert not await inbox.put("sandbox", "ev-1", b"another")
    assert await inbox.put("stripe", "ev-1", b"{}")
    assert await inbox.waiting(10) == [
        Received("sandbox", "ev-1", b'{"a": "\xc3\xbc"}'),
        Received("stripe", "ev-1", b"{}"),
    ]
    assert await inbox.waiting(1) == [Received("sandbox", "ev-1", b'{"a": "\xc3\xbc"}')]


async def test_one_that_comes_again_at_the_same_moment_is_kept_once(inbox):
    outcomes = await asyncio.gather(*(inbox.put("sandbox", "ev-1", b"{}") for _ in range(8)))
    assert sorted(outcomes) == [False] * 7 + [True]


async def test_what_was_handled_waits_no_longer_and_comes_in_no_more(inbox):
    await inbox.put("sandbox", "ev-1", b"{}")
    [received] = await inbox.waiting(10)
    await inbox.handled(received)
    assert await inbox.waiting(10) == []
    assert not await inbox.put("sandbox", "ev-1", b"{}")
    assert await inbox.waiting(10) == []
    await inbox.failed(received, try_at=CREATED, error="too late to fail")
    assert await inbox.waiting(10) == []
    assert not await inbox.retry("sandbox", "ev-1")


async def test_what_failed_is_tried_again_when_its_time_has_come(inbox):
    await inbox.put("sandbox", "ev-1", b"{}")
    await inbox.put("sandbox", "ev-2", b"{}")
    first, second = await inbox.waiting(10)
    await inbox.failed(first, try_at=soon(), error="away \0")
    assert await inbox.waiting(10) == [second]
    await inbox.failed(first, try_at=soon() - timedelta(hours=1), error="away")
    assert await inbox.waiting(10) == [replace(first, tries=2), second]
    assert await inbox.stuck(10) == []


async def test_what_nobody_can_handle_waits_for_a_person(inbox, money):
    await inbox.put("sandbox", "ev-1", b"{}")
    [received] = await inbox.waiting(10)
    await inbox.failed(received, try_at=None, error="makes no sense")
    assert await inbox.waiting(10) == []
    [stuck] = await inbox.stuck(10)
    assert (stuck.message, stuck.error) == (replace(received, tries=1), "makes no sense")
    money.told.clear()
    assert await inbox.retry("sandbox", "ev-1")
    await asyncio.wait_for(money.told.wait(), 10)
    assert await inbox.stuck(10) == []
    assert await inbox.waiting(10) == [received]
    assert not await inbox.retry("sandbox", "ev-2")


async def test_only_what_was_handled_long_ago_is_forgotten(inbox):
    for number in (1, 2, 3):
        await inbox.put("sandbox", f"ev-{number}", b"{}")
    first, second, third = await inbox.waiting(10)
    await inbox.handled(first)
    await inbox.failed(second, try_at=None, error="makes no sense")
    assert await inbox.forget(soon() - timedelta(hours=1)) == 0
    assert await inbox.forget(soon()) == 1
    assert await inbox.waiting(10) == [third]
    assert [stuck.message.event_id for stuck in await inbox.stuck(10)] == ["ev-2"]
    assert await inbox.put("sandbox", "ev-1", b"{}")
