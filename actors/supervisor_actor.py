"""The Ray actor around the supervisor, and Ray's side of its ports. Nothing else."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ActorDiedError, RayError

from actors.consumer_actor import consumer_actor_name, create_consumer_actor
from actors.consumer_host import ConsumerConfig
from actors.consumer_watch import ConsumerBeat, ConsumerWatch
from actors.errors import NameTaken, NoActor
from actors.shard_actor import NAMESPACE, actor_name, create_shard_actor
from actors.shard_host import ShardConfig, load_callable, utc_now
from actors.supervisor import Heartbeat, OwnerDirectory, Supervisor, SupervisorLimits

_log = logging.getLogger(__name__)

SUPERVISOR = "supervisor"


@dataclass(frozen=True, slots=True)
class SupervisorConfig:
    """Plain values. `make_directory` is "module:function", called as `await make_directory(config)` in the actor."""

    shards: Sequence[ShardConfig]
    make_directory: str
    limits: SupervisorLimits = field(default_factory=SupervisorLimits)
    consumers: Sequence[ConsumerConfig] = ()


class RayShardActors:
    """`ShardActors` over detached named actors."""

    def __init__(self, configs: Sequence[ShardConfig]) -> None:
        self._configs = {config.shard_id: config for config in configs}

    async def create(self, shard_id: int, node: str | None) -> str:
        try:
            actor = await _threaded(lambda: create_shard_actor(self._configs[shard_id], node))
        except ValueError as error:
            raise NameTaken(f"{actor_name(shard_id)} is still in use") from error
        actor_id: str = actor._actor_id.hex()  # noqa: SLF001 - Ray shows a handle's id nowhere else
        return actor_id

    async def heartbeat(self, shard_id: int, timeout_seconds: float) -> Heartbeat | None:
        actor = await _named(actor_name(shard_id))
        try:
            async with asyncio.timeout(timeout_seconds):
                return Heartbeat(*await actor.heartbeat.remote())
        except ActorDiedError as error:
            raise NoActor(str(shard_id)) from error
        except (RayError, TimeoutError):
            return None

    async def stop(self, shard_id: int, timeout_seconds: float) -> None:
        try:
            actor = await _named(actor_name(shard_id))
            async with asyncio.timeout(timeout_seconds):
                await actor.stop.remote()
        except (NoActor, RayError, TimeoutError) as error:
            _log.info("shard %d did not stop by itself: %s", shard_id, type(error).__name__)

    async def discard(self, shard_id: int) -> None:
        await _discard(actor_name(shard_id))

    async def kill_process(self, node: str, pid: int) -> bool:
        return await _kill_process(node, pid, "ShardActor")


class RayConsumerActors:
    """`ConsumerActors` over detached named actors."""

    def __init__(self, configs: Sequence[ConsumerConfig]) -> None:
        self._configs = {config.name: config for config in configs}

    async def create(self, name: str) -> None:
        try:
            await _threaded(lambda: create_consumer_actor(self._configs[name]))
        except ValueError as error:
            raise NameTaken(f"{consumer_actor_name(name)} is still in use") from error

    async def heartbeat(self, name: str, timeout_seconds: float) -> ConsumerBeat | None:
        actor = await _named(consumer_actor_name(name))
        try:
            async with asyncio.timeout(timeout_seconds):
                return ConsumerBeat(*await actor.heartbeat.remote())
        except ActorDiedError as error:
            raise NoActor(name) from error
        except (RayError, TimeoutError):
            return None

    async def kill_process(self, node: str, pid: int) -> bool:
        return await _kill_process(node, pid, "ConsumerActor")

    async def discard(self, name: str) -> None:
        await _discard(consumer_actor_name(name))


class SupervisorActor:
    """Detached, and started again by Ray; it knows nothing that the directory and the actors do not."""

    def __init__(self, config: SupervisorConfig) -> None:
        self._config = config
        self._supervisor: Supervisor | None = None
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def move(self, shard_id: int, to_node: str | None = None) -> bool:
        """Give the shard a new owner; False when there is no such shard. Raises while the database is away."""
        if self._supervisor is None:
            raise RuntimeError("the supervisor is starting")
        try:
            await self._supervisor.move(shard_id, to_node)
        except KeyError:
            return False
        return True

    async def pid(self) -> int:
        return os.getpid()

    async def _run(self) -> None:
        try:
            directory: OwnerDirectory = await load_callable(self._config.make_directory)(self._config)
            ids = [config.shard_id for config in self._config.shards]
            self._supervisor = Supervisor(
                ids, RayShardActors(self._config.shards), directory, self._config.limits, clock=utc_now
            )
            consumers = self._config.consumers
            watch = ConsumerWatch([config.name for config in consumers], RayConsumerActors(consumers))
            await asyncio.gather(self._supervisor.run(), watch.run())
        except Exception:  # noqa: BLE001 - whatever it was, a fresh process is the cure
            _log.exception("the supervisor failed; Ray starts it again")
            os._exit(1)


def create_supervisor(config: SupervisorConfig) -> Any:
    """Start the cluster's one supervisor, or find the one that runs."""
    return (
        ray.remote(SupervisorActor)
        .options(
            name=SUPERVISOR,
            namespace=NAMESPACE,
            lifetime="detached",
            max_restarts=-1,
            num_cpus=0,
            get_if_exists=True,
        )
        .remote(config)
    )


def kill_actor_process(pid: int, actor_class: str) -> bool:
    """Kill a process of this machine if it is such an actor's; a number may have gone to another process meanwhile."""
    try:
        title = Path(f"/proc/{pid}/cmdline").read_bytes()
        if not title.startswith(f"ray::{actor_class}".encode()):
            return False
        os.kill(pid, signal.SIGKILL)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return True


async def _kill_process(node: str, pid: int, actor_class: str) -> bool:
    if node == ray.get_runtime_context().get_node_id():
        return kill_actor_process(pid, actor_class)
    strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False)
    task = ray.remote(kill_actor_process).options(num_cpus=0, max_retries=0, scheduling_strategy=strategy)
    try:
        async with asyncio.timeout(5.0):
            return bool(await task.remote(pid, actor_class))
    except (RayError, TimeoutError):
        return False


async def _named(name: str) -> Any:
    try:
        return await _threaded(lambda: ray.get_actor(name, namespace=NAMESPACE))
    except ValueError as error:
        raise NoActor(name) from error


async def _discard(name: str) -> None:
    try:
        actor = await _named(name)
    except NoActor:
        return
    await _threaded(lambda: ray.kill(actor, no_restart=True))
    # The name is free when Ray knows that the actor is dead.
    for _ in range(100):
        try:
            await _named(name)
        except NoActor:
            return
        await asyncio.sleep(0.05)


async def _threaded(call: Callable[[], Any]) -> Any:
    """Ray's own look-ups block, so they are made beside the loop."""
    return await asyncio.get_running_loop().run_in_executor(None, call)
