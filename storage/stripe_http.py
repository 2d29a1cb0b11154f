"""How Stripe's library reaches Stripe: by httpx, with a time limit for each request."""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any

import httpx
import stripe


class StripeHttp(stripe.HTTPClient):
    """The library's own client for httpx hands bodies over in a way that httpx warns of."""

    name = "httpx"

    def __init__(self, timeout_seconds: float, transport: httpx.AsyncBaseTransport | None = None) -> None:
        super().__init__()
        self._client = httpx.AsyncClient(timeout=timeout_seconds, transport=transport)

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        failed = ""
        try:
            answer = await self._client.request(method, url, headers=headers, content=post_data or None)
        except httpx.HTTPError as error:
            failed = f"{type(error).__name__}: {error}"
        if failed:  # raised out here because httpx's error carries the request, and that one the key
            raise stripe.APIConnectionError(failed, should_retry=True)  # type: ignore[no-untyped-call]
        return answer.content, answer.status_code, answer.headers

    def sleep_async(self, secs: float) -> Awaitable[None]:
        return asyncio.sleep(secs)

    async def close_async(self) -> None:
        await self._client.aclose()
