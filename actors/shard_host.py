"""One process's life as the host of a shard: take it, serve HTTP beside it, and leave in the right way when it ends.

Plain asyncio and uvicorn. Ray's part is in `shard_actor`; what store and which app, the composition root says.
"""

import asyncio
import errno
import importlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from actors.express_server import AsgiApp, ExpressServer, collect_rarely
from actors.limits import ShardLimits
from actors.shard import Ending, Shard
from actors.shard_stats import ShardStats
from storage.errors import StoreError
from storage.shard_store import Lease, Owner, ShardStore

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ShardConfig:
    """Plain values that travel to the actor.

    `make_parts` is "module:function" of the composition root, called as `await make_parts(config, owner)` in the actor's
    process. `make_report` is "module:function" too, empty for none: called as `make_report()` there, it returns what is told
    the shard's figures every `report_seconds`. An empty `express_host` is the one that the parts name, `express_port` 0
    any free port. `options` are the root's own and mean nothing here.
    """

    shard_id: int
    make_parts: str
    make_report: str = ""
    report_seconds: float = 5.0
    limits: ShardLimits = field(default_factory=ShardLimits)
    express_host: str = "127.0.0.1"
    express_port: int = 0
    named_wait_seconds: float = 15.0
    port_wait_seconds: float = 10.0
    options: Mapping[str, str] = field(default_factory=dict)


class ShardParts(Protocol):
    """What the composition root hands to a shard's process."""

    @property
    def store(self) -> ShardStore: ...

    @property
    def express_host(self) -> str:
        """The address of this machine to listen on."""
        ...

    async def express_app(self, shard: Shard) -> AsgiApp | None:
        """The ASGI app to serve beside the shard, None for none."""
        ...

    async def announce(self, lease: Lease, address: str) -> None:
        """Write down where the app is served. Raises StoreError."""
        ...

    async def close(self) -> None: ...


MakeParts = Callable[[ShardConfig, Owner], Awaitable[ShardParts]]
Report = Callable[[ShardStats], None]


class Leave(Protocol):
    """How the process ends; `for_good` means that nobody may start it again."""

    def __call__(self, *, for_good: bool) -> None: ...


class ShardHost:
    """Runs `run` once. `state` is one of starting, serving, left."""

    def __init__(self, config: ShardConfig, owner: Owner, leave: Leave) -> None:
        self._config = config
        self._owner = owner
        self._leave = leave
        self._parts: ShardParts | None = None
        self._server: ExpressServer | None = None
        self._serving: asyncio.Task[None] | None = None
        self._reporting: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self.shard: Shard | None = None
        self.address = ""
        self.state = "starting"

    async def run(self) -> None:
        """Take the shard, serve until it ends, then leave."""
        for_good = False
        try:
            if await self._start():
                await self._ended.wait()
                ending = self.shard.ending if self.shard is not None else None
                for_good = ending is not Ending.BROKEN
            else:
                _log.warning("shard %d: the directory names another owner", self._config.shard_id)
                for_good = True
        except Exception:  # noqa: BLE001 - whatever it was, the process leaves and Ray starts it again
            _log.exception("shard %d could not start or serve", self._config.shard_id)
        finally:
            self.state = "left"
            await self._close()
        self._leave(for_good=for_good)

    async def stop(self) -> None:
        """Answer what the shard holds and end it; `run` then leaves for good."""
        if self.shard is not None:
            await self.shard.stop()
        self._ended.set()

    async def _start(self) -> bool:
        config = self._config
        make_parts: MakeParts = load_callable(config.make_parts)
        self._parts = parts = await make_parts(config, self._owner)
        shard = Shard(
            config.shard_id, parts.store, self._owner, utc_now, config.limits, on_end=lambda _: self._ended.set()
        )
        if not await self._taken(shard):
            return False
        self.shard = shard
        app = await parts.express_app(shard)
        if app is not None:
            listener = await _listen(config, config.express_host or parts.express_host)
            self._serve(app, listener)
            host, port = listener.getsockname()[:2]
            self.address = f"{host}:{port}"
            await self._announce(parts, shard)
        if config.make_report:
            report: Report = load_callable(config.make_report)()
            self._reporting = asyncio.create_task(self._keep_reporting(shard, report))
        self.state = "serving"
        collect_rarely()
        return True

    async def _taken(self, shard: Shard) -> bool:
        """Whoever starts this process knows its id only then, so the directory may name it a moment later."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._config.named_wait_seconds
        while not await shard.start():
            if loop.time() > until:
                return False
            await asyncio.sleep(0.05)
        return True

    async def _announce(self, parts: ShardParts, shard: Shard) -> None:
        try:
            await parts.announce(shard.lease, self.address)
        except StoreError as error:
            _log.warning("shard %d: its address is not in the directory: %s", self._config.shard_id, error)

    def _serve(self, app: AsgiApp, listener: socket.socket) -> None:
        self._server = ExpressServer(app)
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]))
        self._serving.add_done_callback(lambda _: self._ended.set())

    async def _keep_reporting(self, shard: Shard, report: Report) -> None:
        while True:
            try:
                report(shard.stats())
            except Exception:  # noqa: BLE001 - a fault of the report is none of the shard's
                _log.exception("shard %d could not be reported of, and serves all the same", self._config.shard_id)
            await asyncio.sleep(self._config.report_seconds)

    async def _close(self) -> None:
        if self._reporting is not None:
            self._reporting.cancel()
        if self._server is not None:
            self._server.should_exit = True
        if self._serving is not None:
            _, pending = await asyncio.wait([self._serving], timeout=2.0)
            for task in pending:
                task.cancel()
        if self.shard is not None:
            await self.shard.stop()
        if self._parts is not None:
            await self._parts.close()


def load_callable(path: str) -> Any:
    """The object that "module:name" names."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def this_process(actor_id: str, node: str) -> Owner:
    return Owner(actor_id, node, os.getpid())


async def _listen(config: ShardConfig, host: str) -> socket.socket:
    """The wanted port, waited for while a dying owner still has it; a free one when it does not become free.

    Raises OSError where the host is no address of this machine.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + config.port_wait_seconds
    while True:
        try:
            return _bound(host, config.express_port)
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                _log.error("shard %d: %s is no address of this machine", config.shard_id, host)
                raise
            if loop.time() > until:
                _log.error("port %d stays taken (%s); taking a free one", config.express_port, error)
                return _bound(host, 0)
        await asyncio.sleep(0.1)


def _bound(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)
