"""What goes round now and then in a consumer process, and rests in between until it is told to stop."""

import asyncio
import logging
from abc import ABC, abstractmethod
from contextlib import suppress

from consumers.worker import Worker
from storage.errors import StoreError

_log = logging.getLogger(__name__)


class Rounds(Worker, ABC):
    """A `Consumer`: `run` once, in one task; `stop` and `state` from the same loop.

    Who inherits counts in `_handled` what took effect, and looks at `_stopping` in a round that may take long.
    """

    def __init__(self, name: str, every_seconds: float) -> None:
        super().__init__(name)
        self._every_seconds = every_seconds

    async def run(self) -> None:
        """Go round now and then until `stop`; goes on by itself where something was away, or said no.

        What no store is to blame for is raised.
        """
        while not self._stopping.is_set():
            try:
                await self._round()
                self._said = "reading"
            except StoreError as error:
                paused = f"paused: {error}"
                if paused != self._said:
                    _log.warning("%s goes round again in %g s: %s", self._name, self._every_seconds, error)
                self._note(error)
                self._said = paused
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._every_seconds)
        self._said = "left"

    @abstractmethod
    async def _round(self) -> None:
        """Once. Raises StoreError where it could not do all of it."""
