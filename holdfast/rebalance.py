"""Spreads the buckets evenly over the shards and moves as few as that takes, while bookings go on. Straight on Postgres."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from domain.ids import BUCKETS
from storage.directory import Directory
from storage.postgres import Database


async def rebalance(database: Database, shards: int) -> Mapping[int, int]:
    """Have the first `shards` shards serve all buckets, each its share; how many each giver gave away.

    A giver's epoch ends with it, so it takes its shard anew, which its vendors wait for. Raises StoreUnavailable.
    """
    directory = Directory(database)
    return await directory.move_buckets(even_moves(await directory.bucket_shards(), shards))


def even_moves(bucket_shards: Sequence[int], shards: int) -> dict[int, int]:
    """The new shard of each bucket that has to move, given the present one of each."""
    held: dict[int, list[int]] = defaultdict(list)
    for bucket, shard_id in enumerate(bucket_shards):
        held[shard_id].append(bucket)
    shares = _shares({shard_id: len(buckets) for shard_id, buckets in held.items()}, shards)
    spare = [bucket for shard_id, buckets in held.items() for bucket in buckets[shares.get(shard_id, 0) :]]
    wanting = [shard_id for shard_id, share in shares.items() for _ in range(share - len(held[shard_id]))]
    return dict(zip(spare, wanting, strict=True))


def _shares(held: Mapping[int, int], shards: int) -> dict[int, int]:
    """How many buckets each is to have; where they do not come out even, those keep one more that have more."""
    each, over = divmod(BUCKETS, shards)
    by_holding = sorted(range(shards), key=lambda shard_id: (-held.get(shard_id, 0), shard_id))
    return {shard_id: each + (place < over) for place, shard_id in enumerate(by_holding)}
