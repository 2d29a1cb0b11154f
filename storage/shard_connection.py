"""The one connection by which a shard writes: owned by an epoch, never interrupted, thrown away once in doubt."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import asyncpg

from storage.errors import Fenced, GuardRefused, OutcomeUnknown, StoreUnavailable
from storage.postgres import CONNECTION_LOST, ROLLED_BACK, Connection, connect, sql, unavailable_when_lost
from storage.shard_store import Lease

FENCED: Final = "HF001"
REFUSED: Final = "HF002"

_T = TypeVar("_T")

_TAKE_LOCK_TIMEOUT: Final = "500ms"
_TAKE_TRIES: Final = 10
_PLANS: Final = {
    # A batch finds a few hundred rows by key among millions. Its plan is made once per connection, perhaps while the
    # tables are still empty, and must not depend on that.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}


class ShardConnection:
    """Writes for one shard, one statement or transaction at a time, under the name that says shard and epoch."""

    def __init__(self, postgres_url: str) -> None:
        self._url = postgres_url
        self._name = "holdfast shard"
        self._connection: Connection | None = None
        self._one_at_a_time = asyncio.Lock()

    async def raise_epoch(self, shard_id: int, statement: str, *arguments: object) -> Lease | None:
        """Run a statement that returns the new epoch, and write under it from now on; None where it found no row.

        The old owner's statement may hold the row: after half a second its backend is ended, and again until it is
        gone. Raises StoreUnavailable, also when the row stays locked; doing it again is safe.
        """
        async with self._one_at_a_time:
            self._drop()
            connection = await connect(
                self._url, f"holdfast shard={shard_id} taking", {**_PLANS, "lock_timeout": _TAKE_LOCK_TIMEOUT}
            )
            try:
                epoch = await self._against_lock(connection, shard_id, statement, arguments)
                if epoch is None:
                    return None
                self._name = f"holdfast shard={shard_id} epoch={epoch}"
                with unavailable_when_lost():
                    await connection.execute(sql("name_shard_writer"), self._name)
                self._connection = connection
            finally:
                if self._connection is None:
                    connection.terminate()
            return Lease(shard_id, epoch)

    async def write(self, work: Callable[[Connection], Awaitable[_T]]) -> _T:
        """Do the work on the connection to its end, also when the caller is cancelled meanwhile.

        Raises StoreUnavailable while nothing was sent or the server said that it rolled back, Fenced and GuardRefused
        as the statement says, and OutcomeUnknown when the connection was lost under it.
        """
        writing = asyncio.ensure_future(self._write(work))
        try:
            return await asyncio.shield(writing)
        except asyncio.CancelledError:
            writing.add_done_callback(_hear)
            raise

    async def close(self) -> None:
        async with self._one_at_a_time:
            self._drop()

    async def _write(self, work: Callable[[Connection], Awaitable[_T]]) -> _T:
        async with self._one_at_a_time:
            if self._connection is None or self._connection.is_closed():
                self._connection = await connect(self._url, self._name, _PLANS)
            try:
                return await work(self._connection)
            except (asyncpg.UniqueViolationError, asyncpg.CardinalityViolationError) as error:
                raise GuardRefused(str(error)) from error
            except ROLLED_BACK as error:
                raise StoreUnavailable(f"Postgres gave up: {error}") from error
            except CONNECTION_LOST as error:
                self._drop()
                raise OutcomeUnknown(f"connection lost while writing: {error}") from error
            except asyncpg.PostgresError as error:
                if error.sqlstate == FENCED:
                    raise Fenced(str(error)) from error
                if error.sqlstate == REFUSED:
                    raise GuardRefused(str(error)) from error
                raise

    async def _against_lock(
        self, connection: Connection, shard_id: int, statement: str, arguments: tuple[object, ...]
    ) -> int | None:
        with unavailable_when_lost():
            for _ in range(_TAKE_TRIES):
                try:
                    epoch: int | None = await connection.fetchval(statement, *arguments)
                except asyncpg.LockNotAvailableError:
                    await connection.fetchval(sql("end_shard_writers"), shard_id)
                else:
                    return epoch
        raise StoreUnavailable(f"the row of shard {shard_id} stays locked")

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


def _hear(writing: "asyncio.Future[Any]") -> None:
    """Nobody waits for the outcome any more: take the exception, so that it is not reported as forgotten."""
    if not writing.cancelled():
        writing.exception()
