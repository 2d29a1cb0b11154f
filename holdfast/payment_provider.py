"""Which payment provider takes the deposits, put together from the settings; and the sandbox's own courier."""

from typing import Final

from actors.shard_host import utc_now
from consumers.sandbox_courier import NAME, SandboxCourier
from holdfast.health import public_url
from holdfast.secrets import derived_key, installation_key
from holdfast.settings import Settings
from storage.payment_provider import PaymentProvider
from storage.postgres import Database
from storage.postgres_wakeups import PostgresWakeups
from storage.sandbox import Sandbox, SandboxPolicy
from storage.sandbox_messages import CHANNEL, SandboxMessages
from storage.sandbox_provider import SandboxProvider

_CONNECTIONS: Final = 4
_WEBHOOK_KEY: Final = "webhooks of the sandbox"


def payment_provider(settings: Settings, postgres_url: str) -> PaymentProvider:
    """The provider of these settings, not yet connected to anything; `aclose` ends what it opens."""
    if settings.payment_provider == "stripe":
        # Only where it is used: the library takes a second and 40 MB to load.
        from storage.stripe_provider import StripeProvider

        return StripeProvider(settings.stripe_api_key, settings.stripe_webhook_secret, url=settings.stripe_url)
    return sandbox_provider(settings, postgres_url)


def sandbox_provider(settings: Settings, postgres_url: str) -> SandboxProvider:
    database = Database(postgres_url, "holdfast sandbox", _CONNECTIONS)
    policy = SandboxPolicy(fee_basis_points=settings.sandbox_fee_basis_points)
    secret = derived_key(installation_key(settings.jwt_key, settings.secrets_dir), _WEBHOOK_KEY)
    return SandboxProvider(Sandbox(database, utc_now, policy), secret, public_url(settings), database=database)


def sandbox_courier(
    settings: Settings, provider: SandboxProvider, database: Database, postgres_url: str
) -> SandboxCourier:
    """Brings the sandbox's messages to the payment service, by way of the gateway as any provider would."""
    return SandboxCourier(
        SandboxMessages(database),
        provider.signed,
        f"{public_url(settings)}/payment/webhook/{provider.name}",
        utc_now,
        wakeups=lambda wake: PostgresWakeups(postgres_url, f"holdfast {NAME}", {CHANNEL: wake}),
    )
