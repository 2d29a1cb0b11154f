"""What only the log in Kafka has to prove: its address, its topics, and that a partition lost and regained is a new one."""

from datetime import UTC, datetime
from itertools import count

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from storage.errors import StoreUnavailable
from storage.event_log import PARTITIONS, Topic
from storage.event_log_url import event_reader, event_writer
from storage.kafka_connection import KafkaAddress, kafka_address
from storage.kafka_event_log import KafkaEventReader, KafkaEventWriter
from storage.postgres_event_log import PostgresEventReader, PostgresEventWriter
from tests.conformance.event_logs import messages, read

_numbers = count(1)


@pytest.fixture
def address(kafka_url):
    return kafka_address(f"{kafka_url}own{next(_numbers)}-")


@pytest.fixture
async def writer(address):
    made = KafkaEventWriter(address)
    yield made
    await made.close()


@pytest.fixture
async def reader(address):
    made = KafkaEventReader(address, "readers", (Topic.NEW_BOOKING,))
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("url", "brokers", "prefix"),
    [
        ("kafka://a:1", ("a:1",), ""),
        ("kafka://a:1,b.example.org:2/", ("a:1", "b.example.org:2"), ""),
        ("kafka://127.0.0.1:9092/t1-", ("127.0.0.1:9092",), "t1-"),
    ],
)
def test_an_address_is_brokers_and_a_prefix(url, brokers, prefix):
    assert kafka_address(url) == KafkaAddress(brokers, prefix)
    assert kafka_address(url).topic(Topic.NEW_VENDOR) == f"{prefix}new_vendor"


@pytest.mark.parametrize("url", ["", "kafka://", "kafka:///p", "kafka://host", "kafka://host:x", "redis://a:1"])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ValueError, match="kafka://host:port"):
        kafka_address(url)


async def test_the_url_picks_the_log():
    for made, kind in (
        (event_writer("kafka://a:1", "postgresql://x"), KafkaEventWriter),
        (event_writer("", "postgresql://x"), PostgresEventWriter),
        (event_reader("kafka://a:1", "", "g", ()), KafkaEventReader),
        (event_reader("", "postgresql://x", "g", ()), PostgresEventReader),
    ):
        assert type(made) is kind
    with pytest.raises(ValueError, match="kafka://"):
        event_writer("amqp://a:1", "postgresql://x")


async def test_what_was_read_before_a_partition_went_and_came_back_cannot_be_committed(writer, reader, address):
    """The group may have read on meanwhile, and would be thrown back."""
    await writer.append(messages(40))
    stale = await read(reader, 40)
    topic = address.topic(Topic.NEW_BOOKING)
    reader._given.on_partitions_revoked([TopicPartition(topic, number) for number in range(PARTITIONS)])
    await reader.commit(stale)
    assert await reader.lag() == 40


async def test_a_topic_with_too_few_partitions_is_named(writer, address):
    name = address.topic(Topic.BOOKING_AVAILED)
    admin = AIOKafkaAdminClient(bootstrap_servers=list(address.brokers))
    await admin.start()
    await admin.create_topics([NewTopic(name, 2, 1)])
    await admin.close()
    with pytest.raises(StoreUnavailable, match=f"{name} has 2 partitions"):
        await writer.append(messages(1))


async def test_kafka_forgets_by_itself(writer):
    assert await writer.forget(datetime.now(UTC)) == 0
