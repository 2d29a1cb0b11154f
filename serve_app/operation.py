"""One route as a value: who may call it, what it takes, what it answers; and the few steps from request to handler.

FastAPI costs 125 us a request, twice a whole hold, so this layer is ours: a table finds the route, an `Operation` does
the rest in the order of API.md: body limit, 401, 422, 403, 404, then the handler.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Generic, TypeAlias, TypeVar
from urllib.parse import parse_qsl
from uuid import UUID, uuid4

import structlog
from pydantic import TypeAdapter, ValidationError
from starlette.types import Receive, Scope, Send

from actors.outcome import Unavailable
from domain.command import Caller, Role
from domain.rejection import Reason, Rejection
from serve_app import headers as header_values
from serve_app.answer import Answer, send_answer, send_bytes
from serve_app.auth import Tokens
from serve_app.errors import (
    Code,
    EdgeCode,
    Problem,
    forbidden,
    ill_formed,
    invalid,
    not_found,
    problem_of,
    problem_of_store,
    rendered,
)
from serve_app.ids import uuid_from
from storage.errors import StoreError

BodyT = TypeVar("BodyT")
QueryT = TypeVar("QueryT")

BODY_BYTES_MAX: Final = 256 * 1024
NIL: Final = UUID(int=0)
_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})

ANYONE: Final[frozenset[Role | None]] = frozenset({None, Role.USER, Role.VENDOR, Role.OPERATOR})
LOGGED_IN: Final[frozenset[Role | None]] = frozenset({Role.USER, Role.VENDOR, Role.OPERATOR})
ONLY_USERS: Final[frozenset[Role | None]] = frozenset({Role.USER})
ONLY_OPERATORS: Final[frozenset[Role | None]] = frozenset({Role.OPERATOR})

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Call(Generic[BodyT, QueryT]):
    """A request that passed every check of shape. `caller` is None only where anyone may call.

    `id` is the UUID in the path, nil where there is none, and `segment` its text as it came. `version` is what
    If-Match expects, None for anything; where it names several, the handler is called for each until one is the thing's.
    `raw` are the body's bytes. `headers` are there only where the operation takes them, their names in lower case.
    """

    caller: Caller | None
    id: UUID
    segment: str
    body: BodyT
    query: QueryT
    raw: bytes
    address: str
    key: str | None = None
    version: int | None = None
    other_versions: Sequence[int] = ()
    wait_seconds: int = 0
    headers: Mapping[str, str] = field(default_factory=lambda: _NO_HEADERS)

    @property
    def account(self) -> Caller:
        if self.caller is None:
            raise RuntimeError("an operation for anyone asked who the caller is")
        return self.caller


Result: TypeAlias = Answer | Problem | Rejection | Unavailable
Handler: TypeAlias = Callable[[Call[BodyT, QueryT]], Awaitable[Result]]


@dataclass(frozen=True, slots=True)
class Operation(Generic[BodyT, QueryT]):
    """A declared route. `path` is the whole path with at most one `{name}`; `callers` has None for anonymous ones.

    `parse` reads the body instead of the model, which then only describes it. `codes` are the refusals beyond those that follow from the rest (401, 403, 404, 413, 422, 500, 503).
    """

    method: str
    path: str
    summary: str
    callers: frozenset[Role | None]
    handler: Handler[BodyT, QueryT]
    answer: Any = None
    body: Any = None
    query: Any = None
    parse: Callable[[bytes], BodyT | Problem] | None = None
    body_optional: bool = False
    status: int = 200
    codes: Sequence[Code] = ()
    takes_key: bool = False
    takes_version: bool = False
    takes_wait: bool = False
    id_is_uuid: bool = True
    tagged: bool = False
    media_type: str = "application/json"
    body_media_type: str = "application/json"
    takes_headers: bool = False


class Endpoint:
    """An operation at work: an ASGI application for one method of one path."""

    __slots__ = ("_body", "_handler", "_query", "_segment_name", "_tokens", "_trust_forwarded", "operation")

    def __init__(self, operation: Operation[Any, Any], tokens: Tokens, *, trust_forwarded: bool) -> None:
        self.operation = operation
        self._tokens = tokens
        self._handler = operation.handler
        self._trust_forwarded = trust_forwarded
        self._body: TypeAdapter[Any] | None = None if operation.body is None else TypeAdapter(operation.body)
        self._query: TypeAdapter[Any] | None = None if operation.query is None else TypeAdapter(operation.query)
        self._segment_name = operation.path.partition("{")[2].partition("}")[0]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            result = await self._answer(scope, receive)
        except ClientGone:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets a clear answer and the process goes on
            result = failed(error, scope["method"], scope["path"])
        if type(result) is Answer:
            await send_answer(send, result)
            return
        if isinstance(result, Rejection | Unavailable):
            result = problem_of(result)
        if not isinstance(result, Problem):
            raise TypeError(f"{self.operation.path}: a handler answered with {type(result).__name__}")
        status, body, lines = rendered(result)
        await send_bytes(send, status, body, lines)

    async def _answer(self, scope: Scope, receive: Receive) -> Result:
        operation = self.operation
        lines: dict[bytes, bytes] = dict(scope["headers"])
        raw = b""
        if self._body is not None:
            got = await read_body(receive, lines.get(b"content-length"))
            if got is None:
                return _TOO_LARGE
            raw = got

        authorization = lines.get(b"authorization")
        caller = None
        if authorization is not None:
            caller = self._tokens.known(authorization) or await self._tokens.caller(authorization)
            if caller is None:
                return _BAD_TOKEN
        elif None not in operation.callers:
            return _NO_TOKEN

        call: Call[Any, Any] = Call(caller, NIL, "", None, None, raw, "")
        problem = self._parse(call, scope["query_string"]) or self._parse_headers(call, lines, scope["headers"])
        if problem is not None:
            return problem
        if (caller.role if caller is not None else None) not in operation.callers:
            return forbidden("Your role may not do this.")
        if self._segment_name:
            an_id = self._id(call, scope["path_segment"])
            if an_id is None:
                return not_found()
            call.id = an_id
        call.address = self._address(scope, lines)
        return await self._handled(call)

    async def _handled(self, call: Call[Any, Any]) -> Result:
        result = await self._handler(call)
        # A write under a version that the thing does not have wrote nothing, and versions only grow.
        for version in call.other_versions:
            if not _is_stale(result):
                break
            call.version = version
            result = await self._handler(call)
        return result

    def _parse_headers(
        self, call: Call[Any, Any], lines: dict[bytes, bytes], given: Iterable[tuple[bytes, bytes]]
    ) -> Problem | None:
        """`lines` has the last line of each name, `given` all of them: those of a list are one list (RFC 9110, 5.3)."""
        operation = self.operation
        if operation.takes_key and b"idempotency-key" in lines:
            key = header_values.idempotency_key(lines[b"idempotency-key"])
            if isinstance(key, Problem):
                return key
            call.key = key
        if operation.takes_version and b"if-match" in lines:
            versions = header_values.expected_versions(_joined(given, b"if-match"))
            if isinstance(versions, Problem):
                return versions
            if versions is not None:
                call.version, *call.other_versions = versions
        if operation.takes_wait and b"prefer" in lines:
            call.wait_seconds = header_values.wait_seconds(_joined(given, b"prefer"))
        if operation.takes_headers:
            call.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in lines.items()}
        return None

    def _id(self, call: Call[Any, Any], segment: str) -> UUID | None:
        call.segment = segment
        return uuid_from(segment) if self.operation.id_is_uuid else NIL

    def _address(self, scope: Scope, lines: dict[bytes, bytes]) -> str:
        """Who is at the other end; the last name that our own proxy wrote, where there is one."""
        forwarded = lines.get(b"x-forwarded-for")
        if forwarded is not None and self._trust_forwarded:
            return forwarded.rpartition(b",")[2].strip().decode("latin-1")
        client = scope.get("client")
        return client[0] if client else ""

    def _parse(self, call: Call[Any, Any], query_string: bytes) -> Problem | None:
        """Fill in body and query, or say what is wrong with them."""
        problem = self._parse_body(call)
        if problem is not None:
            return problem
        if not query_string and self._query is None:
            return None
        given = _query_of(query_string)
        if isinstance(given, Problem):
            return given
        if self._query is None:
            return invalid(next(iter(given), "?"), "This route takes no query parameters")
        try:
            call.query = self._query.validate_python(given)
        except ValidationError as error:
            return ill_formed(error)
        return None

    def _parse_body(self, call: Call[Any, Any]) -> Problem | None:
        if self._body is None or (not call.raw and self.operation.body_optional):
            return None
        if self.operation.parse is not None:
            parsed = self.operation.parse(call.raw)
            if isinstance(parsed, Problem):
                return parsed
            call.body = parsed
            return None
        try:
            call.body = self._body.validate_json(call.raw)
        except ValidationError as error:
            return ill_formed(error)
        return None


class ClientGone(Exception):
    """The client went away in the middle of its own request."""


def failed(error: Exception, method: str, path: str) -> Problem:
    """What the client is told of an exception. What happened goes into the log, under a reference if it is a bug."""
    if isinstance(error, StoreError):
        log.warning("store_failed", path=path, method=method, error=repr(error))
        return problem_of_store(error)
    reference = uuid4().hex
    log.error("request_failed", path=path, method=method, reference=reference, exc_info=error)
    return Problem(EdgeCode.INTERNAL, f"This should not have happened. Its reference in our log: {reference}")


def _is_stale(result: Result) -> bool:
    if isinstance(result, Problem):
        return result.code is Reason.VERSION_CONFLICT
    return isinstance(result, Rejection) and result.reason is Reason.VERSION_CONFLICT


def _joined(given: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    return b", ".join([value for line, value in given if line == name])


async def read_body(receive: Receive, declared_length: bytes | None) -> bytes | None:
    """The whole body, or None as soon as it is longer than it may be, whatever its headers said."""
    if declared_length is not None and declared_length.isdigit() and int(declared_length[:12]) > BODY_BYTES_MAX:
        return None
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > BODY_BYTES_MAX:
            return None
        if not message.get("more_body", False):
            return b"".join([*parts, part]) if parts else part
        parts.append(part)


def form_of(body: bytes) -> dict[str, str] | Problem:
    """The fields of a form that a browser sent, each at most once."""
    return _pairs_of(body, "The form is not well formed")


def _query_of(query_string: bytes) -> dict[str, str] | Problem:
    return _pairs_of(query_string, "The query string is not well formed")


def _pairs_of(encoded: bytes, fault: str) -> dict[str, str] | Problem:
    try:
        pairs = parse_qsl(
            encoded.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=50, separator="&"
        )
    except ValueError:
        return invalid("", fault)
    given = dict(pairs)
    if len(given) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        return invalid(twice[:100], "Given more than once")
    return given


_TOO_LARGE: Final = Problem(EdgeCode.PAYLOAD_TOO_LARGE, f"A body may have {BODY_BYTES_MAX} bytes at most.")
_NO_TOKEN: Final = Problem(EdgeCode.UNAUTHENTICATED, "This needs a token: log in first.")
_BAD_TOKEN: Final = Problem(EdgeCode.UNAUTHENTICATED, "The token is not valid, or not any more.")
