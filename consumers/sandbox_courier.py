"""The sandbox's courier: brings its messages to us as a real provider does, signed, by HTTP, again and again until taken."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

import httpx

from consumers.worker import Worker
from storage.errors import StoreUnavailable
from storage.sandbox_messages import Message, SandboxMessages

NAME: Final = "sandbox_courier"

_log = logging.getLogger(__name__)


class Wakeups(Protocol):
    """`storage.postgres_wakeups.PostgresWakeups` is one."""

    async def listen(self) -> bool: ...

    async def close(self) -> None: ...


class Signer(Protocol):
    def __call__(self, body: bytes, at: datetime) -> Mapping[str, str]:
        """The headers that the message is sent with."""
        ...


@dataclass(frozen=True, slots=True)
class CourierLimits:
    """After `tries_max` a message is given up. One that was in hand when its courier died is due `in_hand_seconds` later."""

    at_once: int = 16
    answer_seconds: float = 10.0
    in_hand_seconds: float = 30.0
    every_seconds: float = 1.0
    wait_first_seconds: float = 0.5
    wait_last_seconds: float = 60.0
    tries_max: int = 20

    def wait_after(self, tries: int) -> timedelta:
        """How long to wait after so many tries."""
        return timedelta(seconds=min(self.wait_first_seconds * 2 ** (tries - 1), self.wait_last_seconds))


class SandboxCourier(Worker):
    """`run` once, in one task; `stop`, `wake` and `state` from the same loop. Several at once share the messages.

    `stop` leaves at once what is under way: it is brought again later, and whoever gets it must bear that anyway.
    """

    def __init__(
        self,
        messages: SandboxMessages,
        signed: Signer,
        url: str,
        clock: Callable[[], datetime],
        *,
        wakeups: Callable[[Callable[[str], None]], Wakeups] | None = None,
        limits: CourierLimits | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(NAME)
        self._messages = messages
        self._signed = signed
        self._url = url
        self._clock = clock
        self._limits = limits or CourierLimits()
        self._transport = transport
        self._wakeups = None if wakeups is None else wakeups(self.wake)
        self._woken = asyncio.Event()

    def wake(self, _told: str = "") -> None:
        """There may be something to bring."""
        self._woken.set()

    async def run(self) -> None:
        """Bring what is due until `stop`; goes on by itself where the database or the house was away."""
        stopped = asyncio.create_task(self._stopping.wait())
        work = asyncio.create_task(self._work())
        try:
            await asyncio.wait({stopped, work}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        finally:
            for task in (stopped, work):
                task.cancel()
            await asyncio.gather(stopped, work, return_exceptions=True)
            if self._wakeups is not None:
                await self._wakeups.close()
            self._said = "left"

    async def _work(self) -> None:
        limits = self._limits
        async with httpx.AsyncClient(
            timeout=limits.answer_seconds,
            limits=httpx.Limits(max_connections=limits.at_once),
            trust_env=False,
            transport=self._transport,
        ) as client:
            while True:
                # Before the look, so that what comes in the middle of it is not slept over.
                self._woken.clear()
                try:
                    if self._wakeups is not None:
                        await self._wakeups.listen()
                    brought = await self.deliver(client)
                    self._said = "reading"
                except StoreUnavailable as error:
                    brought = 0
                    self._note(error)
                    self._said = f"paused: {error}"
                if not brought:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._woken.wait(), limits.every_seconds)

    async def deliver(self, client: httpx.AsyncClient) -> int:
        """Try some of those that are due, and say how many. Raises StoreUnavailable."""
        now = self._clock()
        in_hand = timedelta(seconds=self._limits.in_hand_seconds)
        taken = await self._messages.take(now, now + in_hand, self._limits.at_once)
        await asyncio.gather(*(self._bring(client, message) for message in taken))
        return len(taken)

    async def _bring(self, client: httpx.AsyncClient, message: Message) -> None:
        error = await self._sent(client, message)
        now = self._clock()
        try:
            if error is None:
                await self._messages.delivered(message, now)
                self._handled += 1
                return
            self._last_error = error
            given_up = message.tries >= self._limits.tries_max
            if given_up:
                _log.warning("message %s of the sandbox was never taken: %s", message.event_id, error)
            try_at = None if given_up else now + self._limits.wait_after(message.tries)
            await self._messages.failed(message, error, try_at=try_at)
        except StoreUnavailable as away:  # it is due again by itself
            self._note(away)

    async def _sent(self, client: httpx.AsyncClient, message: Message) -> str | None:
        """None where it was taken, else what came instead."""
        headers = {"content-type": "application/json", **self._signed(message.body, self._clock())}
        try:
            response = await client.post(self._url, content=message.body, headers=headers)
        except httpx.HTTPError as error:
            return f"{type(error).__name__}: {error}"
        return None if response.is_success else f"HTTP {response.status_code}"
