"""`holdfast payments`: what deposits became of, what is stuck, and what an operator does about it. Straight on Postgres.

Whatever is asked of the payment desk here, it does within seconds where it runs, and nothing waits for it.
"""

import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final, TypeVar
from uuid import UUID

import typer
from rich.console import Console

from holdfast.database_command import ask_database, settings, stop
from storage.postgres import Database

if TYPE_CHECKING:
    from domain.payment import Payment
    from holdfast.payments_shown import PaymentKnown
    from storage.reconciliations import Reconciliation

app = typer.Typer(help="Show what became of deposits, and settle what is stuck.", no_args_is_help=True)
_out = Console()
if not _out.is_terminal:
    _out.width = max(_out.width, 160)

_T = TypeVar("_T")

_LISTED_MAX: Final = 200
_EXPORTED_AT_ONCE: Final = 500
_NOTE_CHARACTERS_MAX: Final = 500

PaymentArgument = Annotated[UUID, typer.Argument(metavar="ID", help="A payment's or a booking's id.")]
VendorArgument = Annotated[UUID, typer.Argument(metavar="VENDOR", help="A vendor's id.")]


@app.command()
def stuck() -> None:
    """List the payments and messages that only a person can settle, longest first."""
    from holdfast import payments_shown
    from storage.postgres_inbox import PostgresInbox
    from storage.postgres_payments import PostgresPayments

    payments = _ask(lambda database: PostgresPayments(database).stuck(_LISTED_MAX + 1))
    messages = _ask(lambda database: PostgresInbox(database).stuck(_LISTED_MAX + 1))
    if not payments and not messages:
        _out.print("Nothing is stuck.")
    if payments:
        _out.print(payments_shown.stuck_payments(payments[:_LISTED_MAX]))
    if messages:
        _out.print(payments_shown.stuck_messages(messages[:_LISTED_MAX]))
        _out.print("Try a message again with: holdfast payments retry MESSAGE", highlight=False)
    if max(len(payments), len(messages)) > _LISTED_MAX:
        _out.print(f"There are more; these are the longest {_LISTED_MAX}.")


@app.command()
def show(asked_id: PaymentArgument) -> None:
    """Show a payment whole, or each of a booking's: checkouts, captures, refunds, and what was booked for it."""
    from holdfast import payments_shown

    found = _ask(lambda database: _known(database, asked_id))
    if not found:
        stop(f"there is no payment {asked_id}, and no booking of that id has one")
    for number, one in enumerate(found):
        _out.print(*([""] if number else []), payments_shown.payment(one), sep="\n")


@app.command()
def retry(
    asked_id: Annotated[str, typer.Argument(metavar="ID", help="A payment's id, or a message as `stuck` shows it.")],
) -> None:
    """Have the payment desk look at a payment again, and ask again for refunds that were refused."""
    if "/" in asked_id:
        provider, _, event_id = asked_id.partition("/")
        if not _ask(lambda database: _retry_message(database, provider, event_id)):
            stop(f"no message {asked_id} waits: it is handled, or there never was one")
        _out.print(f"Message {asked_id} will be tried again within seconds.", highlight=False, soft_wrap=True)
        return
    try:
        payment_id = UUID(asked_id)
    except ValueError:
        stop(f"{asked_id} is neither a payment's id nor a message (provider/id)")
    refused = _ask(lambda database: _retry_payment(database, payment_id))
    if refused is None:
        stop(f"there is no payment {payment_id}")
    again = f", and {_counted(refused, 'refund')} asked for again" if refused else ""
    _out.print(f"Payment {payment_id} will be looked at within seconds{again}.", highlight=False, soft_wrap=True)


