"""Which processes the stack started: one small file per server with the process and its start time."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from signal import SIGKILL, Signals
from typing import Final

from holdfast.embedded_postgres import wait_until
from holdfast.own_processes import ProcessId, alive, identify, parent_of, send

_KILL_SECONDS_MAX: Final = 10.0


class Records:
    """`.stack/run/<server>.json`. A number that belongs to another process by now is never signalled."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def remember(self, server: str, pid: int) -> None:
        """Does nothing where the process has ended already."""
        process = identify(pid)
        if process is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            draft = self._folder / f"{server}.new"
            draft.write_text(json.dumps(asdict(process)), "utf-8")
            draft.replace(self._file(server))

    def living(self, server: str) -> ProcessId | None:
        """The process that was started for the server, if it still lives. A record that a power cut tore is none."""
        try:
            process = ProcessId(**json.loads(self._file(server).read_text("utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return process if alive(process) else None

    def stop(self, server: str, number: Signals, *, grace_seconds: float) -> bool:
        """Ask it to end, and make it end with its children if it does not; False where it did not run."""
        process = self.living(server)
        if process is None:
            return False
        family = _family(process)
        send(process, number)
        if not wait_until(_gone(family), time.monotonic() + grace_seconds):
            _kill(family)
        self._file(server).unlink()
        return True

    def kill(self, server: str) -> bool:
        """End it and its children without a word; False where it did not run."""
        process = self.living(server)
        if process is None:
            return False
        _kill(_family(process))
        self._file(server).unlink()
        return True

    def _file(self, server: str) -> Path:
        return self._folder / f"{server}.json"


def _family(process: ProcessId) -> list[ProcessId]:
    """The process, then its living descendants."""
    family = [process]
    everybody = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    parents = {pid: parent_of(pid) for pid in everybody}
    for elder in family:  # grows while it is read
        children = (identify(pid) for pid, parent in parents.items() if parent == elder.pid)
        family += [child for child in children if child is not None]
    return family


def _kill(family: list[ProcessId]) -> None:
    for process in family:
        send(process, SIGKILL)
    wait_until(_gone(family), time.monotonic() + _KILL_SECONDS_MAX)


def _gone(family: list[ProcessId]) -> Callable[[], bool]:
    return lambda: not any(map(alive, family))
