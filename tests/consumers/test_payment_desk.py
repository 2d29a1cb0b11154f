"""The payment desk: whatever is lost, late, doubled or away, seat and money come together, and each cent is accounted for."""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from actors.outcome import Done, Trouble, Unavailable
from consumers.event import BookingHappened
from consumers.payment_messages import TRIES_MAX as MESSAGE_TRIES_MAX
from consumers.payment_patience import AWAY_MAX, OWNER_NEEDED_MAX, TRIES_MAX
from domain.payment import Capture, ChargeState, RefundState, capture, refund_known
from domain.rejection import Reason, Rejection
from domain.vendor import Policy
from storage.errors import StoreUnavailable, VersionConflict
from storage.event_log import Topic
from storage.payment_provider import OwnerNeeded, RefundSeen
from storage.sandbox_messages import captured_body, refund_body
from tests.consumers.paying import DEPOSIT, HOLD_SECONDS, SWEEP, Crash, Fragile, Paying, Trips, by_hand
from tests.domain.desk import GUEST, SYSTEM


@pytest.fixture
def paying():
    return Paying()


@pytest.fixture
async def held(paying):
    return await paying.hold()


# A deposit's way


async def test_what_was_paid_is_confirmed(paying, held):
    await paying.work()
    assert (paying.status(held), paying.shown(held)) == ("BLOCKED", "pending")
    await paying.pay(held)
    await paying.work()
    assert (paying.status(held), paying.shown(held)) == ("CONFIRMED", "captured")
    assert paying.now(held).deposit_paid
    assert paying.moved(held) == [("capture", DEPOSIT)]
    assert paying.notes.noted == [paying.now(held)]
    closes_at = paying.payment(held).charges[0].closes_at
    assert paying.row(held).look_at > closes_at
    assert not paying.row(held).over
    paying.clock.now = closes_at
    await paying.wait(HOLD_SECONDS)
    assert paying.row(held).look_at is None
    [command] = paying.shard.asked
    assert (command.caller, command.expected_version) == (SYSTEM, 1)


async def test_the_desk_asks_the_provider_nothing_of_a_payment_that_was_just_made(paying, held):
    await paying.work()
    assert paying.provider.calls == {"open": 1}


async def test_a_deposit_that_needs_approval_too(paying):
    paying = Paying(policy=by_hand())
    held = await paying.hold()
    await paying.pay(held)
    await paying.work()
    assert (paying.status(held), paying.now(held).deposit_paid) == ("BLOCKED", True)
    await paying.mark(held, "CONFIRMED")
    await paying.work()
    assert (paying.status(held), paying.shown(held), paying.now(held).deposit_waived) == (
        "CONFIRMED",
        "captured",
        False,
    )
    assert len(paying.shard.asked) == 1


async def test_what_is_declined_may_be_paid_again(paying, held):
    await paying.deliver(*paying.provider.decline(paying.payment(held).payment_id))
    await paying.work()
    assert (paying.status(held), paying.shown(held)) == ("BLOCKED", "declined")
    await paying.pay(held)
    await paying.work()
    assert (paying.status(held), paying.shown(held)) == ("CONFIRMED", "captured")


@pytest.mark.parametrize(
    ("status", "more", "shown", "moved"),
    [
        ("AVAILED", {}, "refunded", [("refund", DEPOSIT)]),
        ("CANCELLED", {}, "refunded", [("refund", DEPOSIT)]),
        ("CANCELLED", {"by": GUEST}, "refunded", [("refund", DEPOSIT)]),
    ],
)
async def test_the_end_gives_it_back(paying, held, status, more, shown, moved):
    await paying.pay(held)
    await paying.work()
    await paying.mark(held, status, **more)
    await paying.work()
    assert paying.shown(held) == shown
    assert paying.moved(held) == [("capture", DEPOSIT), *moved]
    assert paying.row(held).over
    paying.money_is_where_it_belongs()


async def test_an_end_that_nobody_told_of_but_the_event(paying, held):
    await paying.pay(held)
    await paying.work()
    ended = paying.house.mark(paying.now(held), "AVAILED")
    await paying.work()
    assert paying.shown(held) == "captured"
    await paying.tell(ended)
    await paying.work()
    assert paying.shown(held) == "refunded"


async def test_the_desk_does_not_look_again_at_what_it_had_confirmed_itself(paying, held):
    await paying.pay(held)
    await paying.work()
    look_at = paying.row(held).look_at
    await paying.tell(paying.now(held))
    assert paying.row(held).look_at == look_at


async def test_a_waived_deposit_is_asked_for_no_longer_though_only_the_event_tells(paying, held):
    confirmed = paying.house.mark(held, "CONFIRMED")
    await paying.tell(confirmed)
    await paying.work()
    assert (paying.status(held), paying.shown(held)) == ("CONFIRMED", "void")
    assert paying.payment(held).charges[0].state is ChargeState.CLOSED


async def test_a_deposit_that_an_amendment_took_away_is_asked_for_no_longer_though_only_the_event_tells(paying, held):
    await paying.work()
    paying.house.update(policy=Policy())
    confirmed = paying.house.amend(held, party_size=3)
    await paying.tell(confirmed)
    await paying.work()
    assert (paying.status(held), paying.shown(held)) == ("CONFIRMED", "void")
    assert paying.payment(held).charges[0].state is ChargeState.CLOSED


async def test_bookings_without_a_deposit_are_no_business_of_the_desk(paying):
    paying = Paying(policy=Policy())
    paying.store.away = True
    booking = await paying.hold()
    assert paying.status(booking) == "CONFIRMED"
    event = BookingHappened("1", Topic.NEW_BOOKING, booking)
    await paying.events.handle([event])


async def test_a_hold_that_is_never_paid(paying, held):
    await paying.wait(HOLD_SECONDS + 60)
    assert (paying.status(held), paying.shown(held)) == ("EXPIRED", "void")
    assert paying.payment(held).charges[0].state is ChargeState.CLOSED
    assert paying.row(held).over
    assert paying.moved(held) == []


