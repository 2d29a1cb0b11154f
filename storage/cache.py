"""A cache in Redis whose entries carry their version and never go backwards. Whoever uses it works without it, too.

The database is written first and the cache afterwards. A writer whose note to the cache failed owes it: it reads nothing
from the cache until it has paid, by putting a mark in the entry's place that no older version can cross, and goes on
trying to pay by itself, for the sake of the other processes that read there. What no living process can pay any more is
paid by a new era (see `cache_era`).
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from storage.cache_era import ERA, NEW_ERA
from storage.cache_writes import DOUBTED, ERA_DIGITS, STAMP_DIGITS, VERSION_DIGITS, Entry, GatheredWrites
from storage.errors import StoreUnavailable

_log = logging.getLogger(__name__)

_PREFIX: Final = "holdfast:"
_HEAD: Final = VERSION_DIGITS + ERA_DIGITS

# The stamp of an owner, or the era if that is newer; the time; and a page, if it was kept under this very stamp. A server
# without an era has lost all that was noted, and so begins one: everybody may have written just before.
_LOOK: Final = f"""
local time = redis.call('TIME')
local stamp = redis.call('GET', KEYS[1])
local era = redis.call('GET', KEYS[2])
if not era then
  era = time[1] .. string.format('%06d', time[2])
  redis.call('SET', KEYS[2], era)
