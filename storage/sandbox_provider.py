"""The sandbox as a payment provider: built in, for demonstrations, tests and load. It moves no money."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Final

from storage.errors import StoreUnavailable
from storage.payment_provider import (
    BadSignature,
    ChargeAsked,
    ChargeSeen,
    Checkout,
    ProviderEntry,
    ProviderEvent,
    RefundAsked,
    RefundSeen,
)
from storage.postgres import Database
from storage.sandbox import Fault, Sandbox
from storage.sandbox_messages import event_id_in, event_of
from storage.sandbox_signature import HEADER, check, signature

NAME: Final = "sandbox"

_ENTRIES_AT_ONCE: Final = 500


class SandboxProvider:
    """A `PaymentProvider`. `public_url` is where guests reach the checkout page; `database` is closed with it, if given."""

    def __init__(self, sandbox: Sandbox, secret: bytes, public_url: str, *, database: Database | None = None) -> None:
        self.sandbox = sandbox
        self._secret = secret
        self._public_url = public_url.rstrip("/")
        self._database = database

    @property
    def name(self) -> str:
        return NAME

    async def open(self, asked: ChargeAsked) -> Checkout:
        await self._answers()
        await self.sandbox.open(asked)
        return Checkout(f"sbx_{asked.key}", f"{self._public_url}/payment/sandbox/{asked.payment_id}")

    async def look(self, asked: ChargeAsked) -> ChargeSeen | None:
        await self._answers()
        return await self.sandbox.charge(asked)

    async def close(self, asked: ChargeAsked) -> ChargeSeen:
        await self._answers()
        return await self.sandbox.close(asked)

    async def refund(self, asked: RefundAsked) -> RefundSeen:
        await self._answers()
        return await self.sandbox.refund(asked)

    def checked(self, headers: Mapping[str, str], body: bytes, now: datetime) -> str:
        check(self._secret, headers.get(HEADER, ""), body, now)
        try:
            return event_id_in(body)
        except ValueError as error:
            raise BadSignature("the message names no event") from error

    def signed(self, body: bytes, at: datetime) -> dict[str, str]:
        """The headers of a message of its own, sent then."""
        return {HEADER: signature(self._secret, body, at)}

    def understood(self, body: bytes) -> ProviderEvent:
        return event_of(body)

    async def entries(self, since: datetime, until: datetime) -> AsyncIterator[ProviderEntry]:
        await self._answers()
        after = (since, "")
        while True:
            some = await self.sandbox.moved(since, until, after, _ENTRIES_AT_ONCE)
            for entry in some:
                yield entry
            if len(some) < _ENTRIES_AT_ONCE:
                return
            after = (some[-1].at, some[-1].reference)

    async def aclose(self) -> None:
        if self._database is not None:
            await self._database.close()

    async def _answers(self) -> None:
        if Fault.AWAY in await self.sandbox.faults():
            raise StoreUnavailable("the sandbox was told to be away")
