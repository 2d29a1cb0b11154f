"""Fills a Ray cluster: the supervisor with its shards and consumers, and the Serve applications.

Run as `python -m holdfast.cluster` with the settings in its environment, because Ray and Serve read theirs when they are
imported. Safe to do again. The database is ready by then: see `database_ready`.
"""

import asyncio
import sys
import time
from contextlib import suppress
from dataclasses import replace
from typing import Final

from actors.supervisor_actor import create_supervisor
from holdfast import ray_head
from holdfast.consumers import consumer_configs, consumers_here
from holdfast.deployments import deploy
from holdfast.settings import Settings
from holdfast.store_urls import postgres_url
from holdfast.wiring import supervisor_config
from storage.consumer_states import ConsumerStates
from storage.errors import StoreUnavailable
from storage.postgres import Database

_SUPERVISOR_SECONDS: Final = 60
_CONSUMERS_SECONDS: Final = 60
_POLL_SECONDS: Final = 0.2


async def _consumers_speak(settings: Settings, since: float) -> bool:
    """Wait until every consumer has said something of itself since then; False when the time was over."""
    database = Database(postgres_url(settings), "holdfast command", 1)
    try:
        while time.monotonic() - since < _CONSUMERS_SECONDS:
            with suppress(StoreUnavailable):
                age = time.monotonic() - since
                spoke = {row.name for row in await ConsumerStates(database).all() if row.seen_seconds_ago < age}
                if spoke >= set(consumers_here(settings)):
                    return True
            await asyncio.sleep(_POLL_SECONDS)
    finally:
        await database.close()
    return False


def main() -> int:
    settings = Settings()
    ray = ray_head.connect(settings)
    started = time.monotonic()
    supervisor = create_supervisor(replace(supervisor_config(settings), consumers=consumer_configs(settings)))
    ray.get(supervisor.pid.remote(), timeout=_SUPERVISOR_SECONDS)
    deploy(settings)
    if not asyncio.run(_consumers_speak(settings, started)):
        # Booking does not wait for them: `holdfast status` shows which, and the supervisor goes on trying.
        print("some consumers did not start in time; see `holdfast status`", file=sys.stderr)  # noqa: T201
    ray.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
