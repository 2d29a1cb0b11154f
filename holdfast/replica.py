"""A Serve replica's ASGI application: builds its service inside the replica's loop, and closes its pools at the end."""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from holdfast.settings import Settings


class ReplicaApp:
    """Takes the lifespan messages itself and passes every request straight on."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._app: ASGIApp | None = None
        self._close: Callable[[], Awaitable[None]] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is not None and scope["type"] != "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            raise RuntimeError(f"a request came before {self._service} was started")

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        message: dict[str, Any] = dict(await receive())
        while message["type"] != "lifespan.shutdown":
            await self._start()
            await send({"type": "lifespan.startup.complete"})
            message = dict(await receive())
        if self._close is not None:
            await self._close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _start(self) -> None:
        # Serve imports this module to learn of the deployment, in processes that need none of a service's parts.
        from holdfast import wiring

        parts = wiring.Parts(Settings(), self._service)
        self._app = wiring.service_app(parts, self._service)
        self._close = parts.close
