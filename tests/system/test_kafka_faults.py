"""A Kafka broker that is killed or frozen in the middle of the work: the same writer and reader go on when it is back."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import count

import pytest

from holdfast.stack.records import Records
from storage.errors import StoreUnavailable
from storage.event_log import EventReader, EventWriter, Message
from storage.kafka_connection import KafkaAddress
from storage.kafka_event_log import KafkaEventReader, KafkaEventWriter
from tests.conformance.event_logs import TOPICS, messages, numbers, read
from tests.stack import RealServers

_prefixes = count(1)


class Broker:
    """Of the tests' own, so that it may come to harm."""

    def __init__(self, servers: RealServers) -> None:
        self.servers = servers
        self.address = KafkaAddress((f"127.0.0.1:{servers.settings.kafka_port}",), f"faults{next(_prefixes)}-")

    @property
    def pid(self) -> int:
        living = Records(self.servers.settings.dir / "run").living("kafka")
        assert living is not None
        return living.pid

    async def start(self) -> None:
        await asyncio.to_thread(self.servers.start, "kafka")

    async def kill(self) -> None:
        await asyncio.to_thread(self.servers.kill, "kafka")

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)


@pytest.fixture
async def broker(own_stack: RealServers) -> Broker:
    made = Broker(own_stack)
    await made.start()
    return made


@pytest.fixture
async def writer(broker: Broker) -> AsyncIterator[EventWriter]:
    made = KafkaEventWriter(broker.address, request_seconds_max=3.0)
    yield made
    await made.close()


@pytest.fixture
async def reader(broker: Broker) -> AsyncIterator[EventReader]:
    made = KafkaEventReader(broker.address, "readers", TOPICS, session_seconds=6.0, request_seconds_max=3.0)
    yield made
    await made.close()


async def persist(writer: EventWriter, sent: list[Message]) -> int:
    """Append as the relay does: the same again until it is acknowledged. How often it was not."""
    failures = 0
    async with asyncio.timeout(120):
        while True:
            try:
                await writer.append(sent)
            except StoreUnavailable:
                failures += 1
            else:
                return failures


async def read_all(reader: EventReader, wanted: set[int]) -> list[int]:
    """Read and commit until each number came at least once, however often the broker is away meanwhile."""
    found: list[int] = []
    async with asyncio.timeout(120):
        while not wanted <= set(found):
            with suppress(StoreUnavailable):
                some = await reader.poll(100, 0.5)
                found += numbers(some)  # before the commit: one that failed may be with the broker all the same
                await reader.commit(some)
    return found


async def lag_of(reader: EventReader) -> int | None:
    """None while the broker is away."""
    try:
        return await reader.lag()
    except StoreUnavailable:
        return None


async def poll_for_ever(reader: EventReader) -> None:
    """Until it raises, which a quiet log would not do."""
    async with asyncio.timeout(30):
        while True:
            assert list(await reader.poll(100, 0.5)) == []


def first_tellings(found: list[int], keys: int = 20) -> dict[int, list[int]]:
    by: dict[int, list[int]] = {}
    for number in dict.fromkeys(found):
        by.setdefault(number % keys, []).append(number)
    return by


def assert_in_order(found: list[int]) -> None:
    for values in first_tellings(found).values():
        assert values == sorted(values)


async def test_a_broker_that_is_killed_is_away_and_comes_back(
    broker: Broker, writer: EventWriter, reader: EventReader
) -> None:
    await persist(writer, messages(100))
    uncommitted = await read(reader, 100)
    await broker.kill()
    with pytest.raises(StoreUnavailable) as raised:
        await writer.append(messages(100, start=100))
    assert raised.value.__cause__ is not None
    with pytest.raises(StoreUnavailable):
        await reader.commit(uncommitted)
    with pytest.raises(StoreUnavailable):
        await reader.lag()
    with pytest.raises(StoreUnavailable):
        await poll_for_ever(reader)
    writing = asyncio.create_task(persist(writer, messages(200, start=100)))
    await broker.start()
    assert await writing > 0
    await reader.rewind()
    found = await read_all(reader, set(range(300)))
    assert_in_order(found)


async def test_a_broker_that_froze_says_late_what_it_got_and_nothing_overtakes(
    broker: Broker, writer: EventWriter, reader: EventReader
) -> None:
    await persist(writer, messages(40))
    reading = asyncio.create_task(read_all(reader, set(range(640))))
    for start in range(40, 640, 200):
        broker.freeze()
        try:
            with pytest.raises(StoreUnavailable):
                await writer.append(messages(200, start=start))
        finally:
            broker.thaw()
        await persist(writer, messages(200, start=start))
    assert_in_order(await reading)


async def test_a_commit_that_the_broker_froze_on_is_committed_again_and_the_reader_goes_on(
    broker: Broker, writer: EventWriter, reader: EventReader
) -> None:
    await persist(writer, messages(40))
    found = await read(reader, 40)
    broker.freeze()
    try:
        with pytest.raises(StoreUnavailable):
            await reader.commit(found)
    finally:
        broker.thaw()
    async with asyncio.timeout(60):
        while await lag_of(reader) != 0:
            with suppress(StoreUnavailable):
                await reader.commit(found)
                found += await reader.poll(100, 0.5)  # comes again where its place was lost
    await persist(writer, messages(40, start=40))
    assert set(await read_all(reader, set(range(40, 80)))) == set(range(40, 80))


async def test_a_reader_that_leaves_while_the_broker_is_away_is_gone_in_seconds(
    broker: Broker, writer: EventWriter, reader: EventReader
) -> None:
    await persist(writer, messages(10))
    assert set(numbers(await read(reader, 10))) == set(range(10))
    broker.freeze()
    try:
        async with asyncio.timeout(20):
            await reader.close()
            await writer.close()
    finally:
        broker.thaw()
