"""What is to be done next for a deposit.

Everything here follows from the two of them, the booking as it stands and the payment as it stands, and never from what
is told in which order: `next_step` looks at both and names one step, and doing steps until there is none brings money and
seat together, whatever crashed, was lost, or came twice in between.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from domain.booking import Booking, BookingStatus
from domain.money import Money
from domain.payment import (
    PAYABLE,
    Charge,
    ChargeState,
    Payment,
    Refund,
    RefundState,
    current_of,
    deposit_due,
    payment_id_of,
)

_CLOSES_BEFORE_HOLD: Final = timedelta(seconds=30)
_SHORT_HOLD: Final = timedelta(seconds=60)
_LAST_CHECKOUT_MAX: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Write:
    """The payment as it is to be. What it moves is `movements(before, after)`."""

    after: Payment


@dataclass(frozen=True, slots=True)
class OpenCheckout:
    charge: Charge


@dataclass(frozen=True, slots=True)
class CloseCheckout:
    charge: Charge


@dataclass(frozen=True, slots=True)
class SendRefund:
    """Tell the provider, or ask it about one that it has."""

    refund: Refund


@dataclass(frozen=True, slots=True)
class ConfirmBooking:
    """The deposit is there: tell the shard, for this version of the booking and no other."""

    version: int


Step: TypeAlias = Write | OpenCheckout | CloseCheckout | SendRefund | ConfirmBooking


def new_payment(booking: Booking, payments: tuple[Payment, ...], provider: str, now: datetime) -> Payment | None:
    """The payment that the booking as it stands still lacks, with its first charge; None where it lacks none.

    Until it is confirmed, another deposit is another payment; later only another currency is.
    """
    deposit = deposit_due(booking)
    if deposit is None:
        return None
    number = booking.terms.deposit_version
    last = current_of(payments)
    if last is not None and (
        last.number >= number or (booking.status is not BookingStatus.BLOCKED and last.currency == deposit.currency)
    ):
        return None
    return Payment(
        payment_id_of(booking.booking_id, number),
        booking.booking_id,
        booking.vendor_id,
        booking.user_id,
        number,
        provider,
        deposit.currency,
        deposit.amount_minor,
        now,
        charges=(Charge(1, deposit.amount_minor, number, closes_at=_closes_at(booking)),),
    )


def next_step(payment: Payment, booking: Booking | None, *, current: bool, now: datetime) -> Step | None:
    """The next thing to do for this payment, None where nothing is; the first of `steps`."""
    return next(steps(payment, booking, current=current, now=now), None)


def steps(payment: Payment, booking: Booking | None, *, current: bool, now: datetime) -> Iterator[Step]:
    """What there is to do for this payment. `booking` is None where there is none any more.

    `current` says whether it is the one of the booking's payments that counts. First what we know is written down, then
    the world is told: a provider that is away holds up no bookkeeping. What follows the first step is for whoever tried
    that one to no effect or in vain, a refund that the provider takes its time over or has no money for; after a change,
    ask anew.
    """
    after = _settled(payment, booking if current else None, now)
    if after is not payment:
        yield Write(after)
        return
    if booking is not None and current and _paid_for(payment, booking, now):
        yield ConfirmBooking(booking.version)
    for charge in payment.charges:
        # Declined before its opening was known: where it can be paid has yet to be found out.
        if charge.state in PAYABLE and charge.provider_ref is None:
            yield OpenCheckout(charge)
    for refund in payment.refunds:
        if refund.state in (RefundState.WANTED, RefundState.SENT):
            yield SendRefund(refund)
    for charge in payment.charges:
        if charge.state is ChargeState.CLOSING:
            yield CloseCheckout(charge)


def over(payment: Payment, booking: Booking | None, *, current: bool) -> bool:
    """Whether no money is open: nothing is wanted, on its way, or yet to be decided. Only late money can stir it again."""
    if any(charge.state not in (ChargeState.PAID, ChargeState.CLOSED) for charge in payment.charges):
        return False
    if any(refund.state is not RefundState.DONE for refund in payment.refunds):
        return False
    return not current or booking is None or (not booking.live and booking.version <= payment.settled_version)


def look_again_at(payment: Payment, booking: Booking | None, *, now: datetime, every: timedelta) -> datetime | None:
    """When to look at the payment again if nobody says anything; None where only news can change it."""
    moments = list(_moments(payment, booking, now, every))
    return min(moments) if moments else None


def _settled(payment: Payment, booking: Booking | None, now: datetime) -> Payment:
    """The payment brought in line with its booking (None: nobody wants its money): charges, refunds, what is kept.

    A booking as it was before the payment was settled by it says nothing any more. What is kept of a visit is settled
    when every checkout that could add to it has closed: whether its payment came in time, no lost message may decide.
    One that will not close is waited for no longer than a day. Money that arrives after that, or after a cancellation, goes
    back, whenever it was paid.
    """
    if booking is not None:
        if booking.version < payment.settled_version:
            return payment
        deposit = deposit_due(booking)
        if deposit is not None and deposit.currency == payment.currency:
            return _live(payment, booking, deposit.amount_minor, now)
    after = _with_charges_closing(payment, lambda _: True)
    if booking is not None and booking.version > payment.settled_version:
        agreed = _agreed_minor(payment, booking)
        kept = _kept_of(booking, Money(min(payment.net_minor, agreed), payment.currency))
        waits = _came(booking) and _closing(after) and now < booking.updated_at + _LAST_CHECKOUT_MAX
        if waits and kept < _kept_of(booking, Money(agreed, payment.currency)):
            return after
        amount = agreed or payment.amount_minor
        after = replace(after, amount_minor=amount, kept_minor=kept, settled_version=booking.version)
    return _with_refund(after, after.net_minor - after.kept_minor)


def _live(payment: Payment, booking: Booking, deposit_minor: int, now: datetime) -> Payment:
    """The booking stands and wants its deposit; where it is a hold, until its checkout closes."""
    closes_at = _closes_at(booking)
    after = payment if payment.amount_minor == deposit_minor else replace(payment, amount_minor=deposit_minor)
    net = after.net_minor
    after = _with_refund(after, net - deposit_minor)
    due = deposit_minor - net
    after = _with_charges_closing(
        after,
        lambda charge: charge.amount_minor != due or (charge.closes_at is not None and charge.closes_at <= now),
    )
    if due > 0 and after.payable is None and (closes_at is None or closes_at > now):
        charge = Charge(len(after.charges) + 1, due, booking.terms.deposit_version, closes_at=closes_at)
        after = replace(after, charges=(*after.charges, charge))
    return after


def _agreed_minor(payment: Payment, booking: Booking) -> int:
    """The deposit of the booking's terms, whatever was known of it before; 0 where it has none in this currency."""
    deposit = booking.terms.deposit
    return deposit.amount_minor if deposit is not None and deposit.currency == payment.currency else 0


