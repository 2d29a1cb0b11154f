"""The way to one remote shard: commands of many requests travel together, a few calls at a time, within bounds."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from actors.errors import CallLost, DecisionFailed
from actors.outcome import Outcome, Unavailable
from actors.waiting import News
from domain.availability import AvailabilityQuery, FreeSeats
from domain.command import Command
from domain.ids import VendorId
from domain.rejection import Rejection
from domain.search import SeatWish, Verdict


class ShardCalls(Protocol):
    """Calls of one shard's actor. Each raises CallLost, or NobodyThere."""

    async def ask_batch(
        self, shard_id: int, commands: Sequence[tuple[Command, bool]]
    ) -> Sequence[Outcome | DecisionFailed]: ...

    async def availability(
        self, shard_id: int, vendor_id: VendorId, query: AvailabilityQuery
    ) -> Sequence[FreeSeats] | Rejection | Unavailable: ...

    async def judge(
        self, shard_id: int, vendor_ids: Sequence[VendorId], wish: SeatWish
    ) -> Sequence[Verdict] | Unavailable: ...

    async def settled_since(
        self, shard_id: int, epoch: int | None, position: int | None, wait_seconds: float
    ) -> News | Unavailable: ...


@dataclass(frozen=True, slots=True)
class RemoteLimits:
    """`wait_seconds` is how long a command waits for a shard on the move before its caller is told so.

    `losses_max` is how many owners of a shard may be lost with the same command in hand: it may be what they die of.
    """

    wait_seconds: float = 8.0
    calls_in_flight: int = 4
    batch_commands_max: int = 512
    queue_commands_max: int = 20_000
    retry_first_seconds: float = 0.05
    retry_last_seconds: float = 0.5
    poll_seconds: float = 5.0
    losses_max: int = 2


class Sent:
    """A command on its way. `losses` counts the sends of it that may have been carried out without our hearing of it."""

    __slots__ = ("command", "future", "losses")

    def __init__(self, command: Command) -> None:
        self.command = command
        self.future: asyncio.Future[Outcome | CallLost] = asyncio.get_running_loop().create_future()
        self.losses = 0

    @property
    def lost(self) -> bool:
        return self.losses > 0


class Lane:
    """The way to one shard: what is queued while the calls are out goes with the next call."""

    def __init__(self, shard_id: int, calls: ShardCalls, limits: RemoteLimits) -> None:
        self._shard_id = shard_id
        self._calls = calls
        self._limits = limits
        self._queue: deque[Sent] = deque()
        self._callers: set[asyncio.Task[None]] = set()
        self._question: asyncio.Task[bool] | None = None

    @property
    def full(self) -> bool:
        return len(self._queue) >= self._limits.queue_commands_max

    async def send(self, sent: Sent) -> Outcome:
        """The shard's answer. Raises CallLost, and DecisionFailed."""
        sent.future = asyncio.get_running_loop().create_future()
        self._queue.append(sent)
        if len(self._callers) < self._limits.calls_in_flight:
            caller = asyncio.create_task(self._call_while_queued())
            self._callers.add(caller)
            caller.add_done_callback(self._callers.discard)
        answer = await sent.future
        if isinstance(answer, CallLost):
            raise answer
        return answer

    async def answers(self) -> bool:
        """Whether somebody serves the shard now; one call for all who want to know at the same time."""
        if self._question is None or self._question.done():
            self._question = asyncio.create_task(self._hears())
        return await asyncio.shield(self._question)

    async def _hears(self) -> bool:
        try:
            news = await self._calls.settled_since(self._shard_id, None, None, 0.0)
        except CallLost:
            return False
        return not isinstance(news, Unavailable)

    async def _call_while_queued(self) -> None:
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._limits.batch_commands_max))]
            try:
                answers = await self._calls.ask_batch(self._shard_id, [(one.command, one.lost) for one in batch])
            except CallLost as error:
                for one in batch:
                    _answer(one, error)
                continue
            for one, answer in zip(batch, answers, strict=True):
                _answer(one, answer)


def _answer(sent: Sent, answer: "Outcome | DecisionFailed | CallLost") -> None:
    if sent.future.done():
        return
    if isinstance(answer, DecisionFailed):
        sent.future.set_exception(answer)
    else:
        sent.future.set_result(answer)
