"""Lets every shard answer what it holds and stop, before the cluster is ended or goes on without us.

Run as `python -m holdfast.drain` with the settings in its environment; a process of its own, because a cluster that
hangs hangs its caller.
"""

import sys
from typing import Any, Final

from ray import serve

from actors.shard_actor import NAMESPACE, actor_name
from actors.supervisor_actor import SUPERVISOR
from holdfast import ray_head
from holdfast.settings import Settings

_STOP_SECONDS: Final = 12


def main() -> int:
    settings = Settings()
    ray = ray_head.connect(settings)

    def named(name: str) -> Any | None:
        try:
            return ray.get_actor(name, namespace=NAMESPACE)
        except ValueError:
            return None

    supervisor = named(SUPERVISOR)
    if supervisor is not None:
        ray.kill(supervisor, no_restart=True)  # else it would start again what is stopped here
    shards = [actor for shard_id in range(settings.shards) if (actor := named(actor_name(shard_id))) is not None]
    if shards:
        stopping = [shard.stop.remote() for shard in shards]
        ray.wait(stopping, num_returns=len(stopping), timeout=_STOP_SECONDS)
    if settings.ray_address:
        serve.shutdown()  # a head of ours is ended as a whole, and quicker
    ray.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
