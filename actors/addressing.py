"""Which bucket a command belongs to, and which shard has that bucket now."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from domain.command import Command, CreateVendor, PlaceHold, UpdateVendor
from domain.ids import bucket_of
from storage.errors import StoreUnavailable

LoadBucketShards = Callable[[], Awaitable[Sequence[int]]]
"""The shard of each of the 4,096 buckets, in order. Raises StoreUnavailable."""


def bucket_of_command(command: Command) -> int:
    """Every id of a command names the bucket; a booking's is its vendor's."""
    match command:  # asked for every command, and a match costs a tenth of `isinstance` with a union
        case PlaceHold() | UpdateVendor():
            return bucket_of(command.vendor_id)
        case CreateVendor():
            return bucket_of(command.vendor.vendor_id)
        case _:
            return bucket_of(command.booking_id)


class BucketMap:
    """The directory's table of buckets, kept in the process and read again when a shard says that it moved."""

    def __init__(self, load: LoadBucketShards, *, fresh_seconds: float = 0.5) -> None:
        self._load = load
        self._fresh_seconds = fresh_seconds
        self._shards: Sequence[int] = ()
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def shard_of(self, bucket: int) -> int | None:
        """None while the directory could never be read."""
        if not self._shards:
            await self.refresh()
        return self._shards[bucket] if self._shards else None

    async def refresh(self) -> None:
        """Read the table again, unless that was done a moment ago. Keeps the old one while the database is away."""
        loop = asyncio.get_running_loop()
        async with self._reading:
            if loop.time() - self._read_at < self._fresh_seconds:
                return
            try:
                self._shards = tuple(await self._load())
            except StoreUnavailable:
                return
            self._read_at = loop.time()