@app.command()
def settled(
    payment_id: Annotated[UUID, typer.Argument(metavar="ID", help="A payment's id.")],
    refund: Annotated[int, typer.Argument(metavar="REFUND", min=1, help="The refund's number, as `show` tells it.")],
    note: Annotated[str, typer.Option(help="How the guest got the money; it is kept with the refund.")],
) -> None:
    """Say that a refund which the provider refused was paid back by hand."""
    if not note.strip() or len(note) > _NOTE_CHARACTERS_MAX or not note.isprintable():
        stop(f"a note is one line of 1 to {_NOTE_CHARACTERS_MAX} characters that says how the guest got the money")
    amount = _ask(lambda database: _settle(database, payment_id, refund, note.strip()))
    _out.print(f"Refund {refund} of {amount} is settled by hand.", highlight=False)


@app.command()
def reconcile(
    day: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="A day of UTC; yesterday if none is given.")
    ] = None,
) -> None:
    """Compare the provider's list of a day with ours, name each difference, and exit with 1 if there is any."""
    from holdfast import payments_shown

    today = datetime.now(UTC).date()
    chosen = today - timedelta(days=1) if day is None else day.date()
    if chosen > today:
        stop(f"{chosen} is yet to come")
    made = _ask(lambda database: _reconciled(database, chosen))
    _out.print(payments_shown.both_sides(made))
    if made.differences:
        _out.print(payments_shown.differences(made.differences))
        many = _counted(len(made.differences), "difference")
        _out.print(f"[bold red]{chosen}, {made.provider}: {many}.[/]", highlight=False)
        for payment_id in made.unhealed:
            told = f"Payment {payment_id} could not be brought up to date: reconcile the day again."
            _out.print(told, highlight=False, soft_wrap=True)
        raise typer.Exit(1)
    _out.print(f"[bold green]{chosen}, {made.provider}: both say the same.[/]", highlight=False)


@app.command()
def export(
    vendor_id: VendorArgument,
    first: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day, at the vendor's clock.")
    ] = None,
    last: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day, which is included.")
    ] = None,
) -> None:
    """Write a vendor's movements to standard output as CSV."""
    if first is not None and last is not None and last < first:
        stop("the last day is before the first one")
    days = None if first is None else first.date(), None if last is None else last.date()
    _ask(lambda database: _export(database, vendor_id, *days))


@app.command()
def balance(
    vendor_id: Annotated[UUID | None, typer.Argument(metavar="[VENDOR]", help="A vendor's id.")] = None,
    booking_id: Annotated[UUID | None, typer.Option("--booking", help="Of one booking instead.")] = None,
) -> None:
    """Show what a vendor, or one booking, has on each account."""
    from domain.ids import BookingId, VendorId
    from holdfast import payments_shown
    from storage.ledger import Ledger

    if vendor_id is not None and booking_id is None:
        of_vendor = VendorId(vendor_id)
        found = _ask(lambda database: Ledger(database).of_vendor(of_vendor))
    elif booking_id is not None and vendor_id is None:
        of_booking = BookingId(booking_id)
        found = _ask(lambda database: Ledger(database).of_booking(of_booking))
    else:
        stop("say which: the id of a vendor, or --booking and the id of a booking")
    _out.print(payments_shown.balances(found) if found else "No money has moved.")


def _ask(call: Callable[[Database], Awaitable[_T]]) -> _T:
    return ask_database("payments", call)


async def _known(database: Database, asked_id: UUID) -> "list[PaymentKnown]":
    from domain.ids import BookingId
    from domain.payment import PaymentId, current_of
    from holdfast.payments_shown import PaymentKnown
    from storage.bookings import BookingReads
    from storage.ledger import Ledger
    from storage.payment_watch import PaymentWatch
    from storage.postgres_payments import PostgresPayments

    store = PostgresPayments(database)
    one = await store.by_id(PaymentId(asked_id))
    payments = await store.of_booking(BookingId(asked_id) if one is None else one.booking_id)
    if not payments:
        return []
    current = current_of(payments)
    booking = await BookingReads(database).by_id(payments[0].booking_id)
    watch, ledger = PaymentWatch(database), Ledger(database)
    return [
        PaymentKnown(
            payment,
            payment is current,
            booking,
            await watch.attention(payment.payment_id),
            await ledger.movements_of_payment(payment.payment_id),
        )
        for payment in payments
        if one is None or payment.payment_id == one.payment_id
    ]


