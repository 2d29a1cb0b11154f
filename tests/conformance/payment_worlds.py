"""What the conformance suite needs of a payment provider besides its protocol: a guest's hand on the checkout page."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from storage.payment_provider import ChargeAsked, PaymentProvider
from storage.postgres import Database
from storage.sandbox import Fault, Sandbox, SandboxPolicy
from storage.sandbox_checkout import Choice, Fate
from storage.sandbox_messages import SandboxMessages
from storage.sandbox_provider import SandboxProvider
from tests.fakes.provider import PAGES, MemoryProvider
from tests.fakes.stopped_clock import StoppedClock

SECRET = b"s" * 32
URL = "https://holdfast.example"


class ProviderWorld(Protocol):
    """One provider and its outside. Messages come as it would send them: headers in lower case, and the body."""

    provider: PaymentProvider
    clock: StoppedClock
    fee_minor: int
    """Of 10.00."""
    pages: str
    """What the addresses of checkout pages begin with."""

    async def pay(self, asked: ChargeAsked, *, times: int = 1) -> None: ...
    async def decline(self, asked: ChargeAsked) -> None: ...
    async def pay_after_close(self, asked: ChargeAsked) -> None: ...
    async def messages(self) -> Sequence[bytes]: ...
    def signed(self, body: bytes, at: datetime) -> dict[str, str]: ...
    async def away(self, *, on: bool) -> None: ...
    async def close(self) -> None: ...


class SandboxWorld:
    """Takes 1.5 percent of each payment."""

    fee_minor = 15
    pages = URL

    def __init__(self, postgres_url: str) -> None:
        self.clock = StoppedClock()
        self.database = Database(postgres_url, "test", 4)
        self.sandbox = Sandbox(self.database, self.clock, SandboxPolicy(fee_basis_points=150))
        self.provider = SandboxProvider(self.sandbox, SECRET, URL, database=self.database)
        self.post = SandboxMessages(self.database)

    async def pay(self, asked: ChargeAsked, *, times: int = 1) -> None:
        choice = Choice.PAY if times == 1 else Choice.PAY_TWICE
        await self.sandbox.choose(asked.payment_id, choice, Fate.NOW, charge_number=asked.number)

    async def decline(self, asked: ChargeAsked) -> None:
        await self.sandbox.choose(asked.payment_id, Choice.DECLINE, Fate.NOW, charge_number=asked.number)

    async def pay_after_close(self, asked: ChargeAsked) -> None:
        await self.sandbox.choose(asked.payment_id, Choice.PAY_LATE, Fate.NOW, charge_number=asked.number)

    async def messages(self) -> Sequence[bytes]:
        now = self.clock()
        taken = await self.post.take(now, now, 1000)
        for message in taken:
            await self.post.delivered(message, now)
        return [message.body for message in taken]

    def signed(self, body: bytes, at: datetime) -> dict[str, str]:
        return {**self.provider.signed(body, at), "content-type": "application/json"}

    async def away(self, *, on: bool) -> None:
        await self.sandbox.set_fault(Fault.AWAY, on=on)

    async def close(self) -> None:
        await self.provider.aclose()


class MemoryWorld:
    """The fake that other tests pay with. Takes 1.5 percent of each payment."""

    fee_minor = 15
    pages = PAGES

    def __init__(self) -> None:
        self.clock = StoppedClock()
        self.provider = MemoryProvider(self.clock, fee_basis_points=150)
        self._delivered = 0

    async def pay(self, asked: ChargeAsked, *, times: int = 1) -> None:
        if self.provider.takes(asked):
            self.provider.pay(asked.payment_id, asked.number, times=times)

    async def decline(self, asked: ChargeAsked) -> None:
        if self.provider.takes(asked):
            self.provider.decline(asked.payment_id, asked.number)

    async def pay_after_close(self, asked: ChargeAsked) -> None:
        self.provider.pay(asked.payment_id, asked.number)

    async def messages(self) -> Sequence[bytes]:
        fresh = list(self.provider.messages.values())[self._delivered :]
        self._delivered += len(fresh)
        return fresh

    def signed(self, body: bytes, at: datetime) -> dict[str, str]:
        return {**self.provider.signed(body, at), "content-type": "application/json"}

    async def away(self, *, on: bool) -> None:
        self.provider.away = on

    async def close(self) -> None:
        await self.provider.aclose()
