"""What the three Java servers share: jars from Maven Central, files made from deploy/stack/, one process."""

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import ClassVar, Final

import holdfast
from holdfast.stack import java
from holdfast.stack.server import Server

DEPLOY: Final = Path(holdfast.__file__).parent.parent / "deploy" / "stack"


class JavaServer(Server):
    """Its pom and its files stand in deploy/stack/<name>/; `${...}` in a file is filled in from `values`."""

    needs_java = True
    files: ClassVar[tuple[str, ...]]

    @property
    def lib(self) -> Path:
        return self.settings.dir / "lib" / self.name

    @property
    @abstractmethod
    def values(self) -> dict[str, str]:
        """What the files of deploy/stack/<name>/ leave open."""

    @property
    def config_dir(self) -> Path:
        return self.folder

    @abstractmethod
    def command(self) -> list[str]:
        """The words that run it in the foreground."""

    def environment(self) -> dict[str, str]:
        return java.environment()

    def prepare(self) -> None:
        java.fetch(DEPLOY / self.name / "pom.xml", self.lib)
        self.config_dir.mkdir(parents=True, exist_ok=True)
        (self.folder / "tmp").mkdir(exist_ok=True)
        for file in self.files:
            (self.config_dir / file).write_text(rendered(self.name, file, self.values), "utf-8")

    def launch(self, began: Callable[[int], None]) -> None:
        self.spawn(self.command(), began, self.environment())


def rendered(server: str, file: str, values: dict[str, str]) -> str:
    """One file of deploy/stack/<server>/, filled in. Raises KeyError where `values` lacks one."""
    return Template((DEPLOY / server / file).read_text("utf-8")).substitute(values)
