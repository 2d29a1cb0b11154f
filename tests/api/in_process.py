"""All services in this process, over a real Postgres, a real Valkey and a real shard reached by method calls.

Only two things are not the product's own: the clock, which tests turn forward, and what an operator is told of a cluster.
"""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx
from redis.asyncio import Redis
from starlette.types import Receive, Scope, Send

from actors.client import ShardClient
from actors.direct_client import DirectClient
from actors.limits import ShardLimits
from actors.shard import Shard
from domain.command import Role
from domain.ids import BookingId
from serve_app import booking, bookings, operator, pages, payment, search, user, vendor
from serve_app.auth import SigningKeys, Tokens
from serve_app.ended import EndedBookings
from serve_app.passwords import Passwords
from serve_app.ports import AuditFigure, ShardReport
from serve_app.rate_limits import RateLimitPolicy, RateLimits, redis_storage
from serve_app.service import Service
from storage.accounts import Accounts
from storage.archive import Archive
from storage.audit import Audit
from storage.booking_cache import BookingCache, FirstPages
from storage.booking_lists import BookingLists
from storage.bookings import BookingReads
from storage.cache import VersionedCache
from storage.checkouts import Checkouts
from storage.directory import Directory
from storage.ledger import Ledger
from storage.postgres import Database
from storage.postgres_archive import PostgresArchive
from storage.postgres_inbox import PostgresInbox
from storage.postgres_payments import PostgresPayments
from storage.postgres_shard_store import PostgresShardStore
from storage.sandbox import Sandbox, SandboxPolicy
from storage.sandbox_provider import SandboxProvider
from storage.search_index import SearchIndex
from storage.search_index_url import search_index_at
from storage.shard_store import Owner
from storage.users import UserReads
from storage.vendors import VendorReads
from tests.databases import drop_database
from tests.fakes.memory_search_index import MemorySearchIndex

KEYS = SigningKeys("test", {"test": secrets.token_bytes(32)})
ACTOR = "actor-of-the-api-tests"
WEBHOOK_KEY = secrets.token_bytes(32)


class Clock:
    """The time of day, and as much more as the tests turned it forward."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def advance(self, **by: float) -> None:
        self._ahead += timedelta(**by)


class Money:
    """Deposits over that database, taken by the sandbox for 1.5 percent; nobody delivers its messages, and no desk is there."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.clock = clock
        self.store = PostgresPayments(database)
        self.inbox = PostgresInbox(database)
        self.ledger = Ledger(database)
        self.sandbox = Sandbox(database, clock, SandboxPolicy(fee_basis_points=150))
        self.provider = SandboxProvider(self.sandbox, WEBHOOK_KEY, "http://test")
        self.checkouts = Checkouts(
            self.store, self.provider, BookingReads(database).by_id, clock, return_url="http://test/"
        )


@dataclass(frozen=True)
class Server:
    app: "Gateway"
    transport: httpx.AsyncBaseTransport
    tokens: Tokens
    database: Database
    archive: Archive
    shard: Shard
    redis: Redis
    url: str
    index: SearchIndex
    money: Money

    def issue(self, role: Role, account_id: str) -> str:
        return self.tokens.issue(role, UUID(account_id))

    def operator_token(self) -> str:
        return self.tokens.issue(Role.OPERATOR, UUID(int=0))

    async def forget(self, booking_id: BookingId) -> None:
        """As if it had left the current tables long ago: the shard and the cache do not remember it either."""
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute("DELETE FROM booking WHERE booking_id = $1", booking_id)
        finally:
            await connection.close()
        self.shard._memory.bookings.pop(booking_id, None)
        await self.redis.delete(f"holdfast:booking:{booking_id}")


class Gateway:
    """What HAProxy is in production: the service of the longest prefix gets the request."""

    def __init__(self, services: Sequence[Service]) -> None:
        self.services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        first_word = "/" + scope["path"].split("/")[1]
        by_prefix = {service.about.prefix: service for service in self.services}
        await by_prefix.get(first_word, by_prefix[""])(scope, receive, send)


