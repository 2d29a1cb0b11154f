"""Checkouts: what the booking service does about a deposit before it answers, and what it leaves to the desk."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest

from domain.money import Money
from domain.payment import ChargeState, payment_id_of
from domain.payment_steps import new_payment
from domain.vendor import Policy
from storage.checkouts import Checkouts
from storage.errors import StoreUnavailable, VersionConflict
from tests.consumers.paying import DEPOSIT, Paying


class Nobody:
    """Must not be asked."""

    def __getattr__(self, name):
        raise AssertionError(f"asked for {name}")


@pytest.fixture
def paying():
    return Paying()


def booked(paying, **more):
    return paying.house.booked("24T19:00", **more)


async def test_a_booking_that_never_had_a_deposit_costs_nothing():
    booking = booked(Paying(policy=Policy()))
    checkouts = Checkouts(Nobody(), Nobody(), Nobody(), Nobody())
    assert await checkouts.arrange(booking) is None
    assert await checkouts.of(booking) is None
    assert await checkouts.of_many([booking]) == {}
    assert await checkouts.agreed(booking) is None


async def test_a_hold_has_its_checkout_at_once(paying):
    held = booked(paying)
    payment = await paying.checkouts.arrange(held)
    assert payment.payment_id == payment_id_of(held.booking_id, 1)
    assert payment.amount_minor == DEPOSIT
    assert payment.payable.checkout_url == f"https://pay.example/{payment.payment_id}/1"
    assert payment == paying.payment(held) == await paying.checkouts.of(held)
    [charge] = paying.provider.charges.values()
    assert charge.asked.returns_to == "https://holdfast.example/"


async def test_a_hold_is_arranged_for_without_reading_anything(paying):
    paying.store.of_booking = paying.store.by_id = None
    paying.start()
    assert (await paying.checkouts.arrange(booked(paying))).payable.checkout_url


@pytest.mark.parametrize("away", ["away", "refuses"])
async def test_a_provider_that_will_not_fails_no_booking(paying, away):
    paying.provider.away = away == "away"
    paying.provider.refuses = {"open"}
    held = booked(paying)
    payment = await paying.checkouts.arrange(held)
    assert payment.charges[0].state is ChargeState.OPENING
    assert payment.charges[0].checkout_url is None
    assert payment == paying.payment(held)


@pytest.mark.virtual_time
async def test_a_provider_that_hangs_is_not_waited_for_long(paying):
    async def hang(_asked):
        await asyncio.Event().wait()

    paying.provider.open = hang
    paying.start()
    began = asyncio.get_running_loop().time()
    payment = await paying.checkouts.arrange(booked(paying))
    assert asyncio.get_running_loop().time() - began < 3.1
    assert payment.charges[0].state is ChargeState.OPENING


async def test_payments_that_are_away_fail_no_booking(paying):
    """It answers with the payment that the sweeper will make."""
    held = booked(paying)
    paying.store.away = True
    payment = await paying.checkouts.arrange(held)
    paying.store.away = False
    await paying.looks.look(held.booking_id)
    assert paying.payment(held).payment_id == payment.payment_id


async def test_a_change_while_the_payments_are_away_fails_nothing(paying):
    held = await paying.hold()
    changed = paying.house.amend(held, party_size=4)
    paying.store.away = True
    assert await paying.checkouts.arrange(changed) is None
    with pytest.raises(StoreUnavailable):
        await paying.checkouts.of(changed)


async def test_done_again_it_changes_nothing(paying):
    held = booked(paying)
    first = await paying.checkouts.arrange(held)
    assert await paying.checkouts.arrange(held) == first
    assert paying.provider.calls == {"open": 1}


async def test_what_a_crash_left_out_is_made_up_for_by_a_repetition(paying):
    held = booked(paying)
    paying.provider.away = True
    await paying.checkouts.arrange(held)
    paying.provider.away = False
    assert (await paying.checkouts.arrange(held)).payable.checkout_url


async def test_a_repetition_long_afterwards_goes_by_the_booking_as_it_is_now(paying):
    """The answer to a key is the booking as it was; its money is not to follow it back."""
    held = await paying.hold()
    await paying.pay(held)
    await paying.work()
    await paying.amend(held, party_size=4)
    await paying.pay(held, 2)
    await paying.work()
    before = paying.payment(held)
    assert await paying.checkouts.arrange(held) == before
    assert paying.payment(held) == before


async def test_somebody_else_writes_at_the_same_time(paying):
    """Then it is as they left it."""
    held = booked(paying)
    write, times = paying.store.write, []

    async def overtaken(before, after, *, booking_version):
        times.append(1)
        if len(times) == 2:
            await write(before, after, booking_version=booking_version)
        return await write(before, after, booking_version=booking_version)

    paying.store.write = overtaken
    paying.start()
    payment = await paying.checkouts.arrange(held)
    assert payment == paying.payment(held)
    assert payment.payable.checkout_url


async def test_payments_that_change_all_the_time_are_left_to_the_desk(paying):
    held = await paying.hold()
    changed = paying.house.amend(held, party_size=4)

    async def conflict(*_args, **_kwargs):
        raise VersionConflict("again")

    paying.store.write = conflict
    paying.start()
    assert await paying.checkouts.arrange(changed) is None


async def test_an_amended_hold_shows_the_new_payment(paying):
    held = await paying.hold()
    changed = paying.house.amend(held, party_size=4)
    payment = await paying.checkouts.arrange(changed)
    assert (payment.number, payment.amount_minor) == (2, 2 * DEPOSIT)
    assert payment.payable.checkout_url
    assert (await paying.checkouts.agreed(held)).number == 1
    assert (await paying.checkouts.agreed(changed)).number == 2
    found = await paying.checkouts.of_many([changed, booked(paying)])
    assert isinstance(found, Mapping)
    assert found == {held.booking_id: payment}


async def test_a_form_of_the_booking_is_shown_the_payment_that_was_the_newest_of_it(paying):
    """Once it is confirmed another deposit is the same payment, whose number is of an older version than the deposit's."""
    held = await paying.hold()
    await paying.pay(held)
    await paying.work()
    changed = await paying.amend(held, party_size=4)
    terms = replace(changed.terms, deposit=Money(DEPOSIT, "USD"), deposit_version=changed.version + 1)
    other = replace(changed, version=changed.version + 1, terms=terms)
    await paying.store.write(
        None, new_payment(other, (), paying.provider.name, paying.clock()), booking_version=other.version
    )
    assert changed.terms.deposit_version > 1
    for form, number in ((held, 1), (changed, 1), (other, other.version)):
        assert (await paying.checkouts.agreed(form)).number == number


async def test_it_moves_no_money_itself(paying):
    """What the end decides is written down at once, so that the answer is true; the provider is the desk's."""
    held = await paying.hold()
    await paying.pay(held)
    await paying.work()
    ended = paying.house.mark(paying.now(held), "AVAILED")
    payment = await paying.checkouts.arrange(ended)
    assert payment.refunding_minor == DEPOSIT
    assert paying.provider.calls["refund"] == 0


async def test_which_are_declined(paying):
    held, other = await paying.hold(), await paying.hold()
    await paying.deliver(*paying.provider.decline(paying.payment(held).payment_id))
    await paying.work()
    assert await paying.checkouts.declined([held.booking_id, other.booking_id]) == {held.booking_id}
