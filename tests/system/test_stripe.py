"""Every request that we make of Stripe, judged by Stripe's own mock against the specification of the API version in use.

The mock answers by example and remembers nothing: what Stripe does with requests is shown in tests/conformance/.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest
import stripe

from domain.ids import BookingId
from domain.money import Money
from domain.payment import PaymentId, RefundState
from holdfast.stack.records import Records
from storage.payment_provider import ChargeAsked, ProviderRefused, RefundAsked
from storage.stripe_provider import StripeProvider
from tests.stack import RealServers
from tests.system.running import listening

KEY = "sk_test_123"
ASKED = ChargeAsked(
    PaymentId(uuid4()),
    1,
    BookingId(uuid4()),
    Money(2500, "EUR"),
    datetime.now(UTC) + timedelta(minutes=9),
    returns_to="https://book.example.org/",
)
KNOWN = ChargeAsked(ASKED.payment_id, 1, ASKED.booking_id, ASKED.amount, None, "cs_test_1", ASKED.returns_to)
REFUND = RefundAsked(ASKED.payment_id, 1, ASKED.booking_id, "pi_1", Money(1000, "EUR"))


@pytest.fixture
async def requests() -> list[httpx.Request]:
    return []


@pytest.fixture
async def provider(stripe_mock_url: str, requests: list[httpx.Request]) -> AsyncIterator[StripeProvider]:
    class Noting(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            requests.append(request)
            return await super().handle_async_request(request)

    made = StripeProvider(KEY, "whsec_1", url=stripe_mock_url, retries=0, transport=Noting())
    yield made
    await made.aclose()


def _paths(requests: list[httpx.Request]) -> list[str]:
    return [f"{request.method} {request.url.path}" for request in requests]


async def test_a_page_is_opened(provider: StripeProvider, requests: list[httpx.Request]) -> None:
    checkout = await provider.open(ASKED)
    assert checkout.provider_ref.startswith("cs_test_")
    assert checkout.url.startswith("https://checkout.stripe.com/")
    assert _paths(requests) == ["POST /v1/checkout/sessions"]
    assert requests[0].headers["idempotency-key"].startswith(f"{ASKED.key}/")


async def test_a_page_is_looked_at_with_its_money(provider: StripeProvider, requests: list[httpx.Request]) -> None:
    seen = await provider.look(KNOWN)
    assert seen is not None
    assert not seen.closed
    assert _paths(requests) == ["GET /v1/checkout/sessions/cs_test_1"]
    assert requests[0].url.params["expand[0]"] == "payment_intent.latest_charge.balance_transaction"


async def test_a_page_is_closed(provider: StripeProvider, requests: list[httpx.Request]) -> None:
    await provider.close(KNOWN)
    assert _paths(requests) == ["POST /v1/checkout/sessions/cs_test_1/expire"]


async def test_money_goes_back(provider: StripeProvider, requests: list[httpx.Request]) -> None:
    seen = await provider.refund(REFUND)
    assert seen.provider_ref.startswith("re_")
    assert seen.state is RefundState.DONE
    assert _paths(requests) == ["GET /v1/refunds", "POST /v1/refunds"]
    assert requests[1].headers["idempotency-key"] == REFUND.key


async def test_a_refund_is_asked_about(provider: StripeProvider, requests: list[httpx.Request]) -> None:
    known = RefundAsked(REFUND.payment_id, 1, REFUND.booking_id, "pi_1", REFUND.amount, "re_1")
    assert (await provider.refund(known)).provider_ref == "re_1"
    assert _paths(requests) == ["GET /v1/refunds/re_1"]


async def test_the_account_is_read(provider: StripeProvider, requests: list[httpx.Request]) -> None:
    now = datetime.now(UTC)
    assert [entry async for entry in provider.entries(now - timedelta(days=1), now)]
    assert _paths(requests) == ["GET /v1/charges", "GET /v1/refunds"]


@pytest.mark.parametrize("currency", ["JPY", "KWD", "ISK", "MGA"])
async def test_a_page_is_opened_in_currencies_with_any_number_of_decimals(
    provider: StripeProvider, currency: str
) -> None:
    await provider.open(
        ChargeAsked(
            PaymentId(uuid4()),
            1,
            BookingId(uuid4()),
            Money(5000, currency),
            None,
            returns_to="https://book.example.org/",
        )
    )


async def test_the_mock_refuses_what_stripe_does_not_know(provider: StripeProvider) -> None:
    """Or the tests above would show nothing."""
    session = provider._session(ASKED) | {"pay_twice": True}
    with pytest.raises(ProviderRefused, match="additional properties"):
        await provider._answer(provider._client.v1.checkout.sessions.create_async(session), dict)


async def test_the_library_speaks_the_version_that_the_mock_judges_by(stripe_mock_url: str) -> None:
    """It answers nothing to any other: the versions in pyproject.toml and in holdfast/stack/stripe_mock.py go together."""
    async with httpx.AsyncClient(base_url=stripe_mock_url, auth=(KEY, "")) as client:
        ours = await client.get("/v1/charges", headers={"stripe-version": stripe.api_version})
        other = await client.get("/v1/charges", headers={"stripe-version": "2019-01-01"})
    assert (ours.status_code, other.status_code) == (200, 400)


def test_the_mock_listens_on_loopback_alone(stack: RealServers, stripe_mock_url: str) -> None:
    """It opens a second port, for TLS, on which it would listen to everybody."""
    process = Records(stack.settings.dir / "run").living("stripe_mock")
    assert process is not None
    assert {host for host, _ in listening(process.pid)} == {"127.0.0.1"}
