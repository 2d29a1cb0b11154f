"""Reconciliations as they are kept, and what we say that a provider took and gave back."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from domain.booking import BookingStatus, Terms
from domain.money import Money
from domain.payment import Capture, PaymentId, Refund, RefundState, capture, refund_known
from domain.payment_steps import new_payment
from storage.payment_provider import ProviderEntry
from storage.postgres_payments import PostgresPayments
from storage.reconciliations import Difference, Reconciliation, Reconciliations, Sum
from tests.conformance.stores import booking
from tests.fakes.houses import vendor_id

V = vendor_id(1)
DAY = date(2026, 12, 1)
PAYMENT = PaymentId(booking(V, 1).booking_id)
DIFFERENCE = Difference("cap-1", "only the provider has it", "EUR", None, 500, PAYMENT)
MADE = Reconciliation(
    DAY, "sandbox", (Sum("EUR", 500, 200, 15),), (Sum("EUR", 1000, 200, 30), Sum("JPY", 5)), (DIFFERENCE,)
)


@pytest.fixture
def reconciliations(open_database):
    return Reconciliations(open_database)


async def test_a_reconciliation_comes_back_as_it_was_made(reconciliations):
    assert await reconciliations.of_day(DAY, "sandbox") is None
    kept = await reconciliations.save(MADE)
    assert abs(kept.made_at - datetime.now(UTC)) < timedelta(hours=1)
    assert replace(kept, made_at=None) == MADE
    assert await reconciliations.of_day(DAY, "sandbox") == kept
    assert await reconciliations.of_day(DAY, "stripe") is None


async def test_one_of_the_same_day_takes_its_place(reconciliations):
    await reconciliations.save(MADE)
    clean = await reconciliations.save(replace(MADE, ours=MADE.theirs, differences=()))
    assert await reconciliations.latest(None, 10) == [clean]


async def test_what_is_healed_is_kept_with_what_was_found(reconciliations):
    made = await reconciliations.save(replace(MADE, differences=(replace(DIFFERENCE, unhealed=True),)))
    assert made.unhealed == [PAYMENT]
    healed = replace(made, differences=(DIFFERENCE,))
    await reconciliations.healed(healed)
    assert await reconciliations.of_day(DAY, "sandbox") == healed
    newer = await reconciliations.save(made)
    await reconciliations.healed(healed)
    assert await reconciliations.of_day(DAY, "sandbox") == newer


async def test_the_newest_days_come_first(reconciliations):
    days = [DAY + timedelta(days=number) for number in (1, 3, 2)]
    for day in days:
        await reconciliations.save(replace(MADE, day=day))
    other = await reconciliations.save(replace(MADE, provider="stripe"))
    assert [made.day for made in await reconciliations.latest("sandbox", 2)] == [days[1], days[2]]
    assert len(await reconciliations.latest(None, 10)) == 4
    assert await reconciliations.latest("stripe", 10) == [other]


async def test_what_we_know_of_the_providers_money(reconciliations, open_database):
    store = PostgresPayments(open_database)
    terms = Terms(Money(500, "EUR"), deposit_version=1)
    held = replace(booking(V, 1, status=BookingStatus.BLOCKED), terms=terms)
    payment = await store.write(None, new_payment(held, (), "sandbox", datetime.now(UTC)), booking_version=1)
    paid = await store.write(payment, capture(payment, Capture("cap-1", 1, 500, 15)), booking_version=1)
    refunds = tuple(Refund(number, "cap-1", number, RefundState.SENT, f"re-{number}") for number in (1, 2))
    sent = await store.write(paid, replace(paid, refunds=refunds), booking_version=2)
    asked_by = datetime.now(UTC)
    await store.write(sent, refund_known(sent, 2, RefundState.DONE), booking_version=2)
    since, until = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(hours=1)
    found = await reconciliations.our_entries("sandbox", since, until)
    came = ProviderEntry("cap-1", Money(500, "EUR"), False, found[0].at, payment.payment_id, 15)
    back = ProviderEntry("re-2", Money(2, "EUR"), True, found[1].at, payment.payment_id)
    assert found == [came, back]
    assert await reconciliations.our_entries("stripe", since, until) == []
    assert await reconciliations.our_entries("sandbox", since, came.at) == []
    assert back.at < asked_by  # and learnt of when it was done
    assert await reconciliations.our_entries("sandbox", asked_by, until) == [back]
    assert await reconciliations.our_entries("sandbox", since, asked_by) == [came]
    named = await reconciliations.our_entries_by_reference("sandbox", ["re-1", "cap-1", "cap-9"])
    assert [one.reference for one in named] == ["cap-1", "re-1"]
    assert await reconciliations.our_entries_by_reference("stripe", ["re-1", "cap-1"]) == []
