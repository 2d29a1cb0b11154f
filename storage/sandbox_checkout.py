"""What a guest sees and may do at the sandbox's checkout, as values and a protocol; `storage.sandbox` is behind it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from domain.ids import BookingId
from domain.money import Money
from domain.payment import PaymentId


class Choice(StrEnum):
    """`decline` and `pay` are what a guest's bank does; the others are what it should not do, for demonstrations and tests."""

    PAY = "pay"
    DECLINE = "decline"
    PAY_TWICE = "pay_twice"
    """The money comes two times over."""
    PAY_LATE = "pay_late"
    """The money comes once the checkout has closed; at once where it has."""


class Fate(StrEnum):
    """What becomes of the messages about a choice."""

    NOW = "now"
    LOST = "lost"
    DOUBLED = "doubled"
    LATE = "late"
    OUT_OF_ORDER = "out_of_order"
    """A try to pay was declined just before, and its message comes after that of the payment."""


class CheckoutState(StrEnum):
    OPEN = "open"
    DECLINED = "declined"
    """Open still: the guest may try again."""
    PAID = "paid"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class SandboxCheckout:
    """One charge as its guest sees it. `captures` is how often its money has come."""

    payment_id: PaymentId
    charge_number: int
    booking_id: BookingId
    amount: Money
    state: CheckoutState
    captures: int
    closes_at: datetime | None
    returns_to: str


class SandboxCounter(Protocol):
    """Where guests pay. Each method may raise StoreUnavailable, and may be called again."""

    async def checkout(self, payment_id: PaymentId) -> SandboxCheckout | None:
        """The checkout that counts, of those of a payment: the newest that is open, or else the newest."""
        ...

    async def choose(
        self, payment_id: PaymentId, choice: Choice, fate: Fate, *, charge_number: int | None = None
    ) -> SandboxCheckout | None:
        """Do it, and show the checkout as it is then. Without effect where the guest was shown another charge."""
        ...
