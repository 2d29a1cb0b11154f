"""What comes in and goes out about payments by themselves, checkouts, and a vendor's account."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from domain.booking import Booking
from domain.ids import VendorId
from domain.ledger import Balance
from domain.payment import Payment
from serve_app.cursor import is_cursor
from serve_app.errors import Problem, ill_formed
from serve_app.fields import Day, MoneyShown, QueryInt, Shown, Strict, fault_at
from serve_app.operation import form_of
from serve_app.payment_shown import PaymentShown, payment_content

MOVEMENTS_MAX: Final = 5000


class PaymentAloneShown(PaymentShown):
    """`provider` is who takes the money: `sandbox`, or `stripe`."""

    booking_id: UUID
    provider: str


class WebhookTaken(Shown):
    """It is kept; what it says is believed a moment later."""

    taken: Literal[True]


class CheckoutForm(Strict):
    """What a guest sends from the checkout page.

    `charge` is the one that the guest was shown: nobody pays another. The others have things go wrong, for demonstrations
    and tests: the payment (`pay_twice`, `pay_late`), or what is told of it (`webhook`).
    """

    choice: Literal["pay", "decline", "pay_twice", "pay_late"]
    webhook: Literal["now", "lost", "doubled", "late", "out_of_order"] = "now"
    charge: Annotated[QueryInt, Field(ge=1)] | None = None


def _well_formed(cursor: str) -> str:
    if not is_cursor(cursor):
        raise PydanticCustomError("cursor", "This is no cursor of this list")
    return cursor


class DaysAsked(Strict):
    """`from` and `to` are vendor-local dates, both included."""

    first: Day | None = Field(default=None, alias="from")
    last: Day | None = Field(default=None, alias="to")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.first is not None and self.last is not None and self.last < self.first:
            raise fault_at("to", "Input should not be before from")
        return self


class MovementsAsked(DaysAsked):
    limit: Annotated[QueryInt, Field(ge=1, le=MOVEMENTS_MAX)] = MOVEMENTS_MAX
    cursor: Annotated[str, Field(max_length=100), AfterValidator(_well_formed)] | None = None


class BalanceShown(Shown):
    """Deposits of one currency: `held` for guests, `kept` for the vendor, `fees` of the provider, `at_provider` what lies there.

    What lies with the provider and what it took is what is held and what is kept.
    """

    currency: str
    held: MoneyShown
    kept: MoneyShown
    fees: MoneyShown
    at_provider: MoneyShown


class BalancesShown(Shown):
    vendor_id: UUID
    items: list[BalanceShown]


def payment_alone_content(payment: Payment, booking: Booking | None, *, current: bool) -> dict[str, Any]:
    return {
        **payment_content(payment, booking, current=current),
        "booking_id": payment.booking_id,
        "provider": payment.provider,
    }


def balances_content(vendor_id: VendorId, balances: Sequence[Balance]) -> dict[str, Any]:
    return {"vendor_id": vendor_id, "items": [_balance_content(balance) for balance in balances]}


def checkout_form_of(body: bytes) -> CheckoutForm | Problem:
    given = form_of(body)
    if isinstance(given, Problem):
        return given
    try:
        return CheckoutForm.model_validate(given)
    except ValidationError as error:
        return ill_formed(error)


def _balance_content(balance: Balance) -> dict[str, Any]:
    def money(amount_minor: int) -> dict[str, Any]:
        return {"amount_minor": amount_minor, "currency": balance.currency}

    return {
        "currency": balance.currency,
        "held": money(-balance.guest_minor),
        "kept": money(-balance.vendor_minor),
        "fees": money(balance.fees_minor),
        "at_provider": money(balance.provider_minor),
    }
