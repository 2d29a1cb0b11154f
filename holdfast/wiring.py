"""The composition root: every process's parts are put together here, from `Settings` and nothing else.

One function per kind of process: a shard's, the supervisor's, a Serve replica's of each service, the command's. Each
builds its parts inside the event loop that will use them, and hands back what closes them.
"""

from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import Final

from redis.asyncio import Redis

from actors.addressing import BucketMap
from actors.client import ShardClient
from actors.direct_client import DirectClient
from actors.limits import ShardLimits
from actors.ray_client import RayCalls
from actors.remote_client import RemoteClient
from actors.remote_lane import RemoteLimits
from actors.shard import Shard
from actors.shard_host import ShardConfig, utc_now
from actors.supervisor import SupervisorLimits
from actors.supervisor_actor import SupervisorConfig
from holdfast import health, logs
from holdfast.chance import Chance
from holdfast.metrics import tally
from holdfast.operations import ClusterOperations
from holdfast.payment_provider import payment_provider
from holdfast.settings import Settings
from holdfast.signing import signing_keys
from holdfast.store_urls import postgres_url, redis_url
from serve_app import booking, bookings, operator, pages, payment, search, user, vendor
from serve_app.auth import Tokens
from serve_app.ended import EndedBookings
from serve_app.passwords import Passwords
from serve_app.rate_limits import RateLimitPolicy, RateLimits, redis_storage
from serve_app.service import Service
from storage.accounts import Accounts
from storage.archive import Archive
from storage.archive_url import archive_at
from storage.audit import Audit
from storage.booking_cache import BookingCache, FirstPages
from storage.booking_lists import BookingLists
from storage.bookings import BookingReads
from storage.cache import VersionedCache
from storage.cache_era import cache_client
from storage.candidate_cache import CandidateCache
from storage.checkouts import Checkouts
from storage.directory import Directory
from storage.ledger import Ledger
from storage.payment_provider import PaymentProvider
from storage.postgres import Database
from storage.postgres_inbox import PostgresInbox
from storage.postgres_payments import PostgresPayments
from storage.postgres_shard_store import PostgresShardStore
from storage.replicas import ReplicaReads, replica_at
from storage.sandbox_provider import SandboxProvider
from storage.search_index import SearchIndex
from storage.search_index_url import search_index_at
from storage.shard_store import Lease, Owner
from storage.users import UserReads
from storage.vendors import VendorReads

PREFIXES: Final = {**health.SERVICES, "pages": "/"}
SERVICES: Final = tuple(PREFIXES)

_POOL_CONNECTIONS: Final = 8
_REDIS_SECONDS: Final = 0.25


def shard_configs(settings: Settings) -> list[ShardConfig]:
    limits = ShardLimits(
        mailbox_commands_max=settings.mailbox_commands_max,
        batch_commands_max=settings.batch_commands_max,
        holds_per_guest_max=settings.holds_per_guest_max,
        settle_after_hours=settings.settle_after_hours,
        patience_seconds=settings.take_over_wait_seconds,
    )
    return [
        ShardConfig(
            shard_id=shard_id,
            make_parts="holdfast.wiring:make_shard_parts",
            make_report="holdfast.metrics:shard_report",
            limits=limits,
            express_host="",  # that of the machine where the actor runs
            express_port=settings.express_port if shard_id == 0 else 0,
        )
        for shard_id in range(settings.shards)
    ]


def supervisor_config(settings: Settings) -> SupervisorConfig:
    return SupervisorConfig(
        shards=shard_configs(settings),
        make_directory="holdfast.wiring:make_directory",
        limits=SupervisorLimits(
            heartbeat_seconds=settings.shard_heartbeat_seconds,
            silence_seconds=settings.shard_silence_seconds,
            answers_kept_hours=settings.idempotency_hours,
        ),
    )


async def make_directory(_config: SupervisorConfig) -> Directory:
    """The supervisor's parts; its process ends with it."""
    logs.to_stderr()
    return Parts(Settings(), "supervisor").directory


