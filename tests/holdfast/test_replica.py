import asyncio
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from holdfast import replica, wiring
from holdfast.replica import ReplicaApp


class Parts:
    def __init__(self, _settings: object, name: str) -> None:
        self.name = name
        self.loop = asyncio.get_running_loop()
        self.closed = False
        made.append(self)

    async def close(self) -> None:
        self.closed = True


made: list[Parts] = []


def _service_app(parts: Parts, service: str) -> Any:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert parts.loop is asyncio.get_running_loop()
        await send({"type": "said", "service": service, "path": scope["path"]})

    return app


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    made.clear()
    monkeypatch.setattr(wiring, "Parts", Parts)
    monkeypatch.setattr(wiring, "service_app", _service_app)
    monkeypatch.setattr(replica, "Settings", object)


class Server:
    """The server's side of one replica: lifespan messages in, whatever is sent out."""

    def __init__(self) -> None:
        self.app = ReplicaApp("user")
        self.sent: list[Any] = []
        self._messages: asyncio.Queue[Any] = asyncio.Queue()
        self._answered = asyncio.Event()
        self._lifespan = asyncio.create_task(self.app({"type": "lifespan"}, self._messages.get, self._send))

    async def _send(self, message: Any) -> None:
        self.sent.append(message)
        self._answered.set()

    async def tell(self, message: str) -> None:
        self._answered.clear()
        await self._messages.put({"type": message})
        await self._answered.wait()

    async def request(self, path: str) -> Any:
        await self.app({"type": "http", "path": path}, self._messages.get, self._send)
        return self.sent[-1]

    async def ended(self) -> None:
        await self._lifespan


async def test_a_replica_builds_its_service_in_its_own_loop_and_closes_it() -> None:
    server = Server()
    await server.tell("lifespan.startup")
    assert server.sent == [{"type": "lifespan.startup.complete"}]
    assert await server.request("/user/x") == {"type": "said", "service": "user", "path": "/user/x"}
    await server.tell("lifespan.shutdown")
    await server.ended()
    assert server.sent[-1] == {"type": "lifespan.shutdown.complete"}
    assert [(parts.name, parts.closed) for parts in made] == [("user", True)]


async def test_no_request_is_taken_before_the_start() -> None:
    server = Server()
    with pytest.raises(RuntimeError, match="before user was started"):
        await server.request("/user/x")
    await server.tell("lifespan.shutdown")
    await server.ended()
