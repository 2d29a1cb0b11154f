"""A till to play at: a house's desk with the money beside it, our books, a provider, and the messages on their way.

The provider keeps books of its own and does nothing twice under one key. Looking at a payment is a generator that pauses
wherever another process might get in between, or this one die.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count

from domain.booking import Booking, BookingStatus
from domain.ids import BookingId
from domain.ledger import Account, Movement, movements
from domain.payment import (
    Capture,
    Charge,
    Payment,
    PaymentId,
    Refund,
    RefundState,
    capture,
    closed,
    current_of,
    declined,
    opened,
    refund_known,
    refund_told,
)
from domain.payment_steps import (
    CloseCheckout,
    ConfirmBooking,
    OpenCheckout,
    SendRefund,
    Step,
    Write,
    new_payment,
    steps,
)
from domain.rejection import Reason, Rejection
from domain.vendor import Vendor
from tests.domain.desk import NOW, SYSTEM, Desk

FEE = 50
STEPS_MAX = 2000

Key = tuple[PaymentId, int]


class Conflict(Exception):
    """Somebody else wrote the payment meanwhile."""


class Away(Exception):
    """The provider does not answer."""


@dataclass(frozen=True)
class Booked:
    """A line of the ledger: what moved, and for which payment."""

    payment_id: PaymentId
    booking_id: BookingId
    currency: str
    movement: Movement


class Books:
    """Payments and ledger as a database would keep them: changed together, and by whoever saw the last revision."""

    def __init__(self) -> None:
        self.payments: dict[PaymentId, Payment] = {}
        self.ledger: list[Booked] = []

    def of(self, booking_id: BookingId) -> tuple[Payment, ...]:
        mine = [payment for payment in self.payments.values() if payment.booking_id == booking_id]
        return tuple(sorted(mine, key=lambda payment: payment.number))

    def write(self, before: Payment | None, after: Payment) -> None:
        known = self.payments.get(after.payment_id)
        if (None if known is None else known.revision) != (None if before is None else before.revision):
            raise Conflict
        for movement in movements(before, after):
            assert movement.amount_minor > 0
            self.ledger.append(Booked(after.payment_id, after.booking_id, after.currency, movement))
        self.payments[after.payment_id] = replace(after, revision=after.revision + 1)

    def balances(self, booking_id: BookingId | None = None) -> dict[tuple[str, Account], int]:
        """By currency and account, of one booking or of all."""
        sums: dict[tuple[str, Account], int] = {}
        for line in self.ledger:
            if booking_id in (None, line.booking_id):
                moved = line.movement
                for account, amount in ((moved.source, -moved.amount_minor), (moved.target, moved.amount_minor)):
                    sums[line.currency, account] = sums.get((line.currency, account), 0) + amount
        return sums


@dataclass
class Checkout:
    """A charge as the provider knows it."""

    amount_minor: int
    currency: str
    open: bool = True
    declined: bool = False
    captures: list[Capture] = field(default_factory=list)


@dataclass(frozen=True)
class Message:
    """A webhook on its way."""

    payment_id: PaymentId
    number: int
    capture: Capture | None = None
    refund: RefundState | None = None
    name: str = ""


class Provider:
    """Takes and gives back money, and never twice for one key. `slow` refunds are done when somebody asks again."""

    def __init__(self) -> None:
        self.checkouts: dict[Key, Checkout] = {}
        self.refunds: dict[Key, tuple[Refund, RefundState]] = {}
        self.names: dict[Key, str] = {}
        self.messages: list[Message] = []
        self.away = False
        self.slow = False
        self._references = count(1)

    def open(self, payment: Payment, charge: Charge) -> tuple[str, str]:
        self._answer()
        key = (payment.payment_id, charge.number)
        known = self.checkouts.setdefault(key, Checkout(charge.amount_minor, payment.currency))
        assert (known.amount_minor, known.currency) == (charge.amount_minor, payment.currency), "another sum, one key"
        name = f"co_{list(self.checkouts).index(key)}"
        return name, f"https://provider.example/{name}"

    def look(self, payment_id: PaymentId, number: int) -> Checkout | None:
        self._answer()
        return self.checkouts.get((payment_id, number))

    def close(self, payment_id: PaymentId, number: int) -> Checkout | None:
        """None where it has never heard of it; it will not remember that it was asked."""
        checkout = self.look(payment_id, number)
        if checkout is not None:
            checkout.open = False
        return checkout

    def refund(self, payment: Payment, refund: Refund) -> tuple[RefundState, str]:
        """How it stands, and its name. One that failed is made anew, under another name, for who does not ask by the old one."""
        self._answer()
        key = (payment.payment_id, refund.number)
        known, state = self.refunds.get(key, (refund, None))
        if state is RefundState.REFUSED and refund.provider_ref is None:
            state = None
        assert known.amount_minor == refund.amount_minor, "another sum, one key"
        assert known.capture_reference == refund.capture_reference, "another capture, one key"
        if state is None:
            self._take_back(refund)
            self.names[key] = f"re_{next(self._references)}"
            state = RefundState.SENT if self.slow else RefundState.DONE
            if self.slow:
                self.messages.append(self._of_refund(key, RefundState.DONE))
        elif not self.slow and state is RefundState.SENT:
            state = RefundState.DONE
        self.refunds[key] = (refund, state)
        return state, self.names[key]

    def fail(self, payment_id: PaymentId, number: int) -> None:
        """The guest's bank sends a refund back."""
        key = (payment_id, number)
        if key in self.refunds:
            self.refunds[key] = (self.refunds[key][0], RefundState.REFUSED)
            self.messages.append(self._of_refund(key, RefundState.REFUSED))

    def failed(self) -> Iterator[Message]:
        """What it has to say of refunds that failed, once more."""
        for key, (_, state) in self.refunds.items():
            if state is RefundState.REFUSED:
                yield self._of_refund(key, state)

    def _of_refund(self, key: Key, state: RefundState) -> Message:
        return Message(*key, refund=state, name=self.names[key])

    def pay(self, payment_id: PaymentId, number: int, *, although_closed: bool = False, part: int = 1) -> bool:
        """The guest pays at a checkout, the whole or a part of it; whether it took the money."""
        checkout = self.checkouts.get((payment_id, number))
        if checkout is None or not (checkout.open or although_closed):
            return False
        came = Capture(f"ch_{next(self._references)}", number, max(1, checkout.amount_minor // part), FEE)
        checkout.captures.append(came)
        self.messages.append(Message(payment_id, number, came))
        return True

    def decline(self, payment_id: PaymentId, number: int) -> None:
        checkout = self.checkouts.get((payment_id, number))
        if checkout is not None and checkout.open:
            checkout.declined = True
            self.messages.append(Message(payment_id, number))

    def captured(self, payment_id: PaymentId) -> int:
        return sum(
            came.amount_minor
            for (owner, _), checkout in self.checkouts.items()
            for came in checkout.captures
            if owner == payment_id
        )

    def given_back(self, payment_id: PaymentId) -> int:
        return sum(
            refund.amount_minor
            for (owner, _), (refund, state) in self.refunds.items()
            if owner == payment_id and state is not RefundState.REFUSED
        )

    def sent_back(self, payment_id: PaymentId) -> int:
        """What failed and was not made anew."""
        return sum(
            refund.amount_minor
            for (owner, _), (refund, state) in self.refunds.items()
            if owner == payment_id and state is RefundState.REFUSED
        )

    def _answer(self) -> None:
        if self.away:
            raise Away

    def _take_back(self, refund: Refund) -> None:
        references = {c.reference: c.amount_minor for one in self.checkouts.values() for c in one.captures}
        gone = sum(
            one.amount_minor
            for one, state in self.refunds.values()
            if one.capture_reference == refund.capture_reference and state is not RefundState.REFUSED
        )
        assert 0 < refund.amount_minor <= references[refund.capture_reference] - gone, "more than there was"


class Till:
    """A house's desk and its money. `look` brings both together, one pause at a time."""

    def __init__(self, vendor: Vendor, *, now=NOW) -> None:
        self.desk = Desk(vendor, now)
        self.books = Books()
        self.provider = Provider()

    def finish(self, booking_id: BookingId) -> None:
        """Look at a booking's money until there is nothing left to do."""
        for pauses, _ in enumerate(self.look(booking_id)):
            assert pauses < STEPS_MAX, "it never comes to rest"

    def look(self, booking_id: BookingId, *, asking: bool = False) -> Iterator[None]:
        """As a payment desk does it: payments first, then the booking, which so is never older than they are."""
        try:
            if asking:
                yield from self._ask(booking_id)
            while True:
                payments = self.books.of(booking_id)
                yield
                booking = self.desk.bookings[booking_id]
                if not (yield from self._one_change(booking, payments)):
                    return
        except Away:
            return

    def deliver(self, message: Message) -> None:
        """A webhook arrives and is written down."""
        if message.refund is not None:
            self._change(message.payment_id, lambda p: refund_told(p, message.number, message.refund, message.name))
        elif message.capture is not None:
            self._change(message.payment_id, lambda p: capture(p, message.capture))
        else:
            self._change(message.payment_id, lambda p: declined(p, message.number))

    def retry(self, payment_id: PaymentId) -> None:
        """A person has refused refunds made anew."""
        for refund in self.books.payments[payment_id].refunds:
            if refund.state is RefundState.REFUSED:
                self._change(payment_id, lambda p, number=refund.number: refund_known(p, number, RefundState.WANTED))

    def deliver_all(self) -> None:
        while self.provider.messages:
            self.deliver(self.provider.messages.pop(0))

    def current(self, booking_id: BookingId) -> Payment:
        payment = current_of(self.books.of(booking_id))
        assert payment is not None
        return payment

    def _one_change(self, booking: Booking, payments: tuple[Payment, ...]) -> Iterator[None]:
        """Whether anything changed, so that one has to look anew."""
        wanted = new_payment(booking, payments, "till", self.desk.now)
        if wanted is not None:
            yield
            return self._written(None, wanted)
        for payment in payments:
            current = payment is current_of(payments)
            for step in steps(payment, booking, current=current, now=self.desk.now):
                yield
                if (yield from self._perform(step, payment)):
                    return True
        return False

    def _perform(self, step: Step, payment: Payment) -> Iterator[None]:
        match step:
            case Write():
                return self._written(payment, step.after)
            case OpenCheckout():
                ref, url = self.provider.open(payment, step.charge)
                yield
                return self._change(payment.payment_id, lambda p: opened(p, step.charge.number, ref, url))
            case SendRefund():
                state, name = self.provider.refund(payment, step.refund)
                yield
                return self._change(payment.payment_id, lambda p: refund_known(p, step.refund.number, state, name))
            case CloseCheckout():
                seen = self.provider.close(payment.payment_id, step.charge.number)
                yield
                return self._seen(payment.payment_id, step.charge.number, seen or Checkout(1, "", open=False))
            case ConfirmBooking():
                booking = self.desk.bookings[payment.booking_id]
                outcome = self.desk.mark(booking, BookingStatus.CONFIRMED, by=SYSTEM, expected_version=step.version)
                if isinstance(outcome, Rejection):
                    assert outcome.reason in (Reason.VERSION_CONFLICT, Reason.HOLD_EXPIRED), outcome
                else:
                    there = self.provider.captured(payment.payment_id) - self.provider.given_back(payment.payment_id)
                    assert there >= outcome.terms.deposit.amount_minor, "confirmed by money that is not there"
                return True

    def _ask(self, booking_id: BookingId) -> Iterator[None]:
        """The sweep: what the provider knows of each checkout, whether or not its messages came."""
        for payment in self.books.of(booking_id):
            for charge in payment.charges:
                seen = self.provider.look(payment.payment_id, charge.number)
                yield
                if seen is not None:
                    self._seen(payment.payment_id, charge.number, seen)

    def _seen(self, payment_id: PaymentId, number: int, seen: Checkout) -> bool:
        def change(payment: Payment) -> Payment:
            for came in seen.captures:
                payment = capture(payment, came)
            if seen.declined:
                payment = declined(payment, number)
            return payment if seen.open else closed(payment, number)

        return self._change(payment_id, change)

    def _change(self, payment_id: PaymentId, change: Callable[[Payment], Payment]) -> bool:
        before = self.books.payments[payment_id]
        after = change(before)
        if after is before:
            return False
        assert after != before, "a change that changes nothing"
        self.books.write(before, after)
        return True

    def _written(self, before: Payment | None, after: Payment) -> bool:
        """True also where somebody else was quicker: one has to look anew."""
        with contextlib.suppress(Conflict):
            self.books.write(before, after)
        return True
