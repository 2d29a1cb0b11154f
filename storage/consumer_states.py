"""What the consumer processes say of themselves, kept in Postgres: whoever looks needs neither Ray nor the gateway."""

from collections.abc import Sequence
from dataclasses import dataclass

from storage.postgres import Database


@dataclass(frozen=True, slots=True)
class ConsumerRow:
    """`handled` counts since the process `pid` started, `parked` what waits for an operator now; `lag` None: unknown."""

    name: str
    state: str
    handled: int
    lag: int | None
    last_error: str
    node: str
    pid: int
    seen_seconds_ago: float
    parked: int


class ConsumerStates:
    """Each method is one statement that may be repeated, and may raise StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def say(
        self, name: str, state: str, *, handled: int, lag: int | None, last_error: str, node: str, pid: int
    ) -> None:
        await self._database.value("say_consumer_state", name, state, handled, lag, last_error, node, pid)

    async def all(self) -> Sequence[ConsumerRow]:
        return [ConsumerRow(**row) for row in await self._database.rows("list_consumers")]
