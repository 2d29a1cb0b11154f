"""The request and the answer of the baseline, field for field those of the product."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class ContactModel(BaseModel):
    """Whom to call."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(default=None, max_length=200)
    email: str | None = Field(default=None, max_length=200)
    phone: str | None = Field(default=None, max_length=200)


class BookingIn(BaseModel):
    """A sitting at a restaurant; a naive `starts_at` is the vendor's local time."""

    model_config = ConfigDict(extra="forbid")

    party_size: int = Field(ge=1, le=1000, strict=True)
    starts_at: datetime
    seat_type: str | None = Field(default=None, max_length=200)
    notes: str | None = Field(default=None, max_length=2000)
    contact: ContactModel | None = None


class SeatOut(BaseModel):
    """A seat of the booking."""

    seat_id: UUID
    name: str
    seat_type: str


class BookingOut(BaseModel):
    """The whole booking."""

    booking_id: UUID
    code: str
    user_id: UUID
    vendor_id: UUID
    kind: str
    status: str
    version: int
    party_size: int
    seats: list[SeatOut]
    starts_at: datetime
    ends_at: datetime
    hold_expires_at: datetime | None = None
    price: None = None
    payment: None = None
    notes: str | None
    contact: ContactModel | None
    created_at: datetime
    updated_at: datetime
    cancel_reason: str | None = None
