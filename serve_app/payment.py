"""The payment service: payments one by one, what providers tell us, a vendor's account, and the sandbox's checkout.

A provider's message is checked, kept and answered, and nothing else: the payment desk believes it a moment later. So a
crowd of forged ones costs no more than their signatures.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from actors.client import ShardClient
from actors.outcome import Trouble, Unavailable
from domain.booking import Booking
from domain.command import Caller, Role
from domain.ids import BookingId, VendorId
from domain.local_time import midnight
from domain.payment import Payment, PaymentId, current_of
from domain.vendor import Vendor
from serve_app.answer import Answer, json_answer
from serve_app.auth import Tokens
from serve_app.checkout_page import checkout_answer
from serve_app.cursor import movement_cursor_of, movement_position_of
from serve_app.ended import EndedBookings
from serve_app.errors import Code, EdgeCode, Problem, forbidden, invalid, not_found
from serve_app.movements_csv import movements_csv
from serve_app.operation import ANYONE, LOGGED_IN, Call, Operation, Result
from serve_app.payment_models import (
    BalancesShown,
    CheckoutForm,
    DaysAsked,
    MovementsAsked,
    PaymentAloneShown,
    WebhookTaken,
    balances_content,
    checkout_form_of,
    payment_alone_content,
)
from serve_app.ports import Clock, LedgerReads, VendorReads
from serve_app.service import About, Service
from storage.payment_provider import BadSignature, PaymentProvider
from storage.payment_store import Inbox, PaymentStore
from storage.sandbox_checkout import Choice, Fate, SandboxCounter

PREFIX: Final = "/payment"
ABOUT: Final = About("payment", PREFIX, "Holdfast: payments", "Deposits, and what became of them.")

_SHARD: Final[tuple[Code, ...]] = tuple(Trouble)


@dataclass(frozen=True, slots=True)
class PaymentDeps:
    """`counter` is None where the provider is not the sandbox, `ended` where there is no archive."""

    client: ShardClient
    store: PaymentStore
    inbox: Inbox
    provider: PaymentProvider
    ledger: LedgerReads
    vendors: VendorReads
    tokens: Tokens
    clock: Clock
    ended: EndedBookings | None = None
    counter: SandboxCounter | None = None
    trust_forwarded: bool = False


def payment_app(deps: PaymentDeps) -> Service:
    """The ASGI application of every /payment route."""
    return Service(ABOUT, PaymentService(deps).operations(), deps.tokens, trust_forwarded=deps.trust_forwarded)


class PaymentService:
    """The handlers. Nothing here decides what becomes of money."""

    def __init__(self, deps: PaymentDeps) -> None:
        self._deps = deps

    def operations(self) -> list[Operation[Any, Any]]:
        return [
            Operation(
                "GET",
                f"{PREFIX}/{{payment_id}}",
                "One payment",
                LOGGED_IN,
                self.show,
                answer=PaymentAloneShown,
                codes=_SHARD,
            ),
            Operation(
                "POST",
                f"{PREFIX}/webhook/{{provider}}",
                "What the payment provider tells us, signed",
                ANYONE,
                self.webhook,
                body=dict[str, Any],
                answer=WebhookTaken,
                parse=_as_it_came,
                codes=(EdgeCode.BAD_SIGNATURE,),
                id_is_uuid=False,
                takes_headers=True,
            ),
            Operation(
                "GET",
                f"{PREFIX}/vendor/{{vendor_id}}/balance",
                "What a vendor's deposits sum up to",
                LOGGED_IN,
                self.balance,
                query=DaysAsked,
                answer=BalancesShown,
            ),
            Operation(
                "GET",
                f"{PREFIX}/vendor/{{vendor_id}}/movements",
                "What moved for a vendor's deposits, as CSV; a Link header leads to the next page",
                LOGGED_IN,
                self.movements,
                query=MovementsAsked,
                answer=str,
                media_type="text/csv",
            ),
            Operation(
                "GET",
                f"{PREFIX}/sandbox/{{payment_id}}",
                "The sandbox's checkout page",
                ANYONE,
                self.checkout,
                answer=str,
                media_type="text/html",
            ),
            Operation(
                "POST",
                f"{PREFIX}/sandbox/{{payment_id}}",
                "Pay at the sandbox's checkout, or have it declined",
                ANYONE,
                self.choose,
                body=CheckoutForm,
                answer=str,
                parse=checkout_form_of,
                media_type="text/html",
                body_media_type="application/x-www-form-urlencoded",
            ),
        ]

    async def show(self, call: Call[None, None]) -> Result:
        payment = await self._deps.store.by_id(PaymentId(call.id))
        if payment is None or not _may_see(call.account, payment):
            return not_found("There is no such payment.")
        current = current_of(await self._deps.store.of_booking(payment.booking_id))
        if current is None or current.payment_id != payment.payment_id:
            # It was replaced, and the booking has no say in it any more.
            return json_answer(payment_alone_content(payment, None, current=False))
        booking = await self._booking(payment.booking_id)
        if isinstance(booking, Unavailable):
            return booking
        return json_answer(payment_alone_content(current, booking, current=True))

    async def webhook(self, call: Call[bytes, None]) -> Result:
        provider = self._deps.provider
        if call.segment != provider.name:
            return not_found("There is no such provider here.")
        try:
            event_id = provider.checked(call.headers, call.raw, self._deps.clock())
        except BadSignature as error:
            return Problem(EdgeCode.BAD_SIGNATURE, f"This is not believed: {error}.")
        await self._deps.inbox.put(provider.name, event_id, call.raw)
        return json_answer({"taken": True})

    async def balance(self, call: Call[None, DaysAsked]) -> Result:
        vendor = await self._accounted(call.account, VendorId(call.id))
        if not isinstance(vendor, Vendor):
            return vendor
        since, until = _instants(vendor, call.query.first, call.query.last)
        balances = await self._deps.ledger.of_vendor(vendor.vendor_id, since=since, until=until)
        return json_answer(balances_content(vendor.vendor_id, balances))

    async def movements(self, call: Call[None, MovementsAsked]) -> Result:
        asked = call.query
        this_list = f"movements {call.id} {_days(asked)}"
        after = None if asked.cursor is None else movement_position_of(asked.cursor, this_list)
        if asked.cursor is not None and after is None:
            return invalid("cursor", "This is no cursor of this list")
        vendor = await self._accounted(call.account, VendorId(call.id))
        if not isinstance(vendor, Vendor):
            return vendor
        since, until = _instants(vendor, asked.first, asked.last)
        # One more than asked for tells whether there is another page.
        found = await self._deps.ledger.movements_of_vendor(
            vendor.vendor_id, asked.limit + 1, since=since, until=until, after=after
        )
        shown = found[: asked.limit]
        lines = [
            (b"content-type", b"text/csv; charset=utf-8; header=present"),
            (b"content-disposition", f'attachment; filename="movements-{call.id}.csv"'.encode("ascii")),
            (b"x-content-type-options", b"nosniff"),
            (b"cache-control", b"no-store"),
        ]
        if len(found) > asked.limit:
            lines.append((b"link", _next_page(call.id, asked, movement_cursor_of(shown[-1].position, this_list))))
        return Answer(200, movements_csv(shown).encode(), lines)

    async def checkout(self, call: Call[None, None]) -> Result:
        counter = self._deps.counter
        checkout = None if counter is None else await counter.checkout(PaymentId(call.id))
        return _NO_CHECKOUT if checkout is None else checkout_answer(checkout)

    async def choose(self, call: Call[CheckoutForm, None]) -> Result:
        counter, form = self._deps.counter, call.body
        if counter is None:
            return _NO_CHECKOUT
        checkout = await counter.choose(
            PaymentId(call.id), Choice(form.choice), Fate(form.webhook), charge_number=form.charge
        )
        return _NO_CHECKOUT if checkout is None else checkout_answer(checkout)

    async def _booking(self, booking_id: BookingId) -> Booking | Unavailable | None:
        """From the shard or the primary, then the archive: in the order in which bookings move on."""
        booking = await self._deps.client.booking(booking_id)
        if booking is None and self._deps.ended is not None:
            booking = await self._deps.ended.by_id(booking_id)
        return booking

    async def _accounted(self, caller: Caller, vendor_id: VendorId) -> Vendor | Problem:
        """The vendor, if the caller may see its account."""
        vendor = await self._deps.vendors.by_id(vendor_id)
        if vendor is None:
            return not_found("There is no such vendor.")
        own = caller.role is Role.VENDOR and caller.account_id == vendor_id
        if not own and caller.role is not Role.OPERATOR:
            return forbidden("Only the vendor itself may see its account.")
        return vendor


def _may_see(caller: Caller, payment: Payment) -> bool:
    """Its guest, its vendor, an operator; to everybody else the payment does not exist."""
    match caller.role:
        case Role.USER:
            return caller.account_id == payment.user_id
        case Role.VENDOR:
            return caller.account_id == payment.vendor_id
        case Role.OPERATOR | Role.SYSTEM:
            return True


def _as_it_came(body: bytes) -> bytes:
    """The signature is of the bytes, so nothing is read out of them before it was found good."""
    return body


def _instants(vendor: Vendor, first: date | None, last: date | None) -> tuple[datetime | None, datetime | None]:
    """From the beginning of the one day to the end of the other, on the vendor's clock."""
    zone = vendor.time_zone
    return (
        None if first is None else midnight(zone, first),
        None if last is None or last == date.max else midnight(zone, last + timedelta(days=1)),
    )


def _days(asked: DaysAsked) -> str:
    return f"{asked.first or ''} {asked.last or ''}"


def _next_page(vendor_id: object, asked: MovementsAsked, cursor: str) -> bytes:
    given = {"from": asked.first, "to": asked.last, "limit": asked.limit, "cursor": cursor}
    query = urlencode({name: value for name, value in given.items() if value is not None})
    return f'<{PREFIX}/vendor/{vendor_id}/movements?{query}>; rel="next"'.encode("ascii")


_NO_CHECKOUT: Final = not_found("There is no such checkout.")
