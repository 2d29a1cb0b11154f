"""The shard's pen: one lease, one statement at a time, and the truth about a statement whose reply was lost."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum, auto

from actors.limits import ShardLimits
from actors.patience import Patience
from storage.errors import Fenced, GuardRefused, OutcomeUnknown, StoreUnavailable
from storage.shard_store import Lease, ShardStore

Statement = Callable[[Lease, int], Awaitable[None]]


class WriteEnd(Enum):
    """How a write ended."""

    COMMITTED = auto()
    REFUSED = auto()
    """By the guard: memory disagreed with the database. Nothing was written."""
    UNDONE = auto()
    """The reply was lost, and it is certain now that nothing was or will be written."""
    AWAY = auto()
    """The database was away for as long as our patience lasts. Nothing was written."""
    UNKNOWN = auto()
    """The reply was lost and nobody can say yet. `resolve` must succeed before the next write."""


class Writer:
    """Writes under a lease. Raises Fenced when somebody else owns the shard and nothing of ours was written.

    An unknown outcome is never guessed: the writer first raises its own epoch, so that the lost statement cannot commit
    any more, and then looks for the batch by the lease and number that it was sent with.
    """

    def __init__(self, store: ShardStore, lease: Lease, limits: ShardLimits) -> None:
        self._store = store
        self._limits = limits
        self._unresolved: tuple[Lease, int] | None = None
        self.lease = lease
        self.seq = 0
        self.fenced = False
        self.away = False
        self.proved_at = asyncio.get_running_loop().time()

    @property
    def unresolved(self) -> bool:
        return self._unresolved is not None

    def patience(self) -> Patience:
        """The full budget while the database is thought to be well, a single try while it is known to be away."""
        return Patience(self._limits, 0.0 if self.away else None)

    async def write(self, statement: Statement) -> WriteEnd:
        """Run the statement under a new number, again while the store is away."""
        if self._unresolved is not None:
            raise RuntimeError("the outcome of the last write is not known yet")
        if self.fenced:
            raise Fenced(f"shard {self.lease.shard_id}: epoch {self.lease.epoch} is over")
        self.seq += 1
        patience = self.patience()
        while True:
            sent_at = asyncio.get_running_loop().time()
            try:
                await statement(self.lease, self.seq)
            except GuardRefused:
                self.away = False
                return WriteEnd.REFUSED
            except OutcomeUnknown:
                self._unresolved = (self.lease, self.seq)
                return await self.resolve()
            except StoreUnavailable:
                if not await patience.rest():
                    self.away = True
                    return WriteEnd.AWAY
            else:
                self.away = False
                self.proved_at = sent_at
                return WriteEnd.COMMITTED

    async def resolve(self) -> WriteEnd:
        """Find out how the lost write ended: COMMITTED, UNDONE, or UNKNOWN while the store does not say."""
        if self._unresolved is None:
            return WriteEnd.COMMITTED
        lost, seq = self._unresolved
        patience = self.patience()
        while True:
            try:
                await self._close_epoch(lost)
                done = await self._store.committed(lost, seq)
            except (StoreUnavailable, OutcomeUnknown):
                if not await patience.rest():
                    self.away = True
                    return WriteEnd.UNKNOWN
            else:
                break
        self._unresolved = None
        self.away = False
        if done:
            return WriteEnd.COMMITTED
        if self.fenced:
            raise Fenced(f"shard {lost.shard_id}: epoch {lost.epoch} is over")
        return WriteEnd.UNDONE

    async def check(self) -> bool:
        """Prove the lease by a plain read; False when somebody else owns the shard. Raises StoreUnavailable."""
        lease = self.lease
        sent_at = asyncio.get_running_loop().time()
        if await self._store.is_current(lease):
            self.proved_at = max(self.proved_at, sent_at)
            return True
        if lease == self.lease and self._unresolved is None:
            self.fenced = True
        return lease != self.lease and not self.fenced

    async def _close_epoch(self, lost: Lease) -> None:
        """End the epoch of the lost statement, by our own hand unless a successor did."""
        if self.fenced or self.lease != lost:
            return
        try:
            self.lease = await self._store.retake(lost)
        except Fenced:
            self.fenced = True
