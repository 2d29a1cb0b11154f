"""A cache in Redis whose entries carry their version and never go backwards. Whoever uses it works without it, too.

The database is written first and the cache afterwards. A writer whose note to the cache failed owes it: it reads nothing
from the cache until it has paid, by putting a mark in the entry's place that no older version can cross, and goes on
trying to pay by itself, for the sake of the other processes that read there.
"""

import asyncio
import logging
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

_log = logging.getLogger(__name__)

_VERSION_DIGITS: Final = 16
_PREFIX: Final = "holdfast:"

# An entry is 16 digits of version and the document; a mark is the digits alone. Digits of equal length compare as text.
_PUT: Final = f"""
local stored = redis.call('GETRANGE', KEYS[1], 0, {_VERSION_DIGITS - 1})
if stored > ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2], 'PX', ARGV[3])
return 1
"""
_MARK: Final = f"""
local stored = redis.call('GETRANGE', KEYS[1], 0, {_VERSION_DIGITS - 1})
if stored >= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""


class VersionedCache:
    """Never raises for a cache that is away: a read misses, a write is owed, and for a moment nobody asks it again.

    `redis` should have short timeouts and no retries of its own. One event loop.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        ttl_seconds: int = 300,
        rest_seconds: float = 1.0,
        owed_max: int = 10_000,
    ) -> None:
        self._redis = redis
        self._ttl_ms = ttl_seconds * 1000
        self._rest_seconds = rest_seconds
        self._owed_max = owed_max
        self._put = redis.register_script(_PUT)
        self._mark = redis.register_script(_MARK)
        self._owed: dict[str, int] = {}
        self._owes_all = False
        self._asked_again_at = float("-inf")
        self._paying: asyncio.Task[None] | None = None

    @property
    def owes(self) -> bool:
        """Whether a write is still to be made good before anything is read from the cache."""
        return self._owes_all or bool(self._owed)

    async def get(self, key: str) -> bytes | None:
        """The newest document that was put; None for a miss and for a cache that is away."""
        if self._resting():
            return None
        try:
            await self._pay()
            stored = await self._redis.get(_PREFIX + key)
        except (RedisError, OSError) as error:
            self._rest(error)
            return None
        if not isinstance(stored, bytes) or len(stored) <= _VERSION_DIGITS:
            return None
        return bytes(stored[_VERSION_DIGITS:])

    async def fill(self, key: str, version: int, document: bytes) -> None:
        """Keep what was read from the database, unless a newer version is there already."""
        if self._resting():
            return
        try:
            await self._put(keys=[_PREFIX + key], args=[_digits(version), document, self._ttl_ms])
        except (RedisError, OSError) as error:
            self._rest(error)

    async def put(self, key: str, version: int, document: bytes) -> None:
        """Keep what was just written to the database; if that fails, it is owed."""
        if not self._resting():
            try:
                await self._put(keys=[_PREFIX + key], args=[_digits(version), document, self._ttl_ms])
            except (RedisError, OSError) as error:
                self._rest(error)
            else:
                return
        self._owe(key, version)

    async def close(self) -> None:
        """Stop trying to pay. The client stays open: it belongs to whoever made it."""
        if self._paying is not None:
            self._paying.cancel()
            await asyncio.wait([self._paying])

    async def _pay_later(self) -> None:
        while self.owes:
            await asyncio.sleep(self._rest_seconds)
            try:
                await self._pay()
            except (RedisError, OSError) as error:
                self._rest(error)

    async def _pay(self) -> None:
        """Make good what failed. A write that comes in meanwhile and fails is owed again."""
        if self._owes_all:
            found = [key async for key in self._redis.scan_iter(match=f"{_PREFIX}*", count=1000)]
            for start in range(0, len(found), 1000):
                await self._redis.unlink(*found[start : start + 1000])
            self._owes_all = False
        for key, version in list(self._owed.items()):
            await self._mark(keys=[_PREFIX + key], args=[_digits(version), self._ttl_ms])
            if self._owed.get(key) == version:
                del self._owed[key]

    def _owe(self, key: str, version: int) -> None:
        self._owed[key] = max(version, self._owed.get(key, 0))
        if len(self._owed) > self._owed_max:
            self._owed.clear()
            self._owes_all = True
        if self._paying is None or self._paying.done():
            self._paying = asyncio.create_task(self._pay_later())

    def _resting(self) -> bool:
        return asyncio.get_running_loop().time() < self._asked_again_at

    def _rest(self, error: Exception) -> None:
        if not self._resting():
            _log.warning("the cache is away, going on without it: %s", error)
        self._asked_again_at = asyncio.get_running_loop().time() + self._rest_seconds


def _digits(version: int) -> str:
    return f"{version:0{_VERSION_DIGITS}d}"
