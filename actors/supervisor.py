"""Gives every shard an owner, watches that it answers, and puts another in its place when it does not.

Plain asyncio. Actors, processes and the directory are ports: `supervisor_actor` fills them in.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from actors.errors import NameTaken, NoActor
from storage.errors import StoreError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a living actor says of itself. `state` is starting, serving or left."""

    actor_id: str
    state: str
    pid: int
    address: str


class ShardActors(Protocol):
    """The actors of a cluster, one name a shard."""

    async def create(self, shard_id: int, node: str | None) -> str:
        """Start an actor for the shard, on a node if one is given; its id. Raises NameTaken while an old one lives."""
        ...

    async def heartbeat(self, shard_id: int, timeout_seconds: float) -> Heartbeat | None:
        """None when it does not answer in time. Raises NoActor."""
        ...

    async def stop(self, shard_id: int, timeout_seconds: float) -> None:
        """Ask the actor to answer what it holds and leave; returns when it has, or when the time is up."""
        ...

    async def discard(self, shard_id: int) -> None:
        """End the actor and see to it that it is not started again; also when it hangs, also when there is none."""
        ...

    async def kill_process(self, node: str, pid: int) -> bool:
        """Kill the shard process of that number on that node; False when there is none, or nobody could."""
        ...


class OwnerRow(Protocol):
    """A shard as the directory has it."""

    @property
    def shard_id(self) -> int: ...
    @property
    def actor_id(self) -> str: ...
    @property
    def node(self) -> str: ...
    @property
    def pid(self) -> int: ...


class OwnerDirectory(Protocol):
    """Who owns what. Each method may raise StoreError."""

    async def shards(self) -> Sequence[OwnerRow]: ...

    async def claim(self, shard_id: int, actor_id: str) -> None: ...

    async def forget_answers(self, before: datetime) -> int:
        """Drop some of the idempotent answers that are older, and say how many; 0 once none are left."""
        ...


@dataclass(frozen=True, slots=True)
class SupervisorLimits:
    """`silence_seconds` without an answer and the owner counts as hung; `restart_seconds` is what a start may take.

    Both are counted over beats that were asked. `answers_kept_hours` is the life of an idempotency key.
    """

    heartbeat_seconds: float = 1.0
    silence_seconds: float = 3.0
    restart_seconds: float = 60.0
    stop_seconds: float = 10.0
    answers_kept_hours: int = 48
    forget_every_seconds: float = 600.0


class _Watch:
    """What the supervisor knows of one shard's owner: for how long, beat by beat, it said nothing, and did not serve."""

    __slots__ = ("beat_at", "busy", "killed", "silence_seconds", "unserved_seconds")

    def __init__(self, now: float) -> None:
        self.busy = asyncio.Lock()
        self.start_over(now)

    def start_over(self, now: float) -> None:
        """The owner is a new one. `now` is the loop's time."""
        self.beat_at = now
        self.silence_seconds = 0.0
        self.unserved_seconds = 0.0
        self.killed = False

    def note(self, beat: Heartbeat | None, now: float, seconds_max: float) -> None:
        """Count the time since the beat before, `seconds_max` at most: more can only be time in which nobody asked."""
        since = min(now - self.beat_at, seconds_max)
        self.beat_at = now
        self.silence_seconds += since
        self.unserved_seconds += since
        if beat is not None:
            self.silence_seconds = 0.0
            self.killed = False
            if beat.state == "serving":
                self.unserved_seconds = 0.0


