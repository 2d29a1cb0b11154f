"""What runs in one consumer process: its consumers side by side, and a report of how they fare every few seconds."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from consumers.consumer import Consumer, ConsumerState
from storage.errors import StoreUnavailable

_log = logging.getLogger(__name__)

_SAY_SECONDS: Final = 2.0

Report = Callable[[ConsumerState], Awaitable[None]]
"""Tells whoever looks after consumers how one fares. May raise StoreUnavailable: the next report comes soon."""


class ConsumerProcess:
    """Ends when all of its consumers have; the failure of one ends the others, because a fresh process is the cure."""

    def __init__(self, consumers: Sequence[Consumer], report: Report, close: Callable[[], Awaitable[None]]) -> None:
        self._consumers = tuple(consumers)
        self._report = report
        self._close = close

    @property
    def state(self) -> tuple[ConsumerState, ...]:
        return tuple(consumer.state for consumer in self._consumers)

    async def run(self) -> None:
        """Raises an ExceptionGroup with what a consumer raised."""
        reporting = asyncio.create_task(self._keep_reporting())
        try:
            async with asyncio.TaskGroup() as group:
                for consumer in self._consumers:
                    group.create_task(consumer.run())
        finally:
            reporting.cancel()
            await asyncio.wait([reporting])
            await self._say()

    def stop(self) -> None:
        for consumer in self._consumers:
            consumer.stop()

    async def close(self) -> None:
        await self._close()

    async def _keep_reporting(self) -> None:
        while True:
            await self._say()
            await asyncio.sleep(_SAY_SECONDS)

    async def _say(self) -> None:
        for state in self.state:
            try:
                await self._report(state)
            except StoreUnavailable:
                return  # who looks sees that it is silent
            except Exception:  # noqa: BLE001 - a fault of the report is none of the consumer's
                _log.exception("%s could not be reported of, and does its work all the same", state.name)
