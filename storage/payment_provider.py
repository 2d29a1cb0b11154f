"""What takes the guests' money, as a protocol: the built-in sandbox, Stripe. A provider is never believed to be there.

Every call may be done again: the provider knows our key for each charge and each refund and does nothing twice.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from domain.ids import BookingId
from domain.money import Money
from domain.payment import Capture, PaymentId, RefundState
from storage.errors import StoreError, StoreUnavailable


class ProviderRefused(StoreError):
    """The provider understood and will never do it. What it says is for an operator, and holds no secret."""


class OwnerNeeded(StoreUnavailable):
    """It passes, as with a provider that is away, but maybe not before the account's owner sees to it: money for refunds, a key."""


class BadSignature(ValueError):
    """A message that is not the provider's, or is too old, or is none of the shape that its messages have."""


@dataclass(frozen=True, slots=True)
class ChargeAsked:
    """A sum to ask a guest for. `key` is the same for ever; `returns_to` is where the guest goes afterwards."""

    payment_id: PaymentId
    number: int
    booking_id: BookingId
    amount: Money
    closes_at: datetime | None
    provider_ref: str | None = None
    returns_to: str = ""

    @property
    def key(self) -> str:
        return f"{self.payment_id}/{self.number}"


@dataclass(frozen=True, slots=True)
class Checkout:
    """Where the guest pays. `provider_ref` is the provider's name for the charge."""

    provider_ref: str
    url: str


@dataclass(frozen=True, slots=True)
class ChargeSeen:
    """What the provider says of a charge: all money that came for it, whether the last try was declined, whether it is shut."""

    captures: tuple[Capture, ...] = ()
    declined: bool = False
    closed: bool = False


@dataclass(frozen=True, slots=True)
class RefundAsked:
    """Give back part of a capture. `key` is the same for ever, and `provider_ref` None also for one to be made anew."""

    payment_id: PaymentId
    number: int
    booking_id: BookingId
    capture_reference: str
    amount: Money
    provider_ref: str | None = None

    @property
    def key(self) -> str:
        return f"{self.payment_id}/refund/{self.number}"


@dataclass(frozen=True, slots=True)
class RefundSeen:
    """`state` is SENT, DONE or REFUSED. One that is made anew has another `provider_ref`."""

    provider_ref: str
    state: RefundState
    detail: str = ""


class ProviderEventKind(StrEnum):
    CAPTURED = "captured"
    DECLINED = "declined"
    CLOSED = "closed"
    REFUND = "refund"
    OTHER = "other"
    """Nothing that concerns us."""


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """A provider's message, understood. `payment_id` and `charge_number` are None for what concerns no charge of ours.

    `capture` stands with CAPTURED, `refund_number` and `refund` with REFUND. `tells_all` is False where a look at the
    charge may say more of its money than the message does: what the provider keeps of it. `currency` is the capture's.
    """

    event_id: str
    kind: ProviderEventKind
    payment_id: PaymentId | None = None
    charge_number: int | None = None
    capture: Capture | None = None
    currency: str | None = None
    refund_number: int | None = None
    refund: RefundSeen | None = None
    tells_all: bool = True


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    """A line of the provider's own account: a capture, or a refund (`refund` true) under its reference."""

    reference: str
    amount: Money
    refund: bool
    at: datetime
    payment_id: PaymentId | None = None
    fee_minor: int = 0


class PaymentProvider(Protocol):
    """Calls raise StoreUnavailable where the provider is away or too slow, ProviderRefused where it says no for good.

    And OwnerNeeded, a kind of the former, where the account with it is not in order.
    """

    @property
    def name(self) -> str:
        """As it stands in POST /payment/webhook/:provider, and in a payment's `provider`."""
        ...

    async def open(self, asked: ChargeAsked) -> Checkout: ...

    async def look(self, asked: ChargeAsked) -> ChargeSeen | None:
        """What became of a charge; None where the provider has never heard of it."""
        ...

    async def close(self, asked: ChargeAsked) -> ChargeSeen:
        """Take nothing more for the charge. It may have been paid just before, which the answer says."""
        ...

    async def refund(self, asked: RefundAsked) -> RefundSeen:
        """Give it back, or say how it stands with one that was asked for before."""
        ...

    def checked(self, headers: Mapping[str, str], body: bytes, now: datetime) -> str:
        """The event id of a signed message, its headers' names in lower case. Raises BadSignature."""
        ...

    def understood(self, body: bytes) -> ProviderEvent:
        """What a message says whose signature was found good. Raises ValueError where it makes no sense."""
        ...

    def entries(self, since: datetime, until: datetime) -> AsyncIterator[ProviderEntry]:
        """Everything that moved in that time, for reconciliation."""
        ...

    async def aclose(self) -> None: ...
