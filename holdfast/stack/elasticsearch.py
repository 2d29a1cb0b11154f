"""One Elasticsearch node. It refuses to run as root, so under root it runs as another system user (server_user.py).

Where that user cannot enter the stack's folder, because it is below root's home, say, Elasticsearch and its data lie in
a folder of their own below /var/tmp: Java asks permissions in a way that no capability answers.
"""

import os
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Final, TypeVar

import httpx

from holdfast.server_user import ServerUserError, become_server_user, give_to_server_user, server_user_enters
from holdfast.stack import java
from holdfast.stack.java_server import JavaServer
from holdfast.stack.server import NoAnswer, StackError

_ELSEWHERE: Final = Path("/var/tmp")  # noqa: S108 - a name of our own in it, made for root alone to write in

T = TypeVar("T")


class Elasticsearch(JavaServer):
    name = "elasticsearch"
    files = ("elasticsearch.yml", "jvm.options", "log4j2.properties")

    @cached_property
    def home(self) -> Path:
        """The stack's folder, or another one where its own user cannot enter that."""
        stack = self.settings.dir
        if not stack.exists() or _as_its_user(partial(server_user_enters, stack)):
            return stack
        return _ELSEWHERE / f"holdfast-stack-{self.settings.run_id}"

    @property
    def folder(self) -> Path:
        return self.home / self.name

    @property
    def lib(self) -> Path:
        return self.home / "lib" / self.name

    @property
    def ports(self) -> dict[str, int]:
        settings = self.settings
        return {
            "elasticsearch_port": settings.elasticsearch_port,
            "elasticsearch_transport_port": settings.elasticsearch_transport_port,
        }

    @property
    def variables(self) -> dict[str, str]:
        return {"HOLDFAST_SEARCH_URL": f"http://{self.address}/vendors"}

    @property
    def values(self) -> dict[str, str]:
        return {
            "port": str(self.settings.elasticsearch_port),
            "transport_port": str(self.settings.elasticsearch_transport_port),
            "folder": str(self.folder),
        }

    @property
    def config_dir(self) -> Path:
        return self.folder / "config"

    def prepare(self) -> None:
        self.home.mkdir(mode=0o755, exist_ok=True)
        if self.home.stat().st_uid != os.geteuid():
            raise StackError(f"{self.home} belongs to somebody else")
        super().prepare()
        for folder in (self.folder, self.config_dir, *(self.folder / name for name in ("data", "logs", "tmp"))):
            folder.mkdir(exist_ok=True)
            _as_its_user(partial(give_to_server_user, folder))

    def command(self) -> list[str]:
        program = self._program()
        return [*_as_its_user(partial(become_server_user, self.folder, program)), str(program)]

    def environment(self) -> dict[str, str]:
        ours = {name: value for name, value in super().environment().items() if not name.startswith("ES_")}
        return ours | {
            "HOME": str(self.folder),
            "ES_JAVA_HOME": str(java.binary().parent.parent),
            "ES_PATH_CONF": str(self.config_dir),
            "ES_TMPDIR": str(self.folder / "tmp"),
        }

    def ask(self) -> str:
        try:
            answer = httpx.get(f"http://{self.address}/_cluster/health", timeout=3)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise NoAnswer(str(error)) from error
        health = answer.json()
        if health["status"] == "red":
            raise NoAnswer("its health is red")
        return f"{health['status']}, {health['active_primary_shards']} shards"

    def _program(self) -> Path:
        return next(self.lib.glob("elasticsearch-*/bin/elasticsearch"))


def _as_its_user(do: Callable[[], T]) -> T:
    try:
        return do()
    except ServerUserError as error:
        raise StackError(f"Elasticsearch refuses root, and {error}") from error