def _kept_of(booking: Booking, held: Money) -> int:
    """What the house keeps of the deposit that it holds, once the booking has ended."""
    if booking.deposit_waived:
        return 0
    match booking.status:
        case BookingStatus.NO_SHOW:
            return held.amount_minor
        case BookingStatus.AVAILED:
            return 0 if booking.bill_minor is None else min(booking.bill_minor, held.amount_minor)
        case BookingStatus.CANCELLED if booking.cancelled_late:
            return held.percent(booking.terms.keep_on_late_cancel_percent).amount_minor
        case _:
            return 0


def _came(booking: Booking) -> bool:
    """Whether the booking lived to its time, so that what is kept goes by the deposit that was agreed on."""
    return booking.status in (BookingStatus.AVAILED, BookingStatus.NO_SHOW)


def _paid_for(payment: Payment, booking: Booking, now: datetime) -> bool:
    """Whether the shard is to be told. Not of a hold whose time is over: it can only refuse, until it says EXPIRED."""
    deposit = deposit_due(booking)
    return (
        deposit is not None
        and booking.status is BookingStatus.BLOCKED
        and (booking.hold_expires_at is None or now < booking.hold_expires_at)
        and not booking.deposit_paid
        and deposit.currency == payment.currency
        and payment.net_minor >= deposit.amount_minor
    )


def _closes_at(booking: Booking) -> datetime | None:
    """When the checkout of a hold closes: 30 seconds before it, where it lives longer than a minute."""
    if booking.hold_expires_at is None:
        return None
    life = booking.hold_expires_at - booking.created_at
    return booking.hold_expires_at - _CLOSES_BEFORE_HOLD if life > _SHORT_HOLD else booking.hold_expires_at


def _with_refund(payment: Payment, amount_minor: int) -> Payment:
    """So much more goes back, from the newest captures first: what was paid too much goes back where it came from."""
    refunds = list(payment.refunds)
    for received in reversed(payment.captures):
        if amount_minor <= 0:
            break
        gone = sum(refund.amount_minor for refund in refunds if refund.capture_reference == received.reference)
        part = min(amount_minor, received.amount_minor - gone)
        if part > 0:
            refunds.append(Refund(len(refunds) + 1, received.reference, part))
            amount_minor -= part
    return replace(payment, refunds=tuple(refunds)) if len(refunds) > len(payment.refunds) else payment


def _with_charges_closing(payment: Payment, unwanted: Callable[[Charge], bool]) -> Payment:
    charges = tuple(
        replace(charge, state=ChargeState.CLOSING) if charge.state in PAYABLE and unwanted(charge) else charge
        for charge in payment.charges
    )
    return payment if charges == payment.charges else replace(payment, charges=charges)


def _closing(payment: Payment) -> bool:
    return any(charge.state is ChargeState.CLOSING for charge in payment.charges)


def _moments(payment: Payment, booking: Booking | None, now: datetime, every: timedelta) -> Iterator[datetime]:
    """`every` is how often the provider is asked about what it owes us an answer for.

    It is asked about a checkout once more after its end, also a paid one: what was on its way then may have come, and its
    message may be lost.
    """
    for charge in payment.charges:
        if charge.state in PAYABLE:
            yield now + every
            if charge.closes_at is not None:
                yield max(charge.closes_at, now)
        elif charge.state is ChargeState.CLOSING:
            yield now + every
        elif charge.closes_at is not None and charge.closes_at + every > now:
            yield charge.closes_at + every
    if any(refund.state in (RefundState.WANTED, RefundState.SENT) for refund in payment.refunds):
        yield now + every
    if booking is not None and booking.status is BookingStatus.BLOCKED and booking.hold_expires_at is not None:
        yield max(booking.hold_expires_at, now) + every
