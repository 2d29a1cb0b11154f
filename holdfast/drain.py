"""Lets the consumers finish what they have in hand and every shard answer what it holds, before the cluster is ended.

Run as `python -m holdfast.drain` with the settings in its environment; a process of its own, because a cluster that
hangs hangs its caller.
"""

import sys
from typing import Any, Final

from ray import serve

from actors.consumer_actor import consumer_actor_name
from actors.shard_actor import NAMESPACE, actor_name
from actors.supervisor_actor import SUPERVISOR
from consumers.consumer import CONSUMERS
from holdfast import ray_head
from holdfast.settings import Settings

_CONSUMER_STOP_SECONDS: Final = 6
_STOP_SECONDS: Final = 12


def main() -> int:
    settings = Settings()
    ray = ray_head.connect(settings)

    def named(name: str) -> Any | None:
        try:
            return ray.get_actor(name, namespace=NAMESPACE)
        except ValueError:
            return None

    def stop(names: list[str], seconds_max: float) -> None:
        stopping = [actor.stop.remote() for name in names if (actor := named(name)) is not None]
        if stopping:
            ray.wait(stopping, num_returns=len(stopping), timeout=seconds_max)

    supervisor = named(SUPERVISOR)
    if supervisor is not None:
        ray.kill(supervisor, no_restart=True)  # else it would start again what is stopped here
    stop([consumer_actor_name(name) for name in CONSUMERS], _CONSUMER_STOP_SECONDS)
    stop([actor_name(shard_id) for shard_id in range(settings.shards)], _STOP_SECONDS)
    if settings.ray_address:
        serve.shutdown()  # a head of ours is ended as a whole, and quicker
    ray.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
