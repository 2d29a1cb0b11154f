"""The relay: carries what the shards committed from the outbox into the event log, in order, and never gives up.

It appends, and marks only what the log has acknowledged. A relay that dies in between leaves doubles, which carry the
same `event_id`; why nothing is lost and nothing overtakes is written in `storage.outbox`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

from consumers.event_schema import encode
from storage.errors import StoreUnavailable
from storage.event_log import EventWriter
from storage.outbox import Outbox, OutboxLag, OutboxRow

_log = logging.getLogger(__name__)

_REST_SECONDS_MIN: Final = 0.1
_STAND_BY_SECONDS: Final = 1.0
_MESSAGES_AT_ONCE: Final = 1000


class Relay:
    """Publishes while it holds the outbox's lease, and stands by while another relay does.

    `on_lag` is told every `lag_seconds` what waits in the outbox, also while the log is away. What was published
    longer than `keep` ago is dropped from the outbox, and from the log where the log does not do so by itself.
    """

    def __init__(
        self,
        outbox: Outbox,
        writer: EventWriter,
        clock: Callable[[], datetime],
        *,
        on_lag: Callable[[OutboxLag], None] | None = None,
        keep: timedelta = timedelta(days=7),
        rows_max: int = 100,
        idle_seconds: float = 0.05,
        rest_seconds_max: float = 5.0,
        lease_seconds: float = 10.0,
        lag_seconds: float = 5.0,
        forget_seconds: float = 600.0,
    ) -> None:
        self._outbox = outbox
        self._writer = writer
        self._clock = clock
        self._on_lag = on_lag
        self._keep = keep
        self._rows_max = rows_max
        self._idle_seconds = idle_seconds
        self._rest_seconds_max = rest_seconds_max
        self._lease_seconds = lease_seconds
        self._lag_seconds = lag_seconds
        self._forget_seconds = forget_seconds
        self._relay_id = uuid4()
        self._lease_renewed_at = float("-inf")
        self._failures = 0
        self._lag: OutboxLag | None = None
        self._stopping = asyncio.Event()

    @property
    def lag(self) -> OutboxLag | None:
        """What waited in the outbox when it was last counted; None before the first time."""
        return self._lag

    @property
    def away(self) -> bool:
        """Whether the last try failed because the log or the database was away."""
        return self._failures > 0

    async def run(self) -> None:
        """Work until `stop`. Raises an ExceptionGroup with a ValueError at an outbox row that cannot be told: a bug."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._publish_all())
                tasks.create_task(self._now_and_then(self._lag_seconds, self._tell_lag))
                tasks.create_task(self._now_and_then(self._forget_seconds, self._forget))
        finally:
            with suppress(StoreUnavailable):  # it runs out by itself
                await self._outbox.drop_lease(self._relay_id)

    def stop(self) -> None:
        """Have `run` finish what it is at, give the lease back and return."""
        self._stopping.set()

    async def _publish_all(self) -> None:
        while not self._stopping.is_set():
            try:
                rest = await self._publish_some() if await self._leads() else _STAND_BY_SECONDS
            except StoreUnavailable as error:
                rest = self._note_failure(error)
            else:
                self._note_success()
            await self._rest(rest)

    async def _publish_some(self) -> float:
        """Publish the oldest rows and say how long to rest afterwards."""
        rows = await self._outbox.unpublished(self._rows_max)
        if not rows:
            return self._idle_seconds
        await self._append(rows)
        await self._outbox.mark_published(rows)
        return 0.0

    async def _append(self, rows: Sequence[OutboxRow]) -> None:
        messages = [message for row in rows for message in encode(row)]
        for start in range(0, len(messages), _MESSAGES_AT_ONCE):
            await self._writer.append(messages[start : start + _MESSAGES_AT_ONCE])

    async def _leads(self) -> bool:
        """Whether the lease is ours. It is renewed early, and a late renewal does no harm: see `storage.outbox`."""
        now = asyncio.get_running_loop().time()
        if now < self._lease_renewed_at + self._lease_seconds / 3:
            return True
        if not await self._outbox.take_lease(self._relay_id, self._lease_seconds):
            return False
        self._lease_renewed_at = now
        return True

    async def _tell_lag(self) -> None:
        self._lag = await self._outbox.lag()
        if self._on_lag is not None:
            self._on_lag(self._lag)

    async def _forget(self) -> None:
        before = self._clock() - self._keep
        while await self._outbox.forget(before) + await self._writer.forget(before):
            if self._stopping.is_set():
                return

    async def _now_and_then(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while not self._stopping.is_set():
            with suppress(StoreUnavailable):  # `_publish_all` says so, and the next time comes
                await work()
            await self._rest(seconds)

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _note_failure(self, error: StoreUnavailable) -> float:
        if not self._failures:
            _log.warning("publishing waits, and goes on by itself once this is over: %s", error)
        self._failures += 1
        return min(self._rest_seconds_max, _REST_SECONDS_MIN * 2.0 ** min(self._failures, 20))

    def _note_success(self) -> None:
        if self._failures:
            _log.warning("publishing goes on after %d failures", self._failures)
        self._failures = 0
