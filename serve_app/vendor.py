"""The vendor service: managers open their house, log in, change it; everybody may look at it and at what is free."""

from dataclasses import dataclass
from typing import Annotated, Any, Final, Self

from pydantic import Field, model_validator

from actors.client import ShardClient
from actors.outcome import Outcome, Trouble, Unavailable, VendorDone
from domain.availability import AvailabilityQuery
from domain.command import CreateVendor, Role, UpdateVendor
from domain.decide_vendor import decide_create
from domain.ids import VendorId, vendor_id_from
from domain.rejection import Reason, Rejection
from domain.vendor import VendorKind
from serve_app.answer import json_answer
from serve_app.auth import Tokens
from serve_app.doubt import cache_may_lie
from serve_app.errors import Code, Problem, forbidden, invalid, invalid_fields, not_found
from serve_app.fields import INT32_MAX, Day, Line, QueryInt, Strict, fault_at
from serve_app.login import BUSY, LoginBody, LoginDesk, too_many
from serve_app.operation import ANYONE, LOGGED_IN, Call, Operation, Result
from serve_app.passwords import Passwords, PasswordsBusy
from serve_app.ports import Accounts, Clock, RandomBits, VendorReads
from serve_app.rate_limits import RateLimits
from serve_app.service import About, Service
from serve_app.vendor_models import CreateVendorBody, UpdateVendorBody, changes_of, of_other_kind, vendor_of
from serve_app.vendor_shape import update_of
from serve_app.vendor_shown import (
    AvailabilityShown,
    VendorShown,
    VendorTokenShown,
    availability_content,
    vendor_content,
)

PREFIX: Final = "/vendor"
ABOUT: Final = About(
    "vendor", PREFIX, "Holdfast: vendors", "Restaurants and hotels: open one, change it, see what is free."
)
AVAILABILITY_DAYS_MAX: Final = 62
_PERIOD: Final = "Input should be a date from `from` to 61 days later"

_SHARD: Final[tuple[Code, ...]] = tuple(Trouble)
_NO_SUCH: Final = not_found("There is no such vendor.")


class AvailabilityAsked(Strict):
    first: Day = Field(alias="from")
    last: Day = Field(alias="to")
    party_size: Annotated[QueryInt, Field(ge=1, le=INT32_MAX)] = 1
    seat_type: Line | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not 0 <= (self.last - self.first).days < AVAILABILITY_DAYS_MAX:
            raise fault_at("to", _PERIOD)
        return self


@dataclass(frozen=True, slots=True)
class VendorDeps:
    client: ShardClient
    accounts: Accounts
    vendors: VendorReads
    tokens: Tokens
    passwords: Passwords
    limits: RateLimits
    clock: Clock
    random_bits: RandomBits
    trust_forwarded: bool = False


def vendor_app(deps: VendorDeps) -> Service:
    """The ASGI application of every /vendor route."""
    return Service(ABOUT, Vendors(deps).operations(), deps.tokens, trust_forwarded=deps.trust_forwarded)


