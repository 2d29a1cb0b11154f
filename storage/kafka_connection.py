"""What Kafka's two sides share: the address, the topics, and driver errors in our own words."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from storage.errors import StoreUnavailable
from storage.event_log import PARTITIONS, Topic

REQUEST_SECONDS_MAX: Final = 10.0
MESSAGE_BYTES_MAX: Final = 8 * 1024 * 1024

_SCHEME: Final = "kafka://"
_REPLICAS_OF_BROKER: Final = -1  # as many as default.replication.factor says


@dataclass(frozen=True, slots=True)
class KafkaAddress:
    """Brokers as host:port, and what the names of topics and groups begin with, so that installations can share them."""

    brokers: tuple[str, ...]
    prefix: str = ""

    def topic(self, topic: Topic) -> str:
        return self.prefix + topic

    def group(self, group: str) -> str:
        return self.prefix + group


def kafka_address(url: str) -> KafkaAddress:
    """`kafka://host:port,host:port`, with `/prefix` if wanted. ValueError for anything else."""
    brokers, _, prefix = url.removeprefix(_SCHEME).partition("/")
    found = tuple(broker for broker in brokers.split(",") if broker)
    if not url.startswith(_SCHEME) or not found or not all(_is_host_and_port(broker) for broker in found):
        raise ValueError("the URL of Kafka is kafka://host:port,host:port, with /prefix if wanted")
    return KafkaAddress(found, prefix)


@asynccontextmanager
async def unavailable_when_away(doing: str, seconds: float = REQUEST_SECONDS_MAX) -> AsyncIterator[None]:
    """Whatever Kafka's driver raises within is StoreUnavailable, and so is taking longer than this."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise StoreUnavailable(f"Kafka: {doing} took longer than {seconds:g} s") from error
    except (KafkaError, OSError, AssertionError) as error:  # the driver asserts what a broker that left made untrue
        raise StoreUnavailable(f"Kafka: {doing}: {type(error).__name__}: {error}") from error


async def ensure_topics(address: KafkaAddress, topics: Iterable[Topic]) -> None:
    """Make the topics that are missing. Raises StoreUnavailable, also for one that has too few partitions."""
    names = [address.topic(topic) for topic in topics]
    async with unavailable_when_away("making topics"):
        admin = AIOKafkaAdminClient(
            bootstrap_servers=list(address.brokers), request_timeout_ms=int(REQUEST_SECONDS_MAX * 1000)
        )
        try:
            await admin.start()
            found = await _partitions(admin, names)
            if missing := [name for name, partitions in found.items() if not partitions]:
                await _create(admin, missing)
        finally:
            await admin.close()
    for name, partitions in found.items():
        if 0 < partitions < PARTITIONS:
            raise StoreUnavailable(f"Kafka: the topic {name} has {partitions} partitions, not {PARTITIONS}")


async def _partitions(admin: Any, names: list[str]) -> dict[str, int]:
    """How many each topic has, 0 for one that is not there."""
    described = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics(names)}
    return {name: described.get(name, 0) for name in names}


async def _create(admin: Any, names: list[str]) -> None:
    """Another process may be making the same ones."""
    limits = {"max.message.bytes": str(MESSAGE_BYTES_MAX)}
    response = await admin.create_topics(
        [
            NewTopic(name, PARTITIONS, _REPLICAS_OF_BROKER, replica_assignments={}, topic_configs=limits)
            for name in sorted(names)
        ]
    )
    for _topic, code, *_ in response.topic_errors:
        if code and for_code(code) is not TopicAlreadyExistsError:
            raise for_code(code)


def _is_host_and_port(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isdigit()
