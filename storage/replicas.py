"""Reads that streaming replicas may serve: by one whose lag is under a second, else by the primary.

Lag is measured by position and not by time stamps: the primary's log position is sampled every so often, and a standby
that has replayed up to a sample has everything that was committed when it was taken. An idle primary writes no log, and
so never looks like lag; a standby that replays nothing falls behind by a second each second and is left out.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any, Final, TypeVar

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from storage.errors import StoreUnavailable
from storage.postgres import Connection, Database, sql, unavailable_when_lost

_log = logging.getLogger(__name__)

Found = TypeVar("Found")

LAG_SECONDS_MAX: Final = 1.0
_PROBE_SECONDS: Final = 0.2
_PROBE_SECONDS_MAX: Final = 1.0
_READ_SECONDS_MAX: Final = 2.0
_CLOSE_SECONDS_MAX: Final = 5.0
_SAMPLES: Final = 64


def replica_at(postgres_url: str, application_name: str, connections_max: int) -> Database:
    """A server to read from, standby or not: which it is, and how far behind, is asked again and again."""
    return Database(postgres_url, application_name, connections_max, session=SessionAttribute.any)


class ReplicaReads:
    """`Database`'s reads, over the primary and its replicas. Lives in one event loop, and looks around from the first read on.

    A read that fails on a replica, or takes too long there, is done on the primary instead; only the primary's failure
    is the caller's. `close` closes the replicas, not the primary.
    """

    def __init__(
        self, primary: Database, replicas: Sequence[Database], *, probe_seconds: float = _PROBE_SECONDS
    ) -> None:
        self._primary = primary
        self._samples: deque[tuple[float, int]] = deque(maxlen=_SAMPLES)
        self._replicas = [_Replica(database, number) for number, database in enumerate(replicas)]
        self._probe_seconds = probe_seconds
        self._turn = count()
        self._probing: list[asyncio.Task[None]] = []
        self._reading: set[asyncio.Task[Any]] = set()

    @property
    def fresh(self) -> Sequence[int]:
        """The numbers of the replicas that would be read now."""
        return [replica.number for replica in self._fresh()]

    async def rows(self, name: str, *parameters: object) -> list[asyncpg.Record]:
        return await self._read(lambda database: database.rows(name, *parameters))

    async def row(self, name: str, *parameters: object) -> asyncpg.Record | None:
        return await self._read(lambda database: database.row(name, *parameters))

    async def value(self, name: str, *parameters: object) -> Any:
        return await self._read(lambda database: database.value(name, *parameters))

    def start(self) -> None:
        """Begin to measure, so that the first reads need not all go to the primary. May be called again."""
        if self._replicas and not self._probing:
            self._probing = [asyncio.create_task(self._watch(_Probe(self._primary, "wal_written"), self._sampled))]
            for replica in self._replicas:
                probe = _Probe(replica.database, "wal_replayed")
                self._probing.append(asyncio.create_task(self._watch(probe, replica.replayed)))

    async def close(self) -> None:
        for task in (*self._probing, *self._reading):
            task.cancel()
        if self._probing or self._reading:
            await asyncio.wait([*self._probing, *self._reading], timeout=_CLOSE_SECONDS_MAX)
        for replica in self._replicas:
            try:
                async with asyncio.timeout(_CLOSE_SECONDS_MAX):
                    await replica.database.close()
            except TimeoutError:
                _log.warning("replica %d does not let go of its connections", replica.number)

    async def _read(self, read: Callable[[Database], Awaitable[Found]]) -> Found:
        self.start()
        fresh = self._fresh()
        if fresh:
            replica = fresh[next(self._turn) % len(fresh)]
            # A task of its own: a connection to a server that hangs may take long even to be given up.
            task = asyncio.ensure_future(read(replica.database))
            self._reading.add(task)
            task.add_done_callback(self._read_done)
            await asyncio.wait([task], timeout=_READ_SECONDS_MAX)
            if task.done() and not task.cancelled() and task.exception() is None:
                return task.result()
            # Whatever it was: what is wrong with the question itself, the primary will say as well.
            task.cancel()
            replica.leave_out()
        return await read(self._primary)

    def _read_done(self, task: asyncio.Task[Any]) -> None:
        self._reading.discard(task)
        if not task.cancelled():
            task.exception()

    def _fresh(self) -> "list[_Replica]":
        now = asyncio.get_running_loop().time()
        return [replica for replica in self._replicas if replica.fresh(self._samples, now)]

    def _sampled(self, began: float, position: int | None) -> None:
        if position is not None:
            self._samples.append((began, position))

    async def _watch(self, probe: "_Probe", told: Callable[[float, int | None], None]) -> None:
        """Ask for ever. Each server on its own, so that one that hangs makes no other look old."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                began = loop.time()
                told(began, await probe.position())
                await asyncio.sleep(self._probe_seconds)
        finally:
            probe.drop()


class _Replica:
    """What was last heard of one replica."""

    def __init__(self, database: Database, number: int) -> None:
        self.database = database
        self.number = number
        self._position: int | None = None
        self._in_use = False

    def replayed(self, _began: float, position: int | None) -> None:
        self._position = position

    def leave_out(self) -> None:
        """Until the next probe finds it well."""
        self._position = None

    def fresh(self, samples: deque[tuple[float, int]], now: float) -> bool:
        """Whether everything that was committed a second ago is there."""
        known = self._position
        fresh = known is not None and any(
            position <= known and now - taken < LAG_SECONDS_MAX for taken, position in reversed(samples)
        )
        if fresh is not self._in_use:
            self._in_use = fresh
            _log.info("replica %d is %s", self.number, "read from" if fresh else "left out")
        return fresh


class _Probe:
    """One connection that asks a server for a position, and is dropped whenever it fails to answer in time."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name
        self._connection: Connection | None = None

    async def position(self) -> int | None:
        """None from a server that is away, too slow, or not what it should be."""
        try:
            async with asyncio.timeout(_PROBE_SECONDS_MAX):
                with unavailable_when_lost():
                    if self._connection is None:
                        self._connection = await self._database.own_connection()
                    found: int | None = await self._connection.fetchval(sql(self._name))
                    return found
        except (StoreUnavailable, TimeoutError, asyncpg.PostgresError) as error:
            # Refused for good, a password that was changed say, is no reason to stop asking.
            _log.debug("%s: %s", self._name, error)
            self.drop()
            return None

    def drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