# What is lost, late, doubled or out of order


async def test_a_lost_message_is_made_good_by_asking(paying, held):
    await paying.pay(held, told=False)
    await paying.wait(SWEEP.total_seconds())
    assert (paying.status(held), paying.shown(held)) == ("CONFIRMED", "captured")
    assert paying.provider.calls["look"] == 1


async def test_a_lost_refusal_too(paying, held):
    paying.provider.decline(paying.payment(held).payment_id)
    await paying.wait(SWEEP.total_seconds())
    assert paying.shown(held) == "declined"


async def test_a_lost_message_of_the_last_moment_before_the_checkout_closes(paying, held):
    """It closes 30 seconds before the hold ends, and closing tells that it was paid."""
    await paying.wait(HOLD_SECONDS - 32)
    await paying.pay(held, told=False)
    await paying.wait(2)
    assert paying.status(held) == "CONFIRMED"


async def test_money_that_comes_just_after_the_checkout_closed_and_nobody_tells(paying, held):
    await paying.wait(HOLD_SECONDS - 29)
    assert paying.payment(held).charges[0].state is ChargeState.CLOSED
    await paying.pay(held, told=False)
    await paying.wait(SWEEP.total_seconds())
    assert paying.status(held) == "CONFIRMED"


async def test_doubled_and_out_of_order(paying, held):
    refused = paying.provider.decline(paying.payment(held).payment_id)
    [paid] = await paying.pay(held)
    await paying.work()
    paying.provider.messages["again"] = paying.provider.messages[paid]
    await paying.deliver("again", *refused, paid)
    await paying.work()
    assert (paying.status(held), paying.shown(held)) == ("CONFIRMED", "captured")
    assert paying.moved(held) == [("capture", DEPOSIT)]
    assert await paying.inbox.waiting(10) == []


async def test_late_money_for_a_hold_that_is_over_goes_back(paying, held):
    await paying.wait(HOLD_SECONDS + 60)
    await paying.pay(held)
    await paying.work()
    assert (paying.status(held), paying.shown(held)) == ("EXPIRED", "refunded")
    assert paying.moved(held) == [("capture", DEPOSIT), ("refund", DEPOSIT)]
    assert paying.row(held).over
    paying.money_is_where_it_belongs()


async def test_paid_twice_goes_back_once(paying, held):
    await paying.pay(held, times=2)
    await paying.work()
    assert paying.status(held) == "CONFIRMED"
    assert paying.payment(held).net_minor == DEPOSIT
    assert paying.provider.refunded_minor() == DEPOSIT
    paying.money_is_where_it_belongs()


async def test_paid_a_second_time_and_the_message_lost(paying, held):
    """The checkout is asked about once after its end, and not again."""
    await paying.pay(held)
    await paying.work()
    await paying.pay(held, told=False)
    await paying.wait(HOLD_SECONDS)
    assert paying.provider.refunded_minor() == DEPOSIT
    assert (paying.status(held), paying.payment(held).net_minor) == ("CONFIRMED", DEPOSIT)
    paying.money_is_where_it_belongs()
    asked = paying.provider.calls["look"]
    await paying.wait(24 * 3600)
    assert paying.provider.calls["look"] == asked


async def test_an_amended_hold_has_another_payment_and_the_old_ones_money_goes_back(paying, held):
    old = paying.payment(held)
    await paying.amend(held, party_size=4)
    assert [payment.amount_minor for payment in paying.payments(held)] == [DEPOSIT, 2 * DEPOSIT]
    await paying.deliver(*paying.provider.pay(old.payment_id))
    await paying.pay(held)
    await paying.work()
    assert paying.status(held) == "CONFIRMED"
    assert [payment.net_minor for payment in paying.payments(held)] == [0, 2 * DEPOSIT]
    paying.money_is_where_it_belongs()


async def test_an_amendment_after_payment_asks_for_the_difference(paying, held):
    await paying.pay(held)
    await paying.work()
    await paying.amend(held, party_size=4)
    await paying.work()
    payment = paying.payment(held)
    assert [charge.amount_minor for charge in payment.charges] == [DEPOSIT, DEPOSIT]
    assert payment.charges[1].checkout_url
    await paying.pay(held, 2)
    await paying.work()
    assert (paying.status(held), paying.payment(held).net_minor) == ("CONFIRMED", 2 * DEPOSIT)


async def test_who_owes_the_difference_for_long_is_asked_after_ever_less(paying, held):
    await paying.pay(held)
    await paying.work()
    await paying.amend(held, party_size=4)
    await paying.wait(24 * 3600)
    assert paying.provider.calls["look"] < 80
    await paying.pay(held, 2, told=False)
    await paying.wait(3700)
    assert paying.payment(held).net_minor == 2 * DEPOSIT


async def test_a_refund_that_takes_its_time_holds_up_no_closing(paying, held):
    await paying.pay(held)
    await paying.work()
    await paying.amend(held, party_size=4)
    paying.provider.slow_refunds = True
    await paying.mark(held, "CANCELLED")
    await paying.work()
    assert paying.shown(held) == "refund_pending"
    assert paying.payment(held).charges[1].state is ChargeState.CLOSED
    assert not paying.row(held).over
    await paying.deliver(*paying.provider.finish_refunds())
    await paying.work()
    assert paying.shown(held) == "refunded"
    assert paying.row(held).over


async def test_a_slow_refund_of_which_the_message_is_lost(paying, held):
    await paying.pay(held)
    await paying.work()
    paying.provider.slow_refunds = True
    await paying.mark(held, "AVAILED")
    await paying.work()
    paying.provider.finish_refunds()
    await paying.wait(60)
    assert paying.shown(held) == "refunded"


