"""The money of a booking: each row of docs/reference/payments.md acted out, and what a table cannot show."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import pytest

from domain.booking import Booking, BookingStatus
from domain.ids import UserId
from domain.ledger import Account, Movement, MovementKind, causes, movements
from domain.money import Money
from domain.payment import (
    Capture,
    Charge,
    ChargeState,
    Payment,
    PaymentStatus,
    Refund,
    RefundState,
    capture,
    closed,
    current_of,
    declined,
    due_of,
    opened,
    payment_id_of,
    refund_known,
    refund_told,
    status_of,
)
from domain.payment_steps import (
    CloseCheckout,
    ConfirmBooking,
    OpenCheckout,
    SendRefund,
    Write,
    look_again_at,
    new_payment,
    next_step,
    over,
    steps,
)
from domain.vendor import Approval, Deposit, DepositKind, Policy
from tests.domain.deposit_life import BOOKED_AT, EVENTS, LATE_AT, POLICY, STARTS_AT, STATES, Act, difference_due, paid
from tests.domain.desk import GUEST, HOUSE, SYSTEM, VENDOR_ID, Desk, hotel, restaurant, room
from tests.domain.till import FEE, Till

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "payments.md").read_text("utf-8")
NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def told_by_the_page() -> dict[tuple[str, str], tuple[str, ...]]:
    """The cells of each state and event; several events that end alike share a row."""
    rows: dict[tuple[str, str], tuple[str, ...]] = {}
    state = ""
    for line in PAGE.splitlines():
        if line.startswith("## "):
            state = line[3:]
        elif line.startswith("| ") and state in STATES and not line.startswith("| event "):
            events, *cells = (cell.strip() for cell in line.strip().strip("|").split("|"))
            for event in events.split(" / "):
                assert (state, event) not in rows, "told twice"
                rows[state, event] = tuple(cells)
    return rows


TOLD = told_by_the_page()


def test_the_page_tells_of_every_state_and_every_event() -> None:
    assert set(TOLD) == {(state, event) for state in STATES for event in EVENTS}


@pytest.mark.parametrize(("state", "event"), [pytest.param(*key, id=": ".join(key)) for key in TOLD])
def test_the_deposits_life(state: str, event: str) -> None:
    act = STATES[state]()
    lines_before = len(act.till.books.ledger)
    outcome = EVENTS[event](act)
    cells = act.cells(outcome, lines_before)
    assert cells == TOLD[state, event], f"| {event} | {' | '.join(cells)} |"
    comes_to_rest(act)


def comes_to_rest(act: Act) -> None:
    """Money with the provider and in our books is the same, each entry has its other side, and all of it has its place."""
    till, booking = act.till, act.booking
    payments = till.books.of(act.booking_id)
    for payment in payments:
        current = payment is current_of(payments)
        assert next_step(payment, booking, current=current, now=act.desk.now) is None
        assert payment.captured_minor == till.provider.captured(payment.payment_id)
        assert payment.refunded_minor == till.provider.given_back(payment.payment_id)
        assert payment.refunding_minor == 0
        deposit = booking.terms.deposit if current and booking.live and not booking.deposit_waived else None
        due = due_of(payment, booking, current=current)
        held = payment.kept_minor if deposit is None else deposit.amount_minor - (due.amount_minor if due else 0)
        assert payment.net_minor == held
        assert over(payment, booking, current=current) == (not current or not booking.live)
    payable = [charge for payment in payments for charge in payment.charges if charge.state in ("open", "declined")]
    assert sum(checkout.open for checkout in till.provider.checkouts.values() if not checkout.captures) == len(payable)
    assert len(payable) <= 1
    for currency in {line.currency for line in till.books.ledger}:
        balances = till.books.balances()
        sums = {account: balances.get((currency, account), 0) for account in Account}
        mine = [payment for payment in payments if payment.currency == currency]
        assert sum(sums.values()) == 0
        assert sums[Account.FEES] == FEE * sum(len(payment.captures) for payment in mine)
        assert sums[Account.PROVIDER] == sum(payment.net_minor for payment in mine) - sums[Account.FEES]
        assert sums[Account.VENDOR] == -sum(payment.kept_minor for payment in mine)


def test_the_page_points_to_rows_and_tests_that_are_there() -> None:
    pointers = PAGE.split("## What the contract says")[1]
    rows = {": ".join(key) for key in TOLD}
    named = [name for line in pointers.splitlines()[6:] for name in re.findall("`([^`]+)`", line.split("|")[2])]
    assert len(named) > 30
    assert [name for name in named if name not in rows and name not in globals()] == []


# What a row of a table cannot show.


def booked(seconds: int = 600, deposit_minor: int = 2000, approval: Approval = Approval.AUTOMATIC) -> Desk:
    deposit = Deposit(DepositKind.PER_BOOKING, deposit_minor)
    policy = Policy(hold_ttl_seconds=seconds, deposit=deposit, approval=approval, keep_on_late_cancel_percent=50)
    desk = Desk(restaurant(policy=replace(policy, cancel_before_hours=24)))
    desk.booked("24T19:00")
    return desk


def booking_of(desk: Desk) -> Booking:
    return next(iter(desk.bookings.values()))


def asked(desk: Desk) -> Payment:
    payment = new_payment(booking_of(desk), (), "till", desk.now)
    assert payment is not None
    return payment


def money(amount_minor: int = 2000, reference: str = "c1", charge: int = 1, fee: int = 0) -> Capture:
    return Capture(reference, charge, amount_minor, fee)


def written(payment: Payment, booking: Booking | None, *, current: bool = True, now: datetime = NOW) -> Payment:
    """What is written down next; the payment itself where nothing is."""
    step = next_step(payment, booking, current=current, now=now)
    return step.after if isinstance(step, Write) else payment


def test_a_new_payment_says_what_was_agreed_on() -> None:
    desk = booked()
    booking = booking_of(desk)
    payment = asked(desk)
    assert payment == Payment(
        payment_id_of(booking.booking_id, 1),
        booking.booking_id,
        VENDOR_ID,
        UserId(UUID(int=1)),
        1,
        "till",
        "EUR",
        2000,
        desk.now,
        charges=(Charge(1, 2000, 1, closes_at=desk.now + timedelta(seconds=570)),),
    )
    assert new_payment(booking, (payment,), "till", desk.now) is None
    assert payment_id_of(booking.booking_id, 2) != payment.payment_id


@pytest.mark.parametrize(("seconds", "closes_after"), [(1, 1), (60, 60), (61, 31), (600, 570), (86_400, 86_370)])
def test_a_checkout_closes_before_its_hold(seconds: int, closes_after: int) -> None:
    desk = booked(seconds)
    payment = opened(asked(desk), 1, "ref", "url")
    closes_at = desk.now + timedelta(seconds=closes_after)
    assert payment.charges[0].closes_at == closes_at
    before, after = closes_at - timedelta(microseconds=1), closes_at
    booking = booking_of(desk)
    assert next_step(payment, booking, current=True, now=before) is None
    closing = written(payment, booking, now=after)
    assert [charge.state for charge in closing.charges] == [ChargeState.CLOSING]
    assert next_step(closing, booking, current=True, now=after) == CloseCheckout(closing.charges[0])
    assert next_step(closed(closing, 1), booking, current=True, now=after) is None


def test_an_amendment_does_not_keep_the_checkout_open() -> None:
    """Neither does it extend the hold, nor is there another checkout in its last 30 seconds."""
    act = Act()
    act.desk.update(policy=replace(act.desk.vendor.policy, cancel_before_hours=0))
    act.amend(starts_at="24T20:00")
    first = act.till.current(act.booking_id).charges[0]
    act.until(BOOKED_AT + timedelta(hours=24, seconds=-30))
    act.desk.amend(act.booking, party_size=3)
    act.look()
    replaced = act.till.current(act.booking_id)
    assert (replaced.number, replaced.charges[0].closes_at) == (3, first.closes_at)
    assert [charge.state for charge in replaced.charges] == [ChargeState.CLOSED]
    assert act.till.provider.checkouts[act.till.books.of(act.booking_id)[0].payment_id, 1].open is False
    assert (replaced.payable, status_of(replaced, act.booking, current=True)) == (None, "pending")


def test_a_checkout_that_the_provider_closed_too_early_is_followed_by_another() -> None:
    desk = booked()
    payment = closed(opened(asked(desk), 1, "ref", "url"), 1)
    again = written(payment, booking_of(desk), now=desk.now)
    assert again.charges[1:] == (Charge(2, 2000, 1, closes_at=payment.charges[0].closes_at),)


def test_what_is_due_can_be_paid() -> None:
    act = difference_due()
    payment = act.till.current(act.booking_id)
    assert payment.payable is not None
    assert (payment.payable.number, payment.payable.amount_minor, payment.payable.closes_at) == (2, 1001, None)
    assert payment.payable.checkout_url == "https://provider.example/co_1"
    assert due_of(payment, act.booking, current=True) == Money(1001, "EUR")
    act.decline()
    payment = act.till.current(act.booking_id)
    assert payment.payable is not None
    assert payment.payable.state is ChargeState.DECLINED


@pytest.mark.parametrize(
    ("mark", "bill", "kept_if_paid", "kept_if_not"),
    [("NO_SHOW", None, 3003, 2002), ("AVAILED", 2500, 2500, 2002), ("AVAILED", 500, 500, 500), ("AVAILED", None, 0, 0)],
)
def test_what_is_kept_of_a_visit_waits_for_the_last_checkout(
    mark: str, bill: int | None, kept_if_paid: int, kept_if_not: int
) -> None:
    """Unless what came already decides it."""
    act = difference_due()
    act.desk.now = STARTS_AT + HOUR
    ended = act.desk.mark(act.booking, mark, **({} if bill is None else {"bill": Money(bill, "EUR")}))
    assert isinstance(ended, Booking)
    payment = written(act.till.current(act.booking_id), ended)
    assert payment.charges[1].state is ChargeState.CLOSING
    assert payment.settled_version == (0 if kept_if_paid != kept_if_not else ended.version)
    assert CloseCheckout(payment.charges[1]) in list(steps(payment, ended, current=True, now=NOW))
    assert not over(payment, ended, current=True)
    paid_in_time = capture(payment, Capture("cap_2", 2, 1001, 0))
    for last, kept in ((paid_in_time, kept_if_paid), (closed(payment, 2), kept_if_not)):
        done = written(last, ended)
        assert (done.kept_minor, done.settled_version) == (kept, ended.version)
        assert done.net_minor == kept


def test_the_newest_checkout_is_the_one_to_pay_at() -> None:
    """The one before it may be open still: the new one is opened first, while somebody waits for its address."""
    act = difference_due()
    act.desk.amend(act.booking, party_size=4)
    payment = act.till.current(act.booking_id)
    both = written(payment, act.booking, now=act.desk.now)
    assert [charge.state for charge in both.charges] == ["paid", "closing", "opening"]
    todo = list(steps(both, act.booking, current=True, now=act.desk.now))
    assert todo == [OpenCheckout(both.charges[2]), CloseCheckout(both.charges[1])]
    assert both.payable == both.charges[2]
    assert payment.payable == payment.charges[1]
    assert capture(both, money(2002, charge=3)).payable is None


@pytest.mark.parametrize("state", [RefundState.WANTED, RefundState.SENT, RefundState.REFUSED])
@pytest.mark.parametrize(
    ("mark", "more", "after"),
    [("CANCELLED", {}, "refunded"), ("AVAILED", {}, "refunded"), ("AVAILED", {"bill": Money(5, "EUR")}, "kept")],
)
def test_a_refund_is_pending_until_the_provider_has_done_it(
    state: RefundState, mark: str, more: dict[str, Money], after: str
) -> None:
    act = paid()
    act.desk.mark(act.booking, mark, **more)
    payment = act.till.current(act.booking_id)
    assert status_of(payment, act.booking, current=True) == "captured"
    payment = refund_known(written(payment, act.booking), 1, state)
    assert status_of(payment, act.booking, current=True) is PaymentStatus.REFUND_PENDING
    assert (payment.refunded_minor, payment.net_minor) == (0, payment.kept_minor)
    assert not over(payment, act.booking, current=True)
    asks = next_step(payment, act.booking, current=True, now=NOW)
    assert asks == (None if state is RefundState.REFUSED else SendRefund(payment.refunds[0]))
    done = refund_known(payment, 1, RefundState.DONE)
    assert status_of(done, act.booking, current=True) == after
    assert over(done, act.booking, current=True)


WANTED, SENT, DONE, REFUSED = RefundState


@pytest.mark.parametrize(
    ("before", "state", "ref", "after"),
    [
        *[
            (Refund(1, "c1", 5, DONE, "re_1"), state, ref, None)
            for state in (WANTED, SENT, DONE)
            for ref in (None, "re_1")
        ],
        *[(Refund(1, "c1", 5, DONE, "re_1"), REFUSED, ref, None) for ref in (None, "re_0")],
        # A bank sends it back days later; what is told of it afterwards is older.
        (Refund(1, "c1", 5, DONE, "re_1"), REFUSED, "re_1", Refund(1, "c1", 5, REFUSED, "re_1")),
        *[(Refund(1, "c1", 5, REFUSED, "re_1"), state, "re_1", None) for state in (SENT, DONE, REFUSED)],
        # A person has it made anew, or has settled it otherwise.
        (Refund(1, "c1", 5, REFUSED, "re_1"), WANTED, None, Refund(1, "c1", 5)),
        (Refund(1, "c1", 5, REFUSED, "re_1"), DONE, "by hand: x", Refund(1, "c1", 5, DONE, "by hand: x")),
        (Refund(1, "c1", 5, DONE, "by hand: x"), REFUSED, "re_1", None),
        (Refund(1, "c1", 5, SENT, "re_1"), WANTED, None, None),
        (Refund(1, "c1", 5), SENT, "re_2", Refund(1, "c1", 5, SENT, "re_2")),
        (Refund(1, "c1", 5), REFUSED, None, Refund(1, "c1", 5, REFUSED)),
    ],
)
def test_what_becomes_of_a_refund(before: Refund, state: RefundState, ref: str | None, after: Refund | None) -> None:
    """`after` is None where nothing changes."""
    payment = replace(asked(booked()), captures=(money(),), refunds=(before,))
    known = refund_known(payment, 1, state, ref)
    assert known.refunds == (after or before,)
    assert (known is payment) == (after is None)
    assert movements(payment, known) == (), "the ledger booked it when it was decided"
    with pytest.raises(KeyError):
        refund_known(payment, 2, state, ref)


def test_a_refund_that_fails_after_it_was_done_is_pending_again_and_the_booking_is_not_over() -> None:
    act = paid()
    act.mark("CANCELLED", by=GUEST)
    payment = act.till.current(act.booking_id)
    name = payment.refunds[0].provider_ref
    assert over(payment, act.booking, current=True)
    failed = refund_known(payment, 1, REFUSED, name)
    assert (failed.refunded_minor, failed.net_minor) == (0, payment.net_minor)
    assert status_of(failed, act.booking, current=True) == "refund_pending"
    assert not over(failed, act.booking, current=True)
    assert next_step(failed, act.booking, current=True, now=NOW) is None
    again = refund_known(failed, 1, WANTED)
    assert next_step(again, act.booking, current=True, now=NOW) == SendRefund(again.refunds[0])


@pytest.mark.parametrize("known", [None, "re_2"])
@pytest.mark.parametrize("state", [SENT, DONE, REFUSED])
def test_a_message_about_a_try_that_failed_before_says_nothing_of_this_one(
    known: str | None, state: RefundState
) -> None:
    refund = Refund(1, "c1", 5, WANTED if known is None else SENT, known)
    payment = replace(asked(booked()), captures=(money(),), refunds=(refund,))
    assert refund_told(payment, 1, state, "re_1") is payment
    with pytest.raises(KeyError):
        refund_told(payment, 2, state, "re_1")
    if known is not None:
        assert refund_told(payment, 1, state, known).refunds == (replace(refund, state=state),)


def test_a_fee_may_be_known_later_than_its_money_and_is_booked_once() -> None:
    before = capture(asked(booked()), money())
    after = capture(before, money(fee=60))
    assert after == replace(before, captures=(money(fee=60),))
    assert movements(before, after) == (Movement(MovementKind.FEE, Account.PROVIDER, Account.FEES, 60, "c1"),)
    for later in (money(), money(fee=60), money(fee=90)):
        assert capture(after, later) is after
    assert movements(None, after) == (*movements(None, before), *movements(before, after))


def test_what_the_provider_says_of_a_refund_is_known_once() -> None:
    refunding = replace(asked(booked()), captures=(money(),), refunds=(Refund(1, "c1", 500), Refund(2, "c1", 500)))
    sent = refund_known(refunding, 2, RefundState.SENT, "re_2")
    assert sent.refunds == (Refund(1, "c1", 500), Refund(2, "c1", 500, RefundState.SENT, "re_2"))
    assert refund_known(sent, 2, RefundState.SENT) is sent
    assert refund_known(sent, 2, RefundState.DONE).refunds[1] == Refund(2, "c1", 500, RefundState.DONE, "re_2")


def test_what_is_told_twice_changes_nothing() -> None:
    desk = booked()
    payment = opened(asked(desk), 1, "ref", "url")
    assert opened(payment, 1, "ref", "url") is payment
    refused = declined(payment, 1)
    assert refused.charges[0].state is ChargeState.DECLINED
    assert declined(refused, 1) is refused
    took = capture(refused, money())
    assert took.charges[0].state is ChargeState.PAID
    assert capture(took, money()) is took
    assert capture(took, money(reference="c2")).captured_minor == 4000
    over_now = closed(refused, 1)
    assert over_now.charges[0].state is ChargeState.CLOSED
    assert closed(over_now, 1) is over_now
    for late in (declined, closed):
        assert late(took, 1) is took
        assert late(over_now, 1) is over_now
    for change in (
        lambda: capture(payment, money(charge=2)),
        lambda: closed(payment, 2),
        lambda: declined(payment, 2),
        lambda: opened(payment, 2, "", ""),
    ):
        with pytest.raises(KeyError):
            change()


@pytest.mark.parametrize("state", list(ChargeState))
def test_money_may_come_for_a_charge_in_any_state(state: ChargeState) -> None:
    payment = asked(booked())
    payment = replace(payment, charges=(replace(payment.charges[0], state=state),))
    took = capture(payment, money())
    assert (took.charges[0].state, took.captured_minor) == (ChargeState.PAID, 2000)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("opening", "open"),
        ("open", "open"),
        ("declined", "declined"),
        ("paid", "paid"),
        ("closing", "closing"),
        # The opening was under way while somebody closed what was not there yet.
        ("closed", "closing"),
    ],
)
def test_a_checkout_opened_late_is_closed_again(before: str, after: str) -> None:
    payment = asked(booked())
    payment = replace(payment, charges=(replace(payment.charges[0], state=ChargeState(before)),))
    late = opened(payment, 1, "ref", "url").charges[0]
    assert (late.state, late.provider_ref, late.checkout_url) == (after, "ref", "url")


def test_a_checkout_that_was_declined_before_its_opening_was_known_is_still_found_out() -> None:
    desk = booked()
    payment = declined(asked(desk), 1)
    assert status_of(payment, booking_of(desk), current=True) == "declined"
    assert next_step(payment, booking_of(desk), current=True, now=NOW) == OpenCheckout(payment.charges[0])
    payment = opened(payment, 1, "ref", "url")
    assert (payment.charges[0].state, payment.charges[0].checkout_url) == ("declined", "url")
    assert next_step(payment, booking_of(desk), current=True, now=NOW) is None


def test_an_opening_that_overtakes_its_closing_is_closed_after_all() -> None:
    till = Till(restaurant(policy=POLICY))
    booking = till.desk.booked("24T19:00")
    slow = till.look(booking.booking_id)
    while not till.books.of(booking.booking_id):
        next(slow)
    next(slow)  # about to call the provider
    till.desk.mark(booking, "CANCELLED")
    till.finish(booking.booking_id)
    payment = till.current(booking.booking_id)
    assert (payment.charges[0].state, till.provider.checkouts) == ("closed", {})
    for _ in slow:
        pass
    assert [checkout.open for checkout in till.provider.checkouts.values()] == [False]
    assert till.current(booking.booking_id).charges[0].state == "closed"


def test_part_of_a_deposit_is_not_enough_and_the_rest_is_asked_for() -> None:
    desk = booked()
    payment = written(capture(asked(desk), money(1999)), booking_of(desk))
    assert payment.charges[1] == Charge(2, 1, 1, closes_at=payment.charges[0].closes_at)
    assert due_of(payment, booking_of(desk), current=True) == Money(1, "EUR")
    assert list(steps(payment, booking_of(desk), current=True, now=NOW)) == [OpenCheckout(payment.charges[1])]
    payment = capture(opened(payment, 2, "ref", "url"), money(1, "c2", 2))
    assert next_step(payment, booking_of(desk), current=True, now=NOW) == ConfirmBooking(1)


def test_the_shard_is_told_of_this_version_once_and_never_of_a_dead_hold() -> None:
    desk = booked(approval=Approval.MANUAL)
    payment = capture(opened(asked(desk), 1, "ref", "url"), money())
    booking = booking_of(desk)
    assert next_step(payment, replace(booking, version=7), current=True, now=NOW) == ConfirmBooking(7)
    assert next_step(payment, booking, current=False, now=NOW) != ConfirmBooking(1)
    desk.wait(seconds=600)
    assert next_step(payment, booking, current=True, now=desk.now) is None
    waiting = replace(booking, version=2, deposit_paid=True)
    assert next_step(payment, waiting, current=True, now=NOW) is None
    assert next_step(payment, replace(booking, deposit_waived=True), current=True, now=NOW) != ConfirmBooking(1)


def test_money_of_a_dead_hold_goes_back_once_the_shard_has_said_so() -> None:
    desk = booked()
    payment = capture(opened(asked(desk), 1, "ref", "url"), money())
    desk.wait(seconds=600)
    every = timedelta(seconds=20)
    assert look_again_at(payment, booking_of(desk), now=desk.now, every=every) == desk.now + every
    desk.expire(booking_of(desk))
    assert written(payment, booking_of(desk)).refunds == (Refund(1, "c1", 2000),)


def test_a_replaced_payment_gives_back_all_and_a_missing_booking_likewise() -> None:
    desk = booked()
    payment = capture(opened(asked(desk), 1, "ref", "url"), money())
    for booking, current in ((booking_of(desk), False), (None, True), (None, False)):
        after = written(payment, booking, current=current)
        assert after.refunds == (Refund(1, "c1", 2000),)
        assert status_of(after, booking, current=current) == "refund_pending"
        assert written(after, booking, current=current) is after
        done = refund_known(after, 1, RefundState.DONE)
        assert over(done, booking, current=current)
        assert status_of(done, booking, current=current) == "refunded"
        assert due_of(done, booking, current=current) is None
    unpaid = written(asked(desk), None)
    assert (unpaid.charges[0].state, status_of(unpaid, None, current=True)) == ("closing", "void")
    assert not over(unpaid, None, current=True)
    assert over(closed(unpaid, 1), None, current=True)


@pytest.mark.parametrize(
    ("party", "none", "mark", "bill", "kept"),
    [
        (1, False, "NO_SHOW", None, 1001),
        (1, False, "AVAILED", 1500, 1001),
        (1, False, "CANCELLED", None, 330),
        (2, True, "NO_SHOW", None, 0),
        (2, True, "AVAILED", 1500, 0),
        (2, True, "CANCELLED", None, 0),
        (3, False, "NO_SHOW", None, 2002),
        (3, False, "CANCELLED", None, 660),
    ],
)
@pytest.mark.parametrize("looked", [True, False])
def test_what_is_kept_is_of_the_deposit_last_agreed_on(
    party: int, none: bool, mark: str, bill: int | None, kept: int, looked: bool
) -> None:
    """Whether or not anybody looked at the payment between the amendment and the end."""
    act = paid()
    if none:
        act.desk.update(policy=replace(act.desk.vendor.policy, deposit=Deposit(DepositKind.NONE)))
    act.desk.amend(act.booking, party_size=party, starts_at="24T19:30")
    if looked:
        act.look()
    act.until(LATE_AT if mark == "CANCELLED" else STARTS_AT + HOUR)
    act.mark(mark, by=GUEST if mark == "CANCELLED" else HOUSE, bill=bill)
    payment = act.till.current(act.booking_id)
    if not none:
        assert payment.amount_minor == 1001 * party
    assert (payment.kept_minor, payment.net_minor, payment.refunding_minor) == (kept, kept, 0)
    assert sum(act.till.books.balances().values()) == 0


def test_nothing_is_kept_of_a_deposit_that_was_waived_while_it_came() -> None:
    act = Act()
    act.till.provider.pay(act.till.current(act.booking_id).payment_id, 1)
    act.desk.mark(act.booking, "CONFIRMED")
    act.till.deliver_all()
    act.until(STARTS_AT)
    act.mark("NO_SHOW")
    payment = act.till.current(act.booking_id)
    assert (payment.captured_minor, payment.refunded_minor, payment.kept_minor) == (2002, 2002, 0)


@pytest.mark.parametrize("ends", [True, False])
def test_money_in_another_currency_than_the_deposit_goes_back(ends: bool) -> None:
    """Also where the house changed its currency and nobody has asked for the new deposit yet."""
    act = paid()
    act.desk.update(currency="JPY")
    act.desk.amend(act.booking, starts_at="24T20:00")
    if ends:
        act.until(STARTS_AT + HOUR)
        act.desk.mark(act.booking, "NO_SHOW")
    old = act.till.current(act.booking_id)
    after = written(old, act.booking)
    assert (after.amount_minor, after.kept_minor, after.refunding_minor) == (2002, 0, 2002)
    assert due_of(old, act.booking, current=True) is None


@pytest.mark.parametrize("told", ["before", "after"])
def test_money_for_a_hold_cancelled_late_goes_back_however_soon_it_was_known(told: str) -> None:
    act = Act()
    payment = act.till.current(act.booking_id)
    act.till.provider.pay(payment.payment_id, 1)
    act.until(LATE_AT)
    if told == "before":
        act.till.deliver(act.till.provider.messages.pop())
    act.desk.mark(act.booking, "CANCELLED", by=GUEST)
    act.look()
    payment = act.till.current(act.booking_id)
    assert (payment.kept_minor, payment.refunded_minor) == (0, 2002)


def test_a_booking_as_it_was_before_says_nothing() -> None:
    """A look that began earlier ends later: what has been settled since is not opened again."""
    act = paid()
    before = act.booking
    act.mark("CANCELLED", by=GUEST)
    settled = act.till.current(act.booking_id)
    assert settled.settled_version == act.booking.version
    assert next_step(settled, before, current=True, now=act.desk.now) is None
    assert settled.refunded_minor == 2002


def test_nothing_is_over_before_the_end_was_settled() -> None:
    act = paid()
    act.until(STARTS_AT)
    assert not over(act.till.current(act.booking_id), act.booking, current=True)
    act.desk.mark(act.booking, "NO_SHOW")
    unsettled = act.till.current(act.booking_id)
    assert not over(unsettled, act.booking, current=True)
    act.look()
    assert over(act.till.current(act.booking_id), act.booking, current=True)
    act.desk.mark(act.booking, "AVAILED")
    assert not over(act.till.current(act.booking_id), act.booking, current=True)


def test_what_was_paid_too_much_goes_back_where_it_came_from() -> None:
    act = difference_due()
    act.pay()
    act.amend(party_size=1)
    captures = act.till.current(act.booking_id).captures
    refunds = act.till.current(act.booking_id).refunds
    assert [(refund.capture_reference, refund.amount_minor) for refund in refunds] == [
        (captures[1].reference, 1001),
        (captures[0].reference, 1001),
    ]
    assert [refund.number for refund in refunds] == [1, 2]
    act.mark("CANCELLED", by=GUEST)
    [rest] = act.till.current(act.booking_id).refunds[2:]
    assert rest == Refund(3, captures[0].reference, 1001, RefundState.DONE, rest.provider_ref)


EVERY = timedelta(minutes=2)
ENDS = NOW + timedelta(seconds=600)
CLOSES = NOW + timedelta(seconds=570)


@pytest.mark.parametrize(
    ("state", "seconds", "look_at"),
    [
        ("opening", 0, NOW + EVERY),
        ("open", 0, NOW + EVERY),
        ("declined", 0, NOW + EVERY),
        ("open", 500, CLOSES),
        ("open", 580, NOW + timedelta(seconds=580)),
        ("closing", 580, NOW + timedelta(seconds=580) + EVERY),
        ("closed", 580, CLOSES + EVERY),
        ("closed", 1000, NOW + timedelta(seconds=1000) + EVERY),
        ("paid", 0, CLOSES + EVERY),
        ("paid", 690, NOW + timedelta(seconds=690) + EVERY),
    ],
)
def test_when_a_hold_is_looked_at_again(state: str, seconds: int, look_at: datetime) -> None:
    desk = booked()
    payment = asked(desk)
    payment = replace(payment, charges=(replace(payment.charges[0], state=ChargeState(state)),))
    desk.wait(seconds=seconds)
    assert look_again_at(payment, booking_of(desk), now=desk.now, every=EVERY) == look_at


def test_what_only_news_can_change_is_left_alone() -> None:
    """Once its checkout is over: somebody may have paid a second time, and the message be lost."""
    act = paid()
    payment = act.till.current(act.booking_id)
    asked_at = payment.charges[0].closes_at + EVERY
    assert look_again_at(payment, act.booking, now=act.desk.now, every=EVERY) == asked_at
    now = asked_at
    assert look_again_at(act.till.current(act.booking_id), act.booking, now=now, every=EVERY) is None
    act.desk.mark(act.booking, "CANCELLED")
    wanted = written(act.till.current(act.booking_id), act.booking)
    for state, look_at in (("wanted", now + EVERY), ("sent", now + EVERY), ("refused", None), ("done", None)):
        refund = refund_known(wanted, 1, RefundState(state))
        assert look_again_at(refund, act.booking, now=now, every=EVERY) == look_at
    expired = STATES["EXPIRED, unpaid"]()
    closes_at = expired.till.current(expired.booking_id).charges[0].closes_at
    assert closes_at is not None
    for now, look_at in ((closes_at, closes_at + EVERY), (closes_at + EVERY, None)):
        assert look_again_at(expired.till.current(expired.booking_id), expired.booking, now=now, every=EVERY) == look_at


def test_movements_are_the_difference_and_each_has_two_sides() -> None:
    before = asked(booked())
    after = replace(
        before,
        captures=(money(fee=30), money(70, "c2")),
        kept_minor=500,
        refunds=(Refund(1, "c1", 1500), Refund(2, "c2", 70)),
    )
    guest, vendor, provider, fees = Account
    lines = (
        Movement(MovementKind.CAPTURE, guest, provider, 2000, "c1"),
        Movement(MovementKind.FEE, provider, fees, 30, "c1"),
        Movement(MovementKind.CAPTURE, guest, provider, 70, "c2"),
        Movement(MovementKind.KEEP, vendor, guest, 500),
        Movement(MovementKind.REFUND, provider, guest, 1500, "c1"),
        Movement(MovementKind.REFUND, provider, guest, 70, "c2"),
    )
    assert movements(before, after) == movements(None, after) == lines
    assert movements(after, after) == ()
    assert movements(None, before) == ()
    given_back = replace(after, kept_minor=100, refunds=(*after.refunds, Refund(3, "c1", 400)))
    assert movements(after, given_back) == (
        Movement(MovementKind.GIVE_BACK, guest, vendor, 400),
        Movement(MovementKind.REFUND, provider, guest, 400, "c1"),
    )
    told = refund_known(opened(after, 1, "ref", "url"), 1, RefundState.DONE)
    assert movements(after, told) == (), "what the provider has done moves nothing that was not on its way"


def test_what_came_is_caused_by_the_version_that_asked_for_it_and_the_rest_by_the_one_that_decided() -> None:
    act = difference_due()
    act.pay()
    payment = act.till.current(act.booking_id)
    versions = [charge.asked_version for charge in payment.charges]
    assert versions == [1, act.booking.terms.deposit_version]
    ended = replace(payment, kept_minor=5, refunds=(Refund(1, payment.captures[1].reference, 7),))
    moved = movements(None, ended)
    assert [str(one.kind) for one in moved] == ["capture", "fee", "capture", "fee", "keep", "refund"]
    assert causes(moved, ended, 9) == (1, 1, versions[1], versions[1], 9, 9)


def test_a_checkout_that_follows_another_is_asked_for_by_the_same_version() -> None:
    """Not by what the booking had become when somebody looked: another arrival time asks for no money."""
    act = difference_due()
    asked_by = act.booking.terms.deposit_version
    act.desk.amend(act.booking, notes="late")
    payment = act.till.current(act.booking_id)
    again = written(closed(payment, 2), act.booking, now=act.desk.now)
    assert [charge.asked_version for charge in again.charges] == [1, asked_by, asked_by]
    assert act.booking.version > asked_by


def test_no_row_of_the_ledger_moves_twice_on_the_way_to_rest() -> None:
    """Every state of a payment on its way explains the next by its movements alone."""
    act = difference_due()
    act.pay(times=2)
    act.until(STARTS_AT + HOUR)
    act.mark("NO_SHOW")
    act.mark("AVAILED", bill=500)
    kinds = [str(line.movement.kind) for line in act.till.books.ledger]
    assert kinds == ["capture", "fee"] * 3 + ["refund", "keep", "give_back"] + ["refund"] * 2
    assert [line.movement.amount_minor for line in act.till.books.ledger[6:]] == [1001, 3003, 2503, 1001, 1502]


@pytest.mark.parametrize(
    ("currency", "price", "percent", "deposit", "late_percent", "kept"),
    [
        ("JPY", 9_999, 33, 6_599, 33, 2_177),
        ("EUR", 10_001, 30, 6_000, 33, 1_980),
        ("KWD", 12_345, 15, 3_703, 50, 1_851),
        ("EUR", 1, 50, 1, 99, 0),
        ("EUR", 10_000, 100, 20_000, 100, 20_000),
        ("EUR", 10_000, 25, 5_000, 0, 0),
    ],
)
def test_percentages_round_down_in_every_currency(
    currency: str, price: int, percent: int, deposit: int, late_percent: int, kept: int
) -> None:
    """A share of the whole stay of two nights, and a share of that when the guest cancels late; in whole minor units."""
    policy = Policy(
        deposit=Deposit(DepositKind.PERCENT, percent=percent),
        cancel_before_hours=24,
        keep_on_late_cancel_percent=late_percent,
    )
    rooms = replace(room("R"), price=Money(price, currency))
    desk = Desk(hotel(rooms, policy=policy, currency=currency))
    booking = desk.booked(("24", "26"))
    payment = asked(desk)
    assert (payment.amount_minor, payment.currency) == (deposit, currency)
    payment = capture(opened(payment, 1, "ref", "url"), money(deposit))
    desk.mark(booking, "CONFIRMED", by=SYSTEM)
    desk.now = booking.starts_at - HOUR
    desk.mark(booking, "CANCELLED", by=GUEST)
    after = written(payment, desk.bookings[booking.booking_id])
    assert (after.kept_minor, after.refunding_minor) == (kept, deposit - kept)


def test_a_deposit_that_came_with_an_amendment_has_no_hold_to_close_with() -> None:
    desk = Desk(restaurant())
    desk.booked("24T19:00")
    assert new_payment(booking_of(desk), (), "till", desk.now) is None
    desk.update(policy=Policy(deposit=Deposit(DepositKind.PER_BOOKING, 900)))
    desk.amend(booking_of(desk), party_size=3)
    payment = asked(desk)
    assert (payment.number, payment.charges) == (2, (Charge(1, 900, 2),))
    assert booking_of(desk).status is BookingStatus.CONFIRMED
    payment = capture(opened(payment, 1, "ref", "url"), money(900))
    assert next_step(payment, booking_of(desk), current=True, now=desk.now) is None
    assert status_of(payment, booking_of(desk), current=True) == "captured"


def test_which_payment_a_booking_still_lacks() -> None:
    """Another deposit is another payment while nothing is confirmed; later another currency alone is."""
    desk = booked()
    hold = booking_of(desk)
    first = asked(desk)
    other = replace(hold, version=4, terms=replace(hold.terms, deposit=Money(3000, "EUR"), deposit_version=4))
    second = new_payment(other, (first,), "till", NOW)
    assert second is not None
    assert (second.number, second.amount_minor) == (4, 3000)
    assert current_of((second, first)) is second
    assert current_of(()) is None
    confirmed = replace(other, status=BookingStatus.CONFIRMED, hold_expires_at=None)
    assert new_payment(confirmed, (first,), "till", NOW) is None
    yen = replace(confirmed, terms=replace(other.terms, deposit=Money(3000, "JPY")))
    assert new_payment(yen, (first,), "till", NOW) == replace(second, currency="JPY", charges=(Charge(1, 3000, 4),))
    for change in ({"deposit_waived": True}, {"status": BookingStatus.CANCELLED}):
        assert new_payment(replace(other, **change), (), "till", NOW) is None
    assert new_payment(replace(other, terms=replace(other.terms, deposit=None)), (), "till", NOW) is None


def test_a_deposit_asked_for_again_after_it_was_given_back_is_pending_again() -> None:
    act = paid()
    policy = act.desk.vendor.policy
    act.desk.update(policy=replace(policy, deposit=Deposit(DepositKind.NONE)))
    act.amend(starts_at="24T20:00")
    act.desk.update(policy=policy)
    act.amend(starts_at="24T19:30")
    payment = act.till.current(act.booking_id)
    told = status_of(payment, act.booking, current=True), due_of(payment, act.booking, current=True)
    assert told == ("pending", Money(2002, "EUR"))
    act.pay()
    payment = act.till.current(act.booking_id)
    assert (payment.captured_minor, payment.refunded_minor, payment.net_minor) == (4004, 2002, 2002)


def test_charges_and_refunds_are_numbered_from_one() -> None:
    act = difference_due()
    for party in (4, 1, 5, 2, 6):
        act.amend(party_size=party)
    payment = act.till.current(act.booking_id)
    for parts in (payment.charges, payment.refunds):
        assert parts[0].number == 1
        assert all(after.number == before.number + 1 for before, after in pairwise(parts))
