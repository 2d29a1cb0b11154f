"""Whether the services answer, asked from outside as a guest would ask."""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import httpx

from holdfast.settings import Settings

SERVICES: Final = {
    "user": "/user",
    "vendor": "/vendor",
    "search": "/vendors",
    "booking": "/booking",
    "bookings": "/bookings",
    "payment": "/payment",
    "operator": "/operator",
}
"""Where each service is, by its name."""

_POLL_SECONDS: Final = 0.1


def reachable(host: str) -> str:
    """Where a server that listens on `host` is reached from this machine."""
    address = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"[{address}]" if ":" in address and not address.startswith("[") else address


def gateway_url(settings: Settings) -> str:
    return f"http://{reachable(settings.host)}:{settings.gateway_port}"


def public_url(settings: Settings) -> str:
    """What guests' browsers, and a provider's messages, reach the gateway by."""
    return settings.public_url or gateway_url(settings)


def express_url(settings: Settings) -> str:
    """Where the first shard serves: on this machine, but on a cluster where its owner says, on whichever machine it runs."""
    announced = _announced_express(settings) if settings.ray_address else ""
    return f"http://{announced or f'{reachable(settings.host)}:{settings.express_port}'}"


def _announced_express(settings: Settings) -> str:
    """host:port, empty while nobody has taken the shard, or the database is away or has no tables yet."""
    # Some callers are inside an event loop, where no second one can run.
    with ThreadPoolExecutor(1) as elsewhere:
        return elsewhere.submit(asyncio.run, _first_address(settings)).result()


async def _first_address(settings: Settings) -> str:
    import asyncpg

    from holdfast.store_urls import postgres_url
    from storage.directory import Directory
    from storage.errors import StoreError
    from storage.postgres import Database

    database = Database(postgres_url(settings), "holdfast command", 1)
    try:
        return next((row.address for row in await Directory(database).shards() if row.shard_id == 0), "")
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, StoreError):
        return ""
    finally:
        await database.close()


def checks(settings: Settings) -> dict[str, str]:
    """What must answer 200, by name."""
    gateway = {f"{name} service": f"{gateway_url(settings)}{prefix}/healthz" for name, prefix in SERVICES.items()}
    return {**gateway, "pages": f"{gateway_url(settings)}/healthz",
            "express lane": f"{express_url(settings)}/booking/healthz"}  # fmt: skip


def ask(urls: Mapping[str, str], *, timeout_seconds: float = 2.0) -> dict[str, str]:
    """For each name "ok", or what came instead."""
    answers = {}
    with httpx.Client(timeout=timeout_seconds, trust_env=False) as client:
        for name, url in urls.items():
            try:
                status = client.get(url).status_code
            except httpx.HTTPError as error:
                answers[name] = type(error).__name__
            else:
                answers[name] = "ok" if status == httpx.codes.OK else f"HTTP {status}"
    return answers


def wait_until_well(
    settings: Settings, *, wait_seconds: float, tell: Callable[[dict[str, str]], None] = lambda _: None
) -> dict[str, str]:
    """Ask until everything answers or the time is up; returns what does not, with what it said last."""
    deadline = time.monotonic() + wait_seconds
    while True:
        answers = ask(checks(settings))
        tell(answers)
        unwell = {name: answer for name, answer in answers.items() if answer != "ok"}
        if not unwell or time.monotonic() > deadline:
            return unwell
        time.sleep(_POLL_SECONDS)
