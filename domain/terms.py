"""What a booking costs, what is due before it is confirmed, and until when the guest may still change it."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from domain.booking import Booking, Terms
from domain.money import Money
from domain.seat_plan import NO_PRICE
from domain.vendor import Approval, DepositKind, Policy
from domain.vendor_facts import VendorFacts


def price_of(facts: VendorFacts, positions: Sequence[int], nights: int) -> Money | None:
    """The whole stay's price, or a sitting's where its tables have one; None where a seat has none."""
    total = 0
    for position in positions:
        price_minor = facts.plan.class_of(position).price_minor
        if price_minor == NO_PRICE:
            return None
        total += price_minor
    return Money(total * (nights or 1), facts.currency)


def terms_of(facts: VendorFacts, party_size: int, price: Money | None) -> Terms:
    """The vendor's terms as they are now."""
    policy = facts.policy
    return Terms(
        deposit_of(policy, facts.currency, party_size, price),
        policy.cancel_before_hours,
        policy.keep_on_late_cancel_percent,
    )


def deposit_of(policy: Policy, currency: str, party_size: int, price: Money | None) -> Money | None:
    """What is due before the booking is confirmed; None where nothing is."""
    deposit = policy.deposit
    match deposit.kind:
        case DepositKind.NONE:
            return None
        case DepositKind.PER_BOOKING:
            due = Money(deposit.amount_minor, currency)
        case DepositKind.PER_PERSON:
            due = Money(deposit.amount_minor, currency).times(party_size)
        case DepositKind.PERCENT:
            due = price.percent(deposit.percent) if price else Money(0, currency)
    return due if due.amount_minor else None


def confirmed_at_once(policy: Policy, terms: Terms) -> bool:
    return terms.deposit is None and policy.approval is Approval.AUTOMATIC


def past_deadline(booking: Booking, now: datetime) -> bool:
    """Whether the time in which the guest cancels for nothing, and amends, is over."""
    return now >= booking.starts_at - timedelta(hours=booking.terms.cancel_before_hours)
