"""`holdfast status`: what should run, whether it does, and whether it answers."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

import httpx

from holdfast import health
from holdfast.consumers import consumers_here
from holdfast.keeper import embedded_servers, read_keeper_file
from holdfast.operator_api import OperatorApi
from holdfast.ports import is_taken
from holdfast.settings import Settings
from holdfast.store_urls import postgres_url
from storage.consumer_states import ConsumerRow, ConsumerStates
from storage.errors import StoreUnavailable
from storage.payment_watch import PaymentLevels, PaymentWatch
from storage.postgres import Database

_SILENT_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Line:
    what: str
    state: str
    where: str
    well: bool


def look(settings: Settings) -> list[Line]:
    """One line for each part, from the ground up."""
    services = _services(settings)
    return [
        *_servers(settings),
        *_ray(settings),
        *services,
        *_shards(settings, services),
        *_consumers(settings),
        *_money(settings),
    ]


def _servers(settings: Settings) -> list[Line]:
    keeper = read_keeper_file(settings.data_dir)
    wanted = [name for name, _ in embedded_servers(settings)]
    lines = []
    if wanted:
        state = f"process {keeper.keeper.pid}" if keeper else "does not run"
        lines.append(Line("keeper", state, str(settings.logs_dir / "keeper.log"), keeper is not None))
    ports = {"postgres": settings.postgres_port, "valkey": settings.valkey_port}
    for name in wanted:
        pid = keeper.servers.get(name) if keeper else None
        state = f"process {pid}" if pid else "does not run"
        lines.append(Line(name, state, f"127.0.0.1:{ports[name]}", pid is not None))
    return lines


def _ray(settings: Settings) -> list[Line]:
    if settings.ray_address:
        return []
    ports = {"Ray": settings.ray_gcs_port, "Ray dashboard": settings.ray_dashboard_port}
    lines = []
    for name, port in ports.items():
        listens = is_taken("127.0.0.1", port)
        lines.append(Line(name, "listens" if listens else "does not run", f"http://127.0.0.1:{port}", listens))
    return lines


def _services(settings: Settings) -> list[Line]:
    urls = health.checks(settings)
    return [
        Line(name, answer, urls[name].removesuffix("/healthz"), answer == "ok")
        for name, answer in health.ask(urls).items()
    ]


def _shards(settings: Settings, services: list[Line]) -> list[Line]:
    """Whether each answers. Every one whose buckets would be closed counts, whoever was to start it."""
    if not any(line.what == "operator service" and line.well for line in services):
        return [Line("shards", "unknown: no operator service", "", well=False)]
    try:
        found = OperatorApi(settings).shards()
    except httpx.HTTPError as error:
        return [Line("shards", f"unknown: {type(error).__name__}", "", well=False)]
    return [_shard(row) for row in found if row["buckets"] or row["shard_id"] < settings.shards]


def _shard(row: dict[str, Any]) -> Line:
    answers = row["queue"] is not None
    where = f"process {row['pid'] or '-'}, {row['buckets']:,} buckets"
    return Line(f"shard {row['shard_id']}", "ok" if answers else "no answer", where, answers)


def _consumers(settings: Settings) -> list[Line]:
    """What each said of itself last, as Postgres has it: neither Ray nor the gateway is asked.

    One that is left out of the settings is shown while it still says something.
    """
    here = consumers_here(settings)
    try:
        rows = {row.name: row for row in asyncio.run(_said(settings))}
    except (StoreUnavailable, FileNotFoundError):
        return [Line(_label(name), "unknown: no database", "", well=False) for name in here]
    speaking = sorted(row.name for row in rows.values() if row.seen_seconds_ago <= _SILENT_SECONDS)
    return [_consumer(name, rows.get(name)) for name in (*here, *(name for name in speaking if name not in here))]


def _money(settings: Settings) -> list[Line]:
    """What waits of the deposits. What only a person can settle is shown, and does not make the installation unwell."""
    try:
        levels = asyncio.run(_levels(settings))
    except (StoreUnavailable, FileNotFoundError):
        return [Line("deposits", "unknown: no database", "", well=False)]
    stuck = levels.stuck + levels.messages_stuck
    state = f"{stuck:,} stuck: holdfast payments stuck" if stuck else "none stuck"
    return [Line("deposits", state, f"{levels.due:,} due, {levels.messages:,} messages in the inbox", well=True)]


async def _levels(settings: Settings) -> PaymentLevels:
    database = Database(postgres_url(settings), "holdfast status", 1)
    try:
        return await PaymentWatch(database).levels()
    finally:
        await database.close()


async def _said(settings: Settings) -> list[ConsumerRow]:
    database = Database(postgres_url(settings), "holdfast status", 1)
    try:
        return list(await ConsumerStates(database).all())
    finally:
        await database.close()


def _consumer(name: str, row: ConsumerRow | None) -> Line:
    if row is None or row.state == "left":
        return Line(_label(name), "does not run", "", well=False)
    behind = "" if row.lag is None else f", {row.lag:,} behind"
    where = f"process {row.pid}{behind}, {row.parked:,} parked"
    if row.seen_seconds_ago > _SILENT_SECONDS:
        return Line(_label(name), f"silent for {row.seen_seconds_ago:.0f} s", where, well=False)
    return Line(_label(name), row.state, where, well=row.state in {"starting", "reading"})


def _label(name: str) -> str:
    return name.replace("_", " ")
