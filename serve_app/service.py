"""A service: its operations under one prefix, with healthz, openapi.json and docs, as one ASGI application."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from starlette.routing import Router
from starlette.types import Receive, Scope, Send

from serve_app import docs_page, openapi
from serve_app.answer import Answer, json_answer, send_bytes
from serve_app.auth import Tokens
from serve_app.errors import EdgeCode, Problem, not_found, rendered
from serve_app.fields import Shown
from serve_app.operation import ANYONE, Call, Endpoint, Operation
from serve_app.paths import PathTable


class Health(Shown):
    status: str
    service: str


@dataclass(frozen=True, slots=True)
class About:
    """What a service says of itself; `prefix` starts with a slash and ends without one."""

    name: str
    prefix: str
    title: str
    summary: str


class Resource:
    """All methods of one path."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._by_method = {endpoint.operation.method: endpoint for endpoint in endpoints}
        self._allow = ", ".join(sorted(self._by_method))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._by_method.get(scope["method"])
        if endpoint is None:
            detail = f"This address takes {self._allow}."
            await send_bytes(send, *rendered(Problem(EdgeCode.METHOD_NOT_ALLOWED, detail, allow=self._allow)))
            return
        await endpoint(scope, receive, send)


class Service:
    """Routes by the whole path, wherever it is mounted, because Serve, uvicorn and Starlette each set root_path their way."""

    def __init__(
        self,
        about: About,
        operations: Iterable[Operation[Any, Any]],
        tokens: Tokens,
        *,
        trust_forwarded: bool = False,
    ) -> None:
        self.about = about
        declared = [*operations]
        document = orjson.dumps(openapi.document(about.title, about.summary, [*declared, *_own(about)]))
        page = docs_page.render(orjson.loads(document))
        self.operations: Final = (*declared, *_own(about, document, page))
        by_path: dict[str, list[Endpoint]] = {}
        for operation in self.operations:
            endpoint = Endpoint(operation, tokens, trust_forwarded=trust_forwarded)
            by_path.setdefault(operation.path, []).append(endpoint)
        self._paths = PathTable({path: Resource(endpoints) for path, endpoints in by_path.items()})
        self._beside_http = Router()  # answers the server's lifespan, and closes a websocket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._beside_http(scope, receive, send)
            return
        found = self._paths.find(scope["path"])
        if found is None:
            await send_bytes(send, *rendered(not_found()))
            return
        resource, scope["path_segment"] = found
        await resource(scope, receive, send)


def _own(about: About, document: bytes = b"", page: bytes = b"") -> list[Operation[Any, Any]]:
    async def healthz(_call: Call[None, None]) -> Answer:
        return json_answer({"status": "ok", "service": about.name})

    async def openapi_json(_call: Call[None, None]) -> Answer:
        return Answer(200, document, [(b"content-type", b"application/json")])

    async def docs(_call: Call[None, None]) -> Answer:
        return Answer(200, page, docs_page.headers())

    prefix = about.prefix
    return [
        Operation("GET", f"{prefix}/healthz", "Whether the service is up", ANYONE, healthz, answer=Health),
        Operation("GET", f"{prefix}/openapi.json", "This description", ANYONE, openapi_json, answer=dict[str, Any]),
        Operation(
            "GET", f"{prefix}/docs", "This description for people", ANYONE, docs, answer=str, media_type="text/html"
        ),
    ]
