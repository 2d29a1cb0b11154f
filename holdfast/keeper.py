"""The keeper: one background process that starts the embedded servers and starts them again when they die.

Run as `python -m holdfast.keeper` with the settings in its environment. It ends its servers, and nothing else, when it
gets SIGTERM. What it does is written to data_dir/logs/keeper.log; who it is, to data_dir/keeper.json.
"""

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from holdfast import logs
from holdfast.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError
from holdfast.embedded_valkey import EmbeddedValkey, EmbeddedValkeyError
from holdfast.own_processes import ProcessId, alive, identify
from holdfast.settings import Settings

LOOK_SECONDS: Final = 0.1
WAIT_FIRST_SECONDS: Final = 0.1
WAIT_LAST_SECONDS: Final = 10.0
STEADY_SECONDS: Final = 60.0
_FILE: Final = "keeper.json"

_log = logging.getLogger("holdfast.keeper")


class Server(Protocol):
    """What the keeper needs of a server."""

    @property
    def pid(self) -> int | None: ...

    @property
    def running(self) -> bool: ...

    def start(self) -> None:
        """Raises EmbeddedPostgresError or EmbeddedValkeyError."""
        ...

    def stop(self) -> None: ...


@dataclass(slots=True)
class Kept:
    """One server under watch: when it may be started next, and how long the wait after the next failure is."""

    name: str
    server: Server
    next_try: float = 0.0
    wait_seconds: float = WAIT_FIRST_SECONDS
    started_at: float = field(default=0.0)
    was_up: bool = False


class Keeper:
    """Starts the servers, then looks after them until it is told to stop. The clock is monotonic seconds."""

    def __init__(
        self,
        servers: Sequence[tuple[str, Server]],
        *,
        clock: Callable[[], float] = time.monotonic,
        changed: Callable[[dict[str, int]], None] = lambda _: None,
    ) -> None:
        self._kept = [Kept(name, server) for name, server in servers]
        self._clock = clock
        self._changed = changed

    @property
    def pids(self) -> dict[str, int]:
        return {kept.name: pid for kept in self._kept if (pid := kept.server.pid) is not None}

    def look(self) -> None:
        """Start what is not running and may be started now. A server that keeps dying is tried ever less often."""
        now = self._clock()
        news = False
        for kept in self._kept:
            if kept.server.running:
                if now - kept.started_at > STEADY_SECONDS:
                    kept.wait_seconds = WAIT_FIRST_SECONDS
                continue
            if kept.was_up:
                _log.warning("%s died", kept.name)
                kept.was_up = False
                kept.next_try = now + (0.0 if kept.wait_seconds == WAIT_FIRST_SECONDS else kept.wait_seconds)
                news = True
            if now >= kept.next_try:
                self._start(kept)
                news = True
        if news:
            self._changed(self.pids)

    def stop(self) -> None:
        for kept in reversed(self._kept):
            kept.server.stop()
            _log.info("%s stopped", kept.name)

    def _start(self, kept: Kept) -> None:
        try:
            kept.server.start()
        except (EmbeddedPostgresError, EmbeddedValkeyError, OSError) as error:
            _log.error("%s did not start: %s", kept.name, error)
        else:
            _log.info("%s runs as process %s", kept.name, kept.server.pid)
            kept.was_up = True
        kept.started_at = self._clock()
        kept.next_try = kept.started_at + kept.wait_seconds
        kept.wait_seconds = min(2 * kept.wait_seconds, WAIT_LAST_SECONDS)


@dataclass(frozen=True, slots=True)
class KeeperFile:
    """What the keeper says of itself: which process it is, and the process ids of its servers that run."""

    keeper: ProcessId
    servers: dict[str, int]


def read_keeper_file(data_dir: Path) -> KeeperFile | None:
    """The living keeper of the folder; None where there is none, whatever file an earlier one left behind."""
    try:
        found = json.loads((data_dir / _FILE).read_text("utf-8"))
    except FileNotFoundError:
        return None
    keeper = ProcessId(found["pid"], found["started"])
    return KeeperFile(keeper, found["servers"]) if alive(keeper) else None


def write_keeper_file(data_dir: Path, keeper: ProcessId, servers: dict[str, int]) -> None:
    draft = data_dir / f"{_FILE}.new"
    draft.write_text(json.dumps({"pid": keeper.pid, "started": keeper.started, "servers": servers}), "utf-8")
    draft.replace(data_dir / _FILE)


def embedded_servers(settings: Settings) -> list[tuple[str, Server]]:
    """The servers that these settings ask for, in the order of starting."""
    servers: list[tuple[str, Server]] = []
    if not settings.postgres_url:
        servers.append(("postgres", EmbeddedPostgres(settings.data_dir / "postgres", settings.postgres_port)))
    if not settings.redis_url:
        servers.append(("valkey", EmbeddedValkey(settings.data_dir / "valkey", settings.valkey_port)))
    return servers


def main() -> int:
    settings = Settings()
    logs.to_stderr()
    me = identify(os.getpid())
    if me is None or read_keeper_file(settings.data_dir) is not None:
        _log.error("another keeper looks after %s", settings.data_dir)
        return 1
    told_to_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told_to_stop.set())
    keeper = Keeper(
        embedded_servers(settings), changed=lambda servers: write_keeper_file(settings.data_dir, me, servers)
    )
    write_keeper_file(settings.data_dir, me, {})
    try:
        while not told_to_stop.is_set():
            keeper.look()
            told_to_stop.wait(LOOK_SECONDS)
    finally:
        keeper.stop()
        (settings.data_dir / _FILE).unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
