"""Two machines of a cluster, made ready by the commands of cluster.yaml: one at 127.0.0.2, the head, and one at 127.0.0.3.

Both are this computer, which answers on all of 127/8, so each has ports of its own for what a machine keeps on 127.0.0.1.
All services run on the second machine, so that the head's gateway has to reach them there.
"""

import asyncio
import json
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from holdfast import own_processes
from holdfast.cluster_machine import sockets_dir
from holdfast.own_processes import MARK, name_of
from holdfast.ray_head import root_of_code
from holdfast.settings import Settings
from tests.databases import drop_database_at, execute
from tests.system.guests_and_houses import book, dinner, guest, restaurant
from tests.system.running import free_settings, listening, wait_for

pytestmark = pytest.mark.cluster

HEAD, OTHER = "127.0.0.2", "127.0.0.3"
FAILURES_MAX = 4
DESCRIBED = yaml.safe_load((root_of_code() / "cluster.yaml").read_text("utf-8"))


@dataclass(frozen=True, slots=True)
class Machine:
    """`env_file` stands for its /etc/holdfast.env, `home` for the ssh user's home."""

    settings: Settings
    env_file: Path
    home: Path

    @property
    def gateway(self) -> str:
        return f"http://{self.settings.host}:{self.settings.gateway_port}"

    def shell(self, script: str, seconds_max: float = 240) -> subprocess.CompletedProcess[str]:
        """A fresh shell of that user, without anything of the test's own environment."""
        return subprocess.run(
            ["bash", "-c", script],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.home),
                "PYTHONPATH": str(root_of_code()),
                "COLUMNS": "160",
            },
            cwd=self.home,
            text=True,
            capture_output=True,
            timeout=seconds_max,
            check=False,
        )

    def command(self, words: str) -> subprocess.CompletedProcess[str]:
        """What the how-to has a person do on the head."""
        python = shlex.quote(sys.executable)
        return self.shell(f". {self.env_file}; cd ~/holdfast; {python} -m holdfast {words}")

    def start_ray(self, commands: str, options: dict[str, object]) -> None:
        """By that command of cluster.yaml, but with options that let two machines be one."""
        written = DESCRIBED[commands][-1].replace("/etc/holdfast.env", str(self.env_file))
        ready = re.split(r"\S+ray start", written)[0]
        words = " ".join(f"--{name}={shlex.quote(str(value))}" for name, value in options.items())
        head = "--head " if commands.startswith("head") else ""
        done = self.shell(f"{ready} {shlex.quote(sys.executable)} -m ray.scripts.scripts start {head}{words}")
        assert done.returncode == 0, done.stdout + done.stderr

    def python(self, code: str) -> Any:
        """What a program on that machine prints, as JSON."""
        done = self.shell(f". {self.env_file}; cd ~/holdfast; {shlex.quote(sys.executable)} -c {shlex.quote(code)}")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])