async def _retry_message(database: Database, provider: str, event_id: str) -> bool:
    from storage.postgres_inbox import PostgresInbox

    return await PostgresInbox(database).retry(provider, event_id)


async def _retry_payment(database: Database, payment_id: UUID) -> int | None:
    """How many refunds are asked for again; None where there is no such payment."""
    from domain.payment import PaymentId, RefundState, refund_known
    from storage.postgres_payments import PostgresPayments

    store = PostgresPayments(database)
    before = await store.by_id(PaymentId(payment_id))
    if before is None:
        return None
    refused = [refund.number for refund in before.refunds if refund.state is RefundState.REFUSED]
    after = before
    for number in refused:
        after = refund_known(after, number, RefundState.WANTED)
    await _write(database, before, after)
    await store.retry(before.payment_id)
    return len(refused)


async def _settle(database: Database, payment_id: UUID, number: int, note: str) -> str:
    """What was paid back. The note takes the place of the provider's reference, which stays in it."""
    from domain.payment import BY_HAND, PaymentId, RefundState, refund_known
    from holdfast.payments_shown import amount
    from storage.postgres_payments import PostgresPayments

    before = await PostgresPayments(database).by_id(PaymentId(payment_id))
    if before is None:
        stop(f"there is no payment {payment_id}")
    refund = next((one for one in before.refunds if one.number == number), None)
    if refund is None:
        stop(f"payment {payment_id} has no refund {number}")
    if refund.state is not RefundState.REFUSED:
        stop(f"refund {number} is {refund.state}: only one that the provider refused can be settled by hand")
    was = f" (was {refund.provider_ref})" if refund.provider_ref else ""
    await _write(database, before, refund_known(before, number, RefundState.DONE, f"{BY_HAND}{note}{was}"))
    return amount(refund.amount_minor, before.currency)


async def _write(database: Database, before: "Payment", after: "Payment") -> None:
    """A change that moves nothing, whose cause so is the version that the payment is in line with."""
    from storage.errors import VersionConflict
    from storage.postgres_payments import PostgresPayments

    if after == before:
        return
    version = max(before.number, before.settled_version)
    try:
        await PostgresPayments(database).write(before, after, booking_version=version)
    except VersionConflict:
        stop(
            f"payment {before.payment_id} changed just now; look at it again, and do it once more if it is still needed"
        )


async def _reconciled(database: Database, day: date) -> "Reconciliation":
    from consumers.reconciliation import Reconciler
    from holdfast.payment_provider import payment_provider
    from holdfast.store_urls import postgres_url
    from storage.errors import StoreUnavailable
    from storage.payment_provider import ProviderRefused
    from storage.postgres_payments import PostgresPayments
    from storage.reconciliations import Reconciliations

    provider = payment_provider(settings(), postgres_url(settings()))
    try:
        return await Reconciler(provider, Reconciliations(database), PostgresPayments(database)).reconcile(day)
    except (StoreUnavailable, ProviderRefused) as error:
        stop(f"{day} could not be compared with {provider.name}: {error}")
    finally:
        await provider.aclose()


async def _export(database: Database, vendor_id: UUID, first: date | None, last: date | None) -> None:
    from domain.ids import VendorId
    from domain.local_time import midnight
    from serve_app.movements_csv import movements_csv
    from storage.ledger import Ledger

    vendor, ledger = VendorId(vendor_id), Ledger(database)
    zone: str | None = await database.value("vendor_time_zone", vendor)
    if zone is None:
        stop(f"there is no vendor {vendor_id}")
    since = None if first is None else midnight(zone, first)
    until = None if last is None or last == date.max else midnight(zone, last + timedelta(days=1))
    after = None
    while True:
        page = await ledger.movements_of_vendor(vendor, _EXPORTED_AT_ONCE, since=since, until=until, after=after)
        # CRLF ends each line already, and must not be translated into something else.
        sys.stdout.buffer.write(movements_csv(page, head=after is None).encode())
        if len(page) < _EXPORTED_AT_ONCE:
            sys.stdout.flush()
            return
        after = page[-1].position


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