async def test_what_was_replaced_long_ago_is_left_alone(paying, held, monkeypatch):
    """However often a hold was amended, one look at it is one at its last payment."""
    for party in (3, 4, 5, 6, 7, 8) * 3:
        await paying.amend(held, party_size=party)
    await paying.wait(20)
    assert {charge.state for one in paying.payments(held)[:-1] for charge in one.charges} == {ChargeState.CLOSED}
    rests = []
    rest = paying.store.rest

    async def counted(payment, **more):
        rests.append(payment.payment_id)
        await rest(payment, **more)

    monkeypatch.setattr(paying.store, "rest", counted)
    paying.start()
    await paying.wait(60)
    assert 10 < len(rests) < 15
    assert set(rests) == {paying.payment(held).payment_id}


async def test_late_money_for_what_was_replaced_long_ago_is_asked_for_after_its_end(paying, held):
    old = paying.payment(held)
    await paying.amend(held, party_size=4)
    await paying.wait(20)
    paying.provider.pay(old.payment_id)
    await paying.wait(HOLD_SECONDS + 30)
    assert paying.provider.refunded_minor() == DEPOSIT


# Whom nobody expects to hear of money


async def test_a_guest_hears_of_late_money_that_went_back(paying, held):
    await paying.wait(HOLD_SECONDS + 60)
    assert paying.news.told == []
    paying.provider.slow_refunds = True
    await paying.pay(held)
    await paying.work()
    assert paying.news.told == []  # it is not back yet
    await paying.deliver(*paying.provider.finish_refunds())
    await paying.work()
    assert paying.news.told == [(1, 1)]
    await paying.wait(3600)
    assert paying.news.told == [(1, 1)]


async def test_a_guest_hears_of_money_for_a_payment_that_was_replaced(paying, held):
    old = paying.payment(held)
    await paying.amend(held, party_size=4)
    await paying.deliver(*paying.provider.pay(old.payment_id))
    await paying.work()
    assert set(paying.news.told) == {(1, 1)}


@pytest.mark.parametrize("status", ["AVAILED", "CANCELLED"])
async def test_who_knows_that_it_comes_back_hears_no_more_of_it(paying, held, status):
    await paying.pay(held)
    await paying.work()
    await paying.mark(held, status)
    await paying.work()
    assert paying.shown(held) == "refunded"
    assert paying.news.told == []


async def test_who_cancelled_before_the_money_came_hears_of_it(paying, held):
    await paying.mark(held, "CANCELLED", by=GUEST)
    await paying.pay(held)
    await paying.work()
    assert set(paying.news.told) == {(1, 1)}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, 30))
async def test_a_crash_while_late_money_goes_back_forgets_nobody(at, after):
    paying = Paying()
    held = await paying.hold()
    await paying.wait(HOLD_SECONDS + 60)
    await paying.pay(held)
    paying.start(Trips(at, after=after))
    with suppress(Crash):
        await paying.work()
    paying.start()
    await paying.wait(1)
    assert paying.shown(held) == "refunded"
    assert paying.row(held).over
    assert set(paying.news.told) == {(1, 1)}
    assert len(paying.news.told) <= 2


# What is away, and what is refused


async def test_a_provider_that_is_away_fails_no_hold(paying):
    paying.provider.away = True
    held = await paying.hold()
    assert paying.payment(held).charges[0].state is ChargeState.OPENING
    await paying.wait(20)
    assert paying.row(held).error is not None
    paying.provider.away = False
    await paying.wait(30)
    assert paying.payment(held).charges[0].checkout_url
    await paying.pay(held)
    await paying.work()
    assert paying.status(held) == "CONFIRMED"


@pytest.mark.parametrize("seconds", [10, 74, 300, HOLD_SECONDS - 40])
async def test_a_paid_hold_is_not_lost_while_the_desk_waits_for_a_provider(paying, held, seconds):
    """Its message is lost, and the provider comes back just before the hold ends: the next look is in time for it."""
    await paying.wait(HOLD_SECONDS - 20 - seconds)
    await paying.pay(held, told=False)
    paying.provider.away = True
    await paying.wait(seconds)
    paying.provider.away = False
    await paying.wait(SWEEP.total_seconds() + 1)
    assert paying.status(held) == "CONFIRMED"


@pytest.mark.parametrize("seconds", [74, HOLD_SECONDS - 40])
async def test_nor_while_its_shard_is_away(paying, held, seconds, monkeypatch):
    await paying.wait(HOLD_SECONDS - 20 - seconds)

    async def away(_booking_id):
        return Unavailable(Trouble.SHARD_MOVING, "on the move")

    monkeypatch.setattr(paying.shard, "booking", away)
    paying.start()
    await paying.pay(held)
    await paying.wait(seconds)
    monkeypatch.undo()
    paying.start()
    await paying.wait(SWEEP.total_seconds() + 1)
    assert paying.status(held) == "CONFIRMED"


async def test_who_waits_for_no_seat_is_tried_ever_less_often(paying, held):
    await paying.pay(held)
    await paying.work()
    paying.provider.away = True
    await paying.mark(held, "AVAILED")
    await paying.wait(200)
    assert paying.row(held).look_at - paying.clock() > SWEEP


async def test_refunds_wait_for_a_provider_that_is_away_for_a_day(paying, held):
    await paying.pay(held)
    await paying.work()
    paying.provider.away = True
    before = paying.provider.calls["refund"]
    await paying.mark(held, "AVAILED")
    await paying.wait(24 * 3600)
    assert 250 < paying.provider.calls["refund"] - before < 350  # a second at first, five minutes at last
    assert paying.row(held).stuck is None
    paying.provider.away = False
    await paying.wait(300)
    assert paying.shown(held) == "refunded"
    paying.money_is_where_it_belongs()


