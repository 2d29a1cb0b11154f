"""Stripe's own mock: it judges requests by Stripe's specification and answers by example, and remembers nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx

from holdfast.stack import go
from holdfast.stack.server import NoAnswer, Server

_MODULE: Final = "github.com/stripe/stripe-mock"
_VERSION: Final = "v0.203.0"
"""It knows one version of Stripe's API, the one of the `stripe` library that pyproject.toml names."""


class StripeMock(Server):
    name = "stripe_mock"
    needed = False

    @property
    def ports(self) -> dict[str, int]:
        return {"stripe_mock_port": self.settings.stripe_mock_port}

    @property
    def variables(self) -> dict[str, str]:
        """Should somebody try Stripe here, then not the real one."""
        return {"HOLDFAST_STRIPE_URL": f"http://{self.address}"}

    def lacks(self) -> str:
        try:
            go.make_sure()
        except go.GoMissing as error:
            return str(error)
        return ""

    def prepare(self) -> None:
        self._built()
        self.folder.mkdir(parents=True, exist_ok=True)

    def launch(self, began: Callable[[int], None]) -> None:
        # Without an address for TLS it would listen to everybody: this one is loopback, on a port that the system picks.
        command = [
            str(self._built()),
            "-http-addr",
            self.address,
            "-https-addr",
            "127.0.0.1:0",
            "-strict-version-check",
        ]
        self.spawn(command, began)

    def ask(self) -> str:
        try:
            answer = httpx.get(f"http://{self.address}/v1/charges", auth=("sk_test_stack", ""), timeout=3)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise NoAnswer(str(error)) from error
        return f"{_VERSION}, {len(answer.json()['data'])} charges"

    def _built(self) -> Path:
        return go.build(_MODULE, _VERSION, self.settings.dir / "lib" / self.name / _VERSION)
