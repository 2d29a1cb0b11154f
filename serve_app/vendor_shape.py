"""What is wrong with a vendor's change whoever the vendor is: judged before anybody asks whether there is one.

The rules are the domain's own, asked about a vendor that has the given facts and, for the rest, none that any of them
could fail with. What depends on the vendor as it stands is left to the shard.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from domain.command import CreateVendor
from domain.decide_vendor import decide_create
from domain.ids import VendorId
from domain.money import Money
from domain.rejection import Rejection
from domain.vendor import Location, SeatGroup, TurnTime, Vendor, VendorKind
from serve_app.errors import Problem, ill_formed, invalid_fields, problem_of
from serve_app.vendor_models import UpdateVendorBody, changes_of, of_other_kind

_BODY: Final[TypeAdapter[UpdateVendorBody]] = TypeAdapter(UpdateVendorBody)
_SOME_TIME: Final = datetime(2020, 1, 1, tzinfo=UTC)


def update_of(raw: bytes) -> UpdateVendorBody | Problem:
    """The change that a body asks for, or what no vendor could take of it."""
    try:
        body = _BODY.validate_json(raw)
    except ValidationError as error:
        return ill_formed(error)
    kind = _kind(body)
    misplaced = [] if kind is None else of_other_kind(body, kind)
    if misplaced:
        return invalid_fields(misplaced)
    refusal = decide_create(CreateVendor(_vendor_with(body, kind), "", ""), now=_SOME_TIME)
    return problem_of(refusal) if isinstance(refusal, Rejection) else body


def _kind(body: UpdateVendorBody) -> VendorKind | None:
    """The only kind of vendor that may take this change, None where both may."""
    if body.kind is not None:
        return VendorKind(body.kind)
    if of_other_kind(body, VendorKind.HOTEL):
        return VendorKind.RESTAURANT
    return VendorKind.HOTEL if of_other_kind(body, VendorKind.RESTAURANT) else None


def _vendor_with(body: UpdateVendorBody, kind: VendorKind | None) -> Vendor:
    # A hotel needs nothing that a restaurant does not need, so it stands for either.
    changes: dict[str, Any] = dict(changes_of(body))
    currency = changes.get("currency") or next(
        (seat.price.currency for seat in changes.get("seats", ()) if seat.price is not None), "EUR"
    )
    # Combinations without seats may name any, and a deposit may be a percentage of any price.
    names = sorted({name for names in changes.get("combinations", ()) for name in names}) or ["any"]
    free = Money(0, currency)
    vendor = Vendor(
        vendor_id=VendorId(UUID(int=0)),
        version=1,
        kind=kind or VendorKind.HOTEL,
        name="any",
        city="any",
        location=Location(0.0, 0.0),
        time_zone="UTC",
        currency=currency,
        seats=tuple(SeatGroup(name, "any", 1, 1, price=free) for name in names),
        created_at=_SOME_TIME,
        updated_at=_SOME_TIME,
        turn_minutes=(TurnTime(1, 60),) if kind is VendorKind.RESTAURANT else (),
    )
    return replace(vendor, **changes)
