"""The real servers for tests: those of `make stack` if they run, else started here and stopped at the session's end.

Everything that a session makes on them has a name of its own, so sessions never meet. Where Java, Maven or Go are
missing and cannot be installed the tests skip and say so; with CI or HOLDFAST_STACK_REQUIRED set they fail.
"""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from secrets import token_hex

import asyncpg
import httpx
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from cassandra.cluster import Cluster

from holdfast.stack import go, java
from holdfast.stack.records import Records
from holdfast.stack.settings import StackSettings
from storage.migrate import migrate
from tests.conformance.waiting import until
from tests.databases import drop_database_at, execute

_SESSION = f"t{token_hex(4)}"
_TEMPLATE = f"{_SESSION}_template"
_ROOT = Path(__file__).parent.parent
_SECONDS_MAX = 600
_numbers = count(1)
_candidates = iter(range(20000 + os.getpid() % 900 * 10, 31000))


@dataclass(frozen=True, slots=True)
class RealServers:
    """One stack, reached by its own command, whose servers outlive it. `started` are those that the tests started."""

    settings: StackSettings
    started: set[str] = field(default_factory=set)

    def start(self, *names: str) -> None:
        """Have the servers run and answer; the replica brings its primary."""
        _tools_or_skip(names)
        missing = [name for name in names if not self.runs(name)]
        self._command("start", *names)
        self.started.update(missing)

    def stop(self, name: str) -> None:
        self._command("stop", name)

    def kill(self, name: str) -> None:
        """End it without a word, as a power cut would."""
        self._command("kill", name)

    def stop_started(self) -> None:
        if self.started:
            self._command("stop", *self.started)

    def runs(self, name: str) -> bool:
        return Records(self.settings.dir / "run").living(name) is not None

    def password(self) -> str:
        return (self.settings.dir / "postgres" / "password").read_text("ascii").strip()

    def attempt(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`python -m holdfast.stack <words>` on this stack."""
        return subprocess.run(
            [sys.executable, "-m", "holdfast.stack", *words],
            env=self._environment(),
            cwd=_ROOT,
            text=True,
            capture_output=True,
            timeout=_SECONDS_MAX,
            check=False,
        )

    def background(self, *words: str) -> subprocess.Popen[bytes]:
        """The same, to be interrupted, also where whoever runs the tests has interrupts ignored (`nohup`, `&` in a script)."""
        return subprocess.Popen(
            [sys.executable, "-m", "holdfast.stack", *words],
            env=self._environment(),
            cwd=_ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=_hear_interrupts,  # noqa: PLW1509 - it takes no lock that another thread could hold
        )

    def _environment(self) -> dict[str, str]:
        names = {f"HOLDFAST_STACK_{name.upper()}": str(value) for name, value in self.settings if value is not None}
        return os.environ | names

    def _command(self, *words: str) -> None:
        done = self.attempt(*words)
        assert done.returncode == 0, done.stdout + done.stderr


def _hear_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass(frozen=True, slots=True)
class ReplicatedPostgres:
    """A primary and a replica that streams from it."""

    servers: RealServers

    def url_of(self, database: str) -> str:
        return self._url(self.servers.settings.postgres_port, database)

    def replica_url_of(self, database: str) -> str:
        return self._url(self.servers.settings.postgres_replica_port, database)

    def _url(self, port: int, database: str) -> str:
        return f"postgresql://holdfast:{self.servers.password()}@127.0.0.1:{port}/{database}"


@dataclass(frozen=True, slots=True)
class ReplicatedDatabase:
    """One migrated, empty database for one test. The replica may lag, as replicas do."""

    url: str
    replica_url: str


@pytest.fixture(scope="session")
def stack() -> Iterator[RealServers]:
    """The stack of `make stack`. Tests share it with whoever uses it, so they stop nothing of it."""
    servers = RealServers(StackSettings())
    try:
        yield servers
    finally:
        servers.stop_started()


@pytest.fixture(scope="session")
def own_stack(stack: RealServers) -> Iterator[RealServers]:
    """For tests that stop and kill servers; the installation on real servers runs on it."""
    with empty_stack(stack) as servers:
        yield servers


@contextmanager
def empty_stack(beside: RealServers) -> Iterator[RealServers]:
    """A stack on ports of its own, without data, of which nothing runs yet. It is gone afterwards.

    It lies in the other's folder because Elasticsearch's user can enter there, and borrows the other's jars.
    """
    folder = beside.settings.dir / f"own-{_SESSION}-{next(_numbers)}"
    folder.mkdir(parents=True)
    (beside.settings.dir / "lib").mkdir(exist_ok=True)
    (folder / "lib").symlink_to(beside.settings.dir / "lib")
    names = [name for name in StackSettings.model_fields if name.endswith("_port")]
    ports = dict(zip(names, _free_ports(), strict=False))
    servers = RealServers(StackSettings(dir=folder, **ports))
    try:
        yield servers
    finally:
        servers.stop_started()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def kafka_url(stack: RealServers) -> Iterator[str]:
    """A broker, and a prefix of this session's own for the names of topics and groups."""
    stack.start("kafka")
    address = f"127.0.0.1:{stack.settings.kafka_port}"
    yield f"kafka://{address}/{_SESSION}-"
    asyncio.run(_drop_topics(address))


@pytest.fixture(scope="session")
def elasticsearch_url(stack: RealServers) -> Iterator[str]:
    """A node, and an alias of this session's own; its indices must begin with the alias to be dropped at the end."""
    stack.start("elasticsearch")
    server = f"http://127.0.0.1:{stack.settings.elasticsearch_port}"
    yield f"{server}/{_SESSION}"
    for index in httpx.get(f"{server}/{_SESSION}*", params={"expand_wildcards": "all"}, timeout=30).json():
        httpx.delete(f"{server}/{index}", timeout=30).raise_for_status()


@pytest.fixture(scope="session")
def cassandra_url(stack: RealServers) -> Iterator[str]:
    """A node, and a keyspace of this session's own."""
    stack.start("cassandra")
    yield f"cassandra://127.0.0.1:{stack.settings.cassandra_port}/{_SESSION}"
    _drop_keyspaces(stack.settings.cassandra_port)


@pytest.fixture(scope="session")
def stripe_mock_url(stack: RealServers) -> str:
    stack.start("stripe_mock")
    return f"http://127.0.0.1:{stack.settings.stripe_mock_port}"


@pytest.fixture(scope="session")
def replicated_postgres(stack: RealServers) -> Iterator[ReplicatedPostgres]:
    stack.start("postgres_replica")
    servers = ReplicatedPostgres(stack)
    asyncio.run(execute(servers.url_of("holdfast"), f"CREATE DATABASE {_TEMPLATE}"))
    asyncio.run(migrate(servers.url_of(_TEMPLATE)))
    yield servers
    asyncio.run(drop_database_at(servers.url_of("holdfast"), _TEMPLATE))


@pytest.fixture
async def replicated_database(replicated_postgres: ReplicatedPostgres) -> AsyncIterator[ReplicatedDatabase]:
    """A database on the primary that the replica has too."""
    name, admin = f"{_SESSION}_{next(_numbers)}", replicated_postgres.url_of("holdfast")
    await execute(admin, f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE} STRATEGY wal_log")
    await _until_replayed(admin, replicated_postgres.replica_url_of("holdfast"))
    yield ReplicatedDatabase(replicated_postgres.url_of(name), replicated_postgres.replica_url_of(name))
    await drop_database_at(admin, name)


def _tools_or_skip(names: tuple[str, ...]) -> None:
    try:
        if {"kafka", "elasticsearch", "cassandra"} & set(names):
            java.make_sure()
        if "stripe_mock" in names:
            go.make_sure()
    except (java.JavaMissing, go.GoMissing) as error:
        if os.environ.get("CI") or os.environ.get("HOLDFAST_STACK_REQUIRED"):
            raise
        pytest.skip(str(error))


def _free_ports() -> Iterator[int]:
    """Ports that nobody listens on now, none given twice, below those that the system gives out by itself."""
    return (port for port in _candidates if _can_bind(port))


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


async def _until_replayed(primary: str, replica: str) -> None:
    ahead, behind = await asyncpg.connect(primary), await asyncpg.connect(replica)
    try:
        written = await ahead.fetchval("SELECT pg_current_wal_lsn()::text")
        replayed = "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn"
        await until(lambda: behind.fetchval(replayed, written), seconds=30)
    finally:
        await ahead.close()
        await behind.close()


async def _drop_topics(address: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        ours = [topic for topic in await admin.list_topics() if topic.startswith(_SESSION)]
        if ours:
            await admin.delete_topics(ours)
    finally:
        await admin.close()


def _drop_keyspaces(port: int) -> None:
    cluster = Cluster(["127.0.0.1"], port=port, protocol_version=5)
    try:
        session = cluster.connect()
        for keyspace in [name for name in cluster.metadata.keyspaces if name.startswith(_SESSION)]:
            session.execute(f"DROP KEYSPACE {keyspace}", timeout=60)
    finally:
        cluster.shutdown()
