"""A whole Holdfast for tests: brought up by its own command in a folder and on ports of its own."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from holdfast import health
from holdfast.own_processes import ProcessId, ours
from holdfast.ray_head import ray_dir, root_of_code
from holdfast.settings import INTERNAL_PORTS, Settings

NAMED_PORTS = ("gateway", "express", "postgres", "valkey", "ray_gcs", "ray_dashboard", "haproxy_metrics")


def free_settings(data_dir: Path, **more: Any) -> Settings:
    """Settings on ports that are free now, below the range that the system gives out by itself."""
    first = _free_run(INTERNAL_PORTS + len(NAMED_PORTS))
    ports = {f"{name}_port": first + INTERNAL_PORTS + number for number, name in enumerate(NAMED_PORTS)}
    return Settings(data_dir=data_dir, internal_port_first=first, **(ports | more))


@dataclass(frozen=True, slots=True)
class Running:
    """`settings` say where it is. Tests reach it as its users do: by the command and by HTTP."""

    settings: Settings

    @property
    def gateway(self) -> str:
        return health.gateway_url(self.settings)

    @property
    def express(self) -> str:
        return health.express_url(self.settings)

    def command(self, *words: str, seconds_max: float = 240) -> subprocess.CompletedProcess[str]:
        """`holdfast <words>` with these settings; nothing of the test's own environment but the search paths."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("HOLDFAST_", "RAY_"))}
        return subprocess.run(
            [sys.executable, "-m", "holdfast", *words],
            env=environment | self.settings.as_environment() | {"PYTHONPATH": str(root_of_code()), "COLUMNS": "160"},
            cwd=self.settings.data_dir.parent,
            text=True,
            capture_output=True,
            timeout=seconds_max,
            check=False,
        )

    def operator_token(self) -> str:
        return self.command("token", "--operator").stdout.strip()

    def processes(self) -> list[ProcessId]:
        return ours(self.settings.run_id, ray_dir(self.settings))

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.gateway, timeout=30, trust_env=False)


def wait_for(true: Callable[[], Any], what: str, *, seconds_max: float = 30.0) -> Any:
    """Ask until the answer is yes, and give it back."""
    deadline = time.monotonic() + seconds_max
    while not (answer := true()):
        assert time.monotonic() < deadline, f"waited {seconds_max} s for {what}"
        time.sleep(0.05)
    return answer


def listening(pid: int) -> set[tuple[str, int]]:
    """The addresses that a process accepts connections on."""
    sockets = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            sockets.add(str(file.readlink()))
    found = set()
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/{pid}/net/{table}").read_text("ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                host, _, port = fields[1].partition(":")
                found.add((_address(host, family), int(port, 16)))
    return found


def _address(hexadecimal: str, family: socket.AddressFamily) -> str:
    """The kernel prints addresses as 32-bit words in the machine's own order."""
    words = [hexadecimal[start : start + 8] for start in range(0, len(hexadecimal), 8)]
    return socket.inet_ntop(family, b"".join(int(word, 16).to_bytes(4, sys.byteorder) for word in words))


def _free_run(length: int) -> int:
    for first in range(20_000, 31_000, length):
        if all(_is_free(port) for port in range(first, first + length)):
            return first
    raise AssertionError(f"no {length} free ports in a row")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
