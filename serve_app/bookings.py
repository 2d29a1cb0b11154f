"""The booking management service: a guest's and a vendor's bookings, page by page, newest start first."""

from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from domain.booking import BookingStatus
from domain.booking_list import BookingFilter, BookingPage, ListPosition
from domain.command import Role
from domain.ids import UserId, VendorId
from serve_app.answer import Answer, json_answer
from serve_app.auth import Tokens
from serve_app.booking_models import BookingShown, booking_content
from serve_app.booking_payments import BookingPayments
from serve_app.cursor import cursor_of, is_cursor, position_of
from serve_app.errors import Problem, forbidden, invalid, not_found
from serve_app.fields import Day, QueryInt, Shown, Strict, fault_at
from serve_app.operation import LOGGED_IN, Call, Operation, Result
from serve_app.ports import BookingLists, Clock, Payments, VendorReads
from serve_app.service import About, Service

PREFIX: Final = "/bookings"
ABOUT: Final = About(
    "bookings", PREFIX, "Holdfast: lists of bookings", "Current and past bookings of a guest or a vendor."
)
LIMIT_MAX: Final = 200
LIMIT_DEFAULT: Final = 50

_CURRENT: Final = {"current": True, "past": False, "all": None}


def _well_formed(cursor: str) -> str:
    if not is_cursor(cursor):
        raise PydanticCustomError("cursor", "This is no cursor of this list")
    return cursor


class GuestListAsked(Strict):
    when: Literal["current", "past", "all"] = "current"
    limit: Annotated[QueryInt, Field(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT
    cursor: Annotated[str, Field(max_length=100), AfterValidator(_well_formed)] | None = None


class VendorListAsked(GuestListAsked):
    """`from` and `to` are vendor-local dates of the start, both included."""

    first: Day | None = Field(default=None, alias="from")
    last: Day | None = Field(default=None, alias="to")
    status: Literal["BLOCKED", "CONFIRMED", "AVAILED", "NO_SHOW", "CANCELLED", "EXPIRED"] | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.first is not None and self.last is not None and self.last < self.first:
            raise fault_at("to", "Input should not be before from")
        return self


class BookingListShown(Shown):
    """`past_missing` where the archive was away: current bookings are all there, past ones may not be."""

    items: list[BookingShown]
    next_cursor: str | None
    past_missing: bool


@dataclass(frozen=True, slots=True)
class BookingsDeps:
    lists: BookingLists
    vendors: VendorReads
    tokens: Tokens
    clock: Clock
    payments: Payments | None = None
    trust_forwarded: bool = False


def bookings_app(deps: BookingsDeps) -> Service:
    """The ASGI application of every /bookings route."""
    return Service(ABOUT, BookingDesk(deps).operations(), deps.tokens, trust_forwarded=deps.trust_forwarded)


class BookingDesk:
    def __init__(self, deps: BookingsDeps) -> None:
        self._deps = deps
        self._payments = BookingPayments(deps.payments)

    def operations(self) -> list[Operation[Any, Any]]:
        return [
            Operation(
                "GET",
                f"{PREFIX}/user/{{user_id}}",
                "A guest's bookings",
                LOGGED_IN,
                self.of_user,
                query=GuestListAsked,
                answer=BookingListShown,
            ),
            Operation(
                "GET",
                f"{PREFIX}/vendor/{{vendor_id}}",
                "A vendor's bookings",
                LOGGED_IN,
                self.of_vendor,
                query=VendorListAsked,
                answer=BookingListShown,
            ),
        ]

    async def of_user(self, call: Call[None, GuestListAsked]) -> Result:
        asked, caller = call.query, call.account
        this_list = f"user {call.id} {asked.when}"
        after = _after(asked.cursor, this_list)
        if isinstance(after, Problem):
            return after
        own = caller.role is Role.USER and caller.account_id == call.id
        if not own and caller.role is not Role.OPERATOR:
            return not_found("There is no such list.")
        # One more than asked for tells whether there is another page.
        found = await self._deps.lists.of_user(
            UserId(call.id),
            BookingFilter(current=_CURRENT[asked.when]),
            now=self._deps.clock(),
            after=after,
            limit=asked.limit + 1,
        )
        return await self._page(found, asked.limit, this_list)

    async def of_vendor(self, call: Call[None, VendorListAsked]) -> Result:
        asked, caller = call.query, call.account
        this_list = f"vendor {call.id} {asked.when} {asked.status} {_text(asked.first)} {_text(asked.last)}"
        after = _after(asked.cursor, this_list)
        if isinstance(after, Problem):
            return after
        own = caller.role is Role.VENDOR and caller.account_id == call.id
        if not own:
            if await self._deps.vendors.by_id(VendorId(call.id)) is None:
                return not_found("There is no such vendor.")
            if caller.role is not Role.OPERATOR:
                return forbidden("Only the vendor itself may see its bookings.")
        status = None if asked.status is None else BookingStatus(asked.status)
        found = await self._deps.lists.of_vendor(
            VendorId(call.id),
            BookingFilter(_CURRENT[asked.when], asked.first, asked.last, status),
            now=self._deps.clock(),
            after=after,
            limit=asked.limit + 1,
        )
        return await self._page(found, asked.limit, this_list)

    async def _page(self, found: BookingPage, limit: int, this_list: str) -> Answer:
        shown = found.bookings[:limit]
        last = shown[-1] if len(found.bookings) > limit else None
        next_cursor = None if last is None else cursor_of(ListPosition(last.starts_at, last.booking_id), this_list)
        payments = await self._payments.shown_many(shown)
        items = [booking_content(booking, payment) for booking, payment in zip(shown, payments, strict=True)]
        return json_answer({"items": items, "next_cursor": next_cursor, "past_missing": found.past_missing})


def _after(cursor: str | None, this_list: str) -> ListPosition | Problem | None:
    if cursor is None:
        return None
    return position_of(cursor, this_list) or invalid("cursor", "This is no cursor of this list")


def _text(day: date | None) -> str:
    return "" if day is None else day.isoformat()
