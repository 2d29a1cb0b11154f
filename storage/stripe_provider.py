"""Stripe as a payment provider: a page of Checkout for each charge, money taken at once, refunds of what was taken.

Never a manual capture: an authorisation lapses after about seven days, and a table is booked months ahead. See
docs/decisions/0024-stripe-charges-by-checkout.md.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from math import ceil
from typing import TYPE_CHECKING, Any, Final, TypeVar

import httpx
import stripe

from domain.payment import RefundState
from storage.errors import StoreError, StoreUnavailable
from storage.payment_provider import (
    ChargeAsked,
    ChargeSeen,
    Checkout,
    ProviderEntry,
    ProviderEvent,
    ProviderRefused,
    RefundAsked,
    RefundSeen,
)
from storage.stripe_amounts import to_stripe
from storage.stripe_documents import (
    Document,
    charge_entry,
    charge_metadata,
    charge_seen,
    checkout_of,
    known_refund,
    refund_entry,
    refund_metadata,
    refund_seen,
    text_in,
    total_of,
)
from storage.stripe_errors import StripeHasNone, keep_logs_clean, store_error, without_secrets
from storage.stripe_http import StripeHttp
from storage.stripe_messages import HEADER, event_of, signed_event_id

if TYPE_CHECKING:
    from stripe.params.checkout import SessionCreateParams

T = TypeVar("T")
_Listing = Callable[[Any], Awaitable[stripe.ListObject[Any]]]

_WITH_MONEY: Final = "payment_intent.latest_charge.balance_transaction"
_PAGE: Final = 100
_LIVES_AT_LEAST: Final = timedelta(minutes=31)
"""Stripe's page lives for half an hour at least, by Stripe's clock."""
_LIVES_AT_MOST: Final = timedelta(hours=23, minutes=50)
_STEP_SECONDS: Final = 600


class StripeProvider:
    """`url` is empty for Stripe itself, or where stripe-mock listens. One for each event loop."""

    def __init__(
        self,
        api_key: str,
        webhook_secret: str,
        *,
        url: str = "",
        timeout_seconds: float = 8.0,
        retries: int = 2,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        keep_logs_clean()
        self._webhook_secret = webhook_secret
        self._clock = clock
        self._http = StripeHttp(timeout_seconds, transport)
        self._client = stripe.StripeClient(
            api_key,
            base_addresses={"api": url.rstrip("/")} if url else None,
            max_network_retries=retries,
            http_client=self._http,
        )

    @property
    def name(self) -> str:
        return "stripe"

    async def open(self, asked: ChargeAsked) -> Checkout:
        """The same page for the same charge. Where an answer got lost there may be two, one of whose address nobody knows."""
        params = self._session(asked)
        if asked.provider_ref is None:
            options: stripe.RequestOptions = {"idempotency_key": _keyed(asked.key, params)}
            return await self._answer(self._client.v1.checkout.sessions.create_async(params, options), checkout_of)
        retrieved = self._client.v1.checkout.sessions.retrieve_async(asked.provider_ref)
        checkout, total = await self._answer(retrieved, lambda session: (checkout_of(session), total_of(session)))
        if total != asked.amount:
            raise ProviderRefused(f"the page of charge {asked.key} asks for another sum")
        return checkout

    async def look(self, asked: ChargeAsked) -> ChargeSeen | None:
        if asked.provider_ref is None:
            return None  # whatever page there may be, nobody was ever told where
        try:
            return await self._answer(
                self._client.v1.checkout.sessions.retrieve_async(asked.provider_ref, {"expand": [_WITH_MONEY]}),
                partial(charge_seen, asked=asked),
            )
        except StripeHasNone:
            return None

    async def close(self, asked: ChargeAsked) -> ChargeSeen:
        """Expiring the page cancels its intent. Without a key: Stripe would repeat a "not now" for a day."""
        if asked.provider_ref is None:
            return ChargeSeen(closed=True)
        try:
            return await self._answer(
                self._client.v1.checkout.sessions.expire_async(asked.provider_ref, {"expand": [_WITH_MONEY]}),
                partial(charge_seen, asked=asked),
            )
        except ProviderRefused:  # it is paid or over already, or is being paid just now
            return await self.look(asked) or ChargeSeen(closed=True)

    async def refund(self, asked: RefundAsked) -> RefundSeen:
        """Stripe may forget a key after a day, so the refunds that there are come first: none is ever made twice.

        Those that failed are passed over. How many there are is in the key, as Stripe would only repeat its answer to the last.
        """
        if asked.provider_ref is not None:
            return await self._answer(self._client.v1.refunds.retrieve_async(asked.provider_ref), refund_seen)
        of_capture = {"payment_intent": asked.capture_reference}
        failed = 0
        async for found in self._listed(self._client.v1.refunds.list_async, of_capture, known_refund):
            if found.named != (asked.payment_id, asked.number):
                continue
            if found.amount != asked.amount:
                raise ProviderRefused(f"refund {asked.key} was made before, of another sum")
            if found.seen.state is not RefundState.REFUSED:
                return found.seen
            failed += 1
        return await self._answer(
            self._client.v1.refunds.create_async(
                {
                    "payment_intent": asked.capture_reference,
                    "amount": to_stripe(asked.amount),
                    "metadata": refund_metadata(asked),
                },
                {"idempotency_key": f"{asked.key}/{failed + 1}" if failed else asked.key},
            ),
            refund_seen,
        )

    def checked(self, headers: Mapping[str, str], body: bytes, now: datetime) -> str:
        return signed_event_id(headers.get(HEADER, ""), body, self._webhook_secret, now)

    def understood(self, body: bytes) -> ProviderEvent:
        return event_of(body)

    async def entries(self, since: datetime, until: datetime) -> AsyncIterator[ProviderEntry]:
        """Charges, then refunds, each the newest first."""
        between = {"created": {"gte": ceil(since.timestamp()), "lt": ceil(until.timestamp())}}
        fees = between | {"expand": ["data.balance_transaction"]}
        async for entry in self._listed(self._client.v1.charges.list_async, fees, charge_entry):
            if entry is not None:
                yield entry
        whose = between | {"expand": ["data.charge"]}
        async for entry in self._listed(self._client.v1.refunds.list_async, whose, refund_entry):
            if entry is not None:
                yield entry

    async def aclose(self) -> None:
        await self._http.close_async()

    def _session(self, asked: ChargeAsked) -> "SessionCreateParams":
        if not asked.returns_to:
            raise ProviderRefused("Stripe's page needs an address that it leads back to")
        metadata = charge_metadata(asked)
        params: SessionCreateParams = {
            "mode": "payment",
            "submit_type": "book",
            "payment_method_types": ["card"],
            "adaptive_pricing": {"enabled": False},
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {
                        "currency": asked.amount.currency.lower(),
                        "unit_amount": to_stripe(asked.amount),
                        "product_data": {"name": "Deposit for your booking"},
                    },
                }
            ],
            "payment_intent_data": {"capture_method": "automatic", "metadata": metadata},
            "metadata": metadata,
            "client_reference_id": str(asked.booking_id),
            "success_url": asked.returns_to,
            "cancel_url": asked.returns_to,
        }
        if asked.closes_at is not None:
            params["expires_at"] = _expires_at(asked.closes_at, self._clock())
        return params

    async def _listed(
        self, listing: _Listing, params: Mapping[str, Any], read: Callable[[Document], T]
    ) -> AsyncIterator[T]:
        """All of a list, page after page."""

        def read_page(page: Document) -> tuple[list[T], str | None]:
            documents = page.get("data") or []
            more = page.get("has_more") and documents
            return [read(document) for document in documents], text_in(documents[-1], "id") if more else None

        asked = {**params, "limit": _PAGE}
        while True:
            some, last = await self._answer(listing(asked), read_page)
            for one in some:
                yield one
            if last is None:
                return
            asked["starting_after"] = last

    async def _answer(self, call: Awaitable[stripe.StripeObject], read: Callable[[Document], T]) -> T:
        """What an answer says. Raises StoreUnavailable, ProviderRefused and StripeHasNone."""
        failure: StoreError
        try:
            return read(_document(await call))
        except stripe.StripeError as error:
            failure = store_error(error)
        except ValueError as error:
            failure = StoreUnavailable(f"Stripe's answer makes no sense: {without_secrets(str(error))}")
        raise failure  # out here: the library's error holds the whole answer, and would hang on to ours


def _document(answer: object) -> Document:
    if not isinstance(answer, stripe.StripeObject):
        raise ValueError("no object")  # noqa: TRY004 - of what Stripe said, not of our own call
    return answer.to_dict()


def _keyed(key: str, params: "SessionCreateParams") -> str:
    """Stripe gives its first answer to a key for a day, also if that was an error, and refuses it with other parameters.

    That is right for another sum. The two parameters that may differ at another try make another key instead: a second
    page does no harm.
    """
    varying = f"{params['success_url']} {params.get('expires_at', '')}"
    return f"{key}/{sha256(varying.encode()).hexdigest()[:16]}"


def _expires_at(closes_at: datetime, now: datetime) -> int:
    """When Stripe closes the page by itself should we be down: soon after we would, and the same for ten minutes."""
    soonest = -(-(now + _LIVES_AT_LEAST).timestamp() // _STEP_SECONDS) * _STEP_SECONDS
    latest = (now + _LIVES_AT_MOST).timestamp() // _STEP_SECONDS * _STEP_SECONDS
    return int(min(max(closes_at.timestamp(), soonest), latest))
