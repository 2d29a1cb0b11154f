"""The one runtime of every consumer: take a batch, have the effect, then commit; nothing is skipped silently.

A store that is away is nobody's fault: the runtime pauses and tries the same batch again, for as long as it takes. Any
other error is held against the batch: its events are tried one by one, and the one that still fails is parked with its
error, so that the others go on. Too many parked messages mean that the consumer is at fault, not the messages: it then
takes no more until an operator has replayed or dropped some.

Delivery is at least once. A crash between effect and commit brings the batch again, so handlers are idempotent.
"""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, ParamSpec, Protocol, TypeVar

from consumers.consumer import ConsumerState
from consumers.event import Handler, Happened
from storage.errors import StoreUnavailable
from storage.event_log import Delivered, EventReader
from storage.parked import ParkedMessage

_log = logging.getLogger(__name__)

_P = ParamSpec("_P")
_T = TypeVar("_T")

_ERROR_LINES: Final = 12
_ERROR_CHARACTERS: Final = 4000

Decode = Callable[[Delivered], Happened]
"""Raises for a message that no version of the schema explains; what it raises is kept with the parked message."""


class Parked(Protocol):
    """Where the runtime parks; `storage.parked.ParkedMessages` is one."""

    async def park(self, consumer: str, message: Delivered, error: str, tries: int) -> None: ...

    async def unsettled(self, consumer: str) -> int: ...

    async def to_replay(self, consumer: str, messages_max: int) -> Sequence[ParkedMessage]: ...

    async def settle_replayed(self, parked_id: int) -> None: ...

    async def failed_again(self, parked_id: int, error: str, tries: int) -> None: ...


@dataclass(frozen=True, slots=True)
class RuntimeLimits:
    """A rest after a failure doubles each time, from its first to its last.

    `tries_max` is for an event alone; `handle_seconds_max` is what one call of the handler may take before its store
    counts as away; `parked_max` unsettled messages may be parked, one more and the consumer stops.
    """

    batch_messages_max: int = 200
    poll_seconds: float = 0.5
    tries_max: int = 4
    try_rest_first_seconds: float = 0.05
    try_rest_last_seconds: float = 1.0
    pause_first_seconds: float = 0.2
    pause_last_seconds: float = 10.0
    handle_seconds_max: float = 120.0
    parked_max: int = 100
    parked_every_seconds: float = 1.0
    replays_at_once: int = 20
    lag_every_seconds: float = 2.0


class _Leaving(Exception):
    """The consumer is told to stop between two tries: what is in hand comes again to the next one."""


