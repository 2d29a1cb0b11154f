"""Our minor units and Stripe's: the same but where https://docs.stripe.com/currencies says otherwise."""

import pytest

from domain.currency import CURRENCIES, decimals_of
from domain.money import Money
from storage.payment_provider import ProviderRefused
from storage.stripe_amounts import from_stripe, to_stripe


@pytest.mark.parametrize(
    ("ours", "stripes"),
    [
        (Money(2500, "EUR"), 2500),
        (Money(2500, "HUF"), 2500),
        (Money(500, "JPY"), 500),
        (Money(5120, "KWD"), 5120),
        (Money(40, "ISK"), 4000),
        (Money(500_000, "MGA"), 5000),
    ],
)
def test_an_amount_is_the_same_there_and_back(ours: Money, stripes: int) -> None:
    assert to_stripe(ours) == stripes
    assert from_stripe(stripes, ours.currency.lower()) == ours


@pytest.mark.parametrize("ours", [Money(5124, "KWD"), Money(1, "BHD"), Money(150, "MGA"), Money(500, "UGX")])
def test_what_stripe_cannot_charge_is_refused_and_says_why(ours: Money) -> None:
    with pytest.raises(ProviderRefused, match=ours.currency):
        to_stripe(ours)


@pytest.mark.parametrize(("amount", "currency"), [(4010, "isk"), (500, "ugx")])
def test_what_stripe_cannot_have_charged_makes_no_sense(amount: int, currency: str) -> None:
    with pytest.raises(ValueError, match=currency.upper()):
        from_stripe(amount, currency)


def test_every_other_currency_is_the_same_on_both_sides() -> None:
    for currency in CURRENCIES - {"ISK", "MGA", "UGX"}:
        assert to_stripe(Money(10, currency)) == 10, decimals_of(currency)
