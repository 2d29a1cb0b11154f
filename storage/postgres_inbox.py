"""The inbox in Postgres: what providers told us, once each, until it was handled and somewhat longer."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from storage.payment_store import Received, StuckMessage
from storage.postgres import Database, printable

_FORGOTTEN_AT_ONCE: Final = 5000


class PostgresInbox:
    """Each method is one statement. The wake-up of a message is `NOTIFY payments`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, provider: str, event_id: str, body: bytes) -> bool:
        return await self._database.value("put_webhook", provider, event_id, body) is not None

    async def waiting(self, messages_max: int) -> Sequence[Received]:
        return [
            Received(row["provider"], row["event_id"], row["body"], row["tries"])
            for row in await self._database.rows("webhooks_waiting", messages_max)
        ]

    async def handled(self, received: Received) -> None:
        await self._database.value("webhook_handled", received.provider, received.event_id)

    async def failed(self, received: Received, *, try_at: datetime | None, error: str) -> None:
        await self._database.value("webhook_failed", received.provider, received.event_id, try_at, printable(error))

    async def stuck(self, messages_max: int) -> Sequence[StuckMessage]:
        return [
            StuckMessage(
                Received(row["provider"], row["event_id"], row["body"], row["tries"]), row["error"], row["received_at"]
            )
            for row in await self._database.rows("webhooks_stuck", messages_max)
        ]

    async def retry(self, provider: str, event_id: str) -> bool:
        return await self._database.value("retry_webhook", provider, event_id) is not None

    async def forget(self, handled_before: datetime) -> int:
        forgotten: int = await self._database.value("forget_webhooks", handled_before, _FORGOTTEN_AT_ONCE)
        return forgotten
