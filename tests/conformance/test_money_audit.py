"""`verify` finds every way in which money can go wrong that is put there on purpose, and nothing where all is well."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.booking import BookingStatus
from domain.currency import decimal_text
from domain.event import BookingAmended, VendorCreated
from domain.ids import BUCKETS
from domain.money import Money
from domain.payment import Capture, ChargeState, RefundState, capture, closed, opened, refund_known
from domain.payment_steps import (
    CloseCheckout,
    OpenCheckout,
    SendRefund,
    Write,
    look_again_at,
    new_payment,
    next_step,
    over,
)
from storage.audit import Audit
from storage.directory import Directory
from storage.money_audit import CurrencySums
from storage.postgres import Database
from storage.postgres_payments import PostgresPayments
from storage.postgres_shard_store import PostgresShardStore
from tests.conformance.slow_database import Slow
from tests.conformance.stores import ACTOR, booking, changing, house, placing
from tests.fakes.houses import OPENED, vendor_id

V = vendor_id(1, bucket=4095)

LEDGER = "the ledger sums to zero in each currency"
SIDES = "movements have two sides of one amount"
BOOKED = "payments equal their ledger entries"
SETTLED = "settled: captured minus refunded is kept"
CONFIRMED = "CONFIRMED with a deposit have their money"
HOMELESS = "no money is without its booking"
DEPARTED = "money of archived bookings is settled"
FITS = "payments fit bookings, refunds fit captures"
REFUNDS = "refunds under way have somebody who looks"
ON_ITS_WAY = "money on its way to where it belongs"


class Desk:
    """Payments as the payment desk leaves them, with a provider that does everything at once."""

    def __init__(self, database):
        self.payments = PostgresPayments(database)

    async def open(self, held):
        """A hold with its checkout open."""
        number = len(await self.payments.of_booking(held.booking_id))
        made = new_payment(held, (), "sandbox", OPENED)
        made = replace(made, number=held.terms.deposit_version) if number else made
        return await self.look(await self.payments.write(None, made, booking_version=held.version), held)

    async def receive(self, payment, held, amount_minor, *, fee_minor=0, at_rest=True):
        reference = f"{payment.payment_id}-{len(payment.captures) + 1}"
        after = capture(payment, Capture(reference, payment.charges[-1].number, amount_minor, fee_minor))
        after = await self.payments.write(payment, after, booking_version=held.version)
        return await self.look(after, held) if at_rest else after

    async def look(self, payment, seen, *, current=True):
        while (after := self._step(payment, seen, current)) is not None:
            version = payment.settled_version if seen is None else seen.version
            payment = await self.payments.write(payment, after, booking_version=version)
        # As it stands once the checkouts of what was paid are over: until then the provider is asked once more.
        charges = [replace(one, closes_at=None) if one.state is ChargeState.PAID else one for one in payment.charges]
        asked = replace(payment, charges=tuple(charges))
        again = look_again_at(asked, seen, now=OPENED, every=timedelta(days=36500))
        await self.payments.rest(payment, look_at=again, over=over(payment, seen, current=current))
        return payment

    def _step(self, payment, seen, current):
        match next_step(payment, seen, current=current, now=OPENED):
            case Write(after):
                return after
            case OpenCheckout(charge):
                return opened(
                    payment, charge.number, f"{payment.payment_id}/{charge.number}", "https://pay.example.org"
                )
            case CloseCheckout(charge):
                return closed(payment, charge.number)
            case SendRefund(refund):
                reference = f"refund-{payment.payment_id}-{refund.number}"
                return refund_known(payment, refund.number, RefundState.DONE, reference)
        return None


def held(number):
    """A hold with a deposit of 5.00."""
    return replace(
        booking(V, number, first_slot=booking(V, 1).first_slot + 10 * number, status=BookingStatus.BLOCKED),
        deposit_waived=False,
    )


def ended(hold, status, **given):
    slots = 0 if status in {BookingStatus.CANCELLED, BookingStatus.EXPIRED} else hold.slot_count
    return replace(hold, status=status, version=hold.version + 1, hold_expires_at=None, held_slot_count=slots, **given)


class Town:
    """One booking of each kind, by name, with its payment."""

    def __init__(self, url, database):
        self.store = PostgresShardStore(url)
        self.desk = Desk(database)
        self.bookings = {}
        self.payments = {}
        self._batches = 1

    async def open(self, database):
        directory = Directory(database)
        await directory.seed(1)
        await directory.claim(0, ACTOR.actor_id)
        self.lease = await self.store.take(0, ACTOR)
        await self.store.commit_vendor(self.lease, 1, VendorCreated(house(V), "house@example.org", "h"))

    async def place(self, name, booked, payment):
        """The booking stands in the database as it is in the end."""
        self._batches += 1
        first = replace(booked, version=1, held_slot_count=booked.slot_count)
        await self.store.commit(placing(self.lease, self._batches, first))
        if booked.version > 1:
            await self.change(booked, first)
        self.bookings[name], self.payments[name] = booked, payment

    async def change(self, booked, before):
        self._batches += 1
        await self.store.commit(changing(self.lease, self._batches, BookingAmended(booked, before)))

    async def live(self, name, status, **given):
        """Paid in full, and then confirmed."""
        hold = held(len(self.bookings) + 1)
        payment = await self.desk.receive(await self.desk.open(hold), hold, 500, fee_minor=15)
        booked = ended(hold, status, deposit_paid=True, **given)
        await self.place(name, booked, await self.desk.look(payment, booked))

    async def unpaid(self, name, status, **given):
        hold = held(len(self.bookings) + 1)
        payment = await self.desk.open(hold)
        booked = hold if status is BookingStatus.BLOCKED else ended(hold, status, **given)
        await self.place(name, booked, await self.desk.look(payment, booked))


@pytest.fixture
async def town(database, open_database, admin):
    made = Town(database, open_database)
    await made.open(open_database)
    await made.unpaid("blocked", BookingStatus.BLOCKED)
    await made.live("confirmed", BookingStatus.CONFIRMED)
    await made.unpaid("waived", BookingStatus.CONFIRMED, deposit_waived=True)
    await made.live("late", BookingStatus.CANCELLED, cancelled_late=True)
    await made.live("cancelled", BookingStatus.CANCELLED)
    await made.live("availed", BookingStatus.AVAILED, bill_minor=120)
    await made.live("no_show", BookingStatus.NO_SHOW)
    await made.unpaid("expired", BookingStatus.EXPIRED)
    # Long before the bookings ended, which is when a house's share is known to the cent.
    await admin.execute("UPDATE payment_capture SET created_at = $1", OPENED - timedelta(minutes=5))
    yield made
    await made.store.close()


async def report_of(database):
    return await Audit(database, buckets_at_once=2048).run()


async def faults(database):
    report = await report_of(database)
    assert report.ok == (not any(figure.faults for figure in report.figures if figure.judged))
    return {figure.name: figure.faults for figure in report.figures if figure.faults}


async def counted(database, name):
    [figure] = [figure for figure in (await report_of(database)).figures if figure.name == name]
    return figure.counted


async def test_all_is_well_and_every_cent_is_accounted_for(town, open_database):
    report = await report_of(open_database)
    assert report.ok
    counts = {figure.name: figure.counted for figure in report.figures}
    assert counts[SIDES] == 5 * 2 + 3 + 3
    assert counts[LEDGER] == 1
    assert counts[BOOKED] == 8
    assert counts[SETTLED] == 6
    assert counts[CONFIRMED] == 1
    assert counts[HOMELESS] == 2
    assert counts[FITS] == 8
    assert counts[REFUNDS] == 0
    assert counts[DEPARTED] == counts[ON_ITS_WAY] == 0
    assert counts["payments stuck"] == counts["messages of providers that wait"] == 0
    [euro] = report.money
    assert euro == CurrencySums(
        "EUR",
        captured=2500,
        refunded=250 + 500 + 380,
        refunding=0,
        kept=250 + 120 + 500,
        fees=75,
        guest_account=-500,
        vendor_account=-870,
        provider_account=2500 - 75 - 1130,
        fees_account=75,
    )
    assert (euro.held, euro.rest) == (500, 0)


_OF_LATE = "movement_id IN (SELECT movement_id FROM ledger_movement WHERE payment_id = '{late}' AND kind = '%s')"

_UNSENT = "UPDATE payment_refund SET state = 'wanted', provider_ref = NULL WHERE payment_id = '{cancelled}';"

# All of it, by mistake and in line with the ledger; and the guest is asked for it anew.
_GIVEN_BACK = (
    "UPDATE payment_charge SET state = 'open', amount_minor = 500 WHERE payment_id = '{confirmed}';"
    " INSERT INTO payment_refund (payment_id, number, amount_minor, state, provider, capture_reference)"
    " SELECT payment_id, 1, 500, 'done', provider, reference FROM payment_capture WHERE payment_id = '{confirmed}';"
    " WITH moved AS (INSERT INTO ledger_movement (payment_id, booking_id, vendor_id, user_id, amount_minor,"
    " booking_version, payment_revision, position, kind, currency, provider, reference)"
    " SELECT payment_id, booking_id, vendor_id, user_id, 500, 2, 99, 1, 'refund', currency, provider, ''"
    " FROM payment WHERE payment_id = '{confirmed}' RETURNING *)"
    " INSERT INTO ledger_entry SELECT movement_id, 'provider', provider, currency, -500 FROM moved"
    " UNION ALL SELECT movement_id, 'guest', user_id::text, currency, 500 FROM moved;"
)


# Each is done to one row that the name in its braces stands for, and breaks exactly the rules beside it.
_BROKEN = {
    "an entry is changed": (
        (
            "UPDATE ledger_entry SET amount_minor = amount_minor - 1"
            " WHERE account = 'vendor' AND movement_id IN (SELECT movement_id FROM ledger_movement WHERE payment_id = '{late}')"
        ),
        {SIDES: 1, LEDGER: 1, BOOKED: 1},
    ),
    "both entries are changed": (
        (
            "UPDATE ledger_entry SET amount_minor = amount_minor + sign(amount_minor)::bigint WHERE movement_id IN"
            " (SELECT movement_id FROM ledger_movement WHERE payment_id = '{late}' AND kind = 'keep')"
        ),
        {SIDES: 1, BOOKED: 1},
    ),
    "both entries and the movement are changed": (
        (
            "WITH changed AS (UPDATE ledger_movement SET amount_minor = amount_minor + 1"
            " WHERE payment_id = '{late}' AND kind = 'refund' RETURNING movement_id)"
            " UPDATE ledger_entry SET amount_minor = amount_minor + sign(amount_minor)::bigint FROM changed"
            " WHERE changed.movement_id = ledger_entry.movement_id"
        ),
        {BOOKED: 1},
    ),
    "an entry is deleted": (
        (
            "DELETE FROM ledger_entry WHERE account = 'fees'"
            " AND movement_id IN (SELECT movement_id FROM ledger_movement WHERE payment_id = '{late}')"
        ),
        {SIDES: 1, LEDGER: 1, BOOKED: 1},
    ),
    "an entry is in another currency": (
        (
            "UPDATE ledger_entry SET currency = 'USD' WHERE account = 'guest'"
            " AND movement_id IN (SELECT movement_id FROM ledger_movement WHERE payment_id = '{no_show}' AND kind = 'keep')"
        ),
        {SIDES: 1, LEDGER: 2},
    ),
    "a movement is of another booking": (
        "UPDATE ledger_movement SET booking_id = vendor_id WHERE payment_id = '{no_show}' AND kind = 'keep'",
        {SIDES: 1},
    ),
    "what is kept went to the provider's account": (
        "UPDATE ledger_entry SET account = 'provider', holder = 'sandbox' WHERE account = 'guest' AND "
        + _OF_LATE % "keep",
        {SIDES: 1, BOOKED: 1},
    ),
    "a refund came out of the fees": (
        "UPDATE ledger_entry SET account = 'fees' WHERE account = 'provider' AND " + _OF_LATE % "refund",
        {SIDES: 1, BOOKED: 1},
    ),
    "a movement has another kind": (
        "UPDATE ledger_movement SET kind = 'give_back' WHERE payment_id = '{late}' AND kind = 'keep'",
        {SIDES: 1},
    ),
    "what is kept stands for another house": (
        "UPDATE ledger_entry SET holder = gen_random_uuid() WHERE account = 'vendor' AND " + _OF_LATE % "keep",
        {SIDES: 1},
    ),
    "what is due stands for another guest": (
        "UPDATE ledger_entry SET holder = gen_random_uuid() WHERE account = 'guest' AND " + _OF_LATE % "refund",
        {SIDES: 1},
    ),
    "money lies with another provider": (
        "UPDATE ledger_entry SET holder = 'another' WHERE account = 'provider' AND " + _OF_LATE % "capture",
        {SIDES: 1},
    ),
    "movements are of another house": (
        "UPDATE ledger_movement SET vendor_id = booking_id WHERE payment_id = '{late}'",
        {SIDES: 4},
    ),
    "movements are of another guest": (
        "UPDATE ledger_movement SET user_id = booking_id WHERE payment_id = '{late}'",
        {SIDES: 4},
    ),
    "a payment is of another house than its booking": (
        "UPDATE payment SET vendor_id = booking_id WHERE payment_id = '{blocked}'",
        {FITS: 1},
    ),
    "a payment is of another guest than its booking": (
        "UPDATE payment SET user_id = booking_id WHERE payment_id = '{blocked}'",
        {FITS: 1},
    ),
    "a refund is of another payment's money": (
        (
            "UPDATE payment_refund SET capture_reference = (SELECT reference FROM payment_capture"
            " WHERE payment_id = '{no_show}') WHERE payment_id = '{cancelled}'"
        ),
        {FITS: 1},
    ),
    "more went back than came": (
        "UPDATE payment_refund SET amount_minor = 501 WHERE payment_id = '{cancelled}'",
        {FITS: 1, BOOKED: 1, SETTLED: 1},
    ),
    "one refund of the provider counts as two": (
        "UPDATE payment_refund SET provider_ref = 'same' WHERE payment_id IN ('{cancelled}', '{late}')",
        {FITS: 2},
    ),
    "a refund was never sent and nobody looks": (
        _UNSENT + "UPDATE payment SET look_at = NULL, over = false WHERE payment_id = '{cancelled}'",
        {REFUNDS: 1},
    ),
    "a refund was never sent and its payment is over": (_UNSENT, {REFUNDS: 1}),
    "a refund is on its way and its look is overdue": (
        (
            "UPDATE payment_refund SET state = 'sent' WHERE payment_id = '{cancelled}'; UPDATE payment"
            " SET look_at = now() - interval '130 seconds', over = false WHERE payment_id = '{cancelled}'"
        ),
        {REFUNDS: 1},
    ),
    "a refund was refused and nobody is told": (
        "UPDATE payment_refund SET state = 'refused' WHERE payment_id = '{cancelled}'",
        {REFUNDS: 1},
    ),
    "a house keeps nothing of a no-show": (
        "UPDATE booking SET status = 'NO_SHOW' WHERE booking_id = '{booking_cancelled}'",
        {SETTLED: 1},
    ),
    "a house keeps too little of a late cancellation": (
        (
            "UPDATE booking SET terms = jsonb_set(terms, '{{keep_on_late_cancel_percent}}', '51')"
            " WHERE booking_id = '{booking_late}'"
        ),
        {SETTLED: 1},
    ),
    "the bill was higher": ("UPDATE booking SET bill_minor = 121 WHERE booking_id = '{booking_availed}'", {SETTLED: 1}),
    "a confirmed booking's deposit went back": (_GIVEN_BACK, {CONFIRMED: 1}),
    "part of a confirmed booking's deposit went back": (
        _GIVEN_BACK.replace("500", "100"),
        {CONFIRMED: 1},
    ),
    "a deposit went back, and an amendment asks for it": (
        (
            _GIVEN_BACK + "UPDATE booking SET version = 3, terms = jsonb_set(terms, '{{deposit_version}}', '3')"
            " WHERE booking_id = '{booking_confirmed}'"
        ),
        {CONFIRMED: 1},
    ),
    "more came than was booked": (
        "UPDATE payment_capture SET amount_minor = amount_minor + 1 WHERE payment_id = '{no_show}'",
        {BOOKED: 1, SETTLED: 1},
    ),
    "the fee was another": (
        "UPDATE payment_capture SET fee_minor = fee_minor + 1 WHERE payment_id = '{no_show}'",
        {BOOKED: 1},
    ),
    "a refund is lost": ("DELETE FROM payment_refund WHERE payment_id = '{cancelled}'", {BOOKED: 1, SETTLED: 1}),
    "the house keeps what it may not": (
        "UPDATE payment SET kept_minor = kept_minor + 1 WHERE payment_id = '{late}'",
        {BOOKED: 1, SETTLED: 1},
    ),
    "it was no late cancellation": (
        "UPDATE booking SET cancelled_late = false WHERE booking_id = '{booking_late}'",
        {SETTLED: 1},
    ),
    "the bill was lower": ("UPDATE booking SET bill_minor = 119 WHERE booking_id = '{booking_availed}'", {SETTLED: 1}),
    "a no-show was undone and nobody looks": (
        "UPDATE booking SET status = 'AVAILED', version = version + 1 WHERE booking_id = '{booking_no_show}'",
        {HOMELESS: 1},
    ),
    "a confirmed booking ended and nobody looks": (
        "UPDATE booking SET status = 'AVAILED', version = version + 1 WHERE booking_id = '{booking_confirmed}'",
        {HOMELESS: 1},
    ),
    "a paid hold expired and nobody looks": (
        (
            "UPDATE booking SET status = 'EXPIRED', held_slot_count = 0 WHERE booking_id = '{booking_confirmed}';"
            " DELETE FROM seat_word"
        ),
        {HOMELESS: 1},
    ),
    "the deposit of a confirmed booking was waived and nobody looks": (
        "UPDATE booking SET deposit_waived = true WHERE booking_id = '{booking_confirmed}'",
        {HOMELESS: 1},
    ),
    "a confirmed booking left with its money": (
        "DELETE FROM booking WHERE booking_id = '{booking_confirmed}'; DELETE FROM seat_word",
        {HOMELESS: 1, DEPARTED: 1},
    ),
    "the deposit was lowered and nobody looks": (
        (
            "UPDATE booking SET terms = jsonb_set(terms, '{{deposit,amount_minor}}', '499')"
            " WHERE booking_id = '{booking_confirmed}'"
        ),
        {HOMELESS: 1},
    ),
    "the deposit was raised and nobody asks for the rest": (
        (
            "UPDATE booking SET terms = jsonb_set(terms, '{{deposit,amount_minor}}', '501')"
            " WHERE booking_id = '{booking_confirmed}'"
        ),
        {CONFIRMED: 1},
    ),
    "the deposit is in another currency now and nobody looks": (
        (
            "UPDATE booking SET terms = jsonb_set(terms, '{{deposit,currency}}', '\"USD\"')"
            " WHERE booking_id = '{booking_confirmed}'"
        ),
        {CONFIRMED: 1, HOMELESS: 1},
    ),
    "a hold was confirmed as paid": (
        "UPDATE booking SET status = 'CONFIRMED', deposit_paid = true WHERE booking_id = '{booking_blocked}'",
        {CONFIRMED: 1},
    ),
    "a hold was confirmed by nobody": (
        "UPDATE booking SET status = 'CONFIRMED' WHERE booking_id = '{booking_blocked}'",
        {CONFIRMED: 1},
    ),
    "an amended hold was confirmed by nobody": (
        (
            "UPDATE booking SET status = 'CONFIRMED', terms = jsonb_set(terms, '{{deposit_version}}', '3')"
            " WHERE booking_id = '{booking_blocked}';"
            " UPDATE payment SET number = 3 WHERE payment_id = '{blocked}'"
        ),
        {CONFIRMED: 1},
    ),
    "a waiver is taken back": (
        "UPDATE booking SET deposit_waived = false WHERE booking_id = '{booking_waived}'",
        {CONFIRMED: 1},
    ),
    "no payment is there": (
        (
            "UPDATE booking SET terms = jsonb_set(terms, '{{deposit_version}}', '2'), deposit_waived = false"
            " WHERE booking_id = '{booking_waived}';"
            " DELETE FROM payment_charge WHERE payment_id = '{waived}'; DELETE FROM payment WHERE payment_id = '{waived}'"
        ),
        {CONFIRMED: 1},
    ),
}


@pytest.mark.parametrize("name", _BROKEN)
async def test_a_fault_is_found_and_named(name, town, open_database, admin):
    statements, expected = _BROKEN[name]
    ids = {known: payment.payment_id for known, payment in town.payments.items()}
    ids |= {f"booking_{known}": booked.booking_id for known, booked in town.bookings.items()}
    for table in ("ledger_movement", "ledger_entry", "payment_capture", "payment_refund"):
        await admin.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    await admin.execute(statements.format(**ids))
    words = {"taken words equal the slots that bookings hold"}
    found = await faults(open_database)
    assert {figure: count for figure, count in found.items() if figure not in words} == expected
    report = await report_of(open_database)
    assert all(figure.examples for figure in report.figures if figure.name in expected)


async def test_a_refund_that_somebody_sees_to_is_well(town, open_database, admin):
    cancelled = town.payments["cancelled"].payment_id
    await admin.execute("UPDATE payment_refund SET state = 'sent' WHERE payment_id = $1", cancelled)
    due = "UPDATE payment SET look_at = now() - interval '110 seconds', over = false WHERE payment_id = $1"
    await admin.execute(due, cancelled)
    assert await faults(open_database) == {}
    assert await counted(open_database, REFUNDS) == 1
    await admin.execute("UPDATE payment_refund SET state = 'refused' WHERE payment_id = $1", cancelled)
    await town.desk.payments.give_up(await town.desk.payments.by_id(cancelled), "the provider says no")
    assert await faults(open_database) == {}
    assert await counted(open_database, REFUNDS) == 1


async def test_refunds_settled_by_hand_may_have_one_note(town, open_database, admin):
    await admin.execute("UPDATE payment_refund SET provider_ref = 'by hand: transfer 4711'")
    assert await faults(open_database) == {}


@pytest.mark.parametrize("end", ["no_show", "late", "availed"])
async def test_what_came_too_late_for_the_house_goes_back(end, town, open_database, admin):
    """The house was settled with by what there was at the end: here nothing, then only a part, and then too late the rest."""
    await admin.execute("UPDATE payment_capture SET created_at = now()")
    shape = town.bookings[end]
    given = {"deposit_paid": True, "cancelled_late": shape.cancelled_late, "bill_minor": shape.bill_minor}
    for number, early_minor in enumerate((0, 200)):
        hold = held(70 + number)
        payment = await town.desk.open(hold)
        if early_minor:
            payment = await town.desk.receive(payment, hold, early_minor)
        over = ended(hold, shape.status, **given)
        payment = await town.desk.look(payment, over)
        before = payment.kept_minor
        payment = await town.desk.receive(payment, over, 500)
        assert payment.kept_minor == before < 500
        await town.place(f"{end} {number}", over, payment)
    assert await faults(open_database) == {}


async def test_a_deposit_that_was_gone_for_a_time_is_asked_for_anew(town, open_database, admin):
    """An amendment took the deposit away, all went back, and the next one brings it again: the same payment, from nothing."""
    before = town.bookings["confirmed"]
    free = replace(before, version=3, terms=replace(before.terms, deposit=None, deposit_version=3))
    payment = await town.desk.look(town.payments["confirmed"], free)
    assert payment.net_minor == 0
    again = replace(before, version=4, terms=replace(before.terms, deposit_version=4))
    payment = await town.desk.look(payment, again)
    assert payment.payable is not None
    await town.change(free, before)
    await town.change(again, free)
    await admin.execute("UPDATE payment SET look_at = NULL")
    assert await faults(open_database) == {}


async def test_a_deposit_that_went_down_and_up_again_is_asked_for_anew(town, open_database, admin):
    before = town.bookings["confirmed"]
    less = replace(before, version=3, terms=replace(before.terms, deposit=Money(100, "EUR"), deposit_version=3))
    payment = await town.desk.look(town.payments["confirmed"], less)
    assert payment.net_minor == 100
    again = replace(before, version=4, terms=replace(before.terms, deposit_version=4))
    payment = await town.desk.look(payment, again)
    assert payment.payable is not None
    await town.change(less, before)
    await town.change(again, less)
    await admin.execute("UPDATE payment SET look_at = NULL")
    assert await faults(open_database) == {}


async def test_a_difference_that_the_guest_is_asked_for_is_well(town, open_database, admin):
    """Only the exact rest: a charge of any other sum would leave the guest with too much or too little to pay."""
    before = town.bookings["confirmed"]
    raised = replace(before, version=3, terms=replace(before.terms, deposit=Money(700, "EUR"), deposit_version=3))
    await admin.execute(
        "UPDATE booking SET version = 3, terms = jsonb_set(jsonb_set(terms, '{deposit,amount_minor}', '700'),"
        " '{deposit_version}', '3') WHERE booking_id = $1",
        before.booking_id,
    )
    payment = await town.desk.look(town.payments["confirmed"], raised)
    assert payment.payable is not None
    assert payment.payable.amount_minor == 200
    await admin.execute("UPDATE payment SET look_at = NULL")
    assert await faults(open_database) == {}
    await admin.execute("UPDATE payment_charge SET amount_minor = 199 WHERE amount_minor = 200")
    assert await faults(open_database) == {CONFIRMED: 1}


async def test_a_deposit_that_an_amendment_brought_is_owed(town, open_database, admin):
    """Confirmed at once while nothing was due; what is due since then may still be open."""
    before = replace(booking(V, 60, first_slot=booking(V, 1).first_slot + 600), deposit_waived=False, version=2)
    booked = replace(before, terms=replace(before.terms, deposit_version=2))
    await town.place("amended", booked, await town.desk.open(booked))
    await admin.execute("UPDATE payment SET look_at = NULL")
    assert await faults(open_database) == {}
    await admin.execute("UPDATE payment_charge SET state = 'closed' WHERE closes_at IS NULL")
    assert await faults(open_database) == {CONFIRMED: 1}


async def test_money_that_somebody_is_about_to_look_at_is_on_its_way(town, open_database, admin):
    ended_now = "UPDATE booking SET status = 'AVAILED', version = version + 1 WHERE booking_id = $1"
    await admin.execute(ended_now, town.bookings["confirmed"].booking_id)
    await admin.execute("UPDATE payment SET look_at = now() - interval '110 seconds'")
    assert await faults(open_database) == {}
    assert await counted(open_database, ON_ITS_WAY) == 1
    await admin.execute("UPDATE payment SET look_at = now() - interval '130 seconds'")
    assert await faults(open_database) == {HOMELESS: 1}


async def test_a_booking_that_changed_just_now_is_not_judged_yet(town, open_database, admin):
    """The news of its end may be on the way to the payment desk."""
    confirmed = town.bookings["confirmed"].booking_id
    await admin.execute(
        "UPDATE booking SET status = 'AVAILED', version = 9, updated_at = now() WHERE booking_id = $1", confirmed
    )
    assert await faults(open_database) == {}
    assert await counted(open_database, ON_ITS_WAY) == 1
    await admin.execute(
        "UPDATE booking SET updated_at = now() - interval '121 seconds' WHERE booking_id = $1", confirmed
    )
    assert await faults(open_database) == {HOMELESS: 1}


async def test_late_money_is_looked_at_or_a_fault(town, open_database, admin):
    late = await town.desk.receive(town.payments["expired"], town.bookings["expired"], 500, at_rest=False)
    assert await faults(open_database) == {}
    assert await counted(open_database, ON_ITS_WAY) == 1
    await town.desk.payments.give_up(late, "the provider says no")
    report = await report_of(open_database)
    [told] = [figure.examples for figure in report.figures if figure.name == SETTLED]
    assert str(late.payment_id) in told[0]
    assert "500 EUR came" in told[0]
    assert await faults(open_database) == {SETTLED: 1}
    assert await counted(open_database, "payments stuck") == 1
    await town.desk.look(late, town.bookings["expired"])
    assert await faults(open_database) == {}


async def test_money_for_a_replaced_payment_goes_back(town, open_database, admin):
    """The hold was amended: what comes for its first deposit is nobody's."""
    first = town.payments["blocked"]
    amended = replace(
        town.bookings["blocked"], version=2, terms=replace(town.bookings["blocked"].terms, deposit_version=2)
    )
    second = new_payment(amended, (first,), "sandbox", OPENED)
    await town.desk.look(await town.desk.payments.write(None, second, booking_version=2), amended)
    first = await town.desk.payments.write(first, capture(first, Capture("late", 1, 500)), booking_version=2)
    await admin.execute("UPDATE payment SET look_at = NULL")
    assert await faults(open_database) == {HOMELESS: 1}
    await town.desk.look(first, amended, current=False)
    assert await faults(open_database) == {}


