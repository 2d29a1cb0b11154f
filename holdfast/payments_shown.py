"""Payments, the ledger and reconciliations as tables of the command."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from domain.booking import Booking
from domain.currency import decimal_text
from domain.ledger import Balance, BookedMovement
from domain.payment import ChargeState, Payment, RefundState, status_of
from holdfast import tables
from holdfast.database_command import ago
from storage.money_audit import CurrencySums
from storage.payment_store import Stuck, StuckMessage
from storage.payment_watch import Attention
from storage.reconciliations import Difference, Reconciliation, Sum


@dataclass(frozen=True, slots=True)
class PaymentKnown:
    """Everything about one payment. `booking` is None where it is not among the current bookings."""

    payment: Payment
    current: bool
    booking: Booking | None
    attention: Attention | None
    booked: Sequence[BookedMovement]


def amount(minor: int, currency: str) -> str:
    return f"{decimal_text(minor, currency)} {currency}"


def stuck_payments(found: Iterable[Stuck]) -> Table:
    table = tables.plain(
        "payment, booking, vendor", "deposit", "stuck", "why, and what to do", yielding={"why, and what to do"}
    )
    for one in found:
        payment = one.payment
        table.add_row(
            f"{payment.payment_id}\n{payment.booking_id}\n{payment.vendor_id}",
            amount(payment.amount_minor, payment.currency),
            ago(one.since),
            Text(f"{one.reason}\n{what_to_do(payment)}\n"),
        )
    return table


def stuck_messages(found: Iterable[StuckMessage]) -> Table:
    table = tables.plain("message", "received", "tries", "why", yielding={"why"})
    for one in found:
        message = one.message
        name = Text(f"{message.provider}/{message.event_id}")
        table.add_row(name, ago(one.received_at), str(message.tries), Text(one.error))
    return table


def what_to_do(payment: Payment) -> str:
    name = f"holdfast payments retry {payment.payment_id}"
    refused = [refund.number for refund in payment.refunds if refund.state is RefundState.REFUSED]
    if refused:
        return f"{name}; or pay the guest back by hand: holdfast payments settled {payment.payment_id} {refused[0]} --note ..."
    if any(charge.state is ChargeState.OPENING for charge in payment.charges):
        return f"mend what is named, then {name}; or the vendor confirms the booking, which waives the deposit"
    return f"mend what is named, then {name}"


def payment(known: PaymentKnown) -> RenderableType:
    one = known.payment
    facts = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in _facts(known):
        facts.add_row(name, Text(value))
    parts: list[RenderableType] = [facts]
    for title, table in (("checkouts", _charges(one)), ("captures", _captures(one)), ("refunds", _refunds(one)),
                         ("ledger", _movements(known.booked))):  # fmt: skip
        if table.row_count:
            parts += [f"\n[bold]{title}[/]", table]
    return Group(*parts)


def balances(found: Iterable[Balance]) -> Table:
    table = tables.plain("currency", "owed to guests", "owed to vendors", "with the provider", "fees")
    for one in found:
        table.add_row(
            one.currency,
            decimal_text(-one.guest_minor, one.currency),
            decimal_text(-one.vendor_minor, one.currency),
            decimal_text(one.provider_minor, one.currency),
            decimal_text(one.fees_minor, one.currency),
        )
    return table


def both_sides(made: Reconciliation) -> Table:
    """What each side says in all, by currency."""
    table = tables.plain("currency", "side", "captured", "refunded", "fees")
    for side, sums in (("ours", made.ours), (made.provider, made.theirs)):
        for one in sums:
            table.add_row(one.currency, side, *(decimal_text(minor, one.currency) for minor in _minors(one)))
    return table


def differences(found: Iterable[Difference]) -> Table:
    table = tables.plain("reference", "ours", "theirs", "what", yielding={"reference", "what"})
    for one in found:
        payment_id = "" if one.payment_id is None else f" (payment {one.payment_id})"
        table.add_row(
            Text(one.reference),
            "-" if one.ours_minor is None else amount(one.ours_minor, one.currency),
            "-" if one.theirs_minor is None else amount(one.theirs_minor, one.currency),
            Text(one.what + payment_id),
        )
    return table


def money(found: Iterable[CurrencySums]) -> Table:
    """What all that came became of: the first half from the payments, the second from the ledger."""
    table = tables.plain(
        "money",
        "came",
        "given back",
        "on its way back",
        "kept",
        "held",
        "owed to guests",
        "to vendors",
        "with provider",
        "fees",
    )
    for one in found:
        sums = (
            one.captured,
            one.refunded,
            one.refunding,
            one.kept,
            one.held,
            -one.guest_account,
            -one.vendor_account,
            one.provider_account,
            one.fees_account,
        )
        table.add_row(one.currency, *(decimal_text(minor, one.currency) for minor in sums))
    return table


def _minors(one: Sum) -> tuple[int, int, int]:
    return one.captured_minor, one.refunded_minor, one.fees_minor


def _facts(known: PaymentKnown) -> Iterable[tuple[str, str]]:
    one, booking, attention = known.payment, known.booking, known.attention
    yield "payment", str(one.payment_id)
    where = "not among the current bookings" if booking is None else f"{booking.status}, version {booking.version}"
    yield "booking", f"{one.booking_id} ({where})"
    yield "vendor", str(one.vendor_id)
    yield "guest", str(one.user_id)
    yield "provider", one.provider
    replaced = "" if known.current else ", replaced by a later one"
    yield "deposit", f"{amount(one.amount_minor, one.currency)}, asked for since version {one.number}{replaced}"
    yield "status", status_of(one, booking, current=known.current)
    yield "captured", amount(one.captured_minor, one.currency)
    yield "given back", amount(one.refunded_minor, one.currency)
    yield "on its way back", amount(one.refunding_minor, one.currency)
    yield "kept", amount(one.kept_minor, one.currency)
    if attention is not None:
        yield "now", _outlook(attention)


def _outlook(attention: Attention) -> str:
    if attention.since is not None:
        return f"stuck since {ago(attention.since)}: {attention.reason}"
    failed = f", after {attention.tries} looks that failed: {attention.error}" if attention.error else ""
    if attention.look_at is not None:
        return f"looked at next at {_instant(attention.look_at)}{failed}"
    return "over" if attention.over else "at rest until something happens"


def _charges(one: Payment) -> Table:
    table = tables.plain(
        "number", "amount", "version", "state", "closes", "provider's reference", yielding={"provider's reference"}
    )
    for charge in one.charges:
        table.add_row(
            str(charge.number),
            amount(charge.amount_minor, one.currency),
            str(charge.asked_version),
            charge.state,
            "-" if charge.closes_at is None else _instant(charge.closes_at),
            Text(charge.provider_ref or "-"),
        )
    return table


def _captures(one: Payment) -> Table:
    table = tables.plain("checkout", "amount", "fee", "provider's reference", yielding={"provider's reference"})
    for capture in one.captures:
        table.add_row(
            str(capture.charge_number),
            amount(capture.amount_minor, one.currency),
            amount(capture.fee_minor, one.currency),
            Text(capture.reference),
        )
    return table


def _refunds(one: Payment) -> Table:
    table = tables.plain("number", "amount", "state", "of capture", "provider's reference",
                         yielding={"of capture", "provider's reference"})  # fmt: skip
    for refund in one.refunds:
        table.add_row(
            str(refund.number),
            amount(refund.amount_minor, one.currency),
            refund.state,
            Text(refund.capture_reference),
            Text(refund.provider_ref or "-"),
        )
    return table


def _movements(booked: Iterable[BookedMovement]) -> Table:
    table = tables.plain("movement", "when", "kind", "amount", "from", "to", "booking's version")
    for one in booked:
        table.add_row(
            str(one.movement_id),
            _instant(one.moved_at),
            one.movement.kind,
            amount(one.movement.amount_minor, one.currency),
            one.movement.source,
            one.movement.target,
            str(one.booking_version),
        )
    return table


def _instant(instant: datetime) -> str:
    return escape(instant.isoformat(sep=" ", timespec="seconds"))
