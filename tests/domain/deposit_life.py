"""The life of a deposit, acted out: a booking is brought into a state, something happens, everybody does their part.

The house takes 10.01 a person and keeps 33 % of a late cancellation; two guests book 25 hours before they come, for a hold
of 24 hours, and may cancel for nothing in the first of them. The provider takes 50 of each capture.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeAlias

from domain.booking import Booking
from domain.command import Caller
from domain.ids import BookingId
from domain.ledger import Movement
from domain.money import Money
from domain.payment import due_of, status_of
from domain.rejection import Rejection
from domain.vendor import Approval, Deposit, DepositKind, Policy
from tests.domain.desk import GUEST, HOUSE, Desk, restaurant, table, utc
from tests.domain.till import Message, Till

BOOKED_AT = utc("23T18:00")
AMENDED_AT = utc("23T18:30")
LATE_AT = utc("24T12:00")
DEAD_AT = utc("24T18:00")
STARTS_AT = utc("24T19:00")
OVER_AT = utc("26T20:30")

POLICY = Policy(
    hold_ttl_seconds=86_400,
    deposit=Deposit(DepositKind.PER_PERSON, 1001),
    cancel_before_hours=24,
    keep_on_late_cancel_percent=33,
)

Outcome: TypeAlias = Booking | Rejection | None


class Act:
    """One booking's deposit. What somebody does is followed by everybody's looking at it, until nothing is left to do."""

    def __init__(self, approval: Approval = Approval.AUTOMATIC) -> None:
        house = restaurant(table("T", 8), policy=replace(POLICY, approval=approval))
        self.till = Till(house, now=BOOKED_AT)
        self.booking_id: BookingId = self.desk.booked("24T19:00").booking_id
        self.look()

    @property
    def desk(self) -> Desk:
        return self.till.desk

    @property
    def booking(self) -> Booking:
        return self.desk.bookings[self.booking_id]

    def until(self, when: datetime) -> None:
        self.desk.now = max(self.desk.now, when)

    def look(self) -> None:
        self.till.finish(self.booking_id)
        self.till.deliver_all()
        self.till.finish(self.booking_id)

    def did(self, outcome: Outcome) -> Outcome:
        self.look()
        return outcome

    def pay(self, *, times: int = 1, told: int = 1, payment: int = -1, charge: int = -1) -> Outcome:
        """Money comes for a checkout, the newest one unless it is said which, open or not."""
        asked = self.till.books.of(self.booking_id)[payment]
        for _ in range(times):
            assert self.till.provider.pay(asked.payment_id, asked.charges[charge].number, although_closed=True)
        news, self.till.provider.messages = self.till.provider.messages, []
        for message in news:
            for _ in range(told):
                self.till.deliver(message)
                self.look()
        return None

    def decline(self) -> Outcome:
        payment = self.till.current(self.booking_id)
        self.till.deliver(Message(payment.payment_id, payment.charges[-1].number))
        return self.did(None)

    def mark(self, status: str, *, by: Caller = HOUSE, bill: int | None = None) -> Outcome:
        more = {} if bill is None else {"bill": Money(bill, "EUR")}
        return self.did(self.desk.mark(self.booking, status, by=by, **more))

    def amend(self, **fields: object) -> Outcome:
        self.until(AMENDED_AT)
        return self.did(self.desk.amend(self.booking, **fields))

    def expire(self) -> Outcome:
        self.until(DEAD_AT)
        return self.did(self.desk.expire(self.booking))

    def cells(self, outcome: Outcome, lines_before: int) -> tuple[str, ...]:
        """A row of the table: what the booking and its payment have become, and what the ledger has got."""
        booking = f"`{outcome.reason}`" if isinstance(outcome, Rejection) else f"{self.booking.status}"
        payments = self.till.books.of(self.booking_id)
        payment = payments[-1]
        due = due_of(payment, self.booking, current=True)
        money = payment.amount_minor, payment.captured_minor, payment.refunded_minor
        status = status_of(payment, self.booking, current=True)
        new = " (new)" if len(payments) > 1 else ""
        lines = self.till.books.ledger[lines_before:]
        ledger = "; ".join(told(line.movement, line.currency) for line in lines)
        return booking, f"{status}{new}", *map(str, money), str(due.amount_minor if due else ""), ledger


def told(movement: Movement, currency: str) -> str:
    amount = movement.amount_minor
    unit = "" if currency == "EUR" else f" {currency}"
    return f"{movement.kind}: {movement.source} -{amount}{unit}, {movement.target} +{amount}{unit}"


def blocked_paid() -> Act:
    act = Act(Approval.MANUAL)
    act.pay()
    return act


def paid() -> Act:
    act = Act()
    act.pay()
    return act


def waived() -> Act:
    act = Act()
    act.mark("CONFIRMED")
    return act


def difference_due() -> Act:
    act = paid()
    act.amend(party_size=3)
    return act


def cancelled() -> Act:
    act = paid()
    act.mark("CANCELLED", by=GUEST)
    return act


def cancelled_late() -> Act:
    act = paid()
    act.until(LATE_AT)
    act.mark("CANCELLED", by=GUEST)
    return act


def expired() -> Act:
    act = Act()
    act.expire()
    return act


def availed() -> Act:
    act = paid()
    act.mark("AVAILED", bill=1500)
    return act


def no_show() -> Act:
    act = paid()
    act.until(STARTS_AT)
    act.mark("NO_SHOW")
    return act


STATES: dict[str, Callable[[], Act]] = {
    "BLOCKED, unpaid": Act,
    "BLOCKED, paid, waiting for approval": blocked_paid,
    "CONFIRMED, paid": paid,
    "CONFIRMED, deposit waived": waived,
    "CONFIRMED, a difference due": difference_due,
    "CANCELLED in time": cancelled,
    "CANCELLED late": cancelled_late,
    "EXPIRED, unpaid": expired,
    "AVAILED with a bill of 1500": availed,
    "NO_SHOW": no_show,
}


def late_payment(act: Act) -> Outcome:
    act.expire()
    return act.pay()


def cancel_at(act: Act, when: datetime | None, by: Caller) -> Outcome:
    if when is not None:
        act.until(when)
    return act.mark("CANCELLED", by=by)


def cancel_late_then_pay(act: Act) -> Outcome:
    outcome = cancel_at(act, LATE_AT, GUEST)
    act.pay()
    return outcome


def no_show_at(act: Act) -> Outcome:
    act.until(STARTS_AT)
    return act.mark("NO_SHOW")


def avail_a_day_on(act: Act) -> Outcome:
    act.until(act.desk.now + timedelta(hours=24, seconds=1))
    return act.mark("AVAILED")


def amend_to(act: Act, **changes: object) -> Outcome:
    act.desk.update(**changes)
    return act.amend(starts_at="24T20:00")


def amend_to_none(act: Act) -> Outcome:
    return amend_to(act, policy=replace(act.desk.vendor.policy, deposit=Deposit(DepositKind.NONE)))


def amend_then_pay_old(act: Act) -> Outcome:
    outcome = act.amend(party_size=4)
    act.pay(payment=0, charge=0)
    return outcome


def then_pay(outcome: Outcome, act: Act) -> Outcome:
    act.pay()
    return outcome


def nobody_marks(act: Act) -> Outcome:
    act.until(OVER_AT)
    return act.did(act.desk.settle(act.booking))


EVENTS: dict[str, Callable[[Act], Outcome]] = {
    "payment": lambda act: act.pay(),
    "payment, told three times": lambda act: act.pay(told=3),
    "payment twice": lambda act: act.pay(times=2),
    "decline": lambda act: act.decline(),
    "decline, then payment": lambda act: then_pay(act.decline(), act),
    "payment after the hold's time": late_payment,
    "cancel in time": lambda act: cancel_at(act, None, GUEST),
    "cancel late": lambda act: cancel_at(act, LATE_AT, GUEST),
    "cancel late, then payment": cancel_late_then_pay,
    "cancel from the start on": lambda act: cancel_at(act, STARTS_AT, GUEST),
    "cancel by the vendor": lambda act: cancel_at(act, LATE_AT, HOUSE),
    "avail": lambda act: act.mark("AVAILED"),
    "avail, bill 0": lambda act: act.mark("AVAILED", bill=0),
    "avail, bill 500": lambda act: act.mark("AVAILED", bill=500),
    "avail, bill 2002": lambda act: act.mark("AVAILED", bill=2002),
    "avail, bill 9999": lambda act: act.mark("AVAILED", bill=9999),
    "avail over a day later": avail_a_day_on,
    "no-show": no_show_at,
    "amend to 4 guests": lambda act: act.amend(party_size=4),
    "amend to 4 guests, then payment": lambda act: then_pay(act.amend(party_size=4), act),
    "amend to 4 guests, then payment at the first checkout": amend_then_pay_old,
    "amend to 1 guest": lambda act: act.amend(party_size=1),
    "amend to no deposit": amend_to_none,
    "amend to yen": lambda act: amend_to(act, currency="JPY"),
    "amend to yen, then payment": lambda act: then_pay(amend_to(act, currency="JPY"), act),
    "the hold's time ends": lambda act: act.expire(),
    "confirmed by the vendor": lambda act: act.mark("CONFIRMED"),
    "nobody marks it for 48 hours": nobody_marks,
}
