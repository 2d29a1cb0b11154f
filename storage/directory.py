"""Who owns which shard, and which shard serves which bucket. The truth about both is in Postgres."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from domain.ids import BUCKETS
from storage.postgres import Database
from storage.shard_store import Lease

_FORGOTTEN_AT_ONCE: Final = 10_000


@dataclass(frozen=True, slots=True)
class ShardRow:
    """`actor_id` may take the shard; `node`, `pid` and `address` are of the last that did. Empty or 0 where nobody yet.

    `address` is host:port of the owner's express lane, `buckets` how many it serves.
    """

    shard_id: int
    epoch: int
    actor_id: str
    node: str
    pid: int
    address: str
    buckets: int


class Directory:
    """Each method is one statement that may be repeated, and may raise StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def seed(self, shards: int) -> None:
        """Make the shards that are missing, and give them the buckets of a new database; moves nothing afterwards."""
        await self._database.value("seed_shards", shards)

    async def shards(self) -> Sequence[ShardRow]:
        return [ShardRow(**row) for row in await self._database.rows("list_shards")]

    async def claim(self, shard_id: int, actor_id: str) -> None:
        """Name the actor that may take the shard. KeyError where there is no such shard."""
        if await self._database.value("claim_shard", shard_id, actor_id) is None:
            raise KeyError(shard_id)

    async def set_address(self, lease: Lease, address: str) -> None:
        """Say where the owner's express lane listens; nothing happens where the lease is over."""
        await self._database.value("set_shard_address", lease.shard_id, lease.epoch, address)

    async def bucket_shards(self) -> Sequence[int]:
        """The shard of each bucket, in order."""
        found = [row["shard_id"] for row in await self._database.rows("bucket_shards")]
        if len(found) != BUCKETS:
            raise LookupError(f"{len(found)} of {BUCKETS} buckets have a shard: the database was not seeded")
        return found

    async def move_buckets(self, moves: Mapping[int, int]) -> Mapping[int, int]:
        """Give each bucket to its new shard and end the givers' epochs, all at once; how many each giver gave away."""
        rows = await self._database.rows("move_buckets", list(moves), list(moves.values()))
        return Counter(row["giver"] for row in rows)

    async def forget_answers(self, before: datetime) -> int:
        """Drop some of the remembered answers that are older, and say how many; 0 once none are left."""
        gone: int = await self._database.value("forget_answers", before, _FORGOTTEN_AT_ONCE)
        return gone
