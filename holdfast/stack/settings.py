"""Where the stack lives and which ports it takes. docs/how-to/run-on-real-servers.md explains each variable."""

import hashlib
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from holdfast.settings import Port, absolute


class StackSettings(BaseSettings):
    """Read from HOLDFAST_STACK_* variables. With `port_first` all ports that are not given count up from there."""

    model_config = SettingsConfigDict(env_prefix="HOLDFAST_STACK_", frozen=True)

    dir: Annotated[Path, AfterValidator(absolute)] = Field(default=Path(".stack"), validate_default=True)
    port_first: Port | None = None
    kafka_port: Port = 19092
    kafka_controller_port: Port = 19093
    elasticsearch_port: Port = 19200
    elasticsearch_transport_port: Port = 19300
    cassandra_port: Port = 9142
    cassandra_storage_port: Port = 7010
    cassandra_ssl_storage_port: Port = 7011
    postgres_port: Port = 19032
    postgres_replica_port: Port = 19033
    valkey_port: Port = 19079
    stripe_mock_port: Port = 19111

    @model_validator(mode="before")
    @classmethod
    def _count_up(cls, given: dict[str, Any]) -> dict[str, Any]:
        first = given.get("port_first")
        if first is None:
            return given
        return {name: int(first) + offset for offset, name in enumerate(_port_names())} | given

    @model_validator(mode="after")
    def _ports_are_distinct(self) -> Self:
        counts = Counter(getattr(self, name) for name in _port_names())
        twice = sorted(port for port, count in counts.items() if count > 1)
        if twice:
            raise ValueError(f"these ports are given to more than one server: {', '.join(map(str, twice))}")
        return self

    @property
    def env_file(self) -> Path:
        """HOLDFAST_* lines that make Holdfast run on this stack."""
        return self.dir / "env"

    @property
    def run_id(self) -> str:
        """Names this stack on this machine."""
        return hashlib.sha256(str(self.dir).encode()).hexdigest()[:8]


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"HOLDFAST_STACK_{name.upper()}"


def _port_names() -> list[str]:
    return [name for name in StackSettings.model_fields if name.endswith("_port")]
