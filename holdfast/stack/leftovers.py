"""Servers of ours that nobody recorded, because the command that started them was killed at the wrong moment."""

from contextlib import suppress
from pathlib import Path

from holdfast.own_processes import ProcessId, identify, parent_of
from holdfast.ports import listens_on
from holdfast.stack.server import Server


def leftover(server: Server) -> ProcessId | None:
    """The server's process, should one run; the elder where it has children.

    Not everything that works in a server's folder is the server: somebody may read its log there. The server writes
    the log, or has one of the server's ports.
    """
    found = {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _is_of(server, entry)}
    elders = sorted(pid for pid in found if parent_of(pid) not in found)
    return next(filter(None, map(identify, elders)), None)


def _is_of(server: Server, process: Path) -> bool:
    folder = server.folder.resolve()
    with suppress(OSError):  # it is gone, or another user's
        if (process / "cwd").readlink().is_relative_to(folder):
            writes = (process / "fd" / "1").readlink() == folder / server.log.name
            return writes or any(listens_on(process, port) for port in server.ports.values())
    return False
