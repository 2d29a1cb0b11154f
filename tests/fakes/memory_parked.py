"""Parked messages in memory, as `storage.parked` keeps them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from storage.errors import StoreUnavailable
from storage.event_log import Delivered
from storage.parked import ParkedMessage

AT = datetime(2026, 12, 1, tzinfo=UTC)


class MemoryParked:
    """`away` makes every call raise, until it is False again."""

    def __init__(self) -> None:
        self.away = False
        self.rows: dict[int, ParkedMessage] = {}

    async def park(self, consumer: str, message: Delivered, error: str, tries: int) -> None:
        self._check()
        for row in self.rows.values():
            if (row.consumer, row.message) == (consumer, message):
                if row.settled_how == "replayed":
                    anew = replace(row, error=error, tries=row.tries + tries, settled_at=None, settled_how=None)
                    self.rows[row.parked_id] = anew
                return
        number = len(self.rows) + 1
        self.rows[number] = ParkedMessage(number, consumer, message, error, AT, tries)

    async def unsettled(self, consumer: str) -> int:
        return len(await self.waiting(consumer, 1 << 30))

    async def waiting(self, consumer: str | None, messages_max: int) -> Sequence[ParkedMessage]:
        self._check()
        found = [r for r in self.rows.values() if r.settled_at is None and consumer in {None, r.consumer}]
        return found[:messages_max]

    async def by_id(self, parked_id: int) -> ParkedMessage | None:
        self._check()
        return self.rows.get(parked_id)

    async def ask_replay(self, parked_id: int) -> bool:
        return self._change(parked_id, replay_asked_at=AT)

    async def ask_replay_of_all(self, consumer: str | None) -> int:
        return sum([await self.ask_replay(row.parked_id) for row in await self.waiting(consumer, 1 << 30)])

    async def to_replay(self, consumer: str, messages_max: int) -> Sequence[ParkedMessage]:
        return [row for row in await self.waiting(consumer, 1 << 30) if row.replay_asked_at][:messages_max]

    async def settle_replayed(self, parked_id: int) -> None:
        self._change(parked_id, settled_at=AT, settled_how="replayed", replay_asked_at=None)

    async def failed_again(self, parked_id: int, error: str, tries: int) -> None:
        row = self.rows[parked_id]
        self._change(parked_id, error=error, tries=row.tries + tries, replay_asked_at=None)

    async def drop(self, parked_id: int) -> bool:
        return self._change(parked_id, settled_at=AT, settled_how="dropped", replay_asked_at=None)

    def _change(self, parked_id: int, **changes: object) -> bool:
        self._check()
        row = self.rows.get(parked_id)
        if row is None or row.settled_at is not None:
            return False
        self.rows[parked_id] = replace(row, **changes)  # type: ignore[arg-type]
        return True

    def _check(self) -> None:
        if self.away:
            raise StoreUnavailable("parked messages: away")
