"""The event log: nothing is lost, keys keep their order, a group goes on where it committed, also when a member dies."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from itertools import count, pairwise
from pathlib import Path

import pytest

from storage.errors import StoreUnavailable
from storage.event_log import Message, Topic, partition_of
from storage.event_log_url import event_reader, event_writer
from storage.kafka_connection import kafka_address
from storage.kafka_event_log import KafkaEventReader, KafkaEventWriter
from storage.postgres_event_log import PostgresEventReader, PostgresEventWriter
from tests.conformance.event_logs import TOPICS, EventLog, by_key, messages, numbers, read, rest_of
from tests.conformance.waiting import until
from tests.fakes.road import Road

MEMBER = Path(__file__).parent / "event_log_member.py"
ROOT = Path(__file__).parents[2]
_numbers = count(1)


class Opened:
    """Closes what a test opened."""

    def __init__(self):
        self.all = []

    def keep(self, one):
        self.all.append(one)
        return one

    async def close(self):
        for one in self.all:
            await one.close()


class PostgresLog(Opened):
    def __init__(self, postgres_url):
        super().__init__()
        self.url = ""
        self.postgres_url = postgres_url

    def writer(self):
        return self.keep(PostgresEventWriter(self.postgres_url))

    def reader(self, group="readers", topics=TOPICS):
        return self.keep(PostgresEventReader(self.postgres_url, group, topics, claim_seconds=1.5))


class KafkaLog(Opened):
    def __init__(self, url):
        super().__init__()
        self.url = url
        self.postgres_url = ""

    def writer(self):
        return self.keep(KafkaEventWriter(kafka_address(self.url)))

    def reader(self, group="readers", topics=TOPICS):
        return self.keep(KafkaEventReader(kafka_address(self.url), group, topics, session_seconds=6.0))


@pytest.fixture(params=["postgres", "kafka"])
def where(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The kind of log and its server's URL."""
    return request.param, request.getfixturevalue("database" if request.param == "postgres" else "kafka_url")


@pytest.fixture
async def log(where: tuple[str, str]) -> AsyncIterator[EventLog]:
    kind, url = where
    made = PostgresLog(url) if kind == "postgres" else KafkaLog(f"{url}{next(_numbers)}-")
    yield made
    await made.close()


async def test_what_was_appended_comes_with_key_value_and_place(log):
    await log.writer().append([Message(Topic.NEW_BOOKING, "ä-1", b"\x00\xff one"), Message(TOPICS[1], "k", b"")])
    found = await read(log.reader(), 2)
    assert {(m.topic, m.key, m.value) for m in found} == {
        (Topic.NEW_BOOKING, "ä-1", b"\x00\xff one"),
        (TOPICS[1], "k", b""),
    }
    assert all(type(m.topic) is Topic and m.partition == partition_of(m.key) and m.offset == 0 for m in found)


async def test_keys_keep_their_order_over_many_appends_and_polls(log):
    writer, sent = log.writer(), messages(600) + messages(300, topic=TOPICS[1])
    for start in range(0, len(sent), 90):
        await writer.append(sent[start : start + 90])
    await writer.append([])
    found = await read(log.reader(), len(sent), messages_max=37)
    assert len(found) == len(sent)
    assert by_key(found) == by_key(sent)


async def test_a_poll_brings_no_more_than_was_asked_for(log):
    await log.writer().append(messages(100))
    reader = log.reader()
    assert len(await read(reader, 1, messages_max=7)) <= 7


async def test_only_the_topics_asked_for_come(log):
    await log.writer().append(messages(5, topic=Topic.NEW_VENDOR) + messages(5))
    reader = log.reader(topics=(Topic.NEW_BOOKING,))
    assert {m.topic for m in await read(reader, 5)} == {Topic.NEW_BOOKING}
    assert await reader.poll(10, 0.2) == []


async def test_a_group_goes_on_where_it_committed(log):
    await log.writer().append(messages(100))
    first = log.reader()
    found = await read(first, 40, messages_max=10)
    await first.commit(found)
    await first.close()
    rest = await read(log.reader(), 100 - len(found))
    assert sorted(numbers(found) + numbers(rest)) == list(range(100))


