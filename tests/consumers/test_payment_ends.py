"""A booking ends while its guest pays a difference: what is kept does not hang on which message came, and when."""

from datetime import timedelta

import pytest

from domain.money import Money
from domain.vendor import Deposit, DepositKind, Policy
from tests.consumers.paying import DEPOSIT, HOLD_SECONDS, Paying
from tests.domain.desk import GUEST

DEPOSITS = 2 * DEPOSIT


@pytest.fixture
async def paying():
    """Who cancels later than a day before loses half."""
    deposit = Deposit(DepositKind.PER_PERSON, DEPOSIT // 2)
    terms = {"cancel_before_hours": 24, "keep_on_late_cancel_percent": 50}
    return Paying(policy=Policy(deposit=deposit, hold_ttl_seconds=HOLD_SECONDS, **terms))


@pytest.fixture
async def raised(paying):
    """Confirmed, with the second half of its deposit asked for."""
    held = await paying.hold()
    await paying.pay(held)
    await paying.work()
    await paying.amend(held, party_size=4)
    await paying.work()
    return held


def jump(paying, moment):
    """Meanwhile nobody looked."""
    paying.clock.now = moment
    paying.house.now = moment


async def paid_and_ended(paying, raised, message, status, **more):
    """The difference is paid, then the booking ends; `message` says when the desk is told of the money."""
    events = await paying.pay(raised, 2, told=message == "in time")
    if message == "in time":
        await paying.work()
    await paying.mark(raised, status, **more)
    await paying.work()
    if message == "late":
        await paying.deliver(*events)
    await paying.wait(60)


ENDS = pytest.mark.parametrize(
    ("status", "more", "kept"),
    [
        ("NO_SHOW", {}, DEPOSITS),
        ("AVAILED", {"bill": Money(3500, "EUR")}, 3500),
        ("AVAILED", {"bill": Money(500, "EUR")}, 500),
        ("AVAILED", {}, 0),
    ],
)


@ENDS
@pytest.mark.parametrize("message", ["in time", "late", "lost"])
async def test_what_was_paid_before_the_end_counts_whoever_tells_of_it(paying, raised, status, more, kept, message):
    jump(paying, paying.now(raised).starts_at + timedelta(minutes=1))
    await paid_and_ended(paying, raised, message, status, **more)
    assert (paying.payment(raised).kept_minor, paying.provider.refunded_minor()) == (kept, DEPOSITS - kept)
    paying.money_is_where_it_belongs()


@ENDS
async def test_what_was_not_paid_is_not_kept(paying, raised, status, more, kept):
    jump(paying, paying.now(raised).starts_at + timedelta(minutes=1))
    await paying.mark(raised, status, **more)
    await paying.wait(60)
    assert paying.payment(raised).kept_minor == min(kept, DEPOSIT)
    paying.money_is_where_it_belongs()


@pytest.mark.parametrize(
    ("message", "kept"), [("in time", DEPOSITS // 2), ("late", DEPOSIT // 2), ("lost", DEPOSIT // 2)]
)
async def test_money_that_arrives_after_a_late_cancellation_goes_back(paying, raised, message, kept):
    jump(paying, paying.now(raised).starts_at - timedelta(hours=1))
    await paid_and_ended(paying, raised, message, "CANCELLED", by=GUEST)
    assert (paying.payment(raised).kept_minor, paying.provider.refunded_minor()) == (kept, DEPOSITS - kept)
    paying.money_is_where_it_belongs()


async def test_a_checkout_that_will_not_close_is_waited_for_no_longer_than_a_day(paying, raised):
    jump(paying, paying.now(raised).starts_at + timedelta(minutes=1))
    paying.provider.refuses.add("close")
    await paying.mark(raised, "NO_SHOW")
    await paying.wait(23 * 3600)
    assert paying.payment(raised).kept_minor == 0
    await paying.wait(2 * 3600)
    assert (paying.payment(raised).kept_minor, paying.moved(raised)[-1]) == (DEPOSIT, ("keep", DEPOSIT))
    await paying.pay(raised, 2)
    await paying.wait(60)
    assert (paying.payment(raised).kept_minor, paying.provider.refunded_minor()) == (DEPOSIT, DEPOSIT)


async def test_a_visit_that_waits_for_its_last_checkout_has_not_moved_on_unnoticed(paying, raised):
    jump(paying, paying.now(raised).starts_at + timedelta(minutes=1))
    paying.provider.away = True
    await paying.mark(raised, "NO_SHOW")
    await paying.wait(600)
    assert (await paying.store.unnoticed(paying.clock(), 10)).booking_ids == []


async def test_while_nobody_can_say_whether_it_was_paid_nothing_is_settled(paying, raised):
    jump(paying, paying.now(raised).starts_at + timedelta(minutes=1))
    await paying.pay(raised, 2, told=False)
    paying.provider.away = True
    await paying.mark(raised, "NO_SHOW")
    await paying.wait(600)
    assert (paying.payment(raised).kept_minor, paying.row(raised).over) == (0, False)
    paying.provider.away = False
    await paying.wait(600)
    assert (paying.payment(raised).kept_minor, paying.row(raised).over) == (DEPOSITS, True)
    paying.money_is_where_it_belongs()
