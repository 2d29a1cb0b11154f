"""The event log in Kafka. Nothing here claims "exactly once": readers bear doubles.

A partition's messages of one append travel as batches that follow one another: the next is handed over only when the
broker has acknowledged the last. What an append that failed has handed over stays with the producer, which goes on
trying and keeps the order, so that appending again only repeats: nothing overtakes.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaTimeoutError

from storage.errors import StoreUnavailable
from storage.event_log import PARTITIONS, Delivered, Message, Topic, partition_of
from storage.kafka_connection import (
    MESSAGE_BYTES_MAX,
    REQUEST_SECONDS_MAX,
    KafkaAddress,
    ensure_topics,
    unavailable_when_away,
)

_BATCH_BYTES: Final = 512 * 1024
_CLOSE_SECONDS_MAX: Final = 5.0
_PROOF_OF_LIFE_SECONDS: Final = 5.0


class KafkaEventWriter:
    """Connects, and makes the topics that are missing, when first used."""

    def __init__(self, address: KafkaAddress, *, request_seconds_max: float = REQUEST_SECONDS_MAX) -> None:
        self._address = address
        self._request_seconds_max = request_seconds_max
        self._producer: Any = None

    async def append(self, messages: Sequence[Message]) -> None:
        if not messages:
            return
        producer = await self._connected()
        try:
            async with unavailable_when_away("appending", self._request_seconds_max):
                sent = await asyncio.gather(
                    *(
                        _send(producer, self._address.topic(topic), partition, own)
                        for (topic, partition), own in _by_partition(messages).items()
                    ),
                    return_exceptions=True,
                )
                for error in sent:
                    if error is not None:
                        raise error
        except StoreUnavailable as error:
            if not isinstance(error.__cause__, TimeoutError | KafkaTimeoutError):
                await self._drop()
            raise

    async def forget(self, before: datetime) -> int:  # noqa: ARG002 - the broker's own retention does it
        return 0

    async def close(self) -> None:
        await self._drop()

    async def _connected(self) -> Any:
        if self._producer is None:
            await ensure_topics(self._address, Topic)
            producer = AIOKafkaProducer(
                bootstrap_servers=list(self._address.brokers),
                acks="all",
                enable_idempotence=True,
                max_batch_size=_BATCH_BYTES,
                max_request_size=MESSAGE_BYTES_MAX,
                request_timeout_ms=int(self._request_seconds_max * 1000),
            )
            try:
                async with unavailable_when_away("connecting", self._request_seconds_max):
                    await producer.start()
            except StoreUnavailable:
                await producer.stop()
                raise
            self._producer = producer
        return self._producer

    async def _drop(self) -> None:
        """Let go of a producer that the broker does not want any more, or that nobody needs."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await _stop(producer, producer.client)


