"""The whole booking and the whole vendor as events carry them, field by field.

These classes are what other programs rely on, so they are written out and do not follow the domain by themselves: a
field renamed there must still be read under its old name here. A field that comes later has a default.
"""

from datetime import UTC, date, datetime, time
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from domain.booking import BookedSeat, Booking, BookingStatus, Contact, Terms
from domain.ids import BookingId, UserId, VendorId
from domain.money import Money
from domain.vendor import (
    Approval,
    Closure,
    Deposit,
    DepositKind,
    Location,
    Policy,
    SeatGroup,
    Service,
    StayRules,
    TurnTime,
    Vendor,
    VendorKind,
)


def _in_utc(instant: datetime) -> datetime:
    return instant.astimezone(UTC)


Version = Annotated[int, Field(ge=1)]
Instant = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class _Document(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class MoneyDocument(_Document):
    amount_minor: int
    currency: str

    def to_domain(self) -> Money:
        return Money(self.amount_minor, self.currency)


class BookedSeatDocument(_Document):
    seat_no: int
    name: str
    seat_type: str


class TermsDocument(_Document):
    """`deposit_version` is None where the writer knew of none yet: then a deposit was the first version's."""

    deposit: MoneyDocument | None
    cancel_before_hours: int
    keep_on_late_cancel_percent: int
    by_hand: bool = False
    deposit_version: int | None = None

    def to_domain(self) -> Terms:
        version = self.deposit_version
        if version is None:
            version = 0 if self.deposit is None else 1
        return Terms(
            _money(self.deposit), self.cancel_before_hours, self.keep_on_late_cancel_percent, self.by_hand, version
        )


class ContactDocument(_Document):
    name: str | None = None
    email: str | None = None
    phone: str | None = None


class BookingDocument(_Document):
    booking_id: UUID
    vendor_id: UUID
    user_id: UUID
    kind: VendorKind
    status: BookingStatus
    version: Version
    party_size: int
    seats: tuple[BookedSeatDocument, ...]
    step_minutes: int
    first_slot: int
    slot_count: int
    held_slot_count: int
    starts_at: Instant
    ends_at: Instant
    created_at: Instant
    updated_at: Instant
    terms: TermsDocument
    check_in: date | None = None
    check_out: date | None = None
    seat_type: str | None = None
    hold_expires_at: Instant | None = None
    price: MoneyDocument | None = None
    notes: str | None = None
    contact: ContactDocument | None = None
    cancel_reason: str | None = None
    no_show_at: Instant | None = None
    deposit_waived: bool = False
    deposit_paid: bool = False
    cancelled_late: bool = False
    bill_minor: int | None = None

    def to_domain(self) -> Booking:
        contact = self.contact
        return Booking(
            booking_id=BookingId(self.booking_id),
            vendor_id=VendorId(self.vendor_id),
            user_id=UserId(self.user_id),
            kind=self.kind,
            status=self.status,
            version=self.version,
            party_size=self.party_size,
            seats=tuple(BookedSeat(seat.seat_no, seat.name, seat.seat_type) for seat in self.seats),
            step_minutes=self.step_minutes,
            first_slot=self.first_slot,
            slot_count=self.slot_count,
            held_slot_count=self.held_slot_count,
            starts_at=self.starts_at,
            ends_at=self.ends_at,
            created_at=self.created_at,
            updated_at=self.updated_at,
            terms=self.terms.to_domain(),
            check_in=self.check_in,
            check_out=self.check_out,
            seat_type=self.seat_type,
            hold_expires_at=self.hold_expires_at,
            price=_money(self.price),
            notes=self.notes,
            contact=None if contact is None else Contact(contact.name, contact.email, contact.phone),
            cancel_reason=self.cancel_reason,
            no_show_at=self.no_show_at,
            deposit_waived=self.deposit_waived,
            deposit_paid=self.deposit_paid,
            cancelled_late=self.cancelled_late,
            bill_minor=self.bill_minor,
        )


class LocationDocument(_Document):
    lat: float
    lon: float


class ClosureDocument(_Document):
    first: date
    last: date
    reason: str | None = None


class SeatGroupDocument(_Document):
    name: str
    seat_type: str
    capacity_min: int
    capacity_max: int
    quantity: int
    price: MoneyDocument | None = None
    closures: tuple[ClosureDocument, ...] = ()
    seat_nos: tuple[int, ...]

    def to_domain(self) -> SeatGroup:
        return SeatGroup(
            name=self.name,
            seat_type=self.seat_type,
            capacity_min=self.capacity_min,
            capacity_max=self.capacity_max,
            quantity=self.quantity,
            price=_money(self.price),
            closures=_closures(self.closures),
            seat_nos=self.seat_nos,
        )


class ServiceDocument(_Document):
    days: tuple[int, ...]
    first: time
    last: time
    every_minutes: int


class TurnTimeDocument(_Document):
    party_max: int
    minutes: int


class StayRulesDocument(_Document):
    min_nights: int = 1
    max_nights: int = 365
    closed_to_arrival: tuple[int, ...] = ()
    closed_to_departure: tuple[int, ...] = ()


class DepositDocument(_Document):
    kind: DepositKind
    amount_minor: int = 0
    percent: int = 0


class PolicyDocument(_Document):
    hold_ttl_seconds: int
    deposit: DepositDocument
    cancel_before_hours: int
    keep_on_late_cancel_percent: int
    book_ahead_days_max: int
    book_ahead_minutes_min: int
    approval: Approval

    def to_domain(self) -> Policy:
        return Policy(
            hold_ttl_seconds=self.hold_ttl_seconds,
            deposit=Deposit(self.deposit.kind, self.deposit.amount_minor, self.deposit.percent),
            cancel_before_hours=self.cancel_before_hours,
            keep_on_late_cancel_percent=self.keep_on_late_cancel_percent,
            book_ahead_days_max=self.book_ahead_days_max,
            book_ahead_minutes_min=self.book_ahead_minutes_min,
            approval=self.approval,
        )


class VendorDocument(_Document):
    vendor_id: UUID
    version: Version
    kind: VendorKind
    name: str
    city: str
    location: LocationDocument
    time_zone: str
    currency: str
    seats: tuple[SeatGroupDocument, ...]
    created_at: Instant
    updated_at: Instant
    policy: PolicyDocument
    description: str | None = None
    address: str | None = None
    phone: str | None = None
    cuisines: tuple[str, ...] = ()
    amenities: tuple[str, ...] = ()
    services: tuple[ServiceDocument, ...] = ()
    turn_minutes: tuple[TurnTimeDocument, ...] = ()
    combinations: tuple[tuple[str, ...], ...] = ()
    check_in: time
    check_out: time
    stay: StayRulesDocument
    covers_per_step: int | None = None
    closures: tuple[ClosureDocument, ...] = ()
    step_minutes: int
    next_seat_no: int

    def to_domain(self) -> Vendor:
        stay = self.stay
        return Vendor(
            vendor_id=VendorId(self.vendor_id),
            version=self.version,
            kind=self.kind,
            name=self.name,
            city=self.city,
            location=Location(self.location.lat, self.location.lon),
            time_zone=self.time_zone,
            currency=self.currency,
            seats=tuple(group.to_domain() for group in self.seats),
            created_at=self.created_at,
            updated_at=self.updated_at,
            policy=self.policy.to_domain(),
            description=self.description,
            address=self.address,
            phone=self.phone,
            cuisines=self.cuisines,
            amenities=self.amenities,
            services=tuple(Service(s.days, s.first, s.last, s.every_minutes) for s in self.services),
            turn_minutes=tuple(TurnTime(turn.party_max, turn.minutes) for turn in self.turn_minutes),
            combinations=self.combinations,
            check_in=self.check_in,
            check_out=self.check_out,
            stay=StayRules(stay.min_nights, stay.max_nights, stay.closed_to_arrival, stay.closed_to_departure),
            covers_per_step=self.covers_per_step,
            closures=_closures(self.closures),
            step_minutes=self.step_minutes,
            next_seat_no=self.next_seat_no,
        )


def _money(document: MoneyDocument | None) -> Money | None:
    return None if document is None else document.to_domain()


def _closures(documents: tuple[ClosureDocument, ...]) -> tuple[Closure, ...]:
    return tuple(Closure(closure.first, closure.last, closure.reason) for closure in documents)
