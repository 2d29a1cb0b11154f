"""Reconciliation: each kind of difference between the provider's list and ours has its name, and lost money heals."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from consumers.reconciliation import DailyReconciliation, Reconciler
from domain.money import Money
from domain.payment import RefundState
from storage.payment_provider import ProviderEntry
from storage.reconciliations import Sum
from tests.consumers.paying import DEPOSIT, Paying

DAY = date(2026, 11, 23)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Books:
    """What `storage.reconciliations` reads, from the payments in memory, all learnt at the same moment."""

    def __init__(self, paying) -> None:
        self.paying = paying
        self.learnt_at = NOON
        self.saved = {}

    def entries(self):
        for row in self.paying.store.rows.values():
            payment = row.payment
            for one in payment.captures:
                amount = Money(one.amount_minor, payment.currency)
                yield (
                    ProviderEntry(one.reference, amount, False, self.learnt_at, payment.payment_id, one.fee_minor),
                    True,
                )
            for one in payment.refunds:
                if one.provider_ref is not None:
                    amount = Money(one.amount_minor, payment.currency)
                    done = one.state is RefundState.DONE
                    yield ProviderEntry(one.provider_ref, amount, True, self.learnt_at, payment.payment_id), done

    async def our_entries(self, provider, since, until):
        return [entry for entry, done in self.entries() if done and since <= entry.at < until]

    async def our_entries_by_reference(self, provider, references):
        return [entry for entry, _ in self.entries() if entry.reference in references]

    async def of_day(self, day, provider):
        return self.saved.get((day, provider))

    async def save(self, made):
        self.saved[made.day, made.provider] = replace(made, made_at=NOON)
        return self.saved[made.day, made.provider]


@pytest.fixture
def paying():
    return Paying()


@pytest.fixture
def books(paying):
    return Books(paying)


@pytest.fixture
def reconciler(paying, books):
    return Reconciler(paying.provider, books, paying.store)


@pytest.fixture
async def refunded(paying):
    """Paid and given back."""
    held = await paying.hold()
    await paying.pay(held)
    await paying.work()
    await paying.mark(held, "AVAILED")
    await paying.work()
    return held


def told(made):
    return [(found.what, found.ours_minor, found.theirs_minor) for found in made.differences]


async def test_both_say_the_same(reconciler, refunded, books):
    made = await reconciler.reconcile(DAY)
    assert made.differences == ()
    assert made.ours == made.theirs == (Sum("EUR", DEPOSIT, DEPOSIT),)
    assert await reconciler.done(DAY)
    assert not await reconciler.done(DAY - timedelta(days=1))


async def test_what_is_theirs_of_one_day_may_be_ours_of_the_next(reconciler, refunded, books):
    books.learnt_at = NOON + timedelta(days=1)
    made = await reconciler.reconcile(DAY)
    assert made.differences == ()
    assert made.ours == made.theirs
    made = await reconciler.reconcile(DAY + timedelta(days=1))
    assert (made.differences, made.ours, made.theirs) == ((), (), ())


async def test_money_that_we_know_nothing_of_is_named_and_healed(paying, reconciler):
    held = await paying.hold()
    await paying.wait(700)
    assert paying.row(held).over
    await paying.pay(held, told=False)
    made = await reconciler.reconcile(DAY)
    assert told(made) == [("money that we do not have", None, DEPOSIT)]
    assert made.differences[0].payment_id == paying.payment(held).payment_id
    await paying.work()
    assert paying.shown(held) == "refunded"
    assert (await reconciler.reconcile(DAY)).differences == ()


async def test_money_of_a_payment_that_is_not_ours_is_named(paying, reconciler, refunded):
    stranger = replace(paying.provider.account[0], reference="x", payment_id=None)
    paying.provider.account.append(stranger)
    assert told(await reconciler.reconcile(DAY)) == [("money that we do not have", None, DEPOSIT)]


async def test_what_the_provider_does_not_have(paying, reconciler, refunded):
    paying.provider.account.clear()
    made = await reconciler.reconcile(DAY)
    assert told(made) == [
        ("money that the provider does not have", DEPOSIT, None),
        ("a refund that the provider does not know", DEPOSIT, None),
    ]
    assert made.theirs == ()


async def test_a_refund_that_we_do_not_know(paying, reconciler, refunded):
    payment = paying.payment(refunded)
    row = paying.store.rows[payment.payment_id]
    row.payment = replace(payment, refunds=())
    assert told(await reconciler.reconcile(DAY)) == [("a refund that we do not know", None, DEPOSIT)]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"amount": Money(DEPOSIT + 1, "EUR")}, "another amount"),
        ({"amount": Money(DEPOSIT, "USD")}, "another currency: EUR with us, USD there"),
        ({"fee_minor": 7}, "another fee: 0 with us, 7 there"),
    ],
)
async def test_what_each_has_in_another_way(paying, reconciler, refunded, change, what):
    paying.provider.account[0] = replace(paying.provider.account[0], **change)
    assert [found.what for found in (await reconciler.reconcile(DAY)).differences] == [what]


async def test_each_day_once_and_those_that_were_missed(paying, reconciler, books):
    daily = DailyReconciliation(reconciler, paying.clock)
    assert await daily.catch_up() == 3
    assert max(day for day, _ in books.saved) == DAY - timedelta(days=1)
    assert await daily.catch_up() == 0
    paying.clock.now = datetime(2026, 11, 24, 0, 30, tzinfo=UTC)
    assert await daily.catch_up() == 0  # what is on its way has yet to come
    paying.clock.now = datetime(2026, 11, 24, 1, 30, tzinfo=UTC)
    assert await daily.catch_up() == 1
    assert daily.state.handled == 4