class KafkaEventReader:
    """One member of a group; all members of a group read the same topics. It connects when first used.

    Whoever is not heard of for `session_seconds` is over, and whoever does not poll for `handling_seconds_max`.
    """

    def __init__(
        self,
        address: KafkaAddress,
        group: str,
        topics: Sequence[Topic],
        *,
        session_seconds: float = 10.0,
        handling_seconds_max: float = 300.0,
        request_seconds_max: float = REQUEST_SECONDS_MAX,
    ) -> None:
        self._address = address
        self._group = group
        self._topics = {address.topic(topic): topic for topic in topics}
        self._session_seconds = session_seconds
        self._handling_seconds_max = handling_seconds_max
        self._request_seconds_max = request_seconds_max
        self._consumer: Any = None
        self._given = _Given()
        self._proven_at = float("-inf")

    async def poll(self, messages_max: int, wait_seconds: float) -> Sequence[Delivered]:
        consumer = await self._connected()
        try:
            async with unavailable_when_away("reading", wait_seconds + self._request_seconds_max):
                found = await _next(consumer, messages_max, wait_seconds)
        except StoreUnavailable:
            await self._drop()
            raise
        if found:
            self._proven_at = _now()
        elif _now() > self._proven_at + _PROOF_OF_LIFE_SECONDS:
            await self._prove_life(consumer)
        self._given.note(found)
        return [self._delivered(record) for records in found.values() for record in records]

    async def commit(self, done: Sequence[Delivered]) -> None:
        ends: dict[TopicPartition, int] = {}
        for message in done:
            partition = TopicPartition(self._address.topic(message.topic), message.partition)
            if self._given.has(partition, message.offset):
                ends[partition] = max(message.offset + 1, ends.get(partition, 0))
        if not ends:
            return
        try:
            async with unavailable_when_away("committing", self._request_seconds_max):
                await _commit(self._consumer, ends)
        except _WentElsewhere:
            self._given.clear(ends)
        else:
            self._given.commit(ends)

    async def rewind(self) -> None:
        for partition, offset in self._given.rewind().items():
            with suppress(IllegalStateError):  # it went elsewhere just now
                self._consumer.seek(partition, offset)

    async def lag(self) -> int:
        consumer = await self._connected()
        partitions = [TopicPartition(topic, number) for topic in self._topics for number in range(PARTITIONS)]
        async with unavailable_when_away("counting", self._request_seconds_max):
            committed = {partition: await consumer.committed(partition) for partition in partitions}
            firsts = await consumer.beginning_offsets(partitions)
            ends = await consumer.end_offsets(partitions)
        return sum(
            max(0, ends[partition] - max(committed[partition] or 0, firsts[partition])) for partition in partitions
        )

    async def close(self) -> None:
        await self._drop()

    async def _connected(self) -> Any:
        if self._consumer is None:
            await ensure_topics(self._address, self._topics.values())
            consumer = AIOKafkaConsumer(
                bootstrap_servers=list(self._address.brokers),
                group_id=self._address.group(self._group),
                auto_offset_reset="earliest",
                enable_auto_commit=False,
                session_timeout_ms=int(self._session_seconds * 1000),
                heartbeat_interval_ms=int(self._session_seconds * 1000 / 4),
                max_poll_interval_ms=int(self._handling_seconds_max * 1000),
                request_timeout_ms=int(max(self._request_seconds_max, self._session_seconds + 1) * 1000),
            )
            try:
                async with unavailable_when_away("connecting", self._request_seconds_max):
                    await consumer.start()
            except StoreUnavailable:
                await consumer.stop()
                raise
            consumer.subscribe(list(self._topics), listener=self._given)
            self._consumer = consumer
            self._proven_at = _now()
        return self._consumer

    async def _prove_life(self, consumer: Any) -> None:
        """An empty poll does not tell a quiet log from one that is away."""
        async with unavailable_when_away("reading", self._request_seconds_max):
            await consumer.topics()
        self._proven_at = _now()

    async def _drop(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await _stop(consumer, consumer._client)  # noqa: SLF001 - what stop() closes last
        self._given.clear()

    def _delivered(self, record: Any) -> Delivered:
        key = (record.key or b"").decode(errors="replace")
        return Delivered(self._topics[record.topic], record.partition, record.offset, key, record.value or b"")


class _WentElsewhere(Exception):
    """The group was shared out anew, and these partitions may be somebody else's."""


class _Given(ConsumerRebalanceListener):  # type: ignore[misc]
    """Which messages were handed out since the partitions became ours: from `first`, not committed, to before `next`."""

    def __init__(self) -> None:
        self._ranges: dict[TopicPartition, tuple[int, int]] = {}

    def note(self, found: Mapping[TopicPartition, Sequence[Any]]) -> None:
        for partition, records in found.items():
            first, _ = self._ranges.get(partition, (records[0].offset, 0))
            self._ranges[partition] = (first, records[-1].offset + 1)

    def has(self, partition: TopicPartition, offset: int) -> bool:
        first, after = self._ranges.get(partition, (0, 0))
        return first <= offset < after

    def commit(self, ends: Mapping[TopicPartition, int]) -> None:
        for partition, end in ends.items():
            if partition in self._ranges:
                self._ranges[partition] = (end, self._ranges[partition][1])

    def rewind(self) -> Mapping[TopicPartition, int]:
        """Where to go back to."""
        firsts = {partition: first for partition, (first, _) in self._ranges.items()}
        self._ranges = {partition: (first, first) for partition, first in firsts.items()}
        return firsts

    def clear(self, partitions: Iterable[TopicPartition] | None = None) -> None:
        for partition in list(self._ranges) if partitions is None else partitions:
            self._ranges.pop(partition, None)

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self.clear(revoked)

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self.clear(assigned)


async def _next(consumer: Any, messages_max: int, wait_seconds: float) -> Mapping[TopicPartition, Sequence[Any]]:
    """At most so many records. Empty also while the group is being shared out: the driver would wait for that."""
    with suppress(TimeoutError):
        async with asyncio.timeout(wait_seconds + 0.1):
            found: Mapping[TopicPartition, Sequence[Any]] = await consumer.getmany(
                timeout_ms=int(wait_seconds * 1000), max_records=messages_max
            )
            return found
    return {}


async def _commit(consumer: Any, ends: Mapping[TopicPartition, int]) -> None:
    try:
        await consumer.commit(dict(ends))
    except (CommitFailedError, IllegalStateError) as error:
        raise _WentElsewhere from error


async def _send(producer: Any, topic: str, partition: int, messages: Sequence[Message]) -> None:
    """One batch after the other."""
    batch = producer.create_batch()
    for message in messages:
        key = message.key.encode()
        if batch.append(key=key, value=message.value, timestamp=None) is None:
            await (await producer.send_batch(batch, topic, partition=partition))
            batch = producer.create_batch()
            batch.append(key=key, value=message.value, timestamp=None)
    await (await producer.send_batch(batch, topic, partition=partition))


def _by_partition(messages: Sequence[Message]) -> Mapping[tuple[Topic, int], list[Message]]:
    found: dict[tuple[Topic, int], list[Message]] = {}
    for message in messages:
        found.setdefault((message.topic, partition_of(message.key)), []).append(message)
    return found


async def _stop(driver: Any, client: Any) -> None:
    """Stop a producer or consumer, also one whose brokers do not answer any more."""
    try:
        async with asyncio.timeout(_CLOSE_SECONDS_MAX):
            await driver.stop()
    except TimeoutError:
        await client.close()


def _now() -> float:
    return asyncio.get_running_loop().time()