async def test_what_left_for_the_archive_is_settled(town, open_database, admin):
    for name in ("late", "cancelled", "expired"):
        await admin.execute("DELETE FROM booking WHERE booking_id = $1", town.bookings[name].booking_id)
    assert await faults(open_database) == {}
    assert await counted(open_database, DEPARTED) == 3
    await admin.execute("UPDATE payment SET over = false WHERE payment_id = $1", town.payments["late"].payment_id)
    assert await faults(open_database) == {DEPARTED: 1}
    late = await town.desk.payments.by_id(town.payments["late"].payment_id)
    await town.desk.payments.give_up(late, "a person is told already")
    assert await faults(open_database) == {}


async def test_what_waits_is_counted_and_not_judged(open_database, admin):
    await admin.execute(
        "INSERT INTO webhook_inbox (provider, event_id, body, handled_at)"
        " SELECT 'sandbox', n::text, '', CASE WHEN n = 3 THEN now() END FROM generate_series(1, 3) AS n"
    )
    assert await faults(open_database) == {}
    assert await counted(open_database, "messages of providers that wait") == 2


async def test_the_ledger_is_read_in_parts(town, open_database, monkeypatch):
    whole = await report_of(open_database)
    monkeypatch.setattr("storage.money_audit._MOVEMENTS_AT_ONCE", 3)
    assert await report_of(open_database) == whole


