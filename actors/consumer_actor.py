"""The one Ray actor that runs any consumer: its name, its calls, and how its process leaves. Nothing else."""

import asyncio
import os
from typing import Any

import ray

from actors.consumer_host import ConsumerConfig, ConsumerHost
from actors.shard_actor import NAMESPACE
from actors.shard_host import this_process

_LEAVE_SECONDS = 10.0


def consumer_actor_name(name: str) -> str:
    return f"consumer-{name}"


class ConsumerActor:
    """Restarted by Ray with the same arguments. Two of one name for a moment do no harm: they share their group."""

    def __init__(self, config: ConsumerConfig) -> None:
        os.nice(config.niceness)
        context = ray.get_runtime_context()
        self._node = context.get_node_id()
        self._host = ConsumerHost(config, this_process(context.get_actor_id(), self._node), self._leave)
        # An async actor's constructor runs in its loop, and calls are served before the consumer has its parts.
        self._task = asyncio.get_running_loop().create_task(self._host.run())

    async def heartbeat(self) -> tuple[str, int]:
        """The node and the process: an answer shows that the loop turns."""
        return self._node, os.getpid()

    async def state(self) -> Any:
        """What the consumer says of itself; None before it has started."""
        return self._host.state

    async def stop(self) -> None:
        """Finish what is in hand, leave the group, and leave for good."""
        await self._host.stop()

    async def leave(self) -> None:
        """End this actor so that Ray does not start it again; only a call of the actor can."""
        ray.actor.exit_actor()

    def _leave(self, *, for_good: bool) -> None:
        if for_good:
            # Should Ray not let go of it, the process ends by itself.
            asyncio.get_running_loop().call_later(_LEAVE_SECONDS, os._exit, 1)
            ray.get_runtime_context().current_actor.leave.remote()
        else:
            os._exit(1)  # Ray starts it again, and it goes on from what its group committed


def create_consumer_actor(config: ConsumerConfig) -> Any:
    """Start a detached actor for the consumer; raises ValueError while the name is in use."""
    return (
        ray.remote(ConsumerActor)
        .options(
            name=consumer_actor_name(config.name),
            namespace=NAMESPACE,
            lifetime="detached",
            max_restarts=-1,
            num_cpus=0,
        )
        .remote(config)
    )
