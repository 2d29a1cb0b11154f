"""Bookings and their money in any order that Hypothesis can think of, with a provider that pays, declines, pays twice and
too late, is away, and whose messages come doubled, out of order or never; and payment desks that get in each other's way
and die between any two steps.

HOLDFAST_MONEY_RUNS says how many stories are told (300).
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.booking import LIVE, Booking, BookingStatus
from domain.command import Caller
from domain.ids import BookingId
from domain.ledger import Account, MovementKind
from domain.money import Money
from domain.payment import ChargeState, Payment, PaymentStatus, RefundState, current_of, due_of, status_of
from domain.payment_steps import Write, new_payment, next_step, over
from domain.rejection import Rejection
from domain.vendor import Approval, Deposit, DepositKind, Policy, Vendor, VendorKind
from tests.domain.desk import GUEST, HOUSE, hotel, restaurant, room, table, utc
from tests.domain.till import STEPS_MAX, Till

RUNS = int(os.environ.get("HOLDFAST_MONEY_RUNS", "300"))
BEGINS = utc("23T17:00")


def house(kind: DepositKind, minor: int, currency: str = "EUR", *, by_hand: bool = False, late: int = 33) -> Vendor:
    return restaurant(
        table("T", 6, quantity=4),
        currency=currency,
        policy=Policy(
            hold_ttl_seconds=1800,
            deposit=Deposit(kind, minor),
            approval=Approval.MANUAL if by_hand else Approval.AUTOMATIC,
            cancel_before_hours=24,
            keep_on_late_cancel_percent=late,
        ),
    )


STAY = Policy(
    hold_ttl_seconds=1800,
    deposit=Deposit(DepositKind.PERCENT, percent=33),
    cancel_before_hours=24,
    keep_on_late_cancel_percent=50,
)
HOUSES = [
    house(DepositKind.PER_PERSON, 1001),
    house(DepositKind.PER_PERSON, 1001, by_hand=True),
    hotel(room("R", 6, quantity=4, price=10_001), policy=STAY),
    house(DepositKind.PER_BOOKING, 1500, "JPY", late=99),
    house(DepositKind.PER_PERSON, 1234, "KWD", by_hand=True, late=0),
]
DEPOSITS = [
    Deposit(DepositKind.NONE),
    Deposit(DepositKind.PER_PERSON, 700),
    Deposit(DepositKind.PER_BOOKING, 2500),
]

picks = st.integers(0, 999)


@dataclass(frozen=True)
class Ending:
    """How a booking ended: its version, and what our books held for it then of what had come to the provider."""

    version: int
    held_minor: int
    all_known: bool
    came_minor: int


class MoneyMachine(RuleBasedStateMachine):
    till: Till

    def __init__(self) -> None:
        super().__init__()
        self.workers: list[Iterator[None]] = []
        self.endings: dict[BookingId, Ending] = {}

    @initialize(number=st.integers(0, len(HOUSES) - 1), paid=st.booleans(), amended=st.none() | st.integers(1, 4))
    def open_house(self, number: int, paid: bool, amended: int | None) -> None:
        self.till = Till(HOUSES[number], now=BEGINS)
        self.place(24, 2)
        if paid:
            self.all_goes_well(0)
        if amended is not None:
            self.amend(0, amended, moved=False)

    # The booking's side.

    @precondition(lambda self: len(self.till.desk.bookings) < 3)
    @rule(day=st.sampled_from([24, 25]), party=st.integers(1, 4))
    def place(self, day: int, party: int) -> None:
        stay = self.till.desk.vendor.kind is VendorKind.HOTEL
        self.till.desk.hold((f"{day}", f"{day + 2}") if stay else f"{day}T19:00", party)

    @rule(pick=picks, party=st.integers(1, 5), moved=st.booleans())
    def amend(self, pick: int, party: int, moved: bool) -> None:
        booking = self.booking(pick, *LIVE)
        when = (
            {}
            if not moved
            else {"check_in": "26", "check_out": "29"}
            if booking.check_in
            else {"starts_at": "25T20:00"}
        )
        self.till.desk.amend(booking, party_size=party, **when)

    @rule(deposit=st.sampled_from(DEPOSITS), by_hand=st.booleans(), yen=st.booleans())
    def change_policy(self, deposit: Deposit, by_hand: bool, yen: bool) -> None:
        vendor = self.till.desk.vendor
        policy = replace(vendor.policy, deposit=deposit, approval=Approval.MANUAL if by_hand else Approval.AUTOMATIC)
        change = {} if vendor.seats[0].price else {"currency": "JPY" if yen else "EUR"}
        assert not isinstance(self.till.desk.update(policy=policy, **change), Rejection)

    @rule(pick=picks, by=st.sampled_from([GUEST, GUEST, HOUSE]), late=st.booleans())
    def cancel(self, pick: int, by: Caller, late: bool) -> None:
        booking = self.booking(pick, *LIVE)
        if late:
            self.till.desk.now = max(self.till.desk.now, booking.starts_at - timedelta(hours=23))
        self.mark(booking, "CANCELLED", by)

    @rule(pick=picks, bill=st.sampled_from([None, None, 0, 500, 2002, 99_999]))
    def avail(self, pick: int, bill: int | None) -> None:
        booking = self.booking(pick, BookingStatus.CONFIRMED, BookingStatus.NO_SHOW)
        agreed = booking.terms.deposit or booking.price
        currency = agreed.currency if agreed else self.till.desk.vendor.currency
        self.mark(booking, "AVAILED", HOUSE, **({} if bill is None else {"bill": Money(bill, currency)}))

    @rule(pick=picks, wait=st.booleans())
    def no_show(self, pick: int, wait: bool) -> None:
        booking = self.booking(pick, BookingStatus.CONFIRMED)
        if wait:
            self.till.desk.now = max(self.till.desk.now, booking.starts_at)
        self.mark(booking, "NO_SHOW", HOUSE)

    @rule(pick=picks, party=st.integers(1, 3), bill=st.none() | st.just(5000))
    def amend_and_end(self, pick: int, party: int, bill: int | None) -> None:
        """Two changes, and nobody has looked at the money between them."""
        self.amend(pick, party, moved=False)
        if bill is None:
            self.no_show(pick, wait=True)
        else:
            self.avail(pick, bill)

    @rule(pick=picks)
    def approve(self, pick: int) -> None:
        self.mark(self.booking(pick, BookingStatus.BLOCKED), "CONFIRMED", HOUSE)

    @rule(minutes=st.sampled_from([0.1, 1, 5, 29.6, 30, 60, 1440]))
    def wait(self, minutes: float) -> None:
        self.till.desk.wait(minutes=minutes)

    @rule()
    def expire(self) -> None:
        for booking in list(self.till.desk.bookings.values()):
            dead = booking.hold_expires_at is not None and booking.hold_expires_at <= self.till.desk.now
            if booking.status is BookingStatus.BLOCKED and dead:
                self.end(booking, self.till.desk.expire(booking))

    # The guest at the provider, and what the provider tells us.

    @rule(
        pick=picks,
        which=picks,
        times=st.sampled_from([1, 1, 1, 2]),
        part=st.sampled_from([1, 1, 1, 2]),
        although_closed=st.sampled_from([False, False, False, True]),
    )
    def pay(self, pick: int, which: int, times: int, part: int, although_closed: bool) -> None:
        known = self.at_the_provider(self.booking(pick).booking_id)
        for _ in range(times if known else 0):
            self.till.provider.pay(*known[-1 - which % len(known)], although_closed=although_closed, part=part)

    @rule(pick=picks)
    def all_goes_well(self, pick: int) -> None:
        """The guest pays what is due, and everybody does their part at once."""
        booking_id = self.booking(pick).booking_id
        self.look(pick)
        payment = current_of(self.till.books.of(booking_id))
        if (
            payment is not None
            and payment.payable is not None
            and self.till.provider.pay(payment.payment_id, payment.payable.number)
        ):
            self.till.deliver(self.till.provider.messages.pop())
            self.look(pick)

    @rule(pick=picks)
    def decline(self, pick: int) -> None:
        known = self.at_the_provider(self.booking(pick).booking_id)
        if known:
            self.till.provider.decline(*known[-1])

    @precondition(lambda self: self.till.provider.messages)
    @rule(which=picks, again=st.booleans())
    def arrive(self, which: int, again: bool) -> None:
        messages = self.till.provider.messages
        message = messages[which % len(messages)] if again else messages.pop(which % len(messages))
        self.till.deliver(message)

    @precondition(lambda self: self.till.provider.messages)
    @rule(which=picks)
    def lose(self, which: int) -> None:
        self.till.provider.messages.pop(which % len(self.till.provider.messages))

    @rule(away=st.booleans(), slow=st.booleans())
    def provider_changes(self, away: bool, slow: bool) -> None:
        self.till.provider.away, self.till.provider.slow = away, slow

    # Payment desks.

    @rule(pick=picks, asking=st.booleans())
    def begin(self, pick: int, asking: bool) -> None:
        if len(self.workers) < 3:
            self.workers.append(self.till.look(self.booking(pick).booking_id, asking=asking))

    @precondition(lambda self: self.workers)
    @rule(which=picks, steps=st.integers(1, 8))
    def go_on(self, which: int, steps: int) -> None:
        worker = self.workers[which % len(self.workers)]
        for _ in range(steps):
            if next(worker, "done") == "done":
                self.workers.remove(worker)
                return

    @precondition(lambda self: self.workers)
    @rule(which=picks)
    def crash(self, which: int) -> None:
        self.workers.pop(which % len(self.workers)).close()

    @rule(pick=picks)
    def look(self, pick: int) -> None:
        self.till.finish(self.booking(pick).booking_id)

    @precondition(lambda self: self.till.provider.refunds)
    @rule(which=picks)
    def refund_fails(self, which: int) -> None:
        refunds = list(self.till.provider.refunds)
        self.till.provider.fail(*refunds[which % len(refunds)])

    @rule(which=picks)
    def retry(self, which: int) -> None:
        payments = list(self.till.books.payments)
        if payments:
            self.till.retry(payments[which % len(payments)])

    @rule()
    def sweep(self) -> None:
        """Everybody is there again, holds that are over end, and each payment is looked at once.

        Before that everybody knows which refunds have failed, and a person has them made anew.
        """
        self.till.provider.away = self.till.provider.slow = False
        for worker in self.workers:
            for steps, _ in enumerate(worker):
                assert steps < STEPS_MAX
        self.workers.clear()
        self.expire()
        for message in list(self.till.provider.failed()):
            self.till.deliver(message)
        for payment_id in list(self.till.books.payments):
            self.till.retry(payment_id)
        for booking_id in self.till.desk.bookings:
            for steps, _ in enumerate(self.till.look(booking_id, asking=True)):
                assert steps < STEPS_MAX
        for booking in self.till.desk.bookings.values():
            self.at_rest(booking)

    def teardown(self) -> None:
        if hasattr(self, "till"):
            self.sweep()
            self.till.desk.wait(days=9)
            self.sweep()

    # What must be so.

    @invariant()
    def the_ledger_says_what_the_payments_say(self) -> None:
        balances = self.till.books.balances()
        assert all(not sum(balances.get((c, account), 0) for account in Account) for c, _ in balances)
        for payment in self.till.books.payments.values():
            lines = [b.movement for b in self.till.books.ledger if b.payment_id == payment.payment_id]
            moved = {kind: sum(m.amount_minor for m in lines if m.kind is kind) for kind in MovementKind}
            assert moved[MovementKind.CAPTURE] == payment.captured_minor
            assert moved[MovementKind.FEE] == sum(received.fee_minor for received in payment.captures)
            assert moved[MovementKind.KEEP] - moved[MovementKind.GIVE_BACK] == payment.kept_minor
            assert moved[MovementKind.REFUND] == payment.refunded_minor + payment.refunding_minor
            assert payment.net_minor >= payment.kept_minor >= 0
            assert payment.captured_minor <= self.till.provider.captured(payment.payment_id)
            sent_back = self.till.provider.sent_back(payment.payment_id)
            assert payment.refunded_minor <= self.till.provider.given_back(payment.payment_id) + sent_back
            assert self.till.provider.given_back(payment.payment_id) <= moved[MovementKind.REFUND]

    @staticmethod
    def _may_still_come(payment: Payment, booking: Booking) -> bool:
        """What is kept of a visit is settled when its last checkout has closed."""
        came = booking.status in (BookingStatus.AVAILED, BookingStatus.NO_SHOW)
        closing = any(charge.state is ChargeState.CLOSING for charge in payment.charges)
        return came and closing and payment.settled_version < booking.version

    @invariant()
    def the_next_look_puts_all_money_in_its_place(self) -> None:
        """Nothing is anywhere but kept, held for a live booking, or about to be given back."""
        for booking in self.till.desk.bookings.values():
            payments = self.till.books.of(booking.booking_id)
            added = new_payment(booking, payments, "till", self.till.desk.now)
            payments = payments if added is None else (*payments, added)
            for payment in payments:
                current = payment is current_of(payments)
                step = next_step(payment, booking, current=current, now=self.till.desk.now)
                after = step.after if isinstance(step, Write) else payment
                again = next_step(after, booking, current=current, now=self.till.desk.now)
                assert not isinstance(again, Write), "one look is not enough"
                if self._may_still_come(after, booking):
                    continue
                deposit = wanted(booking) if current else None
                held = min(payment.net_minor, deposit.amount_minor) if deposit else after.kept_minor
                assert after.net_minor == held

    @invariant()
    def nothing_is_confirmed_by_money_that_is_not_there(self) -> None:
        for booking in self.till.desk.bookings.values():
            if booking.status is BookingStatus.BLOCKED and booking.deposit_paid:
                assert self.till.current(booking.booking_id).net_minor >= booking.terms.deposit.amount_minor

    def at_rest(self, booking: Booking) -> None:
        """After the sweep: our books are the provider's, seat and money agree, and nothing is open but what can be paid."""
        payments = self.till.books.of(booking.booking_id)
        current = current_of(payments)
        deposit = wanted(booking)
        assert (deposit is None) or (current is not None and current.currency == deposit.currency)
        for payment in payments:
            assert payment.captured_minor == self.till.provider.captured(payment.payment_id)
            assert payment.refunded_minor == self.till.provider.given_back(payment.payment_id)
            assert payment.refunding_minor == 0
            self.keeps(payment, booking if payment is current else None)
            assert status_of(payment, booking, current=payment is current) == told(payment, booking, payment is current)
            assert over(payment, booking, current=payment is current) == (not booking.live or payment is not current)
        due = None if current is None else due_of(current, booking, current=True)
        if booking.status is BookingStatus.BLOCKED:
            assert booking.deposit_paid == (deposit is not None and due is None)
            assert booking.terms.by_hand or not booking.deposit_paid
        if deposit is not None:
            assert current.amount_minor == deposit.amount_minor == current.net_minor + (due.amount_minor if due else 0)
        self.can_be_paid(booking, payments, due)

    def keeps(self, payment: Payment, booking: Booking | None) -> None:
        """`booking` is None for a payment that was replaced."""
        if booking is None:
            assert (payment.net_minor, payment.kept_minor) == (0, 0)
        elif booking.live:
            assert payment.kept_minor == 0
            assert wanted(booking) or payment.net_minor == 0
        else:
            ending = self.endings[booking.booking_id]
            assert ending.version == booking.version == payment.settled_version
            least = share(booking, ending.held_minor)
            assert payment.net_minor == payment.kept_minor >= least
            if ending.all_known and self.till.provider.captured(payment.payment_id) == ending.came_minor:
                assert payment.kept_minor == least
            else:
                # Some came to the provider before the end, and to us after it.
                agreed = booking.terms.deposit
                assert payment.kept_minor <= share(booking, agreed.amount_minor if agreed else 0)

    def can_be_paid(self, booking: Booking, payments: tuple[Payment, ...], due: Money | None) -> None:
        """What is due can be paid at exactly one checkout, and nothing else can, as far as any guest knows of it."""
        open_ones = [
            (payment, charge)
            for payment in payments
            for charge in payment.charges
            if charge.state in (ChargeState.OPEN, ChargeState.DECLINED)
        ]
        closing = timedelta(seconds=30)
        too_late = booking.hold_expires_at is not None and self.till.desk.now >= booking.hold_expires_at - closing
        assert len(open_ones) == (due is not None and not too_late)
        for payment, charge in open_ones:
            assert charge.amount_minor == due.amount_minor
            assert charge.checkout_url
            assert self.till.provider.checkouts[payment.payment_id, charge.number].open
        for key in self.seen_by_the_guest(booking.booking_id):
            checkout = self.till.provider.checkouts[key]
            assert not checkout.open or checkout.captures or key in [(p.payment_id, c.number) for p, c in open_ones]

    # What the rules need.

    def booking(self, pick: int, *statuses: BookingStatus) -> Booking:
        """One of those in such a status, where there are any: most commands would be refused for most bookings."""
        bookings = list(self.till.desk.bookings.values())
        likely = [booking for booking in bookings if booking.status in statuses]
        chosen = bookings if pick > 900 or not likely else likely
        return chosen[pick % len(chosen)]

    def seen_by_the_guest(self, booking_id: BookingId) -> list[tuple]:
        """The checkouts whose address was shown."""
        return [
            (payment.payment_id, charge.number)
            for payment in self.till.books.of(booking_id)
            for charge in payment.charges
            if charge.checkout_url
        ]

    def at_the_provider(self, booking_id: BookingId) -> list[tuple]:
        """Its checkouts, also those of whose opening we do not know: their addresses can be guessed."""
        mine = {payment.payment_id for payment in self.till.books.of(booking_id)}
        return [key for key in self.till.provider.checkouts if key[0] in mine]

    def mark(self, booking: Booking, status: str, by: Caller, **more: Money) -> None:
        self.end(booking, self.till.desk.mark(booking, status, by=by, **more))

    def end(self, before: Booking, outcome: Booking | Rejection) -> None:
        if isinstance(outcome, Rejection) or outcome.live:
            return
        payments = self.till.books.of(before.booking_id)
        current = current_of(payments)
        agreed = before.terms.deposit
        held, known, came = 0, True, 0
        if current is not None:
            came = self.till.provider.captured(current.payment_id)
            known = came == current.captured_minor
            replaced = new_payment(before, payments, "till", self.till.desk.now) is not None
            if agreed is not None and agreed.currency == current.currency and not replaced:
                held = min(agreed.amount_minor, current.net_minor)
        self.endings[before.booking_id] = Ending(outcome.version, held, known, came)


