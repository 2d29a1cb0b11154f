"""The booking service: hold, read, amend, and change the status of one booking; many holds in one request.

Mounted twice, behind Ray Serve and inside the shard actor (the express lane); only the client differs.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from actors.client import ShardClient
from actors.outcome import Done, Outcome, Trouble, Unavailable, VendorDone
from domain.booking import Booking, BookingStatus
from domain.command import AmendBooking, Caller, PlaceHold, Role, SetStatus
from domain.ids import BookingId, VendorId, booking_id_from
from domain.rejection import Reason, Rejection
from serve_app.answer import REPLAYED, Answer, json_answer
from serve_app.auth import Tokens
from serve_app.booking_models import (
    AmendBody,
    BookingShown,
    BookingStatusShown,
    BulkBody,
    BulkEnvelope,
    BulkItem,
    BulkShown,
    PlaceHoldBody,
    StatusBody,
    amendment_of,
    booking_content,
    hold_of,
    once,
    once_of,
    status_change_of,
    status_content,
)
from serve_app.booking_payments import BookingPayments, PaymentContent
from serve_app.doubt import cache_may_lie
from serve_app.ended import EndedBookings
from serve_app.errors import (
    Code,
    EdgeCode,
    Problem,
    document,
    ill_formed,
    invalid,
    not_found,
    payment_declined,
    problem_of,
)
from serve_app.operation import LOGGED_IN, ONLY_USERS, Call, Operation, Result, failed
from serve_app.ports import BookingNotes, CachedBookings, Payments, RandomBits
from serve_app.service import About, Service

PREFIX: Final = "/booking"
ABOUT: Final = About(
    "booking", PREFIX, "Holdfast: bookings", "Hold a table or a room, look at it, change it, give it back."
)

_SHARD: Final[tuple[Code, ...]] = tuple(Trouble)
_HOLD: Final[tuple[Code, ...]] = (
    Reason.OUTSIDE_OPENING_HOURS,
    Reason.OUTSIDE_BOOKING_WINDOW,
    Reason.STAY_NOT_ALLOWED,
    Reason.PARTY_TOO_LARGE,
    Reason.NO_AVAILABILITY,
)
_CHANGE: Final[tuple[Code, ...]] = (Reason.ILLEGAL_TRANSITION, Reason.HOLD_EXPIRED, Reason.PAST_CANCELLATION_DEADLINE)

_OF_ITEMS: Final = frozenset({"vendor_id", "idempotency_key"})

_BULK: Final[TypeAdapter[BulkEnvelope]] = TypeAdapter(BulkEnvelope)
_BULK_ITEM: Final[TypeAdapter[BulkItem]] = TypeAdapter(BulkItem)


@dataclass(frozen=True, slots=True)
class BookingDeps:
    """`ended` and `notes` are None where there is neither archive nor cache, `cached` where the shard's own memory is nearer.

    `payments` is None where nothing is ever paid. `trust_forwarded` says that a proxy of ours in front writes
    X-Forwarded-For.
    """

    client: ShardClient
    tokens: Tokens
    random_bits: RandomBits
    ended: EndedBookings | None = None
    notes: BookingNotes | None = None
    cached: CachedBookings | None = None
    payments: Payments | None = None
    trust_forwarded: bool = False


def booking_app(deps: BookingDeps) -> Service:
    """The ASGI application of every /booking route."""
    return Service(ABOUT, Bookings(deps).operations(), deps.tokens, trust_forwarded=deps.trust_forwarded)


class Bookings:
    """The handlers. The shard decides everything that is not shape; who may see a booking is decided here for reads."""

    def __init__(self, deps: BookingDeps) -> None:
        self._client = deps.client
        self._random_bits = deps.random_bits
        self._ended = deps.ended
        self._notes = deps.notes
        self._cached = deps.cached
        self._payments = BookingPayments(deps.payments)

    def operations(self) -> list[Operation[Any, Any]]:
        return [
            Operation(
                "POST",
                f"{PREFIX}/vendor/{{vendor_id}}",
                "Hold seats for a party",
                ONLY_USERS,
                self.place,
                body=PlaceHoldBody,
                answer=BookingShown,
                status=201,
                takes_key=True,
                takes_wait=True,
                tagged=True,
                codes=(*_HOLD, *_SHARD, Reason.RATE_LIMITED, EdgeCode.PAYMENT_DECLINED),
            ),
            Operation(
                "POST",
                f"{PREFIX}/bulk",
                "Hold seats for many parties, each on its own",
                ONLY_USERS,
                self.bulk,
                body=BulkBody,
                answer=BulkShown,
                status=207,
                codes=_SHARD,
                parse=_bulk_of,
            ),
            Operation(
                "GET",
                f"{PREFIX}/{{booking_id}}",
                "One booking",
                LOGGED_IN,
                self.show,
                answer=BookingShown,
                tagged=True,
                codes=_SHARD,
            ),
            Operation(
                "PUT",
                f"{PREFIX}/{{booking_id}}",
                "Amend a booking; the old seats are kept until the new are sure",
                LOGGED_IN,
                self.amend,
                body=AmendBody,
                answer=BookingShown,
                takes_key=True,
                takes_version=True,
                tagged=True,
                codes=(*_HOLD, *_CHANGE, *_SHARD),
            ),
            Operation(
                "GET",
                f"{PREFIX}/{{booking_id}}/status",
                "Where a booking stands",
                LOGGED_IN,
                self.show_status,
                answer=BookingStatusShown,
                takes_wait=True,
                tagged=True,
                codes=(*_SHARD, EdgeCode.PAYMENT_DECLINED),
            ),
            Operation(
                "PUT",
                f"{PREFIX}/{{booking_id}}/status",
                "Confirm, cancel, avail or mark as no-show",
                LOGGED_IN,
                self.set_status,
                body=StatusBody,
                answer=BookingShown,
                takes_key=True,
                takes_version=True,
                tagged=True,
                codes=(*_CHANGE, *_SHARD),
            ),
        ]

    async def place(self, call: Call[PlaceHoldBody, None]) -> Result:
        vendor_id = VendorId(call.id)
        booking_id = booking_id_from(vendor_id, self._random_bits())
        key = once_of(call.key, f"POST {PREFIX}/vendor/{vendor_id}", call.raw)
        command = hold_of(call.body, call.account, vendor_id, booking_id, key)
        outcome = await self._client.ask(command)
        if not isinstance(outcome, Done):
            return _refused(outcome)
        await self._note(outcome)
        booking, replayed = outcome.booking, outcome.replayed
        payment = await self._payments.after(outcome, self._client.booking)
        if call.wait_seconds and booking.status is BookingStatus.BLOCKED:
            if replayed and await self._payments.declined(booking):
                return _shown(booking, payment, status=201, replayed=True)
            newest = await self._settled(booking, call.wait_seconds)
            if newest is None:
                return payment_declined(booking.booking_id)
            if newest.version > booking.version:
                booking, payment = newest, await self._payments.arranged(newest)
        return _shown(booking, payment, status=201, replayed=replayed)

    async def bulk(self, call: Call[list[Any], None]) -> Result:
        caller = call.account
        items = await asyncio.gather(*(self._bulk_item(item, caller) for item in call.body))
        return json_answer({"items": items}, status=207)

    async def show(self, call: Call[None, None]) -> Result:
        booking = await self._seen(call)
        if not isinstance(booking, Booking):
            return booking
        return _shown(booking, await self._payments.shown(booking) if booking.terms.deposit_version else None)

    async def show_status(self, call: Call[None, None]) -> Result:
        booking = await self._seen(call)
        if not isinstance(booking, Booking):
            return booking
        if call.wait_seconds and booking.status is BookingStatus.BLOCKED:
            declined = await self._payments.declined(booking)
            settled = None if declined else await self._settled(booking, call.wait_seconds)
            if settled is None:
                return payment_declined(booking.booking_id)
            booking = settled
        payment = await self._payments.shown(booking) if booking.terms.deposit_version else None
        return json_answer(status_content(booking, payment), version=booking.version)

    async def amend(self, call: Call[AmendBody, None]) -> Result:
        key = once_of(call.key, f"PUT {PREFIX}/{call.id}", call.raw)
        command = amendment_of(call.body, call.account, BookingId(call.id), call.version, key)
        return await self._changed(command, await self._asked(command))

    async def set_status(self, call: Call[StatusBody, None]) -> Result:
        key = once_of(call.key, f"PUT {PREFIX}/{call.id}/status", call.raw)
        command = status_change_of(call.body, call.account, BookingId(call.id), call.version, key)
        outcome = await self._payments.status_set(command, self._client.booking, self._asked)
        return await self._changed(command, outcome)

    async def _asked(self, command: AmendBooking | SetStatus) -> Outcome:
        """What the shard says, once the caches were told."""
        era = self._era()
        try:
            outcome = await self._client.ask(command)
        except BaseException:
            await self._doubt(command.booking_id)
            raise
        if isinstance(outcome, Done):
            await self._note(outcome, era)
        elif cache_may_lie(outcome):
            await self._doubt(command.booking_id)
        return outcome

    async def _changed(self, command: AmendBooking | SetStatus, outcome: Outcome) -> Result:
        if isinstance(outcome, Done):
            payment = await self._payments.after(outcome, self._client.booking)
            return _shown(outcome.booking, payment, replayed=outcome.replayed)
        if isinstance(outcome, Rejection) and outcome.reason is Reason.NOT_FOUND and self._ended is not None:
            return await self._ended.refusal(command)
        return _refused(outcome)

    async def _settled(self, booking: Booking, wait_seconds: int) -> Booking | None:
        """The booking once it is settled or the time is up; None where its payment is declined before."""
        era = self._era()
        settled = await self._payments.settled(booking, self._client.settled(booking, wait_seconds))
        if settled is not None and settled.version > booking.version:
            # Whoever settled it may not have come to note it yet, and this client is about to know.
            await self._note(Done(settled), era)
        return settled

    async def _seen(self, call: Call[None, None]) -> Booking | Problem | Unavailable:
        booking = await self._found(BookingId(call.id), at_once=not call.wait_seconds)
        if booking is None or (isinstance(booking, Booking) and not may_see(call.account, booking)):
            return not_found("There is no such booking.")
        return booking

    async def _found(self, booking_id: BookingId, *, at_once: bool) -> Booking | Unavailable | None:
        """From the cache, then the shard or the primary, then the archive: in the order in which bookings move on."""
        if self._cached is not None and at_once:
            cached = await self._cached.known(booking_id)
            if cached is not None:
                return cached
        era = b"" if self._cached is None else self._cached.era
        booking = await self._client.booking(booking_id)
        if booking is None and self._ended is not None:
            booking = await self._ended.by_id(booking_id)
        if isinstance(booking, Booking) and self._cached is not None:
            await self._cached.fill(booking, era)
        return booking

    def _era(self) -> bytes:
        """Of the cache, to be had before a change is asked for: what was noted in an older one may be lost."""
        return b"" if self._notes is None else self._notes.era

    async def _note(self, done: Done, era: bytes = b"") -> None:
        """A new hold needs no era: only its owners' stamps are set."""
        if self._notes is not None:
            await self._notes.note(done.booking, era, replayed=done.replayed)

    async def _doubt(self, booking_id: BookingId) -> None:
        if self._notes is not None:
            await self._notes.doubt(booking_id)

    async def _bulk_item(self, item: object, caller: Caller) -> dict[str, Any]:
        try:
            return await self._held_item(item, caller)
        except Exception as error:  # noqa: BLE001 - others were written: each item is answered for itself
            return _problem_item(failed(error, "POST", f"{PREFIX}/bulk"))

    async def _held_item(self, item: object, caller: Caller) -> dict[str, Any]:
        command = self._bulk_command(item, caller)
        if isinstance(command, Problem):
            return _problem_item(command)
        outcome = await self._client.ask(command)
        if isinstance(outcome, Done):
            await self._note(outcome)
            payment = await self._payments.after(outcome, self._client.booking)
            content = booking_content(outcome.booking, payment)
            return {"status": 201, "booking": content, "replayed": outcome.replayed}
        return _problem_item(problem_of(_refused(outcome)))

    def _bulk_command(self, item: object, caller: Caller) -> PlaceHold | Problem:
        try:
            # By way of JSON, because strict models take dates and ids as text from nothing else.
            body = _BULK_ITEM.validate_json(to_json(item))
        except ValidationError as error:
            return ill_formed(error)
        if not isinstance(item, dict):
            raise TypeError(f"{type(item).__name__} was taken for an item")
        vendor_id = VendorId(body.vendor_id)
        key = None
        if body.idempotency_key is not None:
            # The same digest as a single request's, so that either way of asking replays the other.
            content = {name: value for name, value in item.items() if name not in _OF_ITEMS}
            key = once(body.idempotency_key, f"POST {PREFIX}/vendor/{vendor_id}", content)
        return hold_of(body, caller, vendor_id, booking_id_from(vendor_id, self._random_bits()), key)