class ConsumerRuntime:
    """One member of the consumer's group. `run` once, in one task; `stop` and `state` from the same loop."""

    def __init__(
        self,
        name: str,
        reader: EventReader,
        handler: Handler,
        parked: Parked,
        *,
        decode: Decode,
        limits: RuntimeLimits | None = None,
        rest: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """`clock` is monotonic seconds, the loop's own where none is given; `rest` waits that long."""
        self._name = name
        self._reader = reader
        self._handler = handler
        self._parked = parked
        self._decode = decode
        self._limits = limits or RuntimeLimits()
        self._sleep = rest
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._stopping = asyncio.Event()
        self._said = "starting"
        self._handled = 0
        self._unsettled = 0
        self._lag: int | None = None
        self._last_error = ""
        self._look_at_parked_at = self._measure_at = float("-inf")

    @property
    def state(self) -> ConsumerState:
        return ConsumerState(self._name, self._said, self._handled, self._unsettled, self._lag, self._last_error)

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        """Until `stop`; leaves the group whatever happens."""
        try:
            while not self._stopping.is_set():
                await self._round()
        except _Leaving:
            _log.info("%s leaves with a batch in hand, which comes again", self._name)
        finally:
            self._said = "left"
            with suppress(StoreUnavailable):
                await self._reader.close()

    async def _round(self) -> None:
        await self._look_after_parked()
        if self._full:
            self._said = f"stopped: {self._unsettled} messages are parked, {self._limits.parked_max} at most may be"
            await self._measure()
            await self._rest(self._limits.parked_every_seconds)
            return
        self._said = "reading"
        messages = await self._patiently(self._reader.poll, self._limits.batch_messages_max, self._limits.poll_seconds)
        if messages:
            done = await self._handle(messages)
            await self._patiently(self._reader.commit, done)
            if len(done) < len(messages):
                await self._patiently(self._reader.rewind)
        await self._measure()

    async def _handle(self, messages: Sequence[Delivered]) -> Sequence[Delivered]:
        """Have the effect of each or park it; those that are done, from the first on."""
        read = [(message, self._decoded(message)) for message in messages]
        together = await self._together([event for _, event in read if not isinstance(event, Exception)])
        for number, (message, event) in enumerate(read, start=1):
            if isinstance(event, Exception):
                await self._park(message, event, tries=1)
            elif not together and (error := await self._alone(event)) is not None:
                await self._park(message, error, self._limits.tries_max)
            if self._full or (self._stopping.is_set() and not together):
                return messages[:number]
        return messages

    def _decoded(self, message: Delivered) -> Happened | Exception:
        try:
            return self._decode(message)
        except Exception as error:  # noqa: BLE001 - whatever it was, this message alone is to blame
            return error

    async def _together(self, events: Sequence[Happened]) -> bool:
        """Whether they all took effect; if not, one of them is to blame."""
        if not events:
            return True
        try:
            await self._patiently(self._effect, events)
        except _Leaving:
            raise
        except Exception as error:  # noqa: BLE001 - the handler's own: which event is to blame is found out next
            self._note(error)
            _log.info("%s: a batch of %d failed, its events are tried one by one", self._name, len(events))
            return False
        self._handled += len(events)
        return True

    async def _alone(self, event: Happened) -> Exception | None:
        """Try one event a few times; the last error where it never took effect."""
        rest = self._limits.try_rest_first_seconds
        for tries_left in reversed(range(self._limits.tries_max)):
            try:
                await self._patiently(self._effect, [event])
            except _Leaving:
                raise
            except Exception as error:  # noqa: BLE001 - the handler's own
                self._note(error)
                if not tries_left:
                    return error
            else:
                self._handled += 1
                return None
            await self._rest(rest)
            if self._stopping.is_set():
                raise _Leaving  # the rests are part of the tries: without them it would be parked too early
            rest = min(rest * 2, self._limits.try_rest_last_seconds)
        return None

    async def _effect(self, events: Sequence[Happened]) -> None:
        """One call of the handler, which may not take for ever."""
        try:
            async with asyncio.timeout(self._limits.handle_seconds_max) as limit:
                await self._handler.handle(events)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise StoreUnavailable(f"no effect within {self._limits.handle_seconds_max:.0f} s") from error

    async def _park(self, message: Delivered, error: Exception, tries: int) -> None:
        self._note(error)
        where = f"{message.topic}/{message.partition}/{message.offset}"
        _log.warning("%s parks %s: %s", self._name, where, type(error).__name__)
        await self._patiently(self._parked.park, self._name, message, told(error), tries)
        self._unsettled = await self._patiently(self._parked.unsettled, self._name)

    async def _look_after_parked(self) -> None:
        """Try again what an operator asked for, and see how much still waits."""
        if self._clock() < self._look_at_parked_at:
            return
        for parked in await self._patiently(self._parked.to_replay, self._name, self._limits.replays_at_once):
            if self._stopping.is_set():
                return
            await self._replay(parked)
        self._unsettled = await self._patiently(self._parked.unsettled, self._name)
        self._look_at_parked_at = self._clock() + self._limits.parked_every_seconds

    async def _replay(self, parked: ParkedMessage) -> None:
        event, tries = self._decoded(parked.message), 1
        if isinstance(event, Exception):
            error: Exception | None = event
        else:
            error, tries = await self._alone(event), self._limits.tries_max
        if error is None:
            await self._patiently(self._parked.settle_replayed, parked.parked_id)
        else:
            await self._patiently(self._parked.failed_again, parked.parked_id, told(error), tries)

    async def _patiently(self, call: Callable[_P, Awaitable[_T]], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Until the store is back, with growing rests. Raises _Leaving when told to stop meanwhile."""
        said, pause = self._said, self._limits.pause_first_seconds
        while True:
            try:
                result = await call(*args, **kwargs)
            except StoreUnavailable as error:
                if self._said == said:
                    _log.warning("%s pauses: %s", self._name, error)
                self._note(error)
                self._said = f"paused: {error}"
                await self._measure()
                await self._rest(pause)
                if self._stopping.is_set():
                    raise _Leaving from error
                pause = min(pause * 2, self._limits.pause_last_seconds)
            else:
                if self._said != said:
                    _log.info("%s goes on", self._name)
                    self._said = said
                return result

    async def _measure(self) -> None:
        """How far behind the group is, now and then; a log that is away cannot say."""
        if self._clock() < self._measure_at:
            return
        self._measure_at = self._clock() + self._limits.lag_every_seconds
        try:
            self._lag = await self._reader.lag()
        except StoreUnavailable:
            self._lag = None

    async def _rest(self, seconds: float) -> None:
        """Or shorter, when told to stop."""
        waits = [asyncio.ensure_future(self._sleep(seconds)), asyncio.ensure_future(self._stopping.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    @property
    def _full(self) -> bool:
        return self._unsettled > self._limits.parked_max

    def _note(self, error: Exception) -> None:
        self._last_error = f"{type(error).__name__}: {error}"[:_ERROR_CHARACTERS]


def told(error: BaseException) -> str:
    """The end of an error's traceback, for a person to read."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    return "\n".join(lines[-_ERROR_LINES:])[-_ERROR_CHARACTERS:]