def wanted(booking: Booking) -> Money | None:
    return booking.terms.deposit if booking.live and not booking.deposit_waived else None


def share(booking: Booking, held_minor: int) -> int:
    """What the contract lets the house keep of what it held when the booking ended."""
    if booking.deposit_waived:
        return 0
    match booking.status:
        case BookingStatus.NO_SHOW:
            return held_minor
        case BookingStatus.AVAILED:
            return min(held_minor, booking.bill_minor or 0)
        case BookingStatus.CANCELLED if booking.cancelled_late:
            return held_minor * booking.terms.keep_on_late_cancel_percent // 100
    return 0


def told(payment: Payment, booking: Booking, current: bool) -> PaymentStatus:
    """A payment's status by what came and what went, once nothing is under way."""
    came, back = payment.captured_minor, payment.refunded_minor
    deposit = wanted(booking) if current else None
    asked = deposit is not None and deposit.amount_minor > came - back
    if came == back and asked:
        refused = payment.payable is not None and payment.payable.state is ChargeState.DECLINED
        return PaymentStatus.DECLINED if refused else PaymentStatus.PENDING
    if came == 0:
        return PaymentStatus.VOID
    if came == back:
        return PaymentStatus.REFUNDED
    return PaymentStatus.KEPT if back or payment.kept_minor else PaymentStatus.CAPTURED