class Supervisor:
    """Asks each shard every heartbeat, none waiting for another. Keeps nothing that it cannot read again."""

    def __init__(
        self,
        shard_ids: Sequence[int],
        actors: ShardActors,
        directory: OwnerDirectory,
        limits: SupervisorLimits,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._shard_ids = tuple(shard_ids)
        self._actors = actors
        self._directory = directory
        self._limits = limits
        self._clock = clock
        self._watches: dict[int, _Watch] = {}

    async def run(self) -> None:
        """Look after the shards until cancelled. Raises an ExceptionGroup at a bug in forgetting."""
        async with asyncio.TaskGroup() as tasks:
            for shard_id in self._shard_ids:
                tasks.create_task(self._look_after(shard_id))
            tasks.create_task(self._forget_answers())

    async def move(self, shard_id: int, to_node: str | None) -> None:
        """Give the shard a new owner: the old one answers what it holds first. Raises KeyError, StoreError."""
        if shard_id not in self._shard_ids:
            raise KeyError(shard_id)
        watch = self._watch(shard_id)
        async with watch.busy:
            await self._actors.stop(shard_id, self._limits.stop_seconds)
            await self._replace(shard_id, watch, to_node)

    async def _look_after(self, shard_id: int) -> None:
        while True:
            try:
                await self._tend(shard_id)
            except (StoreError, NameTaken) as error:
                _log.info("shard %d: next beat: %s", shard_id, error)
            except Exception:  # noqa: BLE001 - a shard's trouble is not its neighbour's, and the next beat may go well
                _log.exception("shard %d could not be looked after", shard_id)
            await asyncio.sleep(self._limits.heartbeat_seconds)

    async def _forget_answers(self) -> None:
        """Idempotency keys have an end, and one process is enough to see to it."""
        while True:
            before = self._clock() - timedelta(hours=self._limits.answers_kept_hours)
            try:
                while await self._directory.forget_answers(before):
                    pass
            except StoreError as error:
                _log.warning("old answers are forgotten later: %s", error)
            await asyncio.sleep(self._limits.forget_every_seconds)

    async def _tend(self, shard_id: int) -> None:
        watch = self._watch(shard_id)
        async with watch.busy:
            try:
                beat = await self._actors.heartbeat(shard_id, self._limits.heartbeat_seconds)
            except NoActor:
                _log.info("shard %d has no actor; starting one", shard_id)
                await self._replace(shard_id, watch, None)
                return
            # From beat to beat there is a rest, and the wait for the answer.
            watch.note(beat, asyncio.get_running_loop().time(), 2 * self._limits.heartbeat_seconds)
            if beat is None:
                await self._silent(shard_id, watch)
            elif beat.state != "serving":
                await self._unserving(shard_id, watch, beat)

    async def _unserving(self, shard_id: int, watch: _Watch, beat: Heartbeat) -> None:
        if watch.unserved_seconds > self._limits.restart_seconds:
            # It lives and does not get to serve: perhaps the directory names somebody who is no more.
            await self._replace(shard_id, watch, None)
        elif beat.state == "starting":
            await self._claim_if_vacant(shard_id, beat.actor_id)

    async def _silent(self, shard_id: int, watch: _Watch) -> None:
        if watch.silence_seconds < self._limits.silence_seconds:
            return
        if not watch.killed:
            # A process that hangs keeps its port and may wake up: end it before there is a successor. Where it died by
            # itself there is nothing to kill, and its actor is being started again.
            row = await self._row(shard_id)
            watch.killed = True
            if row is not None and row.pid and await self._actors.kill_process(row.node, row.pid):
                _log.warning("shard %d: its owner, process %d, was silent and is killed", shard_id, row.pid)
                await self._replace(shard_id, watch, None)
                return
        if watch.unserved_seconds > self._limits.restart_seconds:
            _log.warning("shard %d: not served for %.0f s, starting another actor", shard_id, watch.unserved_seconds)
            await self._replace(shard_id, watch, None)

    async def _replace(self, shard_id: int, watch: _Watch, node: str | None) -> None:
        await self._actors.discard(shard_id)
        actor_id = await self._actors.create(shard_id, node)
        await self._directory.claim(shard_id, actor_id)
        watch.start_over(asyncio.get_running_loop().time())

    async def _claim_if_vacant(self, shard_id: int, actor_id: str) -> None:
        """The one living actor of the name is not the one that the directory names, so that one is gone: name it."""
        row = await self._row(shard_id)
        if row is not None and row.actor_id != actor_id:
            await self._directory.claim(shard_id, actor_id)

    async def _row(self, shard_id: int) -> OwnerRow | None:
        rows = await self._directory.shards()
        return next((row for row in rows if row.shard_id == shard_id), None)

    def _watch(self, shard_id: int) -> _Watch:
        watch = self._watches.get(shard_id)
        if watch is None:
            watch = self._watches[shard_id] = _Watch(asyncio.get_running_loop().time())
        return watch
