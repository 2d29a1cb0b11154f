"""Sees to it that every consumer has an actor, and that one whose process hangs is ended, so that Ray starts it anew.

A consumer that waits for a store, or for an operator, answers and is left alone: only a loop that does not turn, or a
process that was stopped, is silent. Plain asyncio; `supervisor_actor` fills the port in.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from actors.errors import NameTaken, NoActor

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ConsumerBeat:
    """Where a living consumer runs."""

    node: str
    pid: int


class ConsumerActors(Protocol):
    """The consumers' actors of a cluster, by name."""

    async def create(self, name: str) -> None:
        """Raises NameTaken while an old one lives."""
        ...

    async def heartbeat(self, name: str, timeout_seconds: float) -> ConsumerBeat | None:
        """None when it does not answer in time. Raises NoActor."""
        ...

    async def kill_process(self, node: str, pid: int) -> bool:
        """Kill the consumer process of that number on that node; False when there is none, or nobody could."""
        ...

    async def discard(self, name: str) -> None:
        """End the actor and see to it that it is not started again; also when it hangs, also when there is none."""
        ...


@dataclass(frozen=True, slots=True)
class WatchLimits:
    """Longer than for a shard: nobody waits for a consumer, and one that starts is silent while it loads its code."""

    heartbeat_seconds: float = 2.0
    silence_seconds: float = 20.0
    restart_seconds: float = 90.0


class _Watched:
    __slots__ = ("heard_at", "last")

    def __init__(self, now: float) -> None:
        self.heard_at = now
        self.last: ConsumerBeat | None = None


class ConsumerWatch:
    """One round over all consumers every heartbeat. Keeps nothing that it cannot learn again after a restart."""

    def __init__(self, names: Sequence[str], actors: ConsumerActors, limits: WatchLimits | None = None) -> None:
        self._names = tuple(names)
        self._actors = actors
        self._limits = limits or WatchLimits()
        self._watched: dict[str, _Watched] = {}

    async def run(self) -> None:
        """Look after the consumers until cancelled."""
        while True:
            await self.round()
            await asyncio.sleep(self._limits.heartbeat_seconds)

    async def round(self) -> None:
        """Look after each once, all at the same time; one's trouble is not its neighbour's."""
        results = await asyncio.gather(*map(self._tend, self._names), return_exceptions=True)
        for name, result in zip(self._names, results, strict=True):
            if isinstance(result, NameTaken):
                _log.info("consumer %s: next round: %s", name, result)
            elif isinstance(result, BaseException):
                _log.error("consumer %s could not be looked after", name, exc_info=result)

    async def _tend(self, name: str) -> None:
        now = asyncio.get_running_loop().time()
        watched = self._watched.setdefault(name, _Watched(now))
        try:
            beat = await self._actors.heartbeat(name, self._limits.heartbeat_seconds)
        except NoActor:
            _log.info("consumer %s has no actor; starting one", name)
            await self._actors.create(name)
            beat = None
            watched.heard_at = now
        if beat is not None:
            watched.heard_at, watched.last = asyncio.get_running_loop().time(), beat
        else:
            await self._silent(name, watched)

    async def _silent(self, name: str, watched: _Watched) -> None:
        silence = asyncio.get_running_loop().time() - watched.heard_at
        if silence < self._limits.silence_seconds:
            return
        if (last := watched.last) is not None:
            watched.last = None  # once: where it died by itself there is nothing to kill, and Ray starts it again
            if await self._actors.kill_process(last.node, last.pid):
                _log.warning("consumer %s: process %d was silent and is killed", name, last.pid)
                return
        if silence > self._limits.restart_seconds:
            _log.warning("consumer %s: silent for %.0f s, starting another actor", name, silence)
            await self._actors.discard(name)
            await self._actors.create(name)
            watched.heard_at = asyncio.get_running_loop().time()
