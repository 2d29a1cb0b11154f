"""What a shard owns, and how sure it is of that: its buckets, and the last proof that its epoch is the newest."""

import asyncio
from collections.abc import Callable

from actors.limits import ShardLimits
from actors.memory import LiveHolds
from actors.writer import Writer
from domain.ids import bucket_of
from storage.errors import StoreUnavailable
from storage.shard_store import ShardStore


class Ownership:
    """Buckets are given to a running shard without asking it, and are only taken from it by ending its epoch."""

    def __init__(
        self,
        store: ShardStore,
        writer: Writer,
        holds: LiveHolds,
        limits: ShardLimits,
        *,
        gained: Callable[[], None],
    ) -> None:
        self._store = store
        self._writer = writer
        self._holds = holds
        self._limits = limits
        self._gained = gained
        self._learning = asyncio.Lock()
        self._learnt_at = float("-inf")
        self.buckets: frozenset[int] = frozenset()

    @property
    def shard_id(self) -> int:
        return self._writer.lease.shard_id

    async def learn_buckets(self) -> None:
        """Read which buckets are ours, and take in the live holds of those that are new."""
        shard_id = self.shard_id
        async with self._learning:
            buckets = await self._store.buckets(shard_id)
            gained = buckets - self.buckets
            if gained:
                for booking in await self._store.load_holds(shard_id):
                    if bucket_of(booking.booking_id) in gained:
                        self._holds.note(booking)
                self._gained()
            self.buckets = buckets
            self._learnt_at = asyncio.get_running_loop().time()

    async def owns(self, bucket: int) -> bool:
        """Whether the bucket is ours; looks again, at most once in a while, when it seems not to be."""
        if bucket in self.buckets:
            return True
        if asyncio.get_running_loop().time() - self._learnt_at < self._limits.lease_check_seconds:
            return False
        try:
            await self.learn_buckets()
        except StoreUnavailable:
            return False
        return bucket in self.buckets

    async def proved(self) -> bool:
        """Whether memory may be read: the lease was proved lately, or is proved now. Raises StoreUnavailable."""
        if self._writer.fenced:
            return False
        if asyncio.get_running_loop().time() - self._writer.proved_at < self._limits.lease_trust_seconds:
            return True
        return await self._writer.check()

    async def check(self) -> bool:
        """Ask the database whether the epoch is still ours. Raises StoreUnavailable."""
        return await self._writer.check()
