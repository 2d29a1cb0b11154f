"""The whole product for the length of a benchmark: an installation of its own, with vendors and guests in it."""

import asyncio
import secrets
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import httpx

from bench.workload import user_body, vendor_body
from domain.command import Role
from holdfast import health
from holdfast.installation import Installation
from holdfast.settings import INTERNAL_PORTS, Settings
from holdfast.signing import signing_keys
from holdfast.store_urls import postgres_url
from serve_app.auth import issue

_TOKEN_SECONDS = 12 * 3600
_SIGN_UPS_AT_ONCE = 4
_NAMED_PORTS = (
    "gateway_port",
    "express_port",
    "postgres_port",
    "valkey_port",
    "ray_gcs_port",
    "ray_dashboard_port",
    "haproxy_metrics_port",
)


@dataclass(frozen=True, slots=True)
class Product:
    """A running installation: what a load client needs to know of it."""

    settings: Settings
    vendors: list[str]
    guests: list[UUID]

    @property
    def dsn(self) -> str:
        return postgres_url(self.settings)

    def tokens(self) -> list[str]:
        """One per guest, made from the installation's own secrets."""
        keys, now = signing_keys(self.settings), datetime.now(UTC)
        return [issue(keys, Role.USER, guest, now=now, ttl_seconds=_TOKEN_SECONDS) for guest in self.guests]


def settings_beside(data_dir: Path, changes: Mapping[str, object] | None = None) -> Settings:
    """An installation that gets in the way of no other: its own folder and a stretch of free ports."""
    first = _free_stretch(len(_NAMED_PORTS) + INTERNAL_PORTS)
    ports = {name: first + place for place, name in enumerate(_NAMED_PORTS)}
    # The baseline has nobody who carries its outbox on, so ours waits as well: on one machine they would share its cores.
    chosen = {
        "consumers": "",
        "data_dir": data_dir,
        "internal_port_first": first + len(_NAMED_PORTS),
        **ports,
        **(changes or {}),
    }
    return Settings.model_validate(chosen)


@contextmanager
def product_running(data_dir: Path, vendors: int, guests: int) -> Iterator[Product]:
    """Up, filled, and down again; its data is removed when all went well."""
    settings = settings_beside(data_dir, {"accounts_per_address_per_hour": 1_000_000})
    installation = Installation(settings)
    installation.down()  # what a run that was killed may have left
    shutil.rmtree(data_dir, ignore_errors=True)
    installation.up()
    try:
        vendor_ids, guest_ids = asyncio.run(_fill(health.gateway_url(settings), vendors, guests))
        yield Product(settings, vendor_ids, guest_ids)
    finally:
        installation.down()
    shutil.rmtree(data_dir)


async def _fill(gateway: str, vendors: int, guests: int) -> tuple[list[str], list[UUID]]:
    """Sign everybody up over HTTP, as they would themselves."""
    several = asyncio.Semaphore(_SIGN_UPS_AT_ONCE)

    async def sign_up(path: str, body: dict[str, object], id_name: str) -> str:
        async with several:
            answer = await client.post(path, json=body)
        if answer.status_code != 201:
            raise RuntimeError(f"{path} answered {answer.status_code}: {answer.text[:200]}")
        made: str = answer.json()[id_name]
        return made

    async with httpx.AsyncClient(base_url=gateway, timeout=30.0, trust_env=False) as client:
        vendor_ids = await asyncio.gather(
            *(sign_up("/vendor/create", vendor_body(number), "vendor_id") for number in range(vendors))
        )
        guest_ids = await asyncio.gather(
            *(sign_up("/user/create", user_body(number), "user_id") for number in range(guests))
        )
    return list(vendor_ids), [UUID(guest_id) for guest_id in guest_ids]


def _free_stretch(length: int) -> int:
    """The first of so many consecutive ports of loopback that nobody listens on, below those that the system gives out."""
    for _ in range(200):
        first = 10_000 + secrets.randbelow(20_000)
        if all(_free(port) for port in range(first, first + length)):
            return first
    raise OSError(f"no {length} consecutive ports are free")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