class Parts:
    """What a process may need, each made when first asked for. Lives in one event loop; `close` ends what was made."""

    def __init__(self, settings: Settings, name: str) -> None:
        self.settings = settings
        self.forwarded = settings.gateway_is_ours
        self._name = name
        self._closers: list[Callable[[], Awaitable[object]]] = []

    async def close(self) -> None:
        for close in reversed(self._closers):
            await close()

    @cached_property
    def database(self) -> Database:
        made = Database(postgres_url(self.settings), f"holdfast {self._name}", _POOL_CONNECTIONS)
        self._closers.append(made.close)
        return made

    @cached_property
    def redis(self) -> Redis:
        made = cache_client(redis_url(self.settings), _REDIS_SECONDS)
        self._closers.append(made.aclose)
        return made

    @cached_property
    def replicas(self) -> ReplicaReads:
        """For lists and for what search loads; the primary where there is no replica, or none that is fresh."""
        urls, name = self.settings.postgres_replica_urls.split(), f"holdfast {self._name} replica"
        made = ReplicaReads(self.database, [replica_at(url, name, _POOL_CONNECTIONS) for url in urls])
        self._closers.append(made.close)
        return made

    @cached_property
    def archive(self) -> Archive:
        made = archive_at(self.settings.archive_url, postgres_url(self.settings))
        self._closers.append(made.close)
        return made

    @cached_property
    def search_index(self) -> SearchIndex:
        made = search_index_at(self.settings.search_url, postgres_url(self.settings))
        self._closers.append(made.close)
        return made

    @cached_property
    def directory(self) -> Directory:
        return Directory(self.database)

    @cached_property
    def accounts(self) -> Accounts:
        return Accounts(self.database)

    @cached_property
    def cache(self) -> VersionedCache:
        made = VersionedCache(self.redis)
        self._closers.append(made.close)
        return made

    @cached_property
    def vendors(self) -> VendorReads:
        return VendorReads(self.database, self.cache)

    @cached_property
    def audit(self) -> Audit:
        return Audit(self.database)

    @cached_property
    def users(self) -> UserReads:
        return UserReads(self.accounts, self.cache)

    @cached_property
    def bookings(self) -> BookingReads:
        """Of the primary: single bookings, as last committed."""
        return BookingReads(self.database)

    @cached_property
    def booking_cache(self) -> BookingCache:
        return BookingCache(self.cache, utc_now)

    @cached_property
    def ended(self) -> EndedBookings:
        return EndedBookings(self.archive, self.vendors, utc_now)

    @cached_property
    def payment_store(self) -> PostgresPayments:
        return PostgresPayments(self.database)

    @cached_property
    def payment_provider(self) -> PaymentProvider:
        made = payment_provider(self.settings, postgres_url(self.settings))
        self._closers.append(made.aclose)
        return made

    @cached_property
    def payments(self) -> Checkouts:
        """Deposits, as the booking services arrange and show them."""
        return Checkouts(
            self.payment_store,
            self.payment_provider,
            self.bookings.by_id,
            utc_now,
            return_url=health.public_url(self.settings),
        )

    @cached_property
    def lists(self) -> BookingLists:
        replicas = BookingReads(self.replicas) if self.settings.postgres_replica_urls else None
        return BookingLists(self.bookings, self.archive, replicas=replicas, pages=FirstPages(self.cache))

    @cached_property
    def tokens(self) -> Tokens:
        return Tokens(signing_keys(self.settings), self.accounts, utc_now, ttl_seconds=self.settings.token_ttl_seconds)

    @cached_property
    def passwords(self) -> Passwords:
        return Passwords()

    @cached_property
    def limits(self) -> RateLimits:
        settings = self.settings
        policy = RateLimitPolicy(
            login_failures_per_account=settings.login_failures_per_account,
            login_failures_per_address=settings.login_failures_per_address,
            login_window_seconds=settings.login_window_seconds,
            accounts_per_address_per_hour=settings.accounts_per_address_per_hour,
        )
        return RateLimits(redis_storage(self.redis), policy, tally)

    @cached_property
    def calls(self) -> RayCalls:
        return RayCalls(patience_seconds=self.settings.take_over_wait_seconds)

    @cached_property
    def client(self) -> ShardClient:
        """The shards, wherever they run, by Ray calls that carry batches."""
        return RemoteClient(
            self.calls,
            BucketMap(self.directory.bucket_shards),
            self.bookings.by_id,
            RemoteLimits(wait_seconds=self.settings.take_over_wait_seconds),
        )

    @cached_property
    def operations(self) -> ClusterOperations:
        return ClusterOperations(self.directory, self.audit, self.calls)


