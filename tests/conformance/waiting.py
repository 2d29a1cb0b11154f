"""Waiting for a condition of another process, which no event of ours can announce."""

import asyncio
from collections.abc import Awaitable, Callable


async def until(holds: Callable[[], Awaitable[object]], seconds: float = 10) -> None:
    """Ask again and again until the answer is true; TimeoutError when it stays false."""
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110 - a server's state has no event to wait for
            await asyncio.sleep(0.01)
