"""Wakes who waits for rows, by Postgres notifications on a connection of its own. A help only: some may get lost."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from storage.errors import StoreUnavailable
from storage.postgres import Connection, connect, unavailable_when_lost


class PostgresWakeups:
    """Calls a function for each channel that tells something. Whoever uses it looks by itself now and then, too."""

    def __init__(self, postgres_url: str, application_name: str, heard: Mapping[str, Callable[[str], None]]) -> None:
        self._url = postgres_url
        self._application_name = application_name
        self._heard = heard
        self._connection: Connection | None = None

    async def listen(self) -> bool:
        """Whether it listens now; it tries to connect where it does not."""
        if self._connection is not None and not self._connection.is_closed():
            return True
        try:
            self._connection = await connect(self._url, self._application_name)
            with unavailable_when_lost():
                for channel in self._heard:
                    await self._connection.add_listener(channel, self._told)
        except StoreUnavailable:
            self._drop()
            return False
        return True

    async def close(self) -> None:
        self._drop()
        await asyncio.sleep(0)  # lets the transport close

    def _told(self, _connection: Any, _pid: int, channel: str, payload: object) -> None:
        self._heard[channel](str(payload))

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