def _user(parts: Parts) -> Service:
    parts.cache.begin()
    return user.user_app(
        user.UserDeps(
            parts.accounts,
            parts.users,
            parts.tokens,
            parts.passwords,
            parts.limits,
            utc_now,
            Chance(),
            trust_forwarded=parts.forwarded,
        )
    )


def _vendor(parts: Parts) -> Service:
    parts.cache.begin()
    return vendor.vendor_app(
        vendor.VendorDeps(
            parts.client,
            parts.accounts,
            parts.vendors,
            parts.tokens,
            parts.passwords,
            parts.limits,
            utc_now,
            Chance(),
            trust_forwarded=parts.forwarded,
        )
    )


def _search(parts: Parts) -> Service:
    candidates = CandidateCache(parts.search_index, parts.redis)
    deps = search.SearchDeps(candidates, parts.client, parts.tokens, utc_now, trust_forwarded=parts.forwarded)
    return search.search_app(deps)


def _booking(parts: Parts) -> Service:
    parts.cache.begin()
    return booking.booking_app(
        booking.BookingDeps(
            parts.client,
            parts.tokens,
            Chance(),
            ended=parts.ended,
            notes=parts.booking_cache,
            cached=parts.booking_cache,
            payments=parts.payments,
            trust_forwarded=parts.forwarded,
        )
    )


def _bookings(parts: Parts) -> Service:
    return bookings.bookings_app(
        bookings.BookingsDeps(
            parts.lists, parts.vendors, parts.tokens, utc_now, payments=parts.payments, trust_forwarded=parts.forwarded
        )
    )


def _payment(parts: Parts) -> Service:
    provider = parts.payment_provider
    return payment.payment_app(
        payment.PaymentDeps(
            parts.client,
            parts.payment_store,
            PostgresInbox(parts.database),
            provider,
            Ledger(parts.database),
            parts.vendors,
            parts.tokens,
            utc_now,
            ended=parts.ended,
            counter=provider.sandbox if isinstance(provider, SandboxProvider) else None,
            trust_forwarded=parts.forwarded,
        )
    )


def _operator(parts: Parts) -> Service:
    return operator.operator_app(operator.OperatorDeps(parts.operations, parts.tokens, trust_forwarded=parts.forwarded))


def _pages(parts: Parts) -> Service:
    services = (user, vendor, search, booking, bookings, payment, operator)
    return pages.pages_app([service.ABOUT for service in services], parts.tokens)


_APPS: Final[dict[str, Callable[[Parts], Service]]] = {
    "user": _user,
    "vendor": _vendor,
    "search": _search,
    "booking": _booking,
    "bookings": _bookings,
    "payment": _payment,
    "operator": _operator,
    "pages": _pages,
}


def service_app(parts: Parts, service: str) -> Service:
    """The ASGI application of a Serve replica, over the replica's parts."""
    return _APPS[service](parts)


class ShardProcessParts:
    """What a shard's process holds: its store, and the booking service served beside the shard (the express lane)."""

    def __init__(self, settings: Settings) -> None:
        self.store = PostgresShardStore(postgres_url(settings))
        self.express_host = settings.host
        self._parts = Parts(settings, "express")

    async def express_app(self, shard: Shard) -> Service:
        """A request for another shard's vendor goes on to that shard."""
        parts = self._parts
        parts.cache.begin()
        elsewhere = parts.client if parts.settings.shards > 1 else None
        return booking.booking_app(
            booking.BookingDeps(
                DirectClient([shard], elsewhere),
                parts.tokens,
                Chance(),
                ended=parts.ended,
                notes=parts.booking_cache,
                payments=parts.payments,
            )
        )

    async def announce(self, lease: Lease, address: str) -> None:
        await self._parts.directory.set_address(lease, address)

    async def close(self) -> None:
        await self._parts.close()
        await self.store.close()


async def make_shard_parts(_config: ShardConfig, _owner: Owner) -> ShardProcessParts:
    logs.to_stderr()
    return ShardProcessParts(Settings())