@dataclass(frozen=True, slots=True)
class Machines:
    head: Machine
    other: Machine
    mark: str
    ray_dir: Path

    def nodes(self) -> dict[str, str]:
        """Ray's id of each machine, by its address."""
        code = (
            "import json, ray; from holdfast.settings import Settings; "
            "ray.init(Settings().ray_address, log_to_driver=False); "
            "print(json.dumps({n['NodeManagerAddress']: n['NodeID'] for n in ray.nodes() if n['Alive']}))"
        )
        found: dict[str, str] = self.head.python(code)
        return found

    def operator(self) -> httpx.Client:
        token = self.head.command("token --operator").stdout.strip()
        return httpx.Client(
            base_url=self.head.gateway, headers={"Authorization": f"Bearer {token}"}, timeout=30, trust_env=False
        )

    def processes(self) -> list[own_processes.ProcessId]:
        return own_processes.ours(self.mark, self.ray_dir)


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory, postgres: Any, valkey_server: Any) -> Iterator[Machines]:
    name = f"cluster_{secrets.token_hex(4)}"
    asyncio.run(execute(postgres.url, f"CREATE DATABASE {name}"))
    # Ray's sockets need a short path, and root's own folder is one that others cannot enter.
    ray_dir = Path(tempfile.mkdtemp(prefix="hfc"))
    mark = secrets.token_hex(8)
    first = free_settings(tmp_path_factory.mktemp("cluster") / "data")
    with socket.create_server(("127.0.0.1", first.internal_port_first)):
        second = free_settings(tmp_path_factory.mktemp("other") / "data")
    shared = {
        "postgres_url": postgres.url_of(name),
        "redis_url": valkey_server.url,
        "jwt_key": secrets.token_hex(32),
        "ray_address": f"{HEAD}:{second.ray_gcs_port}",
        "gateway_port": first.gateway_port,
        "shards": 2,
        "login_failures_per_address": FAILURES_MAX,
    }
    head_settings = Settings(**(first.model_dump() | shared | {"host": HEAD}))
    other_settings = Settings(**(second.model_dump() | shared | {"host": OTHER}))
    token = secrets.token_hex(32)
    try:
        made = Machines(
            _machine(tmp_path_factory.mktemp("head_home"), head_settings, mark, token),
            _machine(tmp_path_factory.mktemp("other_home"), other_settings, mark, token),
            mark,
            ray_dir,
        )
        _start(made)
        up = made.head.command("up")
        assert up.returncode == 0, up.stdout + up.stderr + _log_tails(made)
        yield made
        down = made.head.command("down")
        assert down.returncode == 0, down.stdout + down.stderr
        wait_for(lambda: "haproxy" not in {name_of(process.pid) for process in made.processes()}, "the gateways to end")
    finally:
        own_processes.end(lambda: own_processes.ours(mark, ray_dir), grace_seconds=5)
        for folder in (ray_dir, sockets_dir(head_settings), sockets_dir(other_settings)):
            shutil.rmtree(folder, ignore_errors=True)
        asyncio.run(drop_database_at(postgres.url, name))


def _machine(home: Path, settings: Settings, mark: str, token: str) -> Machine:
    settings.data_dir.mkdir(exist_ok=True)
    (home / "holdfast").symlink_to(root_of_code())
    given = settings.as_environment() | {MARK: mark, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    env_file = home / "holdfast.env"
    env_file.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in given.items()))
    env_file.chmod(0o600)
    return Machine(settings, env_file, home)


def _start(machines: Machines) -> None:
    ray_address, free = machines.head.settings.ray_address, machines.other.settings
    common: dict[str, object] = {
        "object-store-memory": 100 << 20,
        "min-worker-port": 0,
        "max-worker-port": 0,
        "include-log-monitor": "false",
    }
    head = {
        "node-ip-address": HEAD,
        "port": ray_address.rpartition(":")[2],
        "temp-dir": machines.ray_dir / "r",
        "include-dashboard": "false",
        "ray-client-server-port": free.ray_dashboard_port,
        "dashboard-agent-listen-port": free.postgres_port,
        "num-cpus": 0,
    }
    machines.head.start_ray("head_start_ray_commands", common | head)
    other = {
        "node-ip-address": OTHER,
        "address": ray_address,
        "dashboard-agent-listen-port": free.valkey_port,
        "num-cpus": 4,
    }
    machines.other.start_ray("worker_start_ray_commands", common | other)


def _log_tails(machines: Machines) -> str:
    logs = machines.ray_dir.glob("r/session_2*/logs/worker-*.err")
    return "\n".join(line for log in logs for line in log.read_text("utf-8").splitlines()[-8:] if "shard" in line)


def _shards(operator: httpx.Client) -> dict[int, dict[str, Any]]:
    answer = operator.get("/operator/shards")
    answer.raise_for_status()
    return {row["shard_id"]: row for row in answer.json()["items"]}


def _moved(operator: httpx.Client, shard_id: int, node: str) -> str:
    """The shard's express lane once its owner runs on that node."""
    before = _shards(operator)[shard_id]
    moved = operator.post(f"/operator/shards/{shard_id}/move", json={"to_node": node})
    assert moved.status_code == 202, moved.text
    row = wait_for(lambda: _owned_anew(operator, before), f"a new owner of shard {shard_id}")
    assert row["node"] == node
    found: str = row["express_address"]
    return found


