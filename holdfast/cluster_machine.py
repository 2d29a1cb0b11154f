"""Makes a machine ready for a Ray cluster of several: `python -m holdfast.cluster_machine`, with the settings in its environment.

`cluster.yaml` runs it before each `ray start` and exports what it prints, so that every machine's gateway is started by the
script that `gateway_config` is about, keeps its sockets in a folder that nobody else can enter, and is believed in what it
says of a client's address.
"""

import shlex
import sys
from pathlib import Path

from holdfast import ray_head
from holdfast.settings import Settings


def prepared(settings: Settings) -> dict[str, str]:
    """Write the script; what Ray, Serve and their processes on this machine have to find in their environment.

    Raises RayHeadError where the folder of the sockets is somebody else's.
    """
    sockets = sockets_dir(settings)
    ray_head.make_folder(sockets)
    # Not in the folder of the sockets: /tmp may be cleared of what nobody has written to for days.
    answers = settings.data_dir / "gateway"
    answers.mkdir(parents=True, exist_ok=True)
    script = answers / "haproxy"
    ray_head.write_haproxy_script(settings, script, answers)
    return {
        **ray_head.serve_environment(),
        **ray_head.gateway_environment(settings, script, sockets),
        "HOLDFAST_TRUST_FORWARDED": "true",
    }


def sockets_dir(settings: Settings) -> Path:
    """Not the folder of a head of ours, which goes with it: HAProxy lives here as long as the cluster does."""
    return ray_head.ray_dir(settings).with_name(f"hf-{settings.run_id}-gateway")


def main() -> int:
    settings = Settings()
    if not settings.ray_address:
        print("HOLDFAST_RAY_ADDRESS is empty: this machine belongs to no cluster", file=sys.stderr)  # noqa: T201
        return 1
    for name, value in prepared(settings).items():
        print(f"export {name}={shlex.quote(value)}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
