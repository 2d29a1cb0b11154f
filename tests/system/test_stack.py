"""The real servers of `make stack`: they answer, they end when told, and what they promised to keep they keep."""

import asyncio
import signal
from collections.abc import Iterator

import asyncpg
import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from cassandra.cluster import Cluster

from holdfast.own_processes import alive
from holdfast.stack.records import Records
from tests.conformance.waiting import until
from tests.databases import execute
from tests.stack import RealServers, ReplicatedDatabase, ReplicatedPostgres, empty_stack
from tests.system.running import wait_for


@pytest.fixture(scope="module")
def tried_stack(stack: RealServers) -> Iterator[RealServers]:
    with empty_stack(stack) as servers:
        yield servers


async def test_kafka_keeps_what_it_acknowledged_when_it_is_killed(tried_stack: RealServers) -> None:
    tried_stack.start("kafka")
    address = f"127.0.0.1:{tried_stack.settings.kafka_port}"
    await _make_topic(address, "kept")
    await _produce(address, "kept", b"before")
    before = _process(tried_stack, "kafka")
    tried_stack.kill("kafka")
    assert not alive(before)
    tried_stack.start("kafka")
    await _produce(address, "kept", b"after")
    assert await _all(address, "kept", 2) == [b"before", b"after"]


def test_elasticsearch_answers_for_the_alias_of_the_session(elasticsearch_url: str) -> None:
    assert httpx.put(f"{elasticsearch_url}-answers", timeout=30).raise_for_status().json()["acknowledged"]


def test_cassandra_keeps_what_it_acknowledged_when_it_is_killed(tried_stack: RealServers) -> None:
    tried_stack.start("cassandra")
    port = tried_stack.settings.cassandra_port
    _ask_cassandra(
        port,
        "CREATE KEYSPACE kept WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
        "CREATE TABLE kept.row (id int PRIMARY KEY)",
        "INSERT INTO kept.row (id) VALUES (7)",
    )
    tried_stack.kill("cassandra")
    tried_stack.start("cassandra")
    assert _ask_cassandra(port, "SELECT id FROM kept.row") == [(7,)]


async def test_a_replica_follows_its_primary(replicated_database: ReplicatedDatabase) -> None:
    primary = await asyncpg.connect(replicated_database.url)
    replica = await asyncpg.connect(replicated_database.replica_url)
    try:
        await primary.execute("CREATE TABLE seen (id int); INSERT INTO seen VALUES (7)")
        await until(lambda: replica.fetchval("SELECT to_regclass('seen') IS NOT NULL"), seconds=30)
        assert await replica.fetchval("SELECT id FROM seen") == 7
        assert await replica.fetchval("SELECT pg_is_in_recovery()")
    finally:
        await primary.close()
        await replica.close()


async def test_a_replica_catches_up_after_its_primary_was_killed(tried_stack: RealServers) -> None:
    tried_stack.start("postgres_replica")
    servers = ReplicatedPostgres(tried_stack)
    await execute(servers.url_of("holdfast"), "CREATE TABLE kept (id int); INSERT INTO kept VALUES (7)")
    tried_stack.kill("postgres_replica")
    tried_stack.kill("postgres")
    tried_stack.start("postgres")
    await execute(servers.url_of("holdfast"), "INSERT INTO kept VALUES (8)")
    tried_stack.start("postgres_replica")
    replica = await asyncpg.connect(servers.replica_url_of("holdfast"))
    try:
        await until(lambda: replica.fetchval("SELECT count(*) = 2 FROM kept"), seconds=30)
    finally:
        await replica.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_server_whose_start_was_interrupted_is_not_lost(tried_stack: RealServers, number: signal.Signals) -> None:
    with empty_stack(tried_stack) as servers:
        folder = servers.settings.dir / "postgres" / "cluster"
        with servers.background("start", "postgres") as starting:
            wait_for((folder / "postmaster.pid").exists, "the server to be launched")
            starting.send_signal(number)
            assert starting.wait(60) != 0
        if number is signal.SIGINT:
            assert not (folder / "postmaster.pid").exists()
        else:
            assert servers.runs("postgres")
        servers.start("postgres")
        servers.stop("postgres")
        assert not (folder / "postmaster.pid").exists()


def test_what_runs_is_left_alone_and_a_taken_port_is_named(tried_stack: RealServers) -> None:
    tried_stack.start("valkey")
    before = _process(tried_stack, "valkey")
    tried_stack.start("valkey")
    assert _process(tried_stack, "valkey") == before

    port = tried_stack.settings.valkey_port
    other = RealServers(tried_stack.settings.model_copy(update={"dir": tried_stack.settings.dir / "other"}))
    refused = other.attempt("start", "valkey")
    assert refused.returncode == 1
    assert f"valkey cannot start: port {port} (HOLDFAST_STACK_VALKEY_PORT) is taken by valkey-server" in refused.stderr
    assert other.attempt("down").returncode == 0
    assert alive(before)

    tried_stack.stop("valkey")
    assert not alive(before)


def test_status_says_what_does_not_run(tried_stack: RealServers) -> None:
    tried_stack.start("valkey")
    tried_stack.stop("valkey")
    shown = tried_stack.attempt("status")
    assert shown.returncode == 1
    (line,) = [line for line in shown.stdout.splitlines() if "valkey" in line]
    assert "does not run" in line


def _process(servers: RealServers, name: str):
    process = Records(servers.settings.dir / "run").living(name)
    assert process is not None
    return process


async def _make_topic(address: str, name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()


async def _produce(address: str, topic: str, value: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=address, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


async def _all(address: str, topic: str, wanted: int) -> list[bytes | None]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=address, auto_offset_reset="earliest")
    await consumer.start()
    try:
        async with asyncio.timeout(30):
            return [(await consumer.getone()).value for _ in range(wanted)]
    finally:
        await consumer.stop()


def _ask_cassandra(port: int, *statements: str) -> list[tuple[int, ...]]:
    cluster = Cluster(["127.0.0.1"], port=port, protocol_version=5)
    try:
        session = cluster.connect()
        for statement in statements:
            answer = session.execute(statement, timeout=30)
        return [tuple(row) for row in answer]
    finally:
        cluster.shutdown()