async def test_a_commit_reaches_up_to_the_given_message_and_no_further(log):
    await log.writer().append(messages(30, keys=1))
    first = log.reader()
    found = await read(first, 30)
    await first.commit(found[:12])
    await first.close()
    assert numbers(await read(log.reader(), 18)) == list(range(12, 30))


async def test_what_was_not_committed_comes_again(log):
    await log.writer().append(messages(50))
    first = log.reader()
    assert len(await read(first, 50)) == 50
    await first.close()
    assert sorted(numbers(await read(log.reader(), 50))) == list(range(50))


async def test_rewind_goes_back_to_the_last_commit(log):
    await log.writer().append(messages(60))
    reader = log.reader()
    done = await read(reader, 20, messages_max=10)
    await reader.commit(done)
    left = set(range(60)) - set(numbers(done))
    assert set(numbers(await read(reader, len(left)))) == left
    await reader.rewind()
    assert set(numbers(await read(reader, len(left)))) == left


async def test_rewind_before_the_first_commit_goes_back_to_the_beginning(log):
    await log.writer().append(messages(20))
    reader = log.reader()
    await read(reader, 20)
    await reader.rewind()
    assert sorted(numbers(await read(reader, 20))) == list(range(20))


async def test_every_group_gets_everything(log):
    await log.writer().append(messages(40))
    one, other = log.reader("one"), log.reader("other")
    assert sorted(numbers(await read(one, 40, commit=True))) == list(range(40))
    assert sorted(numbers(await read(other, 40, commit=True))) == list(range(40))


async def test_lag_is_what_the_group_has_not_committed(log):
    writer, reader = log.writer(), log.reader()
    await writer.append(messages(50))
    assert await reader.lag() == 50
    found = await read(reader, 50)
    assert await reader.lag() == 50
    await reader.commit(found[:0])
    await reader.commit(found)
    assert await reader.lag() == 0
    await writer.append(messages(7, topic=TOPICS[1]))
    assert await reader.lag() == 7
    assert await log.reader("another").lag() == 57


async def test_a_waiting_poll_is_woken_by_an_append(log):
    reader, writer = log.reader(), log.writer()
    await writer.append(messages(1))
    await read(reader, 1, commit=True)
    waiting = asyncio.ensure_future(reader.poll(10, 20.0))
    began = asyncio.get_running_loop().time()
    await writer.append(messages(1, start=1))
    assert numbers(await waiting) == [1]
    assert asyncio.get_running_loop().time() - began < 0.9


async def test_a_poll_without_messages_returns_in_time(log):
    reader = log.reader()
    await reader.poll(10, 0.0)
    began = asyncio.get_running_loop().time()
    assert list(await reader.poll(10, 0.3)) == []
    assert 0.25 < asyncio.get_running_loop().time() - began < 5


async def test_an_append_done_again_gives_doubles_in_order(log):
    writer = log.writer()
    for _ in range(2):
        await writer.append(messages(20, keys=4))
    found = await read(log.reader(), 40)
    assert by_key(found) == by_key(messages(20, keys=4) * 2)


async def test_writers_at_once_lose_nothing_and_keep_each_its_order(log):
    async def write(writer, first):
        for start in range(first, first + 500, 50):
            await writer.append(messages(50, keys=10, start=start))

    await asyncio.gather(*(write(log.writer(), first) for first in (0, 1000, 2000, 3000)))
    found = await read(log.reader(), 2000, messages_max=500)
    assert len(found) == 2000
    for values in by_key(found).values():
        for first in (0, 1000, 2000, 3000):
            own = [value for value in values if first <= value < first + 1000]
            assert own == sorted(own)
            assert len(own) == 50


async def test_a_message_of_two_megabytes_goes_through(log):
    await log.writer().append([Message(Topic.NEW_VENDOR, "v", b"x" * 2_000_000), Message(Topic.NEW_VENDOR, "v", b"y")])
    found = await read(log.reader(topics=(Topic.NEW_VENDOR,)), 2)
    assert [len(m.value) for m in found] == [2_000_000, 1]


