"""How Holdfast talks to Postgres: connections and pools, SQL from named files, driver errors in our own words."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeAlias

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from storage.errors import StoreUnavailable

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

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
    StoreUnavailable; whoever writes with it must be able to do the same again. `session` is what the server has to be:
    a primary, unless somebody only wants to read. `settings` are the server's, for this pool alone.
    """

    def __init__(
        self,
        postgres_url: str,
        application_name: str,
        connections_max: int,
        *,
        session: SessionAttribute = SessionAttribute.primary,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._url = postgres_url
        self._application_name = application_name
        self._connections_max = connections_max
        self._session = session
        self._settings = settings
        self._pool: Pool | None = None

    async def rows(self, name: str, *parameters: object) -> list[asyncpg.Record]:
        with unavailable_when_lost():
            return await (await self._ready()).fetch(sql(name), *parameters)

    async def row(self, name: str, *parameters: object) -> asyncpg.Record | None:
        with unavailable_when_lost():
            return await (await self._ready()).fetchrow(sql(name), *parameters)

    async def value(self, name: str, *parameters: object) -> Any:
        """The first column of the first row; None where there is no row."""
        with unavailable_when_lost():
            return await (await self._ready()).fetchval(sql(name), *parameters)

    async def own_connection(self) -> Connection:
        """To the same server, beside the pool and under the same name."""
        return await connect(self._url, self._application_name, session=self._session)

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.close()

    async def _ready(self) -> Pool:
        if self._pool is None:
            self._pool = asyncpg.create_pool(
                self._url,
                min_size=0,
                max_size=self._connections_max,
                timeout=CONNECT_SECONDS_MAX,
                command_timeout=STATEMENT_SECONDS_MAX + 2,
                target_session_attrs=self._session,
                server_settings={**_EVERY_CONNECTION, "application_name": self._application_name, **self._settings},
            )
            await self._pool
        return self._pool


@contextmanager
def unavailable_when_lost() -> Iterator[None]:
    """Around reads, and around writes that may safely be done twice: a lost connection means StoreUnavailable."""
    try:
        yield
    except (*CONNECTION_LOST, *ROLLED_BACK) as error:
        raise StoreUnavailable(f"Postgres: {type(error).__name__}: {error}") from error


def printable(error: str) -> str:
    """An error quotes what it choked on, also what Postgres' text cannot hold."""
    return error.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
