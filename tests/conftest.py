"""Real servers for tests: one embedded Postgres and one Valkey per session, a fresh migrated database per test."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import asyncpg
import pytest

from holdfast.embedded_postgres import EmbeddedPostgres
from holdfast.embedded_valkey import EmbeddedValkey
from storage.migrate import migrate
from tests.databases import drop_database

pytest_plugins = ["tests.stack"]

_TEMPLATE = "holdfast_template"
_numbers = count(1)


@pytest.fixture
def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    return _free_port()


@pytest.fixture(scope="module")
def module_port() -> int:
    """The same for all tests of a module, and the next one is most likely free too."""
    return _free_port()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """The session's server: `url` is a database that nobody should write to, `url_of` any other by name."""

    embedded: EmbeddedPostgres

    @property
    def url(self) -> str:
        return self.embedded.url

    def url_of(self, database: str) -> str:
        return self.embedded.url_of(database)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), _free_port(), ends_with_us=True)
    server.start()
    try:
        asyncio.run(_make_template(server))
        yield PostgresServer(server)
    finally:
        server.stop()


@pytest.fixture
async def database(postgres: PostgresServer) -> AsyncIterator[str]:
    """The URL of a database of its own for one test, migrated and empty, dropped afterwards."""
    name = f"holdfast_{next(_numbers)}"
    admin = await asyncpg.connect(postgres.url)
    try:
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE} STRATEGY wal_log")
        yield postgres.url_of(name)
        await drop_database(admin, name)
    finally:
        await admin.close()


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    server = EmbeddedValkey(Path(tmp_path_factory.mktemp("valkey")), _free_port())
    server.start()
    try:
        yield server
    finally:
        server.stop()


async def _make_template(server: EmbeddedPostgres) -> None:
    admin = await asyncpg.connect(server.url)
    try:
        await admin.execute(f"CREATE DATABASE {_TEMPLATE}")
        await migrate(server.url_of(_TEMPLATE))
    finally:
        await admin.close()
