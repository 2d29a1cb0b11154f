"""The errors of Stripe's library in our own words, and what must never be read in one, or in a log."""

import logging
import re
from typing import Final

import stripe
from stripe import _util

from storage.errors import StoreError, StoreUnavailable
from storage.payment_provider import OwnerNeeded, ProviderRefused

_SECRET: Final = re.compile(r"\b(?:(?:sk|rk|pk)_(?:live|test)_|whsec_|sk_|rk_)[\w*-]*|\b\w+_secret_[\w*-]+", re.ASCII)
"""Keys, also as Stripe shows them in an error, and the secrets by which a browser may pay an intent."""

_PASSES: Final = frozenset(["idempotency_key_in_use", "lock_timeout", "rate_limit"])
"""Refusals that are over after a while."""

_NO_MONEY: Final = "balance_insufficient"
"""The account has too little for a refund: the next payments may bring it, or its owner."""


class StripeHasNone(ProviderRefused):
    """There is nothing of that name at Stripe."""


def store_error(error: stripe.StripeError) -> StoreError:
    """What to raise instead. Raise it where no error is being handled: the library's own holds whole answers.

    A key that Stripe does not take, and an account without the money for a refund, are trouble that passes once somebody puts
    it right, and no reason to give up payments.
    """
    refused = isinstance(error, stripe.InvalidRequestError | stripe.CardError | stripe.IdempotencyError)
    told = " ".join(_told(error))
    if error.code == _NO_MONEY or isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
        return OwnerNeeded(told)
    if not refused or error.code in _PASSES:
        return StoreUnavailable(told)
    return (StripeHasNone if error.code == "resource_missing" else ProviderRefused)(told)


def without_secrets(text: str) -> str:
    return _SECRET.sub("***", text)


def keep_logs_clean() -> None:
    """The library logs the bodies of answers, which hold guests' addresses, and Stripe's errors, which hold parts of keys.

    It also prints the same on standard error where STRIPE_LOG is set.
    """
    logging.getLogger("stripe").addFilter(_clean)
    stripe.log = None
    _util.STRIPE_LOG = None


def _clean(record: logging.LogRecord) -> bool:
    if record.levelno < logging.INFO:
        return False
    record.msg, record.args = without_secrets(record.getMessage()), ()
    return True


def _told(error: stripe.StripeError) -> list[str]:
    told = [f"Stripe: {type(error).__name__}"]
    if error.http_status is not None:
        told.append(f"{error.http_status}")
    if error.code:
        told.append(f"({error.code})")
    if error.request_id:
        told.append(f"in {error.request_id}")
    return [*told, "-", without_secrets(" ".join((error.user_message or "no reason given").split()))]
