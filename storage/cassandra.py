"""How Holdfast talks to Cassandra: CQL from named files, callbacks brought back to the event loop, errors in our words."""

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from cassandra import ConsistencyLevel, DriverException, InvalidRequest
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable, Session
from cassandra.connection import ConnectionBusy, ConnectionException, ProtocolError
from cassandra.policies import DCAwareRoundRobinPolicy, ExponentialReconnectionPolicy, TokenAwarePolicy
from cassandra.protocol import ErrorMessage
from cassandra.query import tuple_factory

from storage.errors import StoreUnavailable

Row = tuple[Any, ...]

REQUEST_SECONDS_MAX: Final = 5.0
CONNECT_SECONDS_MAX: Final = 5.0

_AWAY: Final = (
    DriverException,
    ErrorMessage,
    NoHostAvailable,
    ConnectionException,
    ConnectionBusy,
    ProtocolError,
    OSError,
    TimeoutError,
)
_CQL: Final = Path(__file__).parent / "cql"
_PORT: Final = 9042
_PROTOCOL: Final = 5
_KEYSPACE: Final = re.compile(r"[a-z][a-z0-9_]{0,47}")
_RECONNECT_FIRST_SECONDS: Final = 0.5
_RECONNECT_LAST_SECONDS: Final = 10.0
_CONNECT_AGAIN_SECONDS: Final = 1.0
_HEARTBEAT_SECONDS: Final = 5.0
_KEYSPACE_SECONDS_MAX: Final = 10.0
_KEYSPACE_AGAIN_SECONDS: Final = 0.1


@cache
def cql(name: str) -> str:
    """The text of `storage/cql/<name>.cql`."""
    return (_CQL / f"{name}.cql").read_text("utf-8")


@dataclass(frozen=True, slots=True)
class CassandraAddress:
    """Where a cluster is found: some of its nodes, and the keyspace that is ours."""

    nodes: tuple[tuple[str, int], ...]
    keyspace: str
    user: str = ""
    password: str = ""

    @classmethod
    def parse(cls, url: str) -> "CassandraAddress":
        """`cassandra://user:password@host:port,host:port/keyspace`, all but a host and the keyspace optional.

        Raises ValueError, without the password in it.
        """
        parts = urlsplit(url)
        account, _, nodes = parts.netloc.rpartition("@")
        user, _, password = account.partition(":")
        keyspace = parts.path.strip("/")
        if parts.scheme != "cassandra" or not nodes or not _KEYSPACE.fullmatch(keyspace):
            raise ValueError("an archive's address is cassandra://host:port,host:port/keyspace")
        return cls(tuple(_node(node) for node in nodes.split(",")), keyspace, unquote(user), unquote(password))


Prepare = Callable[[Session], None]


class Cassandra:
    """A keyspace and the statements prepared for it, by the names of CQL files.

    It connects when first used, and again while that fails, so that a process starts also while its cluster is away;
    once connected, the driver looks for lost nodes by itself. Every statement is idempotent, and every method raises
    StoreUnavailable. `prepare_keyspace` is called with a session of a new connection, and may block.
    """

    def __init__(self, address: CassandraAddress, statements: Sequence[str], prepare_keyspace: Prepare) -> None:
        self._address = address
        self._names = statements
        self._prepare_keyspace = prepare_keyspace
        self._attempt: asyncio.Task[_Connected] | None = None
        self._next_attempt_at = 0.0

    async def rows(self, name: str, *parameters: object) -> list[Row]:
        """All of them, as tuples."""
        with _unavailable_when_away():
            connected = await self._ready()
            return await _answer(connected.session, connected.statements[name].bind(parameters))

    async def close(self) -> None:
        """Also ends the driver's threads, but for one that sleeps and that all connections of a process share."""
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            with suppress(StoreUnavailable):
                connected = await attempt
                await asyncio.to_thread(connected.session.cluster.shutdown)

    async def _ready(self) -> "_Connected":
        """The one connection; whoever comes while it is being made waits for the same attempt."""
        clock = asyncio.get_running_loop().time
        failed = self._attempt is not None and self._attempt.done() and self._attempt.exception() is not None
        if self._attempt is None or (failed and clock() >= self._next_attempt_at):
            self._attempt = asyncio.create_task(self._connect())
            self._attempt.add_done_callback(_hear)
        return await asyncio.shield(self._attempt)

    async def _connect(self) -> "_Connected":
        try:
            with _unavailable_when_away():
                return await asyncio.to_thread(_connected, self._address, self._names, self._prepare_keyspace)
        finally:
            self._next_attempt_at = asyncio.get_running_loop().time() + _CONNECT_AGAIN_SECONDS


