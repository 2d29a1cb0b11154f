"""Stripe's side of the conformance suite: a Stripe in memory, and what our database adds by keeping the provider's names."""

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import httpx

from storage.payment_provider import ChargeAsked, ChargeSeen, Checkout
from storage.stripe_provider import StripeProvider
from tests.fakes.stopped_clock import StoppedClock
from tests.fakes.stripe import FakeStripe

API_KEY, SECRET = "sk_test_NeverToBeSeen", "whsec_NeverToBeSeen"


class RememberingProvider(StripeProvider):
    """Asks with the name that Stripe gave, as whoever keeps payments does."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.refs: dict[str, str] = {}

    async def open(self, asked: ChargeAsked) -> Checkout:
        checkout = await super().open(self._named(asked))
        self.refs[asked.key] = checkout.provider_ref
        return checkout

    async def look(self, asked: ChargeAsked) -> ChargeSeen | None:
        return await super().look(self._named(asked))

    async def close(self, asked: ChargeAsked) -> ChargeSeen:
        return await super().close(self._named(asked))

    def _named(self, asked: ChargeAsked) -> ChargeAsked:
        return replace(asked, provider_ref=asked.provider_ref or self.refs.get(asked.key))


class StripeWorld:
    """Its fees are not known yet, as when Stripe tells of money that has just come."""

    fee_minor = 0
    pages = "https://checkout.stripe.com/"

    def __init__(self) -> None:
        self.clock = StoppedClock()
        self.stripe = FakeStripe(API_KEY, self.clock)
        self.provider = RememberingProvider(
            API_KEY, SECRET, retries=0, clock=self.clock, transport=self.stripe.transport
        )

    async def pay(self, asked: ChargeAsked, *, times: int = 1) -> None:
        for _ in range(times):
            self.stripe.pay(self.provider.refs[asked.key])

    async def decline(self, asked: ChargeAsked) -> None:
        self.stripe.decline(self.provider.refs[asked.key])

    async def pay_after_close(self, asked: ChargeAsked) -> None:
        self.stripe.money_comes(self.provider.refs[asked.key])

    async def messages(self) -> Sequence[bytes]:
        told, self.stripe.events = self.stripe.events, []
        return [json.dumps(event).encode() for event in told]

    def signed(self, body: bytes, at: datetime) -> dict[str, str]:
        return {"stripe-signature": signature(body, int(at.timestamp())), "content-type": "application/json"}

    async def away(self, *, on: bool) -> None:
        self.stripe.faults = [refuse_connection] * 1000 if on else []

    async def close(self) -> None:
        await self.provider.aclose()


def signature(body: bytes, at: int, secret: str = SECRET) -> str:
    """By Stripe's algorithm, written down once more: https://docs.stripe.com/webhooks#verify-manually."""
    digest = hmac.new(secret.encode(), b"%d.%s" % (at, body), hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def refuse_connection(request: httpx.Request, _answer: object) -> httpx.Response:
    raise httpx.ConnectError("nobody there", request=request)
