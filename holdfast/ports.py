"""Whether the ports are free, and who has one that is not."""

import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from holdfast.own_processes import name_of
from holdfast.settings import Settings


@dataclass(frozen=True, slots=True)
class PortTaken:
    """`setting` is the environment variable that would choose another port."""

    port: int
    setting: str
    by: str

    def __str__(self) -> str:
        return f"port {self.port} ({self.setting}) is taken by {self.by}"


def taken_ports(settings: Settings) -> list[PortTaken]:
    """Every port of the settings that somebody listens on already."""
    hosts = {"gateway_port": settings.host, "express_port": settings.host}
    wanted = [
        (port, f"HOLDFAST_{name.upper()}", hosts.get(name, "127.0.0.1"))
        for name, port in settings.named_ports().items()
    ]
    wanted += [(port, "HOLDFAST_INTERNAL_PORT_FIRST", "127.0.0.1") for port in settings.internal_ports()]
    return taken_among(wanted)


def taken_among(wanted: Iterable[tuple[int, str, str]]) -> list[PortTaken]:
    """Those of the ports, each with its setting and the address to listen on, that somebody listens on already."""
    return [PortTaken(port, setting, _holder(port)) for port, setting, host in wanted if is_taken(host, port)]


def is_taken(host: str, port: int) -> bool:
    """Whether somebody listens there.

    The last connections of a server that has ended may hold its port for a minute; its successor need not mind.
    """
    return not _can_bind(host, port) and bool(_listening_sockets(port))


def listens_on(process: Path, port: int) -> bool:
    """Whether the process, a folder of /proc, has the port, as far as this user may see it."""
    return bool(_listening_sockets(port) & _open_sockets(process))


def _can_bind(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _holder(port: int) -> str:
    """The process that listens on the port, as far as this user may see it."""
    sockets = _listening_sockets(port)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and sockets & _open_sockets(entry):
            return f"{name_of(int(entry.name))} (process {entry.name})"
    return "a process of another user"


def _listening_sockets(port: int) -> set[str]:
    listening = "0A"
    found = set()
    for table in ("tcp", "tcp6"):
        with suppress(FileNotFoundError):
            for line in Path("/proc/net", table).read_text("ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == listening and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{fields[9]}]")
    return found


def _open_sockets(process: Path) -> set[str]:
    found = set()
    with suppress(OSError):
        for file in (process / "fd").iterdir():
            with suppress(OSError):
                found.add(str(file.readlink()))
    return found
