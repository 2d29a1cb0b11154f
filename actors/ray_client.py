"""Calls of shard actors through Ray, with Ray's errors turned into ours. Thin: the thinking is in `remote_client`."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, Final

import ray
from ray.exceptions import RayError

from actors.errors import CallLost, CallTimedOut, DecisionFailed, NobodyThere
from actors.outcome import Outcome, Unavailable
from actors.shard_actor import NAMESPACE, actor_name
from actors.shard_stats import ShardStats
from actors.waiting import News
from actors.wire import pack, unpack
from domain.availability import AvailabilityQuery, FreeSeats
from domain.command import Command
from domain.ids import VendorId
from domain.rejection import Rejection
from domain.search import SeatWish, Verdict

_LOOK_SECONDS: Final = 5.0

_MARGIN_SECONDS: Final = 6.0
"""For a shard's last try to reach a database that is away, which may be a connection that takes its full five seconds."""


class RayCalls:
    """`ShardCalls` over named actors. Every call has a limit: a process that hangs never answers.

    `patience_seconds` is how long the shards wait for a database that is away. A call with commands waits longer, or its
    caller would never hear of it and would send them again.
    """

    def __init__(self, *, patience_seconds: float) -> None:
        self.commands_seconds = patience_seconds + _MARGIN_SECONDS
        self._actors: dict[int, Any] = {}

    async def ask_batch(
        self, shard_id: int, commands: Sequence[tuple[Command, bool]]
    ) -> Sequence[Outcome | DecisionFailed]:
        answers: Sequence[Outcome | DecisionFailed] = await self._call(
            shard_id, "ask_batch", pack(list(commands)), seconds=self.commands_seconds
        )
        return answers

    async def availability(
        self, shard_id: int, vendor_id: VendorId, query: AvailabilityQuery
    ) -> Sequence[FreeSeats] | Rejection | Unavailable:
        found: Sequence[FreeSeats] | Rejection | Unavailable = await self._call(
            shard_id, "availability", pack((vendor_id, query))
        )
        return found

    async def judge(
        self, shard_id: int, vendor_ids: Sequence[VendorId], wish: SeatWish
    ) -> Sequence[Verdict] | Unavailable:
        verdicts: Sequence[Verdict] | Unavailable = await self._call(shard_id, "judge", pack((vendor_ids, wish)))
        return verdicts

    async def settled_since(
        self, shard_id: int, epoch: int | None, position: int | None, wait_seconds: float
    ) -> News | Unavailable:
        news: News | Unavailable = await self._call(
            shard_id, "settled_since", epoch, position, wait_seconds, seconds=_LOOK_SECONDS + wait_seconds
        )
        return news

    async def stats(self, shard_id: int) -> ShardStats | None:
        """How the shard is doing; None while its actor is starting. Raises CallLost."""
        stats: ShardStats | None = await self._call(shard_id, "stats")
        return stats

    async def _call(self, shard_id: int, method: str, *arguments: object, seconds: float = _LOOK_SECONDS) -> Any:
        actor = await self._actor(shard_id)
        try:
            packed = await _bounded(getattr(actor, method).remote(*arguments), seconds)
        except (RayError, TimeoutError) as error:
            # The name may belong to a successor by now.
            self._actors.pop(shard_id, None)
            lost = CallTimedOut if isinstance(error, TimeoutError) else CallLost
            raise lost(f"shard {shard_id}: {type(error).__name__}") from error
        return unpack(packed)

    async def _actor(self, shard_id: int) -> Any:
        actor = self._actors.get(shard_id)
        if actor is None:
            loop = asyncio.get_running_loop()
            try:
                actor = await loop.run_in_executor(None, _named, shard_id)
            except (ValueError, RayError) as error:
                raise NobodyThere(f"shard {shard_id} has no actor") from error
            self._actors[shard_id] = actor
        return actor


def _named(shard_id: int) -> Any:
    return ray.get_actor(actor_name(shard_id), namespace=NAMESPACE)


async def _bounded(reference: Awaitable[Any], seconds: float) -> Any:
    async with asyncio.timeout(seconds):
        return await reference
