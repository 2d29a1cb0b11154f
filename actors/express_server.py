"""The HTTP server inside a shard's process: uvicorn without what an answer of ours does not need."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import uvicorn

from actors.one_write import OneWriteProtocol
from actors.slow_clients import SlowClients

AsgiApp = Callable[..., Awaitable[None]]

CONNECTIONS_MAX: Final = 10_000
REQUEST_SECONDS_MAX: Final = 20.0
"""How long a client may take to send a request, from when the connection is ready for it."""

# The default of 700 looks at every request's objects while the request is under way; nearly all of them die by
# themselves, and what a shard keeps has no cycles.
_COLLECT_AFTER: Final = (20_000, 20, 50)


class ExpressServer(uvicorn.Server):
    """Runs in a loop that somebody else started; the process's signals are not its to take."""

    def __init__(self, app: AsgiApp, *, request_seconds_max: float = REQUEST_SECONDS_MAX, **settings: Any) -> None:
        self._request_seconds_max = request_seconds_max
        super().__init__(
            uvicorn.Config(
                app,
                loop="none",
                http=OneWriteProtocol,
                lifespan="off",
                access_log=False,
                log_config=None,
                proxy_headers=False,
                server_header=False,
                limit_concurrency=CONNECTIONS_MAX,
                **settings,
            )
        )

    async def main_loop(self) -> None:
        slow_clients = SlowClients(self.server_state.connections, patience_seconds=self._request_seconds_max)
        watching = asyncio.create_task(slow_clients.watch())
        try:
            await super().main_loop()
        finally:
            watching.cancel()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def collect_rarely() -> None:
    """Call once everything that lives as long as the process is made: the collector need not look at it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