TestMoney = MoneyMachine.TestCase
TestMoney.settings = settings(
    max_examples=RUNS, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)


def kept_too_much(machine: MoneyMachine, payment: Payment) -> None:
    machine.till.books.payments[payment.payment_id] = replace(payment, kept_minor=payment.kept_minor + 1)


def line_lost(machine: MoneyMachine, payment: Payment) -> None:
    machine.till.books.ledger.pop()


def money_forgotten(machine: MoneyMachine, payment: Payment) -> None:
    machine.till.provider.checkouts[payment.payment_id, 1].captures.clear()


def paid_back_unasked(machine: MoneyMachine, payment: Payment) -> None:
    refund = replace(payment.refunds[0], number=9, amount_minor=1)
    machine.till.provider.refunds[payment.payment_id, 9] = (refund, RefundState.DONE)


def checkout_left_open(machine: MoneyMachine, payment: Payment) -> None:
    checkout = machine.till.provider.checkouts[payment.payment_id, 1]
    checkout.open, checkout.captures = True, []


@pytest.mark.parametrize("tamper", [kept_too_much, line_lost, money_forgotten, paid_back_unasked, checkout_left_open])
def test_what_must_be_so_can_be_broken(tamper: Callable[[MoneyMachine, Payment], None]) -> None:
    """A story without chance: paid, amended down, cancelled late. All is well, until something is not."""
    machine = MoneyMachine()
    machine.open_house(0, paid=True, amended=1)
    machine.cancel(0, GUEST, late=True)
    machine.sweep()
    payment = machine.till.current(machine.booking(0).booking_id)
    assert (payment.captured_minor, payment.refunded_minor, payment.kept_minor) == (2002, 1672, 330)
    looks = (machine.the_ledger_says_what_the_payments_say, machine.the_next_look_puts_all_money_in_its_place)
    for look in looks:
        look()
    tamper(machine, payment)

    def all_of_them() -> None:
        for look in looks:
            look()
        machine.at_rest(machine.booking(0))

    with pytest.raises(AssertionError):
        all_of_them()