class OneShard:
    """What an operator is told, with the audit over the real database."""

    def __init__(self, database: Database) -> None:
        self._audit = Audit(database, buckets_at_once=512)
        self._report = ShardReport(0, ACTOR, 1, "here", 1, 4096, bookings=0, queue=0)

    async def shards(self) -> Sequence[ShardReport]:
        return [self._report]

    async def move(self, shard_id: int, to_node: str | None) -> ShardReport | None:
        if to_node not in {None, "here"}:
            raise LookupError(to_node)
        if shard_id != 0:
            return None
        self._report = replace(self._report, epoch=self._report.epoch + 1)
        return self._report

    async def verify(self) -> Sequence[AuditFigure]:
        report = await self._audit.run()
        return [
            AuditFigure(figure.name, figure.counted, figure.faults, figure.judged, figure.examples)
            for figure in report.figures
        ]


@asynccontextmanager
async def served(postgres: Any, valkey: Any, clock: Clock) -> AsyncIterator[Server]:
    """Everything up until the block ends."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(_own_database(postgres))
        database = Database(url, "api tests", connections_max=8)
        stack.push_async_callback(database.close)
        redis = Redis.from_url(valkey.url)
        stack.push_async_callback(redis.aclose)
        cache = VersionedCache(redis)
        stack.push_async_callback(cache.close)
        shard = await _shard(url, database, clock)
        stack.push_async_callback(shard.stop)
        passwords = Passwords(memory_kib=64, passes=1)
        stack.callback(passwords.close)
        accounts = Accounts(database)
        tokens = Tokens(KEYS, accounts, clock)
        # More accounts than any guest opens: the tests come from one address.
        policy = RateLimitPolicy(accounts_per_address_per_hour=100_000)
        limits = RateLimits(redis_storage(redis), policy, lambda _name: None)
        archive = PostgresArchive(Database(url, "api tests archive", connections_max=2))
        stack.push_async_callback(archive.close)
        client = DirectClient([shard])
        index = search_index_at("", url)
        stack.push_async_callback(index.close)
        app = gateway_of(client, database, cache, archive, accounts, tokens, passwords, limits, clock, index)
        money = Money(database, clock)
        yield Server(app, httpx.ASGITransport(app), tokens, database, archive, shard, redis, url, index, money)


def gateway_of(
    client: ShardClient,
    database: Database,
    cache: VersionedCache,
    archive: Archive,
    accounts: Accounts,
    tokens: Tokens,
    passwords: Passwords,
    limits: RateLimits,
    clock: Clock,
    index: SearchIndex | None = None,
) -> Gateway:
    vendors, bits = VendorReads(database, cache), lambda: secrets.randbits(128)
    users, noted = UserReads(accounts, cache), BookingCache(cache, clock)
    ended = EndedBookings(archive, vendors, clock)
    lists = BookingLists(BookingReads(database), archive, pages=FirstPages(cache))
    money = Money(database, clock)
    services = [
        user.user_app(user.UserDeps(accounts, users, tokens, passwords, limits, clock, bits, trust_forwarded=True)),
        vendor.vendor_app(
            vendor.VendorDeps(client, accounts, vendors, tokens, passwords, limits, clock, bits, trust_forwarded=True)
        ),
        search.search_app(search.SearchDeps(index or MemorySearchIndex(), client, tokens, clock)),
        booking.booking_app(
            booking.BookingDeps(client, tokens, bits, ended, notes=noted, cached=noted, payments=money.checkouts)
        ),
        bookings.bookings_app(bookings.BookingsDeps(lists, vendors, tokens, clock, payments=money.checkouts)),
        payment.payment_app(
            payment.PaymentDeps(
                client,
                money.store,
                money.inbox,
                money.provider,
                money.ledger,
                vendors,
                tokens,
                clock,
                ended,
                money.sandbox,
            )
        ),
        operator.operator_app(operator.OperatorDeps(OneShard(database), tokens)),
    ]
    return Gateway([*services, pages.pages_app([service.about for service in services], tokens)])


async def _shard(url: str, database: Database, clock: Clock) -> Shard:
    directory = Directory(database)
    await directory.seed(1)
    await directory.claim(0, ACTOR)
    limits = ShardLimits(holds_per_guest_max=20)
    shard = Shard(0, PostgresShardStore(url), Owner(ACTOR, "here", 1), clock, limits)
    if not await shard.start():
        raise RuntimeError("the directory names another owner")
    return shard


@asynccontextmanager
async def _own_database(postgres: Any) -> AsyncIterator[str]:
    admin = await asyncpg.connect(postgres.url)
    try:
        await admin.execute("CREATE DATABASE holdfast_api TEMPLATE holdfast_template STRATEGY file_copy")
        yield postgres.url_of("holdfast_api")
        await drop_database(admin, "holdfast_api")
    finally:
        await admin.close()
