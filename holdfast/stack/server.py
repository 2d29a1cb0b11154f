"""What the stack asks of each of its servers."""

import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from signal import SIGTERM, Signals
from typing import ClassVar

from holdfast.stack.settings import StackSettings


class StackError(RuntimeError):
    """The stack could not be brought up or down; the message says why and what can be done."""


class NoAnswer(RuntimeError):  # the cause is the driver's own error
    """The server does not answer a question in its own protocol yet, or any more."""


class Server(ABC):
    """One server over one folder of the stack. It outlives the command that started it."""

    name: ClassVar[str]
    needs_java: ClassVar[bool] = False
    needed: ClassVar[bool] = True
    """Whether Holdfast does not run on the stack without it."""
    after: ClassVar[str] = ""
    """The server that must answer before this one can be started."""
    stop_signal: ClassVar[Signals] = SIGTERM
    start_seconds_max: ClassVar[float] = 180.0

    def __init__(self, settings: StackSettings) -> None:
        self.settings = settings

    @property
    def folder(self) -> Path:
        """Its configuration, data and log."""
        return self.settings.dir / self.name

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    @abstractmethod
    def ports(self) -> dict[str, int]:
        """Every port that it listens on, by the name of its setting; the one that clients use comes first."""

    @property
    @abstractmethod
    def variables(self) -> dict[str, str]:
        """The HOLDFAST_* settings that make Holdfast use it. They may hold its password."""

    @property
    def known(self) -> bool:
        """Whether it was ever started here; its variables may be unknown before."""
        return self.folder.exists()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{next(iter(self.ports.values()))}"

    def lacks(self) -> str:
        """Why a server that Holdfast runs without cannot be had here; empty where it can, and for all others."""
        return ""

    def prepare(self) -> None:  # noqa: B027 - most have nothing to prepare
        """Fetch and write what it needs before it can be started."""

    @abstractmethod
    def launch(self, began: Callable[[int], None]) -> None:
        """Start it, without waiting until it answers. `began` gets its process id at once, before any wait.

        It runs in its folder and writes its output to its log; by these it is known should nobody have noted it.
        """

    def spawn(
        self, command: Sequence[str], began: Callable[[int], None], environment: Mapping[str, str] | None = None
    ) -> None:
        """Run a program in the server's folder, with the log for its output and, unless another is given, our environment."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - our own arguments
                command,
                env=environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C in the terminal is not for the server
            )
        began(process.pid)

    @abstractmethod
    def ask(self) -> str:
        """Ask it something in its own protocol; what it said of itself, in a few words. Raises NoAnswer."""

    def log_tail(self) -> str:
        """The last lines of its log, for an error message."""
        if not self.log.exists():
            return "(it wrote no log)"
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - 20_000))
            return "\n".join(file.read().decode("utf-8", errors="replace").splitlines()[-15:])