async def test_a_provider_that_is_away_for_longer_is_told_to_a_person_and_tried_on(paying, held):
    await paying.pay(held)
    await paying.work()
    await paying.amend(held, party_size=1)
    paying.provider.away = True
    await paying.wait(AWAY_MAX.total_seconds() + 600)
    [stuck] = await paying.store.stuck(10)
    assert stuck.reason == "StoreUnavailable: the provider is away"
    assert paying.row(held).look_at > paying.clock()
    paying.provider.away = False
    await paying.wait(300)
    assert (paying.status(held), paying.payment(held).refunds[0].state) == ("CONFIRMED", RefundState.DONE)
    assert await paying.store.stuck(10) == []
    assert not paying.row(held).over


def without_money(paying, monkeypatch):
    """The account has too little for any refund, until `undo`."""

    async def refund(_asked):
        paying.provider.calls["refund"] += 1
        raise OwnerNeeded("balance_insufficient")

    monkeypatch.setattr(paying.provider, "refund", refund)


async def test_money_that_lacks_for_a_refund_is_told_to_a_person_soon(paying, held, monkeypatch):
    await paying.pay(held)
    await paying.work()
    without_money(paying, monkeypatch)
    await paying.mark(held, "AVAILED")
    await paying.wait(OWNER_NEEDED_MAX.total_seconds() - 600)
    assert await paying.store.stuck(10) == []
    await paying.wait(1200)
    [stuck] = await paying.store.stuck(10)
    assert stuck.reason == "OwnerNeeded: balance_insufficient"
    asked = paying.provider.calls["refund"]
    await paying.wait(3600)
    assert paying.provider.calls["refund"] == asked + 12
    monkeypatch.undo()
    await paying.wait(300)
    assert paying.shown(held) == "refunded"
    assert await paying.store.stuck(10) == []
    paying.money_is_where_it_belongs()


@pytest.mark.parametrize("error", [OwnerNeeded("balance_insufficient"), ZeroDivisionError("a bug")])
async def test_a_refund_that_fails_holds_up_no_closing(paying, held, error, monkeypatch):
    await paying.pay(held)
    await paying.work()
    await paying.amend(held, party_size=4)
    await paying.work()

    async def refund(_asked):
        raise error

    monkeypatch.setattr(paying.provider, "refund", refund)
    await paying.mark(held, "CANCELLED")
    await paying.work()
    assert paying.payment(held).charges[1].state is ChargeState.CLOSED
    assert paying.shown(held) == "refund_pending"
    assert str(error) in paying.row(held).error
    monkeypatch.undo()
    await paying.wait(300)
    assert paying.shown(held) == "refunded"
    paying.money_is_where_it_belongs()


async def test_a_closing_that_fails_holds_up_no_refund(paying, held, monkeypatch):
    await paying.pay(held)
    await paying.work()
    await paying.amend(held, party_size=4)
    await paying.work()

    async def close(_asked):
        raise StoreUnavailable("makes no sense")

    monkeypatch.setattr(paying.provider, "close", close)
    await paying.mark(held, "CANCELLED")
    await paying.work()
    assert paying.provider.refunded_minor() == DEPOSIT
    assert not paying.row(held).over
    assert paying.row(held).error == "StoreUnavailable: makes no sense"
    monkeypatch.undo()
    await paying.wait(300)
    assert paying.row(held).over


async def test_a_refund_that_fails_holds_up_no_asking(paying, held, monkeypatch):
    """The guest pays the difference that another amendment asks for, and the message is lost."""
    await paying.pay(held)
    await paying.work()
    without_money(paying, monkeypatch)
    await paying.amend(held, party_size=1)
    await paying.amend(held, party_size=3)
    await paying.work()
    await paying.pay(held, 2, told=False)
    await paying.wait(600)
    assert paying.payment(held).net_minor == DEPOSIT * 3 // 2
    assert paying.row(held).error == "OwnerNeeded: balance_insufficient"


async def test_a_charge_that_cannot_be_asked_about_holds_up_no_other(paying, held, monkeypatch):
    """Both messages of it are lost: the second payment of the first charge, the first of the second."""
    await paying.pay(held)
    await paying.work()
    await paying.amend(held, party_size=4)
    await paying.work()
    look = paying.provider.look

    async def no_sense(asked):
        if asked.number == 1:
            raise StoreUnavailable("makes no sense")
        return await look(asked)

    monkeypatch.setattr(paying.provider, "look", no_sense)
    paying.start()
    await paying.pay(held, told=False)
    await paying.wait(HOLD_SECONDS + 120)
    assert paying.row(held).error == "StoreUnavailable: makes no sense"
    await paying.pay(held, 2, told=False)
    await paying.wait(600)
    assert paying.payment(held).net_minor == 2 * DEPOSIT
    assert paying.row(held).error == "StoreUnavailable: makes no sense"
    monkeypatch.undo()
    paying.start()
    await paying.wait(300)
    assert paying.provider.refunded_minor() == DEPOSIT
    paying.money_is_where_it_belongs()


@pytest.mark.parametrize("error", [OwnerNeeded("no money"), ZeroDivisionError("a bug")])
async def test_of_several_that_fail_the_one_that_needs_a_person_soonest_is_told(paying, held, error, monkeypatch):
    await paying.pay(held)
    await paying.work()

    async def refund(_asked):
        raise error

    monkeypatch.setattr(paying.provider, "refund", refund)
    await paying.amend(held, party_size=1)
    paying.provider.away = True
    await paying.amend(held, party_size=3)
    await paying.wait(10)
    assert paying.payment(held).charges[1].state is ChargeState.OPENING
    assert paying.row(held).error == f"{type(error).__name__}: {error}"


async def test_what_fails_keeps_no_refusal_from_a_person(paying, held, monkeypatch):
    await paying.pay(held)
    await paying.work()
    without_money(paying, monkeypatch)
    paying.provider.refuses.add("open")
    await paying.amend(held, party_size=1)
    await paying.amend(held, party_size=3)
    await paying.wait(10)
    [stuck] = await paying.store.stuck(10)
    assert "charge 2 cannot be opened" in stuck.reason
    assert stuck.reason.endswith("; OwnerNeeded: balance_insufficient")
    assert paying.row(held).look_at is not None


