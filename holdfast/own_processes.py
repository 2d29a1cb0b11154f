"""Which processes are ours, so that nothing else is ever ended.

Everything that `holdfast up` starts, and whatever that starts in turn (Ray's workers, HAProxy), inherits one variable
in its environment: the mark of this installation. A process is ours if it carries the mark. Some of Ray's agents wipe
their environment when they change their title; those are known by that title and a log file of ours that they hold open.
A signal goes to a process by number and start time through a pidfd, so a number given away meanwhile is never hit.
"""

import os
import signal
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MARK: Final = "HOLDFAST_RUN"

_PROC: Final = Path("/proc")


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process, not merely its number: `started` is in clock ticks since the machine's start."""

    pid: int
    started: int


def identify(pid: int) -> ProcessId | None:
    """The process that has the number now; None where there is none, or only an exit code waiting to be collected."""
    fields = _stat(pid)
    return None if not fields or fields[0] in "ZX" else ProcessId(pid, int(fields[19]))


def parent_of(pid: int) -> int:
    """The parent's number; 0 where there is no such process."""
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def alive(process: ProcessId) -> bool:
    return identify(process.pid) == process


def name_of(pid: int) -> str:
    try:
        return (_PROC / str(pid) / "comm").read_text("utf-8", errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return "?"


def ours(run_id: str, ray_dir: Path) -> list[ProcessId]:
    """All living processes that this installation started, except the one that asks."""
    found = []
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            process = identify(int(entry.name))
            if process is not None and (_carries(process.pid, run_id) or _is_agent_of(process.pid, ray_dir)):
                found.append(process)
    return found


def send(process: ProcessId, number: signal.Signals) -> bool:
    """Signal exactly that process; False if it is gone."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        if not alive(process):
            return False
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, number)
            return True
        return False
    finally:
        os.close(descriptor)


def end(
    find: Callable[[], Collection[ProcessId]], *, grace_seconds: float, poll_seconds: float = 0.05
) -> list[ProcessId]:
    """Ask all to end, then make those end that did not within the grace. `find` is asked anew, for late children.

    Returns those that had to be killed.
    """
    for process in find():
        send(process, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    while (left := find()) and time.monotonic() < deadline:
        time.sleep(poll_seconds)
    killed: list[ProcessId] = []
    while left:
        killed += [process for process in left if process not in killed and send(process, signal.SIGKILL)]
        time.sleep(poll_seconds)
        left = find()
    return killed


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat from the state on."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text("utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return []
    # The name stands in brackets and may hold anything, so the fields are counted from the last bracket.
    return stat.rpartition(")")[2].split()


def _carries(pid: int, run_id: str) -> bool:
    try:
        environment = (_PROC / str(pid) / "environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False  # gone meanwhile, or somebody else's
    return f"{MARK}={run_id}".encode() in environment.split(b"\0")


def _is_agent_of(pid: int, ray_dir: Path) -> bool:
    try:
        if not (_PROC / str(pid) / "cmdline").read_bytes().startswith(b"ray::"):
            return False
        return any(str(_target(file)).startswith(f"{ray_dir}/") for file in (_PROC / str(pid) / "fd").iterdir())
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False


def _target(link: Path) -> Path:
    try:
        return link.readlink()
    except FileNotFoundError:
        return Path()  # closed meanwhile
