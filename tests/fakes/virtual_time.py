"""An event loop whose time jumps to the next timer instead of passing, and a clock that reads it.

Everything runs in the order it was scheduled, so a run is repeatable; a loop with nothing left to happen is a deadlock
and says so.
"""

import asyncio
import selectors
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta


class NothingLeftToHappen(RuntimeError):
    """Every task waits for something that nobody will do."""


class _JumpingSelector(selectors.SelectSelector):
    """Instead of waiting, moves the loop's time to where the wait would have ended."""

    loop: "VirtualTimeLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            if self.loop.threads_busy():
                return super().select(0.01)
            raise NothingLeftToHappen
        self.loop.advance(timeout)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Starts at time 0 and never waits."""

    def __init__(self) -> None:
        self._now = 0.0
        selector = _JumpingSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        # A hair more than asked: the sum of floats may else fall just short of the timer's own.
        self._now += seconds + 1e-9

    def threads_busy(self) -> bool:
        executor = getattr(self, "_default_executor", None)
        return executor is not None


class Clock:
    """The wall clock: the loop's time after `starts_at`, plus whatever jumps it was given."""

    def __init__(self, starts_at: datetime = datetime(2026, 12, 1, 12, tzinfo=UTC)) -> None:
        self._starts_at = starts_at

    def __call__(self) -> datetime:
        return self._starts_at + timedelta(seconds=asyncio.get_running_loop().time())

    def jump(self, by: timedelta) -> None:
        self._starts_at += by


def loop_factories() -> Mapping[str, type[VirtualTimeLoop]]:
    """For the hook of pytest-asyncio."""
    return {"virtual-time": VirtualTimeLoop}
