"""What a booking costs, what is due before it is confirmed, and until when the guest may still change it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from domain.booking import Booking, BookingStatus, Terms
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
    """The vendor's terms as they are now, for a new booking."""
    policy = facts.policy
    deposit = deposit_of(policy, facts.currency, party_size, price)
    return Terms(
        deposit,
        policy.cancel_before_hours,
        policy.keep_on_late_cancel_percent,
        policy.approval is Approval.MANUAL,
        0 if deposit is None else 1,
    )


def terms_amended(booking: Booking, facts: VendorFacts, party_size: int, price: Money | None) -> Terms:
    """The vendor's terms as they are now, for what a booking becomes in its present version.

    The same deposit is not a new one, unless nobody has paid it: amending a hold replaces its payment (API.md, Payments).
    """
    before, terms = booking.terms, terms_of(facts, party_size, price)
    unpaid = booking.status is BookingStatus.BLOCKED and not booking.deposit_paid
    same = terms.deposit == before.deposit and not (unpaid and terms.deposit is not None)
    return replace(terms, deposit_version=before.deposit_version if same else booking.version)


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


def confirmed_at_once(terms: Terms) -> bool:
    return terms.deposit is None and not terms.by_hand


def past_deadline(booking: Booking, now: datetime) -> bool:
    """Whether the time in which the guest cancels for nothing, and amends, is over."""
    return now >= booking.starts_at - timedelta(hours=booking.terms.cancel_before_hours)
