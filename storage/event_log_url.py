"""Which event log an installation has: its URL says it."""

from collections.abc import Sequence
from typing import Final

from storage.event_log import EventReader, EventWriter, Topic
from storage.kafka_connection import kafka_address
from storage.kafka_event_log import KafkaEventReader, KafkaEventWriter
from storage.postgres_event_log import PostgresEventReader, PostgresEventWriter

_KAFKA: Final = "kafka://"


def event_writer(event_log_url: str, postgres_url: str) -> EventWriter:
    """For `kafka://host:port,host:port/prefix`, or for Postgres where the first URL is empty. ValueError for others."""
    if event_log_url.startswith(_KAFKA):
        return KafkaEventWriter(kafka_address(event_log_url))
    return PostgresEventWriter(_postgres(event_log_url, postgres_url))


def event_reader(event_log_url: str, postgres_url: str, group: str, topics: Sequence[Topic]) -> EventReader:
    """The same, for a member of a group."""
    if event_log_url.startswith(_KAFKA):
        return KafkaEventReader(kafka_address(event_log_url), group, topics)
    return PostgresEventReader(_postgres(event_log_url, postgres_url), group, topics)


def _postgres(event_log_url: str, postgres_url: str) -> str:
    if event_log_url:
        raise ValueError(f"the event log's URL begins with {_KAFKA!r} or is empty")
    return postgres_url
