"""The operator's requests of the command, with a token made on the spot from this installation's own secrets."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import httpx

from domain.command import Role
from holdfast import health
from holdfast.settings import Settings
from holdfast.signing import signing_keys
from serve_app.auth import issue

_NOBODY: Final = UUID(int=0)
_TIMEOUT_SECONDS: Final = 15.0


def operator_token(settings: Settings, life: timedelta) -> str:
    return issue(
        signing_keys(settings), Role.OPERATOR, _NOBODY, now=datetime.now(UTC), ttl_seconds=int(life.total_seconds())
    )


class OperatorApi:
    """Raises httpx.HTTPError when the gateway is away or refuses."""

    def __init__(self, settings: Settings) -> None:
        token = operator_token(settings, timedelta(minutes=5))
        self._client = httpx.Client(
            base_url=health.gateway_url(settings),
            headers={"Authorization": f"Bearer {token}"},
            timeout=_TIMEOUT_SECONDS,
            trust_env=False,
        )

    def shards(self) -> list[dict[str, Any]]:
        answer = self._client.get("/operator/shards")
        answer.raise_for_status()
        items: list[dict[str, Any]] = answer.json()["items"]
        return items
