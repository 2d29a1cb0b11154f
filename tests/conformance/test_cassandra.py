"""What only Cassandra has to show: who makes its tables, what an address may be, and how long a silent server is borne."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from uuid import uuid4

import pytest
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.policies import RoundRobinPolicy

from domain.booking import BookingStatus
from domain.ids import vendor_id_from
from storage import cassandra
from storage.archive_url import archive_at
from storage.booking_page import PageAsked
from storage.cassandra import CassandraAddress
from storage.cassandra_archive import CassandraArchive
from storage.errors import StoreUnavailable
from storage.postgres_archive import PostgresArchive
from tests.conformance.stores import booking

_numbers = count(1)


def ended():
    return booking(vendor_id_from(uuid4().int), uuid4().int, status=BookingStatus.AVAILED)


@contextmanager
def session(address: CassandraAddress) -> Iterator[object]:
    profile = ExecutionProfile(load_balancing_policy=RoundRobinPolicy(), request_timeout=60)
    cluster = Cluster(
        list(address.nodes),
        port=address.nodes[0][1],
        protocol_version=5,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
    )
    try:
        yield cluster.connect()
    finally:
        cluster.shutdown()


@pytest.fixture
async def fresh_url(cassandra_url: str) -> AsyncIterator[str]:
    """The address of a keyspace that is not there yet."""
    address = CassandraAddress.parse(cassandra_url)
    keyspace = f"{address.keyspace}_{next(_numbers)}"
    yield cassandra_url.replace(f"/{address.keyspace}", f"/{keyspace}")
    with session(address) as admin:
        admin.execute(f"DROP KEYSPACE IF EXISTS {keyspace}")


async def test_several_processes_make_the_keyspace_at_the_same_time(fresh_url):
    """Each finds the tables, and none of them finds two of a kind."""
    archives = [CassandraArchive(fresh_url) for _ in range(4)]
    made = [ended() for _ in archives]
    await asyncio.gather(*(archive.store([one]) for archive, one in zip(archives, made, strict=True)))
    for archive in archives:
        for one in made:
            assert await archive.by_id(one.booking_id) == one
    for archive in archives:
        await archive.close()


async def test_a_keyspace_that_the_operator_made_is_left_as_it_is(fresh_url):
    address = CassandraAddress.parse(fresh_url)
    with session(address) as admin:
        admin.execute(
            f"CREATE KEYSPACE {address.keyspace} WITH replication = "
            "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        )
        archive = CassandraArchive(fresh_url)
        await archive.store([ended()])
        await archive.close()
        [[replication]] = admin.execute(
            "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = %s", (address.keyspace,)
        )
    assert "SimpleStrategy" in replication["class"]


async def test_what_one_process_stored_another_finds(cassandra_url):
    one, writer, reader = ended(), CassandraArchive(cassandra_url), CassandraArchive(cassandra_url)
    await writer.store([one])
    assert await reader.versions([one.booking_id]) == {one.booking_id: one.version}
    await writer.close()
    await reader.close()


async def test_a_booking_is_acknowledged_only_once_every_table_has_it(cassandra_url, monkeypatch):
    """`versions` is what bookings are deleted upon, so what the lists lack must not show there."""
    archive = CassandraArchive(cassandra_url)
    one = ended()
    rows = archive._cassandra.rows

    async def spoilt(name, *parameters):
        if name == "store_of_vendor_month":
            raise StoreUnavailable("lost on the way")
        return await rows(name, *parameters)

    monkeypatch.setattr(archive._cassandra, "rows", spoilt)
    with pytest.raises(StoreUnavailable):
        await archive.store([one])
    assert await archive.versions([one.booking_id]) == {}
    monkeypatch.undo()
    await archive.store([one])
    assert await archive.of_vendor(one.vendor_id, PageAsked(5)) == [one]
    await archive.close()


async def test_an_answer_of_several_pages_is_one(cassandra_url):
    """The driver asks for the next page when told to, from its own thread."""
    archive = CassandraArchive(cassandra_url)
    first = ended()
    made = [replace(first, booking_id=ended().booking_id, vendor_id=first.vendor_id) for _ in range(25)]
    await archive.store(made)
    connected = await archive._cassandra._ready()
    connected.session.default_fetch_size = 10
    assert len(await archive.of_vendor(first.vendor_id, PageAsked(100))) == 25
    await archive.close()


class Silent:
    """A server that takes connections and never says a word."""

    async def __aenter__(self):
        self.writers = []
        self.server = await asyncio.start_server(lambda _, writer: self.writers.append(writer), "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()[1]

    async def __aexit__(self, *_):
        self.server.close()
        for writer in self.writers:
            writer.close()


async def test_a_silent_server_is_borne_for_a_bounded_time_and_by_all_at_once(monkeypatch):
    monkeypatch.setattr(cassandra, "CONNECT_SECONDS_MAX", 0.2)
    async with Silent() as port:
        archive = CassandraArchive(f"cassandra://127.0.0.1:{port}/holdfast")
        async with asyncio.timeout(10):
            outcomes = await asyncio.gather(
                *(archive.versions([one]) for one in [ended().booking_id] * 50), return_exceptions=True
            )
        assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
        await archive.close()


@pytest.mark.parametrize(
    ("url", "nodes", "keyspace", "user", "password"),
    [
        ("cassandra://127.0.0.1:9142/holdfast", (("127.0.0.1", 9142),), "holdfast", "", ""),
        ("cassandra://a,b:1/k_2", (("a", 9042), ("b", 1)), "k_2", "", ""),
        ("cassandra://me:p%40ss:1@a:1/k", (("a", 1),), "k", "me", "p@ss:1"),
        ("cassandra://[::1]:1,[::2]/k", (("::1", 1), ("::2", 9042)), "k", "", ""),
    ],
)
def test_an_address_names_nodes_and_a_keyspace(url, nodes, keyspace, user, password):
    assert CassandraAddress.parse(url) == CassandraAddress(nodes, keyspace, user, password)


@pytest.mark.parametrize(
    "url",
    [
        "cassandra://127.0.0.1:9142",
        "cassandra:///holdfast",
        "cassandra://u:secret@a:1/Hold-Fast",
        "cassandra://u:secret@a:1/k; DROP TABLE x",
        "cassandra://u:secret@,/k",
        "postgresql://a/k",
        "mongodb://u:secret@a/k",
    ],
)
def test_any_other_address_is_refused_without_its_password(url):
    with pytest.raises(ValueError, match=r"(?i)cassandra") as refused:
        archive_at(url, "")
    assert "secret" not in str(refused.value)


async def test_without_an_address_the_archive_is_in_postgres(database):
    archive = archive_at("", database)
    assert isinstance(archive, PostgresArchive)
    await archive.close()
