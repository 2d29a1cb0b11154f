"""The outbox, as the relay sees it: what the shards committed and the event log does not have yet.

A shard's rows become visible in their order, because it has one batch in flight and an epoch ends before the next one
begins. Whoever publishes what it reads here from the oldest on, and marks it only once it is in the log, therefore puts
each message into the log for the first time after all that come before it: what it does not read was marked, so it is
there already. That holds for any number of relays at once. A relay that was cut off, or slept through the end of its
lease, can only repeat what stands in the log. The lease is there to spare the doubles, not to guard the order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from storage.postgres import Database

_FORGOTTEN_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One batch of a shard. `events` and `bookings` are JSON: see `storage.event_json.events_of_outbox`."""

    shard_id: int
    epoch: int
    seq: int
    events: str
    bookings: str


@dataclass(frozen=True, slots=True)
class OutboxLag:
    """Rows that wait to be published, and for how long the oldest has."""

    rows: int
    oldest_seconds: float


class Outbox:
    """Each method is one statement that may be repeated, and may raise StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take_lease(self, relay: UUID, seconds: float) -> bool:
        """Whether this relay is the one that publishes, from now on for so long; another may once it is over."""
        return bool(await self._database.value("take_relay_lease", relay, seconds))

    async def drop_lease(self, relay: UUID) -> None:
        """Let another relay go on at once."""
        await self._database.rows("drop_relay_lease", relay)

    async def unpublished(self, rows_max: int) -> Sequence[OutboxRow]:
        """The oldest, in the order in which they must be published."""
        return [OutboxRow(**row) for row in await self._database.rows("outbox_unpublished", rows_max)]

    async def mark_published(self, rows: Sequence[OutboxRow]) -> None:
        await self._database.rows(
            "mark_published", [row.shard_id for row in rows], [row.epoch for row in rows], [row.seq for row in rows]
        )

    async def lag(self) -> OutboxLag:
        row = await self._database.row("outbox_lag")
        return OutboxLag(0, 0.0) if row is None else OutboxLag(**row)

    async def forget(self, before: datetime) -> int:
        """Drop some of the rows that were published before, and say how many; 0 once none are left."""
        gone: int = await self._database.value("forget_published", before, _FORGOTTEN_AT_ONCE)
        return gone