async def test_each_payment_of_a_booking_has_tries_of_its_own(paying, held, monkeypatch):
    """The money for the one that was replaced cannot go back for hours; the one in its place is none the worse for it."""
    old = paying.payment(held)
    await paying.amend(held, party_size=4)
    await paying.pay(held)
    await paying.work()
    await paying.deliver(*paying.provider.pay(old.payment_id))
    without_money(paying, monkeypatch)
    await paying.amend(held, party_size=6)
    await paying.wait(1800)
    replaced = paying.store.rows[old.payment_id]
    assert replaced.tries > TRIES_MAX

    async def broken(*_args):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(paying.provider, "look", broken)
    paying.clock.advance(seconds=3600)
    tries = replaced.tries
    await paying.looks.look(held.booking_id, tries)
    assert (replaced.tries, paying.row(held).tries) == (tries + 1, 1)
    assert paying.row(held).stuck is None
    assert paying.row(held).look_at == paying.clock() + timedelta(seconds=1)
    monkeypatch.undo()
    paying.start()
    await paying.wait(600)
    assert paying.provider.refunded_minor() == DEPOSIT
    assert await paying.store.stuck(10) == []


async def test_a_refused_refund_is_given_to_a_person(paying, held):
    await paying.pay(held)
    await paying.work()
    paying.provider.refuses.add("refund")
    await paying.mark(held, "AVAILED")
    await paying.work()
    [stuck] = await paying.store.stuck(10)
    assert stuck.payment.refunds[0].state is RefundState.REFUSED
    assert "told to refuse" in stuck.reason
    await paying.tell(paying.now(held))
    await paying.work()
    assert [one.reason for one in await paying.store.stuck(10)] == [stuck.reason]
    assert paying.provider.calls["refund"] == 1


async def test_why_a_refund_was_refused_is_not_forgotten_while_the_provider_is_away(paying, held):
    await paying.pay(held)
    await paying.work()
    await paying.amend(held, party_size=4)
    await paying.work()
    paying.provider.refuses.add("refund")
    await paying.amend(held, party_size=1)
    await paying.work()
    [stuck] = await paying.store.stuck(10)
    assert "told to refuse" in stuck.reason
    paying.provider.away = True
    await paying.amend(held, party_size=3)
    await paying.wait(60)
    assert paying.row(held).tries > 0
    assert [one.reason for one in await paying.store.stuck(10)] == [stuck.reason]
    paying.provider.away = False
    await paying.wait(600)
    assert [one.reason for one in await paying.store.stuck(10)] == [stuck.reason]


async def test_a_provider_that_is_away_is_no_fault_of_ours_however_much_there_is_to_do(paying, held):
    await paying.pay(held)
    await paying.work()
    paying.provider.away = True
    for _ in range(45):
        await paying.amend(held, party_size=4)
        await paying.work()
        await paying.amend(held, party_size=2)
        await paying.work()
    await paying.wait(3600)
    assert await paying.store.stuck(10) == []
    assert "away" in paying.row(held).error
    paying.provider.away = False
    await paying.wait(3600)
    assert await paying.store.stuck(10) == []
    paying.money_is_where_it_belongs()


async def a_refund(paying, held):
    """A deposit that is back with its guest, and the payment."""
    await paying.pay(held)
    await paying.work()
    await paying.mark(held, "AVAILED")
    await paying.work()
    assert paying.shown(held) == "refunded"
    return paying.payment(held)


async def retried(paying, payment):
    """As `holdfast payments retry` does it."""
    before = await paying.store.by_id(payment.payment_id)
    await paying.store.write(before, refund_known(before, 1, RefundState.WANTED), booking_version=before.number)
    await paying.store.retry(payment.payment_id)


async def test_a_refund_that_a_bank_sends_back_is_given_to_a_person_who_has_it_made_anew(paying, held):
    payment = await a_refund(paying, held)
    booked = paying.moved(held)
    await paying.deliver(paying.provider.fail_refund(payment.payment_id))
    await paying.work()
    [stuck] = await paying.store.stuck(10)
    assert stuck.payment.refunds[0].state is RefundState.REFUSED
    assert paying.shown(held) == "refund_pending"
    assert not paying.row(held).over
    # What comes now of the time before is no news, nor is anything asked by itself.
    done = paying.provider.refunds[f"{payment.payment_id}/refund/1"].asked
    late = RefundSeen(stuck.payment.refunds[0].provider_ref, RefundState.DONE)
    await paying.inbox.put(paying.provider.name, "late", refund_body("late", *done_of(done), late))
    await paying.wait(3600)
    assert len(await paying.store.stuck(10)) == 1
    assert paying.provider.calls["refund"] == 1
    await retried(paying, payment)
    await paying.work()
    assert await paying.store.stuck(10) == []
    again = paying.payment(held).refunds[0]
    assert (again.state, paying.shown(held)) == (RefundState.DONE, "refunded")
    assert again.provider_ref != late.provider_ref
    for number, state in enumerate((RefundState.DONE, RefundState.REFUSED)):
        stale = refund_body(f"stale{number}", *done_of(done), replace(late, state=state))
        await paying.inbox.put(paying.provider.name, f"stale{number}", stale)
    await paying.work()
    assert paying.payment(held).refunds == (again,)
    assert paying.moved(held) == booked
    paying.money_is_where_it_belongs()


def done_of(asked):
    return asked.payment_id, asked.booking_id, asked.number


async def test_of_a_refund_that_is_made_anew_old_messages_say_nothing(paying, held):
    payment = await a_refund(paying, held)
    await paying.deliver(paying.provider.fail_refund(payment.payment_id))
    await paying.work()
    old = paying.payment(held).refunds[0].provider_ref
    paying.provider.away = True
    await retried(paying, payment)
    for number, state in enumerate((RefundState.DONE, RefundState.REFUSED)):
        body = refund_body(f"old{number}", payment.payment_id, payment.booking_id, 1, RefundSeen(old, state))
        await paying.inbox.put(paying.provider.name, f"old{number}", body)
    await paying.work()
    assert paying.payment(held).refunds[0].state is RefundState.WANTED
    paying.provider.away = False
    await paying.wait(600)
    assert paying.shown(held) == "refunded"
    assert paying.payment(held).refunds[0].provider_ref != old
    paying.money_is_where_it_belongs()


