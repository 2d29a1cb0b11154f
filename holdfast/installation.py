"""Bringing one installation up and down on this machine: each step knows what it started and how to end it."""

import asyncio
import fcntl
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from holdfast import health, ray_head
from holdfast.database_ready import DatabaseNotReadyError, make_ready
from holdfast.keeper import KeeperFile, embedded_servers, read_keeper_file
from holdfast.own_processes import ProcessId, name_of, ours, parent_of, send
from holdfast.ports import PortTaken, taken_ports
from holdfast.secrets import load_or_make
from holdfast.settings import Settings

KEEPER_SECONDS_MAX: Final = 90.0
DATABASE_SECONDS_MAX: Final = 120.0
CLUSTER_SECONDS_MAX: Final = 180.0
HEALTH_SECONDS_MAX: Final = 60.0
DRAIN_SECONDS_MAX: Final = 25.0
_POLL_SECONDS: Final = 0.05
_SERVERS: Final = frozenset({"postgres", "valkey-server"})

Tell = Callable[[str], None]


class InstallationError(RuntimeError):
    """It could not be brought up or down; the message says why and what can be done."""


class PortsTakenError(InstallationError):
    def __init__(self, taken: list[PortTaken]) -> None:
        super().__init__("\n".join(map(str, taken)))
        self.taken = taken


class Installation:
    """What these settings describe. One command at a time may bring it up or down."""

    def __init__(self, settings: Settings, tell: Tell = lambda _: None) -> None:
        self._settings = settings
        self._tell = tell

    def well(self) -> bool:
        """Whether everything runs and answers."""
        if embedded_servers(self._settings) and read_keeper_file(self._settings.data_dir) is None:
            return False
        return all(answer == "ok" for answer in health.ask(health.checks(self._settings)).values())

    def up(self) -> bool:
        """Start everything and return once every service answers; False where that was so already.

        Raises PortsTakenError, or InstallationError after ending what it had started.
        """
        settings = self._settings
        with self._locked():
            if self.well():
                return False
            if self._processes():
                self._tell("ending what was left of an earlier run")
                self._end()
            self._clear()
            taken = taken_ports(settings)
            if taken:
                raise PortsTakenError(taken)
            load_or_make(settings.secrets_dir)
            try:
                self._start_keeper()
                self._prepare_database()
                self._start_cluster()
            except BaseException:
                self._tell("ending what was started")
                self._end()
                raise
        return True

    def down(self) -> bool:
        """End everything that was started, in order; False where nothing ran."""
        with self._locked():
            if not self._processes() and not self._settings.ray_address:
                self._clear()
                return False
            self._drain()
            self._end()
        return True

    def _start_keeper(self) -> None:
        settings = self._settings
        wanted = {name for name, _ in embedded_servers(settings)}
        if not wanted:
            return
        self._tell(f"starting {' and '.join(sorted(wanted))}")
        log = settings.logs_dir / "keeper.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            keeper = subprocess.Popen(
                [sys.executable, "-m", "holdfast.keeper"],
                env=ray_head.environment(settings),
                cwd=settings.data_dir,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        deadline = time.monotonic() + KEEPER_SECONDS_MAX
        while (found := read_keeper_file(settings.data_dir)) is None or not wanted <= found.servers.keys():
            if keeper.poll() is not None or time.monotonic() > deadline:
                raise InstallationError(f"the embedded servers did not start; the last lines of {log}:\n{_tail(log)}")
            time.sleep(_POLL_SECONDS)

    def _prepare_database(self) -> None:
        """Before Ray, so that settings which do not fit the data cost nobody a start of everything."""
        self._tell("preparing the database")
        try:
            note = asyncio.run(asyncio.wait_for(make_ready(self._settings), DATABASE_SECONDS_MAX))
        except DatabaseNotReadyError as error:
            raise InstallationError(str(error)) from error
        except TimeoutError as error:
            raise InstallationError(f"the database was not prepared in {DATABASE_SECONDS_MAX:.0f} s") from error
        if note:
            self._tell(note)

    def _start_cluster(self) -> None:
        settings = self._settings
        if not settings.ray_address:
            self._tell("starting Ray")
            ray_head.start(settings)
        self._tell("starting shards and services")
        log = settings.logs_dir / "cluster.log"
        if self._run("holdfast.cluster", log, seconds_max=CLUSTER_SECONDS_MAX) != 0:
            raise InstallationError(f"the cluster did not start; the last lines of {log}:\n{_tail(log)}")
        self._tell("waiting for every service to answer")
        unwell = health.wait_until_well(settings, wait_seconds=HEALTH_SECONDS_MAX)
        if unwell:
            said = ", ".join(f"{name}: {answer}" for name, answer in unwell.items())
            raise InstallationError(f"these do not answer: {said}. Ray's logs are in {ray_head.kept_logs(settings)}")

    def _drain(self) -> None:
        """Let the shards answer what they hold. A cluster that does not answer is ended all the same."""
        self._tell("letting the shards finish")
        if self._run("holdfast.drain", self._settings.logs_dir / "drain.log", seconds_max=DRAIN_SECONDS_MAX) != 0:
            self._tell("the cluster does not answer; ending it all the same")

    def _run(self, module: str, log: Path, *, seconds_max: float) -> int | None:
        """Run one of our modules to its end; its exit code, None if it took too long and was killed."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as file:
            try:
                done = subprocess.run(  # noqa: S603 - our own interpreter and module
                    [sys.executable, "-m", module],
                    env=ray_head.environment(self._settings),
                    cwd=self._settings.data_dir,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    check=False,
                    timeout=seconds_max,
                )
            except subprocess.TimeoutExpired:
                return None
        return done.returncode

    def _end(self) -> None:
        """Ray, Serve and HAProxy first, then the keeper with its servers, then whatever is left."""
        settings = self._settings
        keeper = read_keeper_file(settings.data_dir)
        self._tell("ending Ray and the gateway")
        ray_head.end_processes(settings, spare=self._kept(keeper), grace_seconds=1.5)
        if keeper is not None:
            self._tell("stopping the embedded servers")
            send(keeper.keeper, signal.SIGTERM)
            deadline = time.monotonic() + 40
            while read_keeper_file(settings.data_dir) is not None and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
        ray_head.end_processes(settings, spare=set(), grace_seconds=10)
        self._clear()

    def _clear(self) -> None:
        """Nothing of ours runs now. That its folder cannot be removed must not keep anybody from being down."""
        try:
            ray_head.clear(self._settings)
        except OSError as error:
            self._tell(f"{ray_head.ray_dir(self._settings)} stays: {error}")

    def _kept(self, keeper: KeeperFile | None) -> set[int]:
        """The keeper, its servers and their children; the servers also where their keeper was killed."""
        processes = self._processes()
        roots = {process.pid for process in processes if name_of(process.pid) in _SERVERS}
        if keeper is not None:
            roots |= {keeper.keeper.pid, *keeper.servers.values()}
        return {process.pid for process in processes if roots & {process.pid, *_ancestors(process.pid)}}

    def _processes(self) -> list[ProcessId]:
        return ours(self._settings.run_id, ray_head.ray_dir(self._settings))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._settings.data_dir.mkdir(parents=True, exist_ok=True)
        with (self._settings.data_dir / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InstallationError("another `holdfast up` or `holdfast down` is at work on this folder") from error
            yield


def _ancestors(pid: int) -> Iterator[int]:
    while (pid := parent_of(pid)) > 1:
        yield pid


def _tail(log: Path) -> str:
    return "\n".join(log.read_text("utf-8", errors="replace").splitlines()[-15:])
