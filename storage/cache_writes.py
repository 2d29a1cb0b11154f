"""Writes to the cache, gathered: while one call is under way the others wait, and then go as one call of a script.

A writer waits for its own write, so that whoever was answered sees it; a busy process makes few calls of many entries
each. Besides entries, a write may carry *stamps*: keys whose value becomes the server's time, one for each owner whose
bookings changed.

A document is kept in the era which its writer knew (see `cache_era`). If that is over, what the writer knew may be, too:
its version alone is kept, and whoever reads next asks the database.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from storage.cache_era import ERA
from storage.errors import StoreUnavailable

VERSION_DIGITS: Final = 16
ERA_DIGITS: Final = 16
STAMP_DIGITS: Final = 16
DOUBTED: Final = 10**VERSION_DIGITS - 1
"""A version above all others: its mark keeps an entry empty, whatever version anybody puts or fills."""

_DOUBTED_MS: Final = 60_000
_STAMP_MS: Final = 60_000
_ENTRIES_AT_ONCE: Final = 250

# An entry is 16 digits of version, 16 of the era, and the document; a mark is the version's alone. Digits of equal length
# compare as text.
# A stamp is the server's time in microseconds, in 16 digits.
_WRITE: Final = f"""
local time = redis.call('TIME')
local now = time[1] .. string.format('%06d', time[2])
local era = redis.call('GET', KEYS[1])
if not era then
  era = now
  redis.call('SET', KEYS[1], era)
end
for n = 2, #ARGV do
  local entry = ARGV[n]
  local version = string.sub(entry, 1, {VERSION_DIGITS})
  if string.sub(entry, {VERSION_DIGITS + 1}, {VERSION_DIGITS + ERA_DIGITS}) ~= era then entry = version end
  local stored = redis.call('GETRANGE', KEYS[n], 0, {VERSION_DIGITS - 1})
  if stored < version or (stored == version and (#entry > {VERSION_DIGITS} or version == '{DOUBTED}')) then
    redis.call('SET', KEYS[n], entry, 'PX', version == '{DOUBTED}' and {_DOUBTED_MS} or ARGV[1])
  end
end
for n = #ARGV + 1, #KEYS do redis.call('SET', KEYS[n], now, 'PX', {_STAMP_MS}) end
return era
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A document under its version. An empty document is a mark: nothing to read, and no older version crosses it.

    `era` is the one that was known before the document was read or written. `owed` where the cache would be wrong
    without the entry, and not only slower.
    """

    key: str
    version: int
    document: bytes = b""
    era: bytes = b""
    owed: bool = True

    def stored(self) -> bytes:
        kept = self.era + self.document if self.document and len(self.era) == ERA_DIGITS else b""
        return b"%0*d%b" % (VERSION_DIGITS, self.version, kept)


Failed = Callable[[Sequence[Entry], Sequence[str], StoreUnavailable], None]
"""Told what a call that failed was to write; it may have been written all the same."""


class GatheredWrites:
    """One call under way at a time. What fails is told to `failed` before the writers go on, who need not look.

    `era` is the cache's era as last heard, empty before that.
    """

    def __init__(self, redis: Redis, ttl_ms: int, failed: Failed) -> None:
        self._script = redis.register_script(_WRITE)
        self._ttl = str(ttl_ms).encode()
        self._failed = failed
        self.era = b""
        self._entries: list[Entry] = []
        self._stamps: set[str] = set()
        self._round: asyncio.Future[None] | None = None
        self._writing: asyncio.Task[None] | None = None

    def add(self, entry: Entry | None, stamps: Iterable[str] = ()) -> asyncio.Future[None]:
        """Take part in the next call. Everybody in the round has the same future: shield it before awaiting it."""
        if entry is not None:
            self._entries.append(entry)
        self._stamps.update(stamps)
        if self._round is None:
            self._round = asyncio.get_running_loop().create_future()
            if self._writing is None or self._writing.done():
                self._writing = asyncio.create_task(self._write_all())
        return self._round

    async def write(self, entries: Sequence[Entry], stamps: Sequence[str]) -> None:
        """Without a round. Raises StoreUnavailable."""
        for first in range(0, max(len(entries), 1), _ENTRIES_AT_ONCE):
            some = entries[first : first + _ENTRIES_AT_ONCE]
            # The stamps go last, so that nobody keeps a list under a new stamp that an entry still contradicts.
            bumped = stamps if first + _ENTRIES_AT_ONCE >= len(entries) else ()
            # In bytes, which the driver passes on as they are: its own encoding would cost more than all the rest.
            keys = [key.encode() for key in (ERA, *(entry.key for entry in some), *bumped)]
            values = [entry.stored() for entry in some]
            try:
                self.era = await self._script(keys=keys, args=[self._ttl, *values])
            except (RedisError, OSError) as error:
                raise StoreUnavailable(f"Redis: {type(error).__name__}: {error}") from error

    async def close(self) -> None:
        """Let the call under way come to its end."""
        if self._writing is not None:
            await asyncio.wait([self._writing])

    async def _write_all(self) -> None:
        while self._round is not None:
            entries, self._entries = self._entries, []
            stamps, self._stamps = list(self._stamps), set()
            round_, self._round = self._round, None
            try:
                await self.write(entries, stamps)
            except StoreUnavailable as error:
                self._failed(entries, stamps, error)
            finally:
                round_.set_result(None)
