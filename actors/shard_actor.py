"""The Ray actor around a shard's host: names, calls that carry batches, and how a process leaves. Nothing else."""

import asyncio
import os
from typing import Any

import ray

from actors.outcome import MOVING, Outcome
from actors.shard_host import ShardConfig, ShardHost, this_process
from actors.wire import pack, unpack

NAMESPACE = "holdfast"

_LEAVE_SECONDS = 10.0


def actor_name(shard_id: int) -> str:
    return f"shard-{shard_id}"


class ShardActor:
    """Restarted by Ray with the same id and arguments; takes its shard only while the directory names that id.

    Calls carry bytes: see `actors.wire`. Every method answers at once, or when the shard does.
    """

    def __init__(self, config: ShardConfig) -> None:
        context = ray.get_runtime_context()
        self._config = config
        self._actor_id = context.get_actor_id()
        self._host = ShardHost(config, this_process(self._actor_id, context.get_node_id()), self._leave)
        # An async actor's constructor runs in its loop, and calls are served before the shard is taken.
        self._task = asyncio.get_running_loop().create_task(self._host.run())

    async def ask_batch(self, packed: bytes) -> bytes:
        commands = unpack(packed)
        shard = self._host.shard
        answers: list[Any] = [MOVING] * len(commands) if shard is None else await shard.ask_batch(commands)
        return pack(answers)

    async def availability(self, packed: bytes) -> bytes:
        vendor_id, query = unpack(packed)
        shard = self._host.shard
        return pack(MOVING if shard is None else await shard.availability(vendor_id, query))

    async def judge(self, packed: bytes) -> bytes:
        vendor_ids, wish = unpack(packed)
        shard = self._host.shard
        return pack(MOVING if shard is None else await shard.judge(vendor_ids, wish))

    async def settled_since(self, epoch: int | None, position: int | None, wait_seconds: float) -> bytes:
        shard = self._host.shard
        news: Outcome | Any = MOVING if shard is None else await shard.settled_since(epoch, position, wait_seconds)
        return pack(news)

    async def heartbeat(self) -> tuple[str, str, int, str]:
        """The actor's id, its state (starting, serving, left), its pid and its express address."""
        return self._actor_id, self._host.state, os.getpid(), self._host.address

    async def stats(self) -> bytes:
        shard = self._host.shard
        return pack(None if shard is None else shard.stats())

    async def stop(self) -> None:
        """Answer what the shard holds and leave for good."""
        await self._host.stop()

    async def leave(self) -> None:
        """End this actor so that Ray does not start it again; only a call of the actor can."""
        ray.actor.exit_actor()

    def _leave(self, *, for_good: bool) -> None:
        if for_good:
            # Should Ray not let go of it, the process ends by itself, and whatever is started in its place is not named.
            asyncio.get_running_loop().call_later(_LEAVE_SECONDS, os._exit, 1)
            ray.get_runtime_context().current_actor.leave.remote()
        else:
            os._exit(1)  # Ray starts it again, and it reloads from the database


def create_shard_actor(config: ShardConfig, node_id: str | None = None) -> Any:
    """Start a detached actor for the shard, on a node if one is given; raises ValueError while the name is in use."""
    options: dict[str, Any] = {
        "name": actor_name(config.shard_id),
        "namespace": NAMESPACE,
        "lifetime": "detached",
        "max_restarts": -1,
        "max_concurrency": 1000,
        "num_cpus": 0,
    }
    if node_id is not None:
        options["scheduling_strategy"] = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            node_id, soft=False
        )
    return ray.remote(ShardActor).options(**options).remote(config)
