"""The ledger: the accounts, what a change of a payment moves between them, and movements with what caused them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.ids import BookingId, UserId, VendorId
from domain.money import Money
from domain.payment import Payment, PaymentId


class Account(StrEnum):
    """Whose money it is. `guest` and `vendor` are what we owe them, `provider` what lies with it for us, `fees` its price."""

    GUEST = "guest"
    VENDOR = "vendor"
    PROVIDER = "provider"
    FEES = "fees"


class MovementKind(StrEnum):
    CAPTURE = "capture"
    FEE = "fee"
    KEEP = "keep"
    GIVE_BACK = "give_back"
    """What the house kept goes back to the guest's account: a no-show undone."""
    REFUND = "refund"


@dataclass(frozen=True, slots=True)
class Movement:
    """`amount_minor`, above zero, goes from one account to another. `reference` is the provider's, empty where it has none."""

    kind: MovementKind
    source: Account
    target: Account
    amount_minor: int
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Balance:
    """What stands on each account in one currency, in minor units; together they are zero.

    Below zero is what we owe (`guest`, `vendor`), above it what lies with the provider, or what it took (`fees`).
    """

    currency: str
    guest_minor: int = 0
    vendor_minor: int = 0
    provider_minor: int = 0
    fees_minor: int = 0


@dataclass(frozen=True, slots=True)
class BookedMovement:
    """A movement as it stands in the ledger, with what caused it, a version of the booking: see `causes`.

    It was booked with that revision of the payment.
    """

    movement_id: int
    moved_at: datetime
    payment_id: PaymentId
    payment_revision: int
    booking_id: BookingId
    booking_version: int
    vendor_id: VendorId
    user_id: UserId
    provider: str
    currency: str
    movement: Movement

    @property
    def amount(self) -> Money:
        return Money(self.movement.amount_minor, self.currency)

    @property
    def position(self) -> tuple[datetime, int]:
        """Where it stands among its vendor's."""
        return self.moved_at, self.movement_id


def movements(before: Payment | None, after: Payment) -> tuple[Movement, ...]:
    """What the change moves between accounts. Money never moves in any other way."""
    return tuple(_movements(before, after))


def causes(moved: Iterable[Movement], after: Payment, decided_by: int) -> tuple[int, ...]:
    """The version of the booking that caused each of the movements that made the payment `after`.

    Of money that came, and of its price, it is the one that asked for it, whoever learnt of it and when; of the others the
    one that the change was `decided_by`. Raises KeyError where something came for no charge of the payment's.
    """
    asked = {charge.number: charge.asked_version for charge in after.charges}
    came = {received.reference: asked[received.charge_number] for received in after.captures}
    return tuple(
        came[one.reference] if one.kind in (MovementKind.CAPTURE, MovementKind.FEE) else decided_by for one in moved
    )


def _movements(before: Payment | None, after: Payment) -> Iterator[Movement]:
    known = {} if before is None else {received.reference: received for received in before.captures}
    for received in after.captures:
        if received.reference not in known:
            yield Movement(
                MovementKind.CAPTURE, Account.GUEST, Account.PROVIDER, received.amount_minor, received.reference
            )
        fee = received.fee_minor - (known[received.reference].fee_minor if received.reference in known else 0)
        if fee > 0:
            yield Movement(MovementKind.FEE, Account.PROVIDER, Account.FEES, fee, received.reference)
    kept = after.kept_minor - (0 if before is None else before.kept_minor)
    if kept > 0:
        yield Movement(MovementKind.KEEP, Account.VENDOR, Account.GUEST, kept)
    elif kept < 0:
        yield Movement(MovementKind.GIVE_BACK, Account.GUEST, Account.VENDOR, -kept)
    for refund in after.refunds[0 if before is None else len(before.refunds) :]:
        yield Movement(
            MovementKind.REFUND, Account.PROVIDER, Account.GUEST, refund.amount_minor, refund.capture_reference
        )