async def test_a_message_that_is_quicker_than_the_answer_has_the_provider_asked_at_once(paying, held):
    """The desk died with the answer; the refund is slow, and its message comes while we know no name of it."""
    paying.provider.slow_refunds = True
    await paying.pay(held)
    await paying.work()
    await paying.mark(held, "AVAILED")
    await paying.work()
    row = paying.row(held)
    row.payment = replace(
        row.payment, refunds=(replace(row.payment.refunds[0], state=RefundState.WANTED, provider_ref=None),)
    )
    row.look_at = paying.clock() + timedelta(days=1)
    await paying.deliver(*paying.provider.finish_refunds())
    await paying.work()
    assert paying.shown(held) == "refunded"


async def test_a_stuck_payment_with_an_open_charge_is_looked_at_all_the_same(paying, held):
    """Its refund is refused; the guest still pays the difference that another amendment asks for, and the message is lost."""
    await paying.pay(held)
    await paying.work()
    paying.provider.refuses.add("refund")
    await paying.amend(held, party_size=1)
    await paying.work()
    assert len(await paying.store.stuck(10)) == 1
    await paying.amend(held, party_size=3)
    await paying.work()
    assert len(await paying.store.stuck(10)) == 1
    await paying.pay(held, 2, told=False)
    await paying.wait(600)
    assert paying.payment(held).net_minor == DEPOSIT * 3 // 2
    assert len(await paying.store.stuck(10)) == 1
    assert paying.provider.calls["refund"] == 1


async def test_money_for_an_ended_hold_is_no_secret_because_its_payment_is_stuck(paying, held):
    """Its refund is refused; what was paid once more and nobody told of is asked for once the checkout is over."""
    await paying.pay(held)
    await paying.work()
    paying.provider.refuses.add("refund")
    await paying.mark(held, "CANCELLED")
    await paying.work()
    assert len(await paying.store.stuck(10)) == 1
    await paying.pay(held, told=False)
    await paying.wait(2 * HOLD_SECONDS)
    assert paying.payment(held).captured_minor == 2 * DEPOSIT
    assert paying.row(held).look_at is None


@pytest.mark.parametrize("stuck", [False, True])
async def test_money_that_comes_while_a_look_ends_badly_is_looked_at(paying, held, stuck, monkeypatch):
    """The capture wrote down that it is due: that is not to be put off."""
    others = []

    async def overtaken(*_args):
        payment = paying.payment(held)
        received = Capture("came-just-then", 1, DEPOSIT)
        others.append(await paying.store.write(payment, capture(payment, received), booking_version=1))
        raise ZeroDivisionError("a bug") if stuck else StoreUnavailable("away")

    monkeypatch.setattr(paying.provider, "look", overtaken)
    paying.clock.advance(seconds=SWEEP.total_seconds() + 1)
    await paying.looks.look(held.booking_id, TRIES_MAX)
    assert len(others) == 1
    assert paying.row(held).look_at == paying.clock()
    assert await paying.store.stuck(10) == []


async def test_what_fails_after_a_step_was_written_is_put_off_too(paying, held):
    """The look that fails names the payment as it left it, not as it found it."""
    paying.provider.away = True
    await paying.mark(held, "CANCELLED")
    await paying.store.nudge([held.booking_id])
    await paying.looks.look(held.booking_id, 3)
    assert paying.row(held).look_at > paying.clock()
    assert paying.row(held).tries > 0


async def test_a_charge_that_the_provider_will_not_open_is_given_to_a_person_and_ends_with_the_hold(paying):
    paying.provider.refuses.add("open")
    held = await paying.hold()
    await paying.wait(10)
    [stuck] = await paying.store.stuck(10)
    assert "cannot be opened" in stuck.reason
    await paying.wait(HOLD_SECONDS)
    assert (paying.status(held), paying.shown(held)) == ("EXPIRED", "void")
    assert await paying.store.stuck(10) == []


async def test_a_fault_of_our_own_is_given_up_after_some_tries(paying, held, monkeypatch):
    async def broken(*_args):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(paying.provider, "look", broken)
    await paying.wait(3600)
    [stuck] = await paying.store.stuck(10)
    assert stuck.reason == "ZeroDivisionError: a bug"
    assert stuck.payment == paying.payment(held)


async def test_tries_are_counted_before_it_is_given_up(paying, held, monkeypatch):
    calls = []

    async def broken(*_args):
        calls.append(1)
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(paying.provider, "look", broken)
    await paying.wait(540)
    assert len(calls) == TRIES_MAX


@pytest.mark.parametrize(("seconds", "goes_on"), [(1, True), (2 * HOLD_SECONDS, False)])
async def test_a_booking_that_cannot_be_read_is_given_to_a_person(paying, held, seconds, goes_on, monkeypatch):
    """It would else be the one that is due the longest for ever; a hold may be paid meanwhile."""

    async def broken(_booking_id):
        raise ValueError("a row of another version")

    await paying.wait(seconds)
    if not goes_on:
        await paying.pay(held)
    monkeypatch.setattr(paying.shard, "booking", broken)
    await paying.store.nudge([held.booking_id])
    await paying.wait(3600)
    [stuck] = await paying.store.stuck(10)
    assert stuck.reason == "ValueError: a row of another version"
    assert (paying.row(held).look_at is not None) == goes_on
    monkeypatch.undo()
    await paying.store.retry(stuck.payment.payment_id)
    await paying.wait(60)
    assert await paying.store.stuck(10) == []
    paying.money_is_where_it_belongs()


