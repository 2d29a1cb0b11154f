"""How Holdfast talks to Postgres: connections and pools, SQL from named files, driver errors in our own words."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeAlias

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from storage.errors import StoreUnavailable

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
PooledConnection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

CONNECTION_LOST: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""The connection is gone or of no use any more. What was under way on it may still have happened."""

ROLLED_BACK: Final = (
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
)
"""The server answered that it gave up: nothing was written, and the same may succeed later. Look for these first."""

STATEMENT_SECONDS_MAX: Final = 15
CONNECT_SECONDS_MAX: Final = 5
"""For each server that the address names."""

FREE_SECONDS_MAX: Final = 3
"""How long a caller waits for one of a pool's connections while others use them all."""


class StatementTooLong(StoreUnavailable):
    """The server ended a statement that ran for longer than it may."""


_SQL: Final = Path(__file__).parent / "sql"
_EVERY_CONNECTION: Final = {
    "timezone": "UTC",
    "statement_timeout": f"{STATEMENT_SECONDS_MAX}s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "5s",
    "tcp_user_timeout": "5s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "2",
}


@cache
def sql(name: str) -> str:
    """The text of `storage/sql/<name>.sql`."""
    return (_SQL / f"{name}.sql").read_text("utf-8")


async def connect(
    postgres_url: str,
    application_name: str,
    settings: dict[str, str] | None = None,
    *,
    session: SessionAttribute = SessionAttribute.primary,
) -> Connection:
    """One connection of its own, for whoever holds it long. Raises StoreUnavailable."""
    with unavailable_when_lost():
        return await asyncpg.connect(
            postgres_url,
            timeout=CONNECT_SECONDS_MAX,
            command_timeout=STATEMENT_SECONDS_MAX + 2,
            target_session_attrs=session,
            server_settings={**_EVERY_CONNECTION, "application_name": application_name, **(settings or {})},
        )


class ReadsRows(Protocol):
    """Reads by the names of SQL files: of one database, or of whichever of several is fresh enough."""

    async def rows(self, name: str, *parameters: object) -> list[asyncpg.Record]: ...

    async def row(self, name: str, *parameters: object) -> asyncpg.Record | None: ...

    async def value(self, name: str, *parameters: object) -> Any: ...


class Database:
    """A pool of connections for reads and short writes, by the names of SQL files.

    It connects when first used, so that a process starts also while its database is away. Every method raises
    StoreUnavailable, within FREE_SECONDS_MAX where all connections stay busy; whoever writes with it must be able to do
    the same again. `session` is what the server has to be: a primary, unless somebody only wants to read. `settings` are
    the server's, for this pool alone. Lives in one event loop.
    """

    def __init__(
        self,
        postgres_url: str,
        application_name: str,
        connections_max: int,
        *,
        session: SessionAttribute = SessionAttribute.primary,
        settings: Mapping[str, str] = MappingProxyType({}),
        statement_seconds_max: float = STATEMENT_SECONDS_MAX,
    ) -> None:
        self._url = postgres_url
        self._application_name = application_name
        self._connections_max = connections_max
        self._session = session
        self._settings = settings
        self._statement_seconds_max = statement_seconds_max
        self._pool: Pool | None = None
        self._free = asyncio.Semaphore(connections_max)

    async def rows(self, name: str, *parameters: object) -> list[asyncpg.Record]:
        async with self._connection() as connection:
            return await connection.fetch(sql(name), *parameters)

    async def row(self, name: str, *parameters: object) -> asyncpg.Record | None:
        async with self._connection() as connection:
            return await connection.fetchrow(sql(name), *parameters)

    async def value(self, name: str, *parameters: object) -> Any:
        """The first column of the first row; None where there is no row."""
        async with self._connection() as connection:
            return await connection.fetchval(sql(name), *parameters)

    def for_long_statements(self, seconds_max: float) -> "Database":
        """Another of one connection, to the same server and under the same name, whose statements may take so long.

        The caller closes it. A statement that takes longer raises StatementTooLong.
        """
        return Database(
            self._url,
            self._application_name,
            1,
            session=self._session,
            settings=self._settings,
            statement_seconds_max=seconds_max,
        )

    async def own_connection(self) -> Connection:
        """To the same server, beside the pool and under the same name."""
        return await connect(self._url, self._application_name, session=self._session)

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.close()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[PooledConnection]:
        """One of the pool's, for one statement. What is lost or cannot be had is StoreUnavailable."""
        await self._wait_for_a_free_one()
        try:
            with unavailable_when_lost():
                async with (await self._ready()).acquire() as connection:
                    yield connection
        finally:
            self._free.release()

    async def _wait_for_a_free_one(self) -> None:
        """The pool would have its callers queue without end, and a server that hangs fails them two by two.

        What is limited is the wait for others only: whoever has its turn may take as long as connecting takes.
        """
        try:
            async with asyncio.timeout(FREE_SECONDS_MAX):
                await self._free.acquire()
        except TimeoutError as error:
            raise StoreUnavailable(
                f"Postgres: none of the pool's {self._connections_max} connections came free within {FREE_SECONDS_MAX} s"
            ) from error

    async def _ready(self) -> Pool:
        if self._pool is None:
            self._pool = asyncpg.create_pool(
                self._url,
                min_size=0,
                max_size=self._connections_max,
                timeout=CONNECT_SECONDS_MAX,
                command_timeout=self._statement_seconds_max + 2,
                target_session_attrs=self._session,
                server_settings={
                    **_EVERY_CONNECTION,
                    "application_name": self._application_name,
                    "statement_timeout": f"{self._statement_seconds_max * 1000:.0f}ms",
                    **self._settings,
                },
            )
            await self._pool
        return self._pool


@contextmanager
def unavailable_when_lost() -> Iterator[None]:
    """Around reads, and around writes that may safely be done twice: a lost connection means StoreUnavailable."""
    try:
        yield
    except asyncpg.QueryCanceledError as error:
        raise StatementTooLong(f"Postgres: {type(error).__name__}: {error}") from error
    except (*CONNECTION_LOST, *ROLLED_BACK) as error:
        raise StoreUnavailable(f"Postgres: {type(error).__name__}: {error}") from error


def printable(error: str) -> str:
    """An error quotes what it choked on, also what Postgres' text cannot hold."""
    return error.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
