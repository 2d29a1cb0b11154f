"""One process's life as a consumer: make its parts, let them work, and leave in the right way when they end.

Plain asyncio. Ray's part is in `consumer_actor`; which consumer it is, the composition root says.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from actors.shard_host import Leave, load_callable
from storage.shard_store import Owner

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ConsumerConfig:
    """Plain values that travel to the actor.

    `make_parts` is "module:function" of the composition root, called as `await make_parts(config, owner)` in the actor's
    process. A process that failed leaves after `again_after_seconds`, because Ray starts the next one at once.
    `niceness` is how far its process stands back behind the shards and services of its machine. `options` are the root's
    own and mean nothing here.
    """

    name: str
    make_parts: str
    niceness: int = 10
    again_after_seconds: float = 1.0
    options: Mapping[str, str] = field(default_factory=dict)


class ConsumerParts(Protocol):
    """What the composition root hands to a consumer's process."""

    @property
    def state(self) -> Any:
        """How it fares, for whoever asks the actor."""
        ...

    async def run(self) -> None:
        """Work until `stop`."""
        ...

    def stop(self) -> None:
        """Finish what is in hand; `run` then returns."""
        ...

    async def close(self) -> None: ...


MakeParts = Callable[[ConsumerConfig, Owner], Awaitable[ConsumerParts]]


class ConsumerHost:
    """Runs `run` once. Whatever ends a consumer that was not told to stop, a fresh process is the cure."""

    def __init__(self, config: ConsumerConfig, owner: Owner, leave: Leave) -> None:
        self._config = config
        self._owner = owner
        self._leave = leave
        self._parts: ConsumerParts | None = None
        self._stopping = False
        self._left = asyncio.Event()

    @property
    def state(self) -> Any:
        """What the parts say; None before there are any."""
        return None if self._parts is None else self._parts.state

    async def run(self) -> None:
        try:
            await self._work()
        except Exception:  # noqa: BLE001 - whatever it was, the process leaves and Ray starts it again
            _log.exception("consumer %s failed", self._config.name)
        finally:
            self._left.set()
        if not self._stopping:
            await asyncio.sleep(self._config.again_after_seconds)
        self._leave(for_good=self._stopping)

    async def stop(self) -> None:
        """Let it finish what it has in hand; returns when it has, and `run` then leaves for good."""
        self._stopping = True
        if self._parts is not None:
            self._parts.stop()
        await self._left.wait()

    async def _work(self) -> None:
        make_parts: MakeParts = load_callable(self._config.make_parts)
        self._parts = parts = await make_parts(self._config, self._owner)
        try:
            if not self._stopping:
                await parts.run()
        finally:
            await parts.close()