class Vendors:
    def __init__(self, deps: VendorDeps) -> None:
        self._deps = deps
        self._desk = LoginDesk(
            Role.VENDOR, deps.accounts.vendor_login_by_email, deps.accounts, deps.passwords, deps.limits, deps.tokens
        )

    def operations(self) -> list[Operation[Any, Any]]:
        return [
            Operation(
                "POST",
                f"{PREFIX}/create",
                "Open a restaurant or a hotel",
                ANYONE,
                self.create,
                body=CreateVendorBody,
                answer=VendorShown,
                status=201,
                tagged=True,
                codes=(Reason.EMAIL_TAKEN, Reason.RATE_LIMITED, *_SHARD),
            ),
            Operation(
                "POST",
                f"{PREFIX}/login",
                "Get a token",
                ANYONE,
                self.login,
                body=LoginBody,
                answer=VendorTokenShown,
                codes=(Reason.RATE_LIMITED, BUSY.code),
            ),
            Operation(
                "GET", f"{PREFIX}/{{vendor_id}}", "One vendor", ANYONE, self.show, answer=VendorShown, tagged=True
            ),
            Operation(
                "PUT",
                f"{PREFIX}/{{vendor_id}}",
                "Change a vendor",
                LOGGED_IN,
                self.update,
                body=UpdateVendorBody,
                parse=update_of,
                answer=VendorShown,
                takes_version=True,
                tagged=True,
                codes=(Reason.WOULD_STRAND_BOOKINGS, *_SHARD),
            ),
            Operation(
                "GET",
                f"{PREFIX}/{{vendor_id}}/availability",
                "What is free, day by day",
                ANYONE,
                self.availability,
                query=AvailabilityAsked,
                answer=AvailabilityShown,
                codes=_SHARD,
            ),
        ]

    async def create(self, call: Call[CreateVendorBody, None]) -> Result:
        body, deps = call.body, self._deps
        misplaced = of_other_kind(body, VendorKind(body.kind))
        if misplaced:
            return invalid_fields(misplaced)
        now = deps.clock()
        vendor = vendor_of(body, vendor_id_from(deps.random_bits()), now)
        # The shard will decide the same; asked here first, a vendor that makes no sense costs no hash and counts for
        # nothing against the address.
        refusal = decide_create(CreateVendor(vendor, body.email, ""), now=now)
        if isinstance(refusal, Rejection):
            return refusal
        wait = await deps.limits.account_wait(call.address)
        if wait is not None:
            return too_many("Too many new accounts from this address.", wait)
        try:
            password_hash = await deps.passwords.hash(body.password)
        except PasswordsBusy:
            return BUSY
        era = deps.vendors.era
        outcome = await deps.client.ask(CreateVendor(vendor, body.email, password_hash))
        if not isinstance(outcome, VendorDone):
            return _refused(outcome)
        made = outcome.vendor
        await deps.vendors.note(made, era)
        return json_answer(vendor_content(made, email=body.email), status=201, version=made.version)

    async def login(self, call: Call[LoginBody, None]) -> Result:
        result = await self._desk.login(call.body, call.address)
        if isinstance(result, Problem):
            return result
        return json_answer({**self._desk.token_content(result), "vendor_id": result})

    async def show(self, call: Call[None, None]) -> Result:
        vendor = await self._deps.vendors.by_id(VendorId(call.id))
        if vendor is None:
            return _NO_SUCH
        own = call.caller is not None and call.caller.role is Role.VENDOR and call.caller.account_id == call.id
        email = await self._deps.accounts.vendor_email(vendor.vendor_id) if own else None
        return json_answer(vendor_content(vendor, email=email), version=vendor.version)

    async def update(self, call: Call[UpdateVendorBody, None]) -> Result:
        vendor = await self._deps.vendors.by_id(VendorId(call.id))
        if vendor is None:
            return _NO_SUCH
        if call.account.role is not Role.VENDOR or call.account.account_id != call.id:
            return forbidden("Only the vendor itself may change it.")
        if call.body.kind is not None and call.body.kind != vendor.kind.value:
            return invalid("kind", "A restaurant stays a restaurant, and a hotel a hotel")
        misplaced = of_other_kind(call.body, vendor.kind)
        if misplaced:
            return invalid_fields(misplaced)
        command = UpdateVendor(vendor.vendor_id, call.account, changes_of(call.body), call.version)
        outcome = await self._changed(command)
        if not isinstance(outcome, VendorDone):
            return _refused(outcome)
        email = await self._deps.accounts.vendor_email(vendor.vendor_id)
        return json_answer(vendor_content(outcome.vendor, email=email), version=outcome.vendor.version)

    async def _changed(self, command: UpdateVendor) -> Outcome:
        """What the shard says, once the cache was told."""
        vendors = self._deps.vendors
        era = vendors.era
        try:
            outcome = await self._deps.client.ask(command)
        except BaseException:
            # Lost on the way, or left by its client, it may have happened all the same.
            await vendors.doubt(command.vendor_id)
            raise
        if isinstance(outcome, VendorDone):
            await vendors.note(outcome.vendor, era)
        elif cache_may_lie(outcome):
            await vendors.doubt(command.vendor_id)
        return outcome

    async def availability(self, call: Call[None, AvailabilityAsked]) -> Result:
        asked = call.query
        query = AvailabilityQuery(asked.first, asked.last, asked.party_size, asked.seat_type)
        rows = await self._deps.client.availability(VendorId(call.id), query)
        return rows if isinstance(rows, Rejection | Unavailable) else json_answer(availability_content(rows))


def _refused(outcome: Any) -> Rejection | Unavailable:
    if isinstance(outcome, Rejection | Unavailable):
        return outcome
    raise TypeError(f"a shard answered a vendor command with {type(outcome).__name__}")