async def test_what_takes_too_long_is_looked_at_in_smaller_portions_and_counted_once(town, open_database, database):
    slow = Slow(database, "test", 1)
    assert await Audit(slow, buckets_at_once=BUCKETS).run() == await report_of(open_database)
    assert max(slow.widths["audit_ledger"]) > 2
    assert max(slow.widths["audit_ledger_sums"]) == 2
    await slow.close()


@pytest.mark.parametrize(("currency", "shown"), [("EUR", "0.05"), ("JPY", "5"), ("KWD", "0.005")])
async def test_a_currency_that_does_not_sum_to_zero_is_named(currency, shown, town, open_database, admin):
    await admin.execute("ALTER TABLE ledger_entry DISABLE TRIGGER USER")
    await admin.execute("UPDATE ledger_entry SET currency = $1", currency)
    await admin.execute(
        "UPDATE ledger_entry SET amount_minor = amount_minor + 5 WHERE movement_id = 1 AND account = 'guest'"
    )
    assert decimal_text(5, currency) == shown
    report = await report_of(open_database)
    [figure] = [figure for figure in report.figures if figure.name == LEDGER]
    assert (figure.faults, figure.examples) == (1, (f"{currency} {shown}",))


async def test_it_runs_while_guests_pay_and_houses_settle(town, open_database, database):
    """Each comparison is one snapshot: a payment is seen with its booking and its ledger as they were at one moment."""
    done, settled = asyncio.Event(), asyncio.Event()
    paying = Desk(Database(database, "guests", 1))

    async def guests():
        number = 100
        while not done.is_set():
            number += 1
            held_now = replace(
                booking(V, number, first_slot=booking(V, 1).first_slot + 10 * number, status=BookingStatus.BLOCKED),
                deposit_waived=False,
                updated_at=datetime.now(UTC),
            )
            await town.place(str(number), held_now, None)
            payment = await paying.receive(await paying.open(held_now), held_now, 500, fee_minor=15)
            kept = ended(held_now, BookingStatus.CANCELLED, deposit_paid=True, cancelled_late=True)
            await town.change(kept, held_now)
            await paying.look(payment, kept)
            if number > 110:
                settled.set()

    busy = asyncio.create_task(guests())
    audits = 0
    while audits < 40 or not settled.is_set():
        assert not busy.done()
        assert await faults(open_database) == {}
        audits += 1
    done.set()
    await busy
    await paying.payments._database.close()
