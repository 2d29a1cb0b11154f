"""The demo's way of speaking to Holdfast: what a careful client of the HTTP API does, and nothing that it could not."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from holdfast import health
from holdfast.settings import Settings

CREATED: Final = 201
PAYMENT_DECLINED: Final = 402
TRIES_MAX: Final = 20
_TIMEOUT_SECONDS: Final = 45.0
_CONNECTIONS_MAX: Final = 48


class DemoError(RuntimeError):
    """The demo cannot go on; the message says why."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    content: dict[str, Any]

    @property
    def label(self) -> str:
        """What a table calls it: the status and the booking's state or the problem's code."""
        return f"{self.status} {self.content.get('code') if self.status >= 400 else self.content.get('status', '')}".strip()


@dataclass(slots=True)
class Tally:
    """How often what was answered to what."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    repeats: int = 0

    def add(self, action: str, reply: Reply) -> Reply:
        self.counts[action, reply.label] += 1
        return reply


class DemoApi:
    """`express` sends a booking request to the express lane instead of the gateway: the answers are the same."""

    def __init__(self, settings: Settings, tally: Tally) -> None:
        self._tally = tally
        limits = httpx.Limits(max_connections=_CONNECTIONS_MAX)
        self._gateway = httpx.AsyncClient(
            base_url=health.gateway_url(settings), limits=limits, timeout=_TIMEOUT_SECONDS, trust_env=False
        )
        self._express = httpx.AsyncClient(
            base_url=health.express_url(settings), limits=limits, timeout=_TIMEOUT_SECONDS, trust_env=False
        )

    async def close(self) -> None:
        await self._gateway.aclose()
        await self._express.aclose()

    async def send(
        self,
        action: str,
        method: str,
        path: str,
        *,
        token: str = "",
        key: str = "",
        wait_seconds: int = 0,
        body: dict[str, Any] | None = None,
        express: bool = False,
        form: dict[str, str] | None = None,
    ) -> Reply:
        """Send, again while the answer is a 503 or none at all, and count the last answer under `action`.

        Only what may be sent twice is: reads, and writes with an idempotency key. `form` is sent as a browser would, and
        answered by a page. Raises DemoError when it never works.
        """
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if key:
            headers["Idempotency-Key"] = key
        if wait_seconds:
            headers["Prefer"] = f"wait={wait_seconds}"
        client = self._express if express else self._gateway
        tries = TRIES_MAX if key or method == "GET" else 1
        for _ in range(tries):
            try:
                answer = await client.request(method, path, headers=headers, json=body, data=form)
            except httpx.TransportError:
                if tries == 1:
                    raise
                await asyncio.sleep(1)
            else:
                if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                    content = {} if form is not None else answer.json()
                    return self._tally.add(action, Reply(answer.status_code, content))
                await asyncio.sleep(float(answer.headers.get("Retry-After", "1")))
            self._tally.repeats += 1
        raise DemoError(f"{method} {path} got no answer in {tries} tries")

    async def account(self, role: str, body: dict[str, Any]) -> tuple[str, str]:
        """Open an account and log in: its id and a token."""
        made = await self.send(f"{role}s opened", "POST", f"/{role}/create", body=body)
        if made.status == httpx.codes.TOO_MANY_REQUESTS:
            raise DemoError(
                "this address has opened all the accounts it may in an hour; wait, or start Holdfast with a larger "
                "HOLDFAST_ACCOUNTS_PER_ADDRESS_PER_HOUR"
            )
        if made.status != CREATED:
            raise DemoError(f"{role} could not be created: {made.content}")
        login = {"email": body["email"], "password": body["password"]}
        logged_in = await self.send("logins", "POST", f"/{role}/login", body=login)
        return str(made.content[f"{role}_id"]), str(logged_in.content["access_token"])