end
if not stamp or era > stamp then stamp = era end
local page = KEYS[3] ~= nil and redis.call('GET', KEYS[3])
if page and string.sub(page, 1, {STAMP_DIGITS}) ~= stamp then page = false end
return {{stamp, time[1] .. string.format('%06d', time[2]), page}}
"""


@dataclass(frozen=True, slots=True)
class Stamped:
    """How an owner stands in the cache: the stamp now, how long ago it was set or the era began, the page."""

    stamp: bytes
    age_seconds: float
    document: bytes | None


class VersionedCache:
    """Never raises for a cache that is away: a read misses, a write is owed, and for a moment nobody asks it again.

    Writes of one process are gathered (see `cache_writes`). `redis` is one that `cache_client` made. A process that
    notes writes says `begin` first. One event loop.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        ttl_seconds: int = 300,
        rest_seconds: float = 1.0,
        retry_seconds: float = 0.05,
        owed_max: int = 10_000,
    ) -> None:
        self._redis = redis
        self._rest_seconds = rest_seconds
        self._retry_seconds = retry_seconds
        self._owed_max = owed_max
        self._writes = GatheredWrites(redis, ttl_seconds * 1000, self._failed)
        self._look = redis.register_script(_LOOK)
        self._new_era = redis.register_script(NEW_ERA)
        self._owed: dict[str, int] = {}
        self._owed_stamps: dict[str, int] = {}
        self._times_owed = 0
        self._eras_owed = self._eras_begun = 0
        self._asked_again_at = float("-inf")
        self._till = asyncio.Lock()
        self._paying: asyncio.Task[None] | None = None

    @property
    def owes(self) -> bool:
        """Whether a write is still to be made good before anything is read from the cache."""
        return self._owes_era or bool(self._owed) or bool(self._owed_stamps)

    @property
    def era(self) -> bytes:
        """As last heard, empty before that; to be had before the database is read or written, for `fill` and `put`."""
        return self._writes.era

    @property
    def _owes_era(self) -> bool:
        return self._eras_owed > self._eras_begun

    def begin(self) -> None:
        """Owe a new era: who noted writes here before may have died owing, or before a note was made."""
        self._eras_owed += 1
        self._pay_soon()

    async def get(self, key: str) -> bytes | None:
        """The newest document that was put; None for a miss and for a cache that is away."""
        if self._resting():
            return None
        try:
            await self._pay()
            stored, era = await self._redis.mget(_PREFIX + key, ERA)
        except (StoreUnavailable, RedisError, OSError) as error:
            self._rest(error)
            return None
        self._writes.era = era if isinstance(era, bytes) else b""
        if not isinstance(stored, bytes) or not era or stored[VERSION_DIGITS:_HEAD] != era:
            return None
        return bytes(stored[_HEAD:])

    async def fill(self, key: str, version: int, document: bytes, era: bytes) -> None:
        """Keep what was read from the database in an era, unless that is over or a newer version is there already."""
        if not self._resting():
            await asyncio.shield(self._writes.add(Entry(_PREFIX + key, version, document, era, owed=False)))

    async def put(self, key: str, version: int, document: bytes, era: bytes, stamps: Iterable[str] = ()) -> None:
        """Keep what was written to the database in an era, and set its owners' stamps; if that fails, it is owed.

        Of an era that is over, or of none, the version alone is kept: a newer write may have been noted in it and lost.
        """
        await self._note(Entry(_PREFIX + key, version, document, era), stamps)

    async def mark(self, key: str, version: int, stamps: Iterable[str] = ()) -> None:
        """The database has this version at least: what is older is not read from the cache any more."""
        await self._note(Entry(_PREFIX + key, version), stamps)

    async def stamp(self, owners: Iterable[str]) -> None:
        """Something of theirs was written that no entry could be older than; if that fails, it is owed."""
        await self._note(None, owners)

    async def doubt(self, key: str) -> None:
        """Nobody knows whether a write happened, or will yet: for a minute, everybody reads the database instead."""
        await self._note(Entry(_PREFIX + key, DOUBTED), ())

    async def look(self, owner: str, page: str | None = None) -> Stamped | None:
        """The owner's stamp, and the page that was kept under it; None for a cache that is away."""
        if self._resting():
            return None
        keys = [_stamp(owner), ERA, *([] if page is None else [_PREFIX + page])]
        try:
            await self._pay()
            stamp, time, kept = await self._look(keys=keys)
        except (StoreUnavailable, RedisError, OSError) as error:
            self._rest(error)
            return None
        return Stamped(stamp, (int(time) - int(stamp)) / 1e6, None if kept is None else kept[STAMP_DIGITS:])

    async def keep(self, page: str, stamp: bytes, document: bytes, ttl_ms: int) -> None:
        """A page for a short while. `stamp` is the one that stood before the page was read from the database."""
        if self._resting():
            return
        try:
            await self._redis.set(_PREFIX + page, stamp + document, px=ttl_ms)
        except (RedisError, OSError) as error:
            self._rest(error)

    async def close(self) -> None:
        """Stop trying to pay. The client stays open: it belongs to whoever made it."""
        await self._writes.close()
        if self._paying is not None:
            self._paying.cancel()
            await asyncio.wait([self._paying])

    async def _note(self, entry: Entry | None, stamps: Iterable[str]) -> None:
        names = [_stamp(owner) for owner in stamps]
        if self._resting():
            self._owe([] if entry is None else [entry], names)
        else:
            await asyncio.shield(self._writes.add(entry, names))

    async def _pay_later(self) -> None:
        """At once and then often, and however long the others rest: until it is done, other processes may read what is old."""
        while self.owes:
            try:
                await self._pay()
                self._asked_again_at = float("-inf")
            except (StoreUnavailable, RedisError, OSError) as error:
                self._rest(error)
                await asyncio.sleep(self._retry_seconds)

    async def _pay(self) -> None:
        """Make good what failed. A write that comes in meanwhile and fails is owed again."""
        if not self.owes:
            return
        async with self._till:
            if self._owes_era:
                owed_eras = self._eras_owed
                self._writes.era = await self._new_era(keys=[ERA])
                self._eras_begun = owed_eras
            owed, stamps = self._owed.copy(), self._owed_stamps.copy()
            if owed or stamps:
                marks = [Entry(key, version) for key, version in owed.items()]
                await self._writes.write(marks, list(stamps))
                _strike(self._owed, owed)
                _strike(self._owed_stamps, stamps)

    def _failed(self, entries: Sequence[Entry], stamps: Sequence[str], error: StoreUnavailable) -> None:
        self._rest(error)
        self._owe([entry for entry in entries if entry.owed], stamps)

    def _owe(self, entries: Sequence[Entry], stamps: Sequence[str]) -> None:
        for entry in entries:
            self._owed[entry.key] = max(entry.version, self._owed.get(entry.key, 0))
        for name in stamps:
            self._times_owed += 1
            self._owed_stamps[name] = self._times_owed
        if len(self._owed) + len(self._owed_stamps) > self._owed_max:
            self._owed.clear()
            self._owed_stamps.clear()
            self._eras_owed += 1
        self._pay_soon()

    def _pay_soon(self) -> None:
        if self.owes and (self._paying is None or self._paying.done()):
            self._paying = asyncio.create_task(self._pay_later())

    def _resting(self) -> bool:
        return asyncio.get_running_loop().time() < self._asked_again_at

    def _rest(self, error: Exception) -> None:
        if not self._resting():
            _log.warning("the cache is away, going on without it: %s", error)
        self._asked_again_at = asyncio.get_running_loop().time() + self._rest_seconds


def _stamp(owner: str) -> str:
    return f"{_PREFIX}stamp:{owner}"


def _strike(owed: dict[str, int], paid: dict[str, int]) -> None:
    """Off the books with what was paid, but for what has come to be owed again meanwhile."""
    for key, number in paid.items():
        if owed.get(key) == number:
            del owed[key]
