"""An answer on its way out, and the two messages that send it."""

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from starlette.types import Send

Header = tuple[bytes, bytes]

_JSON: Final[Header] = (b"content-type", b"application/json")
_NO_STORE: Final[Header] = (b"cache-control", b"no-store")
REPLAYED: Final[Header] = (b"idempotency-replayed", b"true")
RENDERING: Final = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC


@dataclass(slots=True)
class Answer:
    """Status, headers without the length, and the body's bytes."""

    status: int
    body: bytes
    headers: list[Header]


def json_answer(content: Any, *, status: int = 200, version: int | None = None) -> Answer:
    """JSON, with an ETag where the content is one thing that has a version."""
    lines = [_JSON, _NO_STORE]
    if version is not None:
        lines.append((b"etag", b'"%d"' % version))
    return Answer(status, orjson.dumps(content, option=RENDERING), lines)


async def send_bytes(send: Send, status: int, body: bytes, headers: list[Header]) -> None:
    start: MutableMapping[str, Any] = {"type": "http.response.start", "status": status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body})


async def send_answer(send: Send, answer: Answer) -> None:
    answer.headers.append((b"content-length", b"%d" % len(answer.body)))
    await send_bytes(send, answer.status, answer.body, answer.headers)