async def test_two_members_share_the_partitions_and_one_goes_on_alone(log):
    writer, first, second = log.writer(), log.reader(), log.reader()
    await writer.append(messages(40))
    await read(first, 40, commit=True)
    heard = {first: [], second: []}
    stopping = asyncio.Event()

    async def listen(reader):
        while not stopping.is_set():
            found = await reader.poll(50, 0.2)
            await reader.commit(found)
            heard[reader] += numbers(found)

    listening = [asyncio.create_task(listen(reader)) for reader in heard]
    sent = 40

    async def both_hear():
        nonlocal sent
        await writer.append(messages(20, start=sent))
        sent += 20
        return all(heard.values())

    await until(both_hear, 30)
    stopping.set()
    await asyncio.gather(*listening)
    await second.close()
    told = await read_up_to(first, sent, heard)
    assert set(told) == set(range(40, sent))


async def read_up_to(reader, sent, heard):
    """What either heard, and what the one that is left hears until the log is at its end."""
    return (
        heard[reader]
        + [n for other, found in heard.items() if other is not reader for n in found]
        + numbers(await rest_of(reader))
    )


async def test_the_others_take_over_at_once_from_one_that_leaves(log):
    writer, first, second = log.writer(), log.reader(), log.reader()
    await writer.append(messages(60))
    assert len(await read(first, 60)) == 60
    waiting = asyncio.create_task(read(second, 60))
    await first.close()
    assert set(numbers(await waiting)) == set(range(60))


async def test_a_commit_for_a_partition_that_went_elsewhere_has_no_effect(log):
    writer, first, second = log.writer(), log.reader(), log.reader()
    await writer.append(messages(60))
    stale = await read(first, 60)
    stolen = []
    async with asyncio.timeout(30):
        while not stolen:
            stolen, _ = await asyncio.gather(second.poll(100, 0.5), first.poll(100, 0.5))
    await first.commit(stale)
    await first.close()
    await second.close()
    again = await rest_of(log.reader())
    assert set(numbers(stolen)) <= set(numbers(again))


async def test_what_a_killed_member_had_goes_to_the_others(log):
    writer = log.writer()
    await writer.append(messages(80))
    command = (sys.executable, str(MEMBER), log.url, log.postgres_url, "readers")
    member = await asyncio.create_subprocess_exec(*command, stdout=PIPE, cwd=ROOT)
    try:
        async with asyncio.timeout(30):
            seen = [int(await member.stdout.readline()) for _ in range(80)]
        assert sorted(seen) == list(range(80))
        other = log.reader()
        found = [*await other.poll(100, 0.5), *await other.poll(100, 0.5)]
        assert len(found) < 80, "partitions of a living member were given away"
    finally:
        member.kill()
        await member.wait()
    await writer.append(messages(20, start=80))
    found += await read(other, 100 - len(found), commit=True)
    assert set(numbers(found)) == set(range(100))
    for values in by_key(found).values():
        assert all(earlier < later for earlier, later in pairwise(values))


@pytest.fixture
async def road(request, log) -> AsyncIterator[Road]:
    """To where the log's server is; closed at first."""
    made = Road(port_of(log.url or log.postgres_url))
    made.port = await made.open()
    await made.close()
    yield made
    await made.close()


def port_of(url):
    return int(url.partition("://")[2].rpartition("@")[2].partition("/")[0].partition(",")[0].rpartition(":")[2])


def by_road(url, road):
    return url.replace(f":{port_of(url)}", f":{road.port}") if url else url


async def test_a_log_that_is_away_at_the_start_is_used_once_it_comes(log, road):
    urls = by_road(log.url, road), by_road(log.postgres_url, road)
    writer = log.keep(event_writer(*urls))
    reader = log.keep(event_reader(*urls, "readers", TOPICS))
    for call in (lambda: writer.append(messages(1)), lambda: reader.poll(1, 0.1), reader.lag):
        with pytest.raises(StoreUnavailable) as raised:
            await call()
        assert raised.value.__cause__ is not None
    await reader.rewind()
    await road.open(road.port)
    await writer.append(messages(30))
    assert sorted(numbers(await read(reader, 30, commit=True))) == list(range(30))