def _owned_anew(operator: httpx.Client, before: dict[str, Any]) -> dict[str, Any] | None:
    row = _shards(operator)[before["shard_id"]]
    serves = row["epoch"] > before["epoch"] and row["queue"] is not None and row["express_address"]
    return row if serves else None


@pytest.mark.parametrize("shard_id", [0, 1])
def test_a_shard_listens_on_the_machine_that_it_runs_on_and_books_there(machines: Machines, shard_id: int) -> None:
    nodes = machines.nodes()
    with machines.operator() as operator:
        for host in (HEAD, OTHER):
            address = _moved(operator, shard_id, nodes[host])
            assert address.startswith(f"{host}:"), address
            with httpx.Client(base_url=machines.head.gateway, timeout=30, trust_env=False) as client:
                ada, chez = guest(client), restaurant(client)
            booked = wait_for(
                lambda address=address, chez=chez, ada=ada: _booked(f"http://{address}", chez, ada), "a booking"
            )
            assert booked["status"] == "CONFIRMED"
            status = machines.head.command("status")
            assert status.returncode == 0, status.stdout


def _booked(base: str, chez: Any, ada: Any) -> dict[str, Any] | None:
    answer = book(base, chez, ada, dinner())
    if answer.status_code == 503:  # the house's own shard may be the one that has just moved
        return None
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_each_machine_has_its_own_gateway_to_services_on_another(machines: Machines) -> None:
    for machine in (machines.head, machines.other):
        with httpx.Client(base_url=machine.gateway, timeout=30, trust_env=False) as client:
            ada, chez = guest(client), restaurant(client)
        assert book(machine.gateway, chez, ada, dinner()).status_code == 201


def test_the_gateways_own_pages_stay_on_loopback(machines: Machines) -> None:
    for machine in (machines.head, machines.other):
        gateway = (machine.settings.host, machine.settings.gateway_port)
        haproxies = [_listening(process.pid) for process in machines.processes() if name_of(process.pid) == "haproxy"]
        (here,) = [addresses for addresses in haproxies if gateway in addresses]
        assert {address for address in here if address[0] != "127.0.0.1"} == {gateway}


def _listening(pid: int) -> set[tuple[str, int]]:
    """Nothing where the process has ended: one whose configuration is renewed does, when its successor has its ports."""
    try:
        return listening(pid)
    except FileNotFoundError:
        return set()


def test_an_invented_address_buys_no_more_tries_and_locks_nobody_else_out(machines: Machines) -> None:
    machine = machines.head

    def answers(local: str, tries: int) -> list[int]:
        with httpx.Client(base_url=machine.gateway, transport=httpx.HTTPTransport(local_address=local)) as client:
            return [
                client.post(
                    "/user/login",
                    json={"email": f"{secrets.token_hex(6)}@example.com", "password": "x" * 9},
                    headers={"X-Forwarded-For": f"203.0.113.{number}"},
                ).status_code
                for number in range(tries)
            ]

    assert answers("127.0.0.101", FAILURES_MAX + 2) == [401] * FAILURES_MAX + [429] * 2
    assert answers("127.0.0.102", 1) == [401]


def test_a_headers_trickle_is_cut_off_on_every_machine(machines: Machines) -> None:
    slow = [
        socket.create_connection((machine.settings.host, machine.settings.gateway_port), timeout=40)
        for machine in (machines.head, machines.other)
    ]
    try:
        for client in slow:
            client.sendall(b"GET /user/healthz HTTP/1.1\r\nHost: x\r\n")
        for client in slow:
            assert client.recv(4096).startswith(b"HTTP/1.1 408")
    finally:
        for client in slow:
            client.close()


def test_a_shard_whose_process_dies_is_announced_where_it_comes_back(machines: Machines) -> None:
    with machines.operator() as operator:
        before = _shards(operator)[0]
        with suppress(ProcessLookupError):
            os.kill(before["pid"], signal.SIGKILL)
        wait_for(lambda: _shards(operator)[0]["epoch"] > before["epoch"], "another life of shard 0")
        wait_for(lambda: machines.head.command("status").returncode == 0, "every part to answer", seconds_max=60)
        again = machines.head.command("up")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "up already" in again.stdout
