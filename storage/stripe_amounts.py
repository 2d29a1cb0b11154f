"""Our minor units are those of ISO 4217; Stripe's are nearly the same. https://docs.stripe.com/currencies tells where not."""

from typing import Final

from domain.currency import decimals_of
from domain.money import Money
from storage.payment_provider import ProviderRefused

_WITHOUT_DECIMALS_AT_STRIPE: Final = frozenset(["MGA"])
"""ISO has two: 100 of ours are 1 of Stripe's."""

_WITH_TWO_AT_STRIPE: Final = frozenset(["ISK"])
"""ISO has none, and Stripe two that must be zeros: 1 of ours is 100 of Stripe's."""

_UNCLEAR: Final = frozenset(["UGX"])
"""Stripe lists it as a currency without decimals and elsewhere wants two: nobody is charged a hundredfold by guesswork."""

_FACTOR: Final = 100


def to_stripe(money: Money) -> int:
    """The amount as Stripe wants it. Raises ProviderRefused for what it cannot charge."""
    amount, currency = money.amount_minor, money.currency
    if currency in _UNCLEAR:
        raise ProviderRefused(f"amounts in {currency} are not clear at Stripe: have the vendor use another currency")
    if currency in _WITH_TWO_AT_STRIPE:
        return amount * _FACTOR
    if currency in _WITHOUT_DECIMALS_AT_STRIPE:
        if amount % _FACTOR:
            raise ProviderRefused(f"Stripe takes {currency} in whole units only, and {amount} minor units are none")
        return amount // _FACTOR
    if decimals_of(currency) == 3 and amount % 10:
        raise ProviderRefused(
            f"Stripe takes {currency} with a last digit of 0 only, and {amount} minor units have another"
        )
    return amount


def from_stripe(amount: int, currency: str) -> Money:
    """What Stripe says, its currency in any case of letters. Raises ValueError for what it cannot have charged."""
    code = currency.upper()
    if code in _UNCLEAR:
        raise ValueError(f"amounts in {code} are not clear")
    if code in _WITHOUT_DECIMALS_AT_STRIPE:
        return Money(amount * _FACTOR, code)
    if code in _WITH_TWO_AT_STRIPE:
        if amount % _FACTOR:
            raise ValueError(f"{amount} is no whole amount in {code}")
        return Money(amount // _FACTOR, code)
    return Money(amount, code)
