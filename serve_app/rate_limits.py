"""How often one may fail to log in, and open accounts: the `limits` library with moving windows, on Redis.

With Redis away new accounts are not limited (a metric counts it), but logins are, by this process alone.
"""

import time
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, TypeAlias

import structlog
from limits import RateLimitItem, RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage, RedisStorage, Storage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError
from redis.asyncio import Redis

from domain.command import Role
from serve_app.ports import Tally

WaitSeconds: TypeAlias = int

_REST_SECONDS: Final = 1.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RateLimitPolicy:
    login_failures_per_account: int = 10
    login_failures_per_address: int = 100
    login_window_seconds: int = 900
    accounts_per_address_per_hour: int = 600


def redis_storage(redis: Redis) -> Storage:
    """Windows on Redis or Valkey, over the client's own connections: give it short timeouts, because a login waits."""
    return RedisStorage(
        "async+redis://",
        wrap_exceptions=True,
        implementation="redispy",
        key_prefix="limit",
        connection_pool=redis.connection_pool,
    )


class RateLimits:
    """Asked before a login and told after one that failed; told before an account is made."""

    def __init__(self, storage: Storage, policy: RateLimitPolicy, tally: Tally) -> None:
        self._shared = MovingWindowRateLimiter(storage)
        self._own = MovingWindowRateLimiter(MemoryStorage())
        self._tally = tally
        self._away_until = 0.0
        window = policy.login_window_seconds
        self._per_account = RateLimitItemPerSecond(policy.login_failures_per_account, window)
        self._per_address = RateLimitItemPerSecond(policy.login_failures_per_address, window)
        self._accounts = RateLimitItemPerSecond(policy.accounts_per_address_per_hour, 3600)

    async def login_wait(self, role: Role, email: str, address: str) -> WaitSeconds | None:
        """How long this account or address must wait before the next try; None where it may try now."""
        for item, keys in self._login_windows(role, email, address):
            wait = await self._wait(item, keys)
            if wait is not None:
                return wait
        return None

    async def login_failed(self, role: Role, email: str, address: str) -> None:
        for item, keys in self._login_windows(role, email, address):
            # Both count, so that the process knows the last minutes at the moment when Redis goes away.
            await self._own.hit(item, *keys)
            await self._hit_shared(item, keys)

    async def account_wait(self, address: str) -> WaitSeconds | None:
        """Count an account about to be made from the address; a wait where there were too many."""
        keys = ("account", address)
        if await self._hit_shared(self._accounts, keys) is False:
            return await self._wait(self._accounts, keys) or 1
        return None

    def _login_windows(self, role: Role, email: str, address: str) -> tuple[tuple[RateLimitItem, tuple[str, ...]], ...]:
        # No address of a person stands in a key of Redis.
        who = blake2b(email.encode(), digest_size=12).hexdigest()
        account = (self._per_account, ("login", role.value, who))
        return (account, (self._per_address, ("login-from", address)))

    async def _wait(self, item: RateLimitItem, keys: tuple[str, ...]) -> WaitSeconds | None:
        limiter = self._own if self._resting() else self._shared
        try:
            stats = await limiter.get_window_stats(item, *keys)
        except StorageError as error:
            self._failed(error)
            stats = await self._own.get_window_stats(item, *keys)
        return None if stats.remaining > 0 else max(1, round(stats.reset_time - time.time()))

    async def _hit_shared(self, item: RateLimitItem, keys: tuple[str, ...]) -> bool | None:
        """Whether there was room; None where nobody knows."""
        if self._resting():
            self._tally("rate_limit_open")
            return None
        try:
            return bool(await self._shared.hit(item, *keys))
        except StorageError as error:
            self._failed(error)
            return None

    def _resting(self) -> bool:
        return time.monotonic() < self._away_until

    def _failed(self, error: Exception) -> None:
        self._away_until = time.monotonic() + _REST_SECONDS
        self._tally("rate_limit_open")
        log.warning("rate_limits_away", error=repr(error))
