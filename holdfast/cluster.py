"""Fills a Ray cluster: the schema, the supervisor with its shards, and the Serve applications.

Run as `python -m holdfast.cluster` with the settings in its environment, because Ray and Serve read theirs when they are
imported. Safe to do again.
"""

import asyncio
import sys
from typing import Final

from actors.supervisor_actor import create_supervisor
from holdfast import ray_head
from holdfast.deployments import deploy
from holdfast.settings import Settings
from holdfast.store_urls import postgres_url
from holdfast.wiring import Parts, supervisor_config
from storage.migrate import migrate

_SUPERVISOR_SECONDS: Final = 60


async def _prepare_database(settings: Settings) -> None:
    """Bring the schema to the newest form, and give the buckets of a new database to the shards."""
    await migrate(postgres_url(settings))
    parts = Parts(settings, "command")
    try:
        await parts.directory.seed(settings.shards)
    finally:
        await parts.close()


def main() -> int:
    settings = Settings()
    asyncio.run(_prepare_database(settings))
    ray = ray_head.connect(settings)
    supervisor = create_supervisor(supervisor_config(settings))
    ray.get(supervisor.pid.remote(), timeout=_SUPERVISOR_SECONDS)
    deploy(settings)
    ray.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
