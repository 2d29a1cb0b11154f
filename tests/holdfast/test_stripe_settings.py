"""Stripe's keys: needed where Stripe is chosen, and shown by nothing."""

import pytest
from pydantic import ValidationError

from holdfast.settings import Settings

KEY, SECRET = "sk_live_51SeenAnywhere", "whsec_SeenAnywhere"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"HOLDFAST_{name.upper()}", raising=False)


def stripe(**others: object) -> Settings:
    return Settings(**{"payment_provider": "stripe", "stripe_api_key": KEY, "stripe_webhook_secret": SECRET, **others})


def test_stripe_with_its_keys_is_taken_also_in_production() -> None:
    assert stripe(production=True).stripe_api_key == KEY


@pytest.mark.parametrize("name", ["stripe_api_key", "stripe_webhook_secret"])
def test_stripe_without_one_of_its_keys_does_not_start_and_says_which(name: str) -> None:
    with pytest.raises(ValidationError, match=rf"Stripe needs HOLDFAST_{name.upper()} \["):
        stripe(**{name: ""})


@pytest.mark.parametrize("others", [{"stripe_api_key": "sk_test_1"}, {"stripe_url": "http://127.0.0.1:19111"}])
def test_production_does_not_start_with_what_takes_no_money(others: dict[str, object]) -> None:
    assert stripe(**others)
    with pytest.raises(ValidationError, match="neither takes money"):
        stripe(production=True, **others)


@pytest.mark.parametrize(
    "wrong",
    [
        {"stripe_api_key": "pk_live_SeenAnywhere"},
        {"stripe_webhook_secret": f"{SECRET} "},
        {"stripe_url": "api.stripe.com"},
        {"settle_after_hours": 0},
        {"production": True, "stripe_api_key": "sk_test_SeenAnywhere"},
    ],
)
def test_no_key_is_in_the_error_that_refuses_the_settings(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as refused:
        stripe(**wrong)
    assert "SeenAnywhere" not in str(refused.value)
    assert "SeenAnywhere" not in repr(refused.value)


def test_no_key_is_in_what_the_settings_show_of_themselves() -> None:
    assert "SeenAnywhere" not in repr(stripe())
    assert "SeenAnywhere" not in str(stripe())
