"""Brings the servers of the stack up and down. What it finds running stays as it is."""

import fcntl
import os
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from holdfast.embedded_postgres import wait_until
from holdfast.own_processes import ProcessId
from holdfast.ports import PortTaken, taken_among
from holdfast.stack import java
from holdfast.stack.cassandra import Cassandra
from holdfast.stack.elasticsearch import Elasticsearch
from holdfast.stack.kafka import Kafka
from holdfast.stack.leftovers import leftover
from holdfast.stack.postgres import Postgres, PostgresReplica
from holdfast.stack.records import Records
from holdfast.stack.server import NoAnswer, Server, StackError
from holdfast.stack.settings import StackSettings, variable
from holdfast.stack.stripe_mock import StripeMock
from holdfast.stack.valkey import Valkey

SERVERS: Final[tuple[type[Server], ...]] = (
    Elasticsearch,
    Cassandra,
    Kafka,
    Postgres,
    PostgresReplica,
    Valkey,
    StripeMock,
)
"""In the order of starting: the slowest first."""

STOP_SECONDS_MAX: Final = 40.0
_LOOK_SECONDS: Final = 0.2

Tell = Callable[[str], None]


class PortsTakenError(StackError):
    def __init__(self, taken: dict[str, list[PortTaken]]) -> None:
        super().__init__("\n".join(f"{name} cannot start: {port}" for name, ports in taken.items() for port in ports))
        self.taken = taken


@dataclass(frozen=True, slots=True)
class Health:
    """One server as it is now. `said` is its answer, or why there was none."""

    name: str
    address: str
    pid: int | None
    answers: bool
    said: str


class Stack:
    """The servers over one folder. One command at a time is at work on it; the next one waits."""

    def __init__(
        self, settings: StackSettings, tell: Tell = lambda _: None, kinds: Sequence[type[Server]] = SERVERS
    ) -> None:
        self._settings = settings
        self._tell = tell
        self._servers = {kind.name: kind(settings) for kind in kinds}
        self._records = Records(settings.dir / "run")

    def up(self, names: Sequence[str] = ()) -> list[str]:
        """Start those that do not run, all of them unless some are named, and wait until each answers.

        Returns the names of those that it started. Raises PortsTakenError, JavaMissing or another StackError; what
        had been started by then keeps running. An interrupt ends what was started.
        """
        wanted = self._with_those_before(self._named(names) if names else self._all_to_be_had())
        with self._locked():
            missing = [server for server in wanted if self._adopted(server) is None]
            self._check_ports(missing)
            if any(server.needs_java for server in missing):
                java.make_sure(self._tell)
            for server in missing:
                self._tell(f"preparing {server.name}")
                server.prepare()
            with self._ended_if_interrupted(missing):
                for server in missing:
                    self._launch(server)
                for server in wanted:
                    self._wait(server)
                    self._tell(f"{server.name} answers")
            self._write_environment()
        return [server.name for server in missing]

    def down(self, names: Sequence[str] = ()) -> list[str]:
        """End those that this stack started, all of them unless some are named; the names of those that ran."""
        with self._locked():
            return [server.name for server in reversed(self._named(names)) if self._stop(server)]

    def kill(self, name: str) -> bool:
        """End one server without a word, as a power cut would; False where it did not run."""
        with self._locked():
            (server,) = self._named([name])
            self._adopted(server)
            return self._records.kill(server.name)

    def look(self) -> list[Health]:
        """How each server fares; without one that cannot be had here, and need not be."""
        report = [(server, self._health(server)) for server in self._servers.values()]
        return [health for server, health in report if health.pid is not None or not server.lacks()]

    def _named(self, names: Sequence[str]) -> list[Server]:
        unknown = [name for name in names if name not in self._servers]
        if unknown:
            raise StackError(f"there is no server {', '.join(unknown)}; there are {', '.join(self._servers)}")
        return [server for name, server in self._servers.items() if not names or name in names]

    def _all_to_be_had(self) -> list[Server]:
        found = []
        for server in self._servers.values():
            reason = server.lacks()
            if reason:
                self._tell(f"{server.name} is left out: {reason}")
            else:
                found.append(server)
        return found

    def _with_those_before(self, servers: list[Server]) -> list[Server]:
        needed = {server.name for server in servers} | {server.after for server in servers}
        return [server for name, server in self._servers.items() if name in needed]

    def _check_ports(self, servers: list[Server]) -> None:
        taken = {
            server.name: taken_among((port, variable(name), "127.0.0.1") for name, port in server.ports.items())
            for server in servers
        }
        if any(taken.values()):
            raise PortsTakenError(taken)

    def _adopted(self, server: Server) -> ProcessId | None:
        """The server's process; one that a killed command left behind unrecorded is recorded from now on."""
        found = self._records.living(server.name) or leftover(server)
        if found is not None:
            self._records.remember(server.name, found.pid)
        return found

    def _launch(self, server: Server) -> None:
        if server.after:
            self._wait(self._servers[server.after])
        self._tell(f"starting {server.name}")
        server.launch(partial(self._records.remember, server.name))

    @contextmanager
    def _ended_if_interrupted(self, servers: list[Server]) -> Iterator[None]:
        """A server that fails is left to be looked at, but who interrupts the command wants nothing of it to stay."""
        try:
            yield
        except StackError:
            raise
        except BaseException:
            self._tell("ending what was started")
            for server in reversed(servers):
                self._stop(server)
            raise

    def _wait(self, server: Server) -> None:
        """Raises StackError once the server has ended, or has not answered for long."""
        last = "nobody asked it"

        def settled() -> bool:
            nonlocal last
            ran = self._records.living(server.name) is not None
            try:
                server.ask()
            except NoAnswer as error:
                last = str(error)
                if ran:
                    time.sleep(_LOOK_SECONDS)
                return not ran
            if self._records.living(server.name) is not None:
                last = ""
            else:
                last = "it has ended, and somebody else answers on its port"
            return True

        wait_until(settled, time.monotonic() + server.start_seconds_max)
        if last:
            raise StackError(
                f"{server.name} does not answer ({last}); the last lines of {server.log}:\n{server.log_tail()}"
            )

    def _stop(self, server: Server) -> bool:
        self._adopted(server)
        stopped = self._records.stop(server.name, server.stop_signal, grace_seconds=STOP_SECONDS_MAX)
        if stopped:
            self._tell(f"{server.name} stopped")
        return stopped

    def _health(self, server: Server) -> Health:
        process = self._records.living(server.name) or leftover(server)
        if process is None:
            return Health(server.name, server.address, None, answers=False, said="does not run")
        try:
            said = server.ask()
        except NoAnswer as error:
            return Health(server.name, server.address, process.pid, answers=False, said=f"no answer: {error}")
        return Health(server.name, server.address, process.pid, answers=True, said=said)

    def _write_environment(self) -> None:
        """HOLDFAST_* lines for a shell. Mode 600, for they hold the password."""
        if not all(server.known for server in self._servers.values() if server.needed):
            return
        lines = {"HOLDFAST_DATA_DIR": str(self._settings.dir / "holdfast")}
        for server in self._servers.values():
            if server.known:
                lines |= server.variables
        draft = self._settings.dir / "env.new"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.writelines(f"{name}={shlex.quote(value)}\n" for name, value in lines.items())
        draft.replace(self._settings.env_file)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._settings.dir.mkdir(parents=True, exist_ok=True)
        with (self._settings.dir / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