async def test_a_payment_with_another_provider_waits_until_that_one_runs_again(paying, held):
    await paying.pay(held)
    await paying.work()
    paying.provider.name = "another"
    await paying.mark(held, "AVAILED")
    await paying.work()
    assert "memory" in paying.row(held).error
    assert paying.provider.calls["refund"] == 0
    paying.provider.name = "memory"
    await paying.wait(10)
    assert paying.shown(held) == "refunded"


async def test_a_shard_on_the_move_is_asked_again(paying, held):
    away = Unavailable(Trouble.SHARD_MOVING, "on the move")
    paying.shard.answers = [away, away]
    await paying.pay(held)
    await paying.work()
    assert paying.status(held) == "BLOCKED"
    assert paying.row(held).error == "StoreUnavailable: on the move"
    await paying.wait(3)
    assert paying.status(held) == "CONFIRMED"
    assert paying.notes.doubted == []


async def test_of_an_unknown_outcome_the_cache_is_not_believed(paying, held):
    paying.shard.answers = [Unavailable(Trouble.OUTCOME_UNKNOWN, "lost")]
    await paying.pay(held)
    await paying.work()
    assert paying.notes.doubted == [held.booking_id]
    await paying.wait(3)
    assert paying.status(held) == "CONFIRMED"


async def test_a_confirmation_whose_first_answer_was_lost_is_read_again(paying, held):
    """The shard remembers it, as it was then."""
    await paying.pay(held)

    async def ask(command):
        done = paying.house.change(command)
        paying.house.mark(done, "CANCELLED")
        return Done(done, replayed=True)

    paying.shard.ask = ask
    paying.start()
    await paying.work()
    assert (paying.status(held), paying.shown(held)) == ("CANCELLED", "refunded")
    assert [replayed for _, replayed in paying.notes.noted] == [True]


async def test_a_booking_that_moved_on_is_read_again(paying, held):
    paying.shard.answers = [Rejection(Reason.VERSION_CONFLICT, "moved on")]
    await paying.pay(held)
    await paying.work()
    assert paying.status(held) == "CONFIRMED"
    assert paying.notes.doubted == [held.booking_id]


async def test_a_hold_that_ends_while_it_is_confirmed(paying, held):
    paying.shard.answers = [Rejection(Reason.HOLD_EXPIRED, "over")]
    await paying.pay(held)
    await paying.work()
    assert paying.row(held).tries == 0
    paying.clock.advance(seconds=HOLD_SECONDS)
    await paying.expire(tell=False)
    await paying.work()
    assert (paying.status(held), paying.shown(held)) == ("EXPIRED", "refunded")


async def test_a_booking_that_left_for_the_archive(paying, held):
    await paying.wait(HOLD_SECONDS + 60)
    paying.shard.archive[held.booking_id] = paying.house.bookings.pop(held.booking_id)
    await paying.deliver(*paying.provider.pay(paying.payment(held).payment_id))
    await paying.work()
    assert paying.provider.refunded_minor() == DEPOSIT


async def test_a_booking_that_is_nowhere_moves_no_money(paying, held):
    await paying.pay(held)
    await paying.work()
    del paying.house.bookings[held.booking_id]
    await paying.store.nudge([held.booking_id])
    await paying.work()
    [stuck] = await paying.store.stuck(10)
    assert "nowhere" in stuck.reason
    assert paying.provider.refunded_minor() == 0


# Messages


async def test_a_message_of_an_unknown_payment_is_tried_for_a_while_and_then_shown(paying, held):
    await paying.pay(held)
    row = paying.store.rows.pop(paying.payment(held).payment_id)
    await paying.wait(60)
    assert await paying.inbox.stuck(10) == []
    await paying.wait(600)
    [stuck] = await paying.inbox.stuck(10)
    assert stuck.message.tries == MESSAGE_TRIES_MAX
    assert str(row.payment.payment_id) in stuck.error
    assert await paying.inbox.waiting(10) == []


async def test_a_message_that_came_before_its_payment_could_be_read(paying, held):
    await paying.pay(held)
    row = paying.store.rows.pop(paying.payment(held).payment_id)
    await paying.work()
    paying.store.rows[row.payment.payment_id] = row
    await paying.wait(3)
    assert paying.status(held) == "CONFIRMED"


async def test_a_message_that_makes_no_sense_is_shown_at_once(paying):
    await paying.inbox.put(paying.provider.name, "1", b"what?")
    await paying.inbox.put("nobody", "2", b"from nobody")
    await paying.work()
    assert [stuck.message.event_id for stuck in await paying.inbox.stuck(10)] == ["1", "2"]


async def test_money_in_another_currency_is_not_booked_and_shown_at_once(paying, held):
    await paying.work()
    payment = paying.payment(held)
    body = captured_body("dollars", payment.payment_id, held.booking_id, Capture("cap-usd", 1, DEPOSIT), "USD")
    await paying.inbox.put(paying.provider.name, "dollars", body)
    await paying.work()
    [stuck] = await paying.inbox.stuck(10)
    assert (stuck.message.event_id, stuck.message.tries) == ("dollars", 1)
    assert payment.currency in stuck.error
    assert "USD" in stuck.error
    assert paying.moved(held) == []
    assert (paying.status(held), paying.shown(held)) == ("BLOCKED", "pending")


async def test_a_message_that_breaks_us_is_tried_again_and_holds_up_no_other(paying, held, monkeypatch):
    other = await paying.hold()
    broken = paying.payment(held).payment_id
    by_id = paying.store.by_id

    async def breaking(payment_id):
        if payment_id == broken:
            raise ZeroDivisionError("a bug")
        return await by_id(payment_id)

    monkeypatch.setattr(paying.store, "by_id", breaking)
    paying.start()
    await paying.pay(held)
    await paying.pay(other)
    await paying.work()
    assert paying.status(other) == "CONFIRMED"
    monkeypatch.undo()
    paying.start()
    await paying.wait(3)
    assert paying.status(held) == "CONFIRMED"