@dataclass(frozen=True, slots=True)
class _Connected:
    session: Session
    statements: Mapping[str, Any]


def _connected(address: CassandraAddress, names: Sequence[str], prepare_keyspace: Prepare) -> _Connected:
    """Blocks for as long as the driver needs, which its own limits bound."""
    cluster = _cluster(address)
    try:
        session = cluster.connect()
        give_up_at = monotonic() + _KEYSPACE_SECONDS_MAX
        while True:
            try:
                prepare_keyspace(session)
                statements = {name: session.prepare(cql(name)) for name in names}
                break
            except InvalidRequest:
                # What another process is making just now can be seen before it can be used.
                if monotonic() > give_up_at:
                    raise
            sleep(_KEYSPACE_AGAIN_SECONDS)
    except BaseException:
        cluster.shutdown()
        raise
    for statement in statements.values():
        statement.is_idempotent = True
    return _Connected(session, statements)


def _cluster(address: CassandraAddress) -> Cluster:
    profile = ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy()),
        consistency_level=ConsistencyLevel.LOCAL_QUORUM,
        request_timeout=REQUEST_SECONDS_MAX,
        row_factory=tuple_factory,
    )
    return Cluster(
        contact_points=list(address.nodes),
        port=address.nodes[0][1],
        auth_provider=PlainTextAuthProvider(address.user, address.password) if address.user else None,
        protocol_version=_PROTOCOL,
        connect_timeout=CONNECT_SECONDS_MAX,
        control_connection_timeout=CONNECT_SECONDS_MAX,
        idle_heartbeat_interval=_HEARTBEAT_SECONDS,
        idle_heartbeat_timeout=_HEARTBEAT_SECONDS,
        # By default the driver gives a node up for good after 64 tries.
        reconnection_policy=ExponentialReconnectionPolicy(
            _RECONNECT_FIRST_SECONDS, _RECONNECT_LAST_SECONDS, max_attempts=None
        ),
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
    )


async def _answer(session: Session, bound: Any) -> list[Row]:
    """Send one statement and wait for all pages of its answer, which the driver reports from a thread of its own."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[Row]] = loop.create_future()
    found: list[Row] = []
    response = session.execute_async(bound)

    def arrived(page: Sequence[Row] | None) -> None:
        found.extend(page or ())
        if response.has_more_pages:
            response.start_fetching_next_page()
        else:
            tell(answer.set_result, found)

    def tell(settle: Callable[[Any], None], outcome: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(lambda: None if answer.done() else settle(outcome))

    response.add_callbacks(arrived, lambda error: tell(answer.set_exception, error))
    return await answer


def _node(node: str) -> tuple[str, int]:
    parts = urlsplit(f"//{node}")
    if not parts.hostname:
        raise ValueError("a node of Cassandra is host:port")
    return parts.hostname, parts.port or _PORT


def _hear(attempt: "asyncio.Task[Any]") -> None:
    """Whoever waited may have left: take the exception, so that it is not reported as forgotten."""
    if not attempt.cancelled():
        attempt.exception()


@contextmanager
def _unavailable_when_away() -> Iterator[None]:
    try:
        yield
    except _AWAY as error:
        raise StoreUnavailable(f"Cassandra: {type(error).__name__}: {error}") from error