def _bulk_of(raw: bytes) -> list[Any] | Problem:
    """The items, not yet looked into, so that one that is badly shaped spoils no other."""
    try:
        # NaN is no JSON; read into a Python float it would come out as null further on.
        return _BULK.validate_python(from_json(raw, allow_inf_nan=False)).bookings
    except ValidationError as error:
        return ill_formed(error)
    except ValueError as error:
        return invalid("", f"Invalid JSON: {error}")


def may_see(caller: Caller, booking: Booking) -> bool:
    """Its guest, its vendor, an operator; to everybody else the booking does not exist."""
    match caller.role:
        case Role.USER:
            return caller.account_id == booking.user_id
        case Role.VENDOR:
            return caller.account_id == booking.vendor_id
        case Role.OPERATOR | Role.SYSTEM:
            return True


def _shown(booking: Booking, payment: PaymentContent | None, *, status: int = 200, replayed: bool = False) -> Answer:
    answer = json_answer(booking_content(booking, payment), status=status, version=booking.version)
    if replayed:
        answer.headers.append(REPLAYED)
    return answer


def _problem_item(problem: Problem) -> dict[str, Any]:
    return {"status": problem.status, "problem": document(problem)}


def _refused(outcome: Rejection | Unavailable | VendorDone) -> Rejection | Unavailable:
    if isinstance(outcome, VendorDone):
        raise TypeError("a shard answered a booking command with a vendor")
    return outcome