async def test_messages_wait_while_the_payments_are_away(paying, held):
    await paying.pay(held)
    [message] = await paying.inbox.waiting(10)
    paying.store.away = True
    with pytest.raises(StoreUnavailable):
        await paying.messages.take(message)
    assert await paying.inbox.waiting(10) == [message]


async def test_two_desks_that_take_the_same_message(paying, held):
    """The slower one finds the payment changed, and looks again."""
    await paying.pay(held)
    [message] = await paying.inbox.waiting(10)
    write, times = paying.store.write, []

    async def overtaken(before, after, *, booking_version):
        if not times:
            times.append(1)
            await write(before, after, booking_version=booking_version)
        return await write(before, after, booking_version=booking_version)

    paying.store.write = overtaken
    paying.start()
    await paying.messages.take(message)
    await paying.work()
    assert (paying.status(held), paying.moved(held)) == ("CONFIRMED", [("capture", DEPOSIT)])


# Crashes


async def a_life(paying):
    """Much of what can happen to two bookings."""
    first = await paying.hold()
    await paying.pay(first, times=2)
    await paying.work()
    await paying.amend(first, party_size=4)
    await paying.work()
    second = await paying.hold()
    await paying.amend(second, party_size=3)
    await paying.work()
    await paying.pay(second)
    await paying.work()
    await paying.mark(second, "CANCELLED")
    await paying.work()


STEPS = 150


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, STEPS))
async def test_a_crash_anywhere_heals(at, after):
    paying = Paying()
    paying.start(Trips(at, after=after))
    with suppress(Crash):
        await a_life(paying)
    paying.start()
    await heal(paying)
    for booking in list(paying.house.bookings.values()):
        if paying.status(booking) == "BLOCKED":
            payment = paying.payment(booking)
            assert payment.payable.checkout_url
    paying.money_is_where_it_belongs()
    await paying.wait(2 * HOLD_SECONDS)
    paying.money_is_where_it_belongs()
    assert {row.stuck for row in paying.store.rows.values()} == {None}


async def heal(paying):
    """Two sweeps, and the events that come until they were heard."""
    for _ in range(2):
        paying.clock.advance(seconds=SWEEP.total_seconds())
        older_than = paying.clock() - timedelta(seconds=1)
        lacking = (await paying.store.without_payment(older_than, 10)).booking_ids
        for booking_id in {*lacking, *(await paying.store.unnoticed(older_than, 10)).booking_ids}:
            await paying.looks.look(booking_id)
        await paying.work()


async def test_the_crashes_reach_the_end_of_that_life():
    paying = Paying()
    trips = Trips(10**6)
    paying.start(trips)
    await a_life(paying)
    assert 60 < 10**6 - trips.left < STEPS


async def test_a_booking_whose_event_and_arrangement_were_lost_is_found(paying, held):
    await paying.pay(held)
    await paying.work()
    paying.house.mark(paying.now(held), "AVAILED")
    await paying.wait(60)
    assert paying.shown(held) == "captured"
    older_than = paying.clock() - timedelta(seconds=1)
    assert (await paying.store.unnoticed(older_than, 10)).booking_ids == [held.booking_id]
    await paying.looks.look(held.booking_id)
    await paying.work()
    assert paying.shown(held) == "refunded"
    assert (await paying.store.unnoticed(older_than, 10)).booking_ids == []


async def test_a_payment_that_changes_all_the_time_is_left_to_the_next_look(paying, held):
    await paying.pay(held)

    async def conflict(*_args, **_kwargs):
        raise VersionConflict("again")

    paying.store.write = conflict
    paying.start()
    paying.clock.advance(seconds=5)
    with pytest.raises(StoreUnavailable):
        await paying.looks.look(held.booking_id)


def test_no_call_goes_past_the_trip_wire(paying):
    assert isinstance(paying.looks._store, Fragile)
    assert paying.looks._store.write is not paying.store.write


# A message that leaves the fee out


def _without_fee(provider):
    """As Stripe's: the message of a payment does not say what it cost."""
    understood = provider.understood

    def bare(body):
        event = understood(body)
        if event.capture is None:
            return event
        return replace(event, capture=replace(event.capture, fee_minor=0), tells_all=False)

    provider.understood = bare


async def test_a_fee_that_the_message_leaves_out_is_asked_for_and_booked_with_the_money(paying, held):
    paying.provider.fee_basis_points = 300
    await paying.work()
    told = await paying.pay(held, told=False)
    _without_fee(paying.provider)
    await paying.deliver(*told)
    await paying.work()
    assert paying.moved(held) == [("capture", DEPOSIT), ("fee", DEPOSIT * 3 // 100)]
    assert paying.status(held) == "CONFIRMED"


async def test_a_seat_does_not_wait_for_a_fee(paying, held):
    paying.provider.fee_basis_points = 300
    await paying.work()
    told = await paying.pay(held, told=False)
    _without_fee(paying.provider)
    paying.provider.away = True
    await paying.deliver(*told)
    await paying.work()
    assert paying.moved(held) == [("capture", DEPOSIT)]
    assert paying.status(held) == "CONFIRMED"


async def test_a_fee_that_was_learned_after_its_money_is_booked_then(paying, held):
    paying.provider.fee_basis_points = 300
    await paying.work()
    told = await paying.pay(held, told=False)
    understood = paying.provider.understood
    _without_fee(paying.provider)
    paying.provider.away = True
    await paying.deliver(*told)
    await paying.work()
    assert paying.moved(held) == [("capture", DEPOSIT)]
    paying.provider.away = False
    paying.provider.understood = understood
    body = paying.provider.messages[told[0]]
    await paying.inbox.put(paying.provider.name, "again", body)
    await paying.work()
    assert paying.moved(held) == [("capture", DEPOSIT), ("fee", DEPOSIT * 3 // 100)]
