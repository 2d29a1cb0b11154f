"""Brings the database to where shards can be started on it, and says so where these settings cannot serve all of it."""

import logging
from collections.abc import Iterable, Sequence

import asyncpg

from holdfast.settings import Settings
from holdfast.store_urls import postgres_url
from storage.directory import Directory, ShardRow
from storage.errors import StoreError
from storage.migrate import migrate
from storage.postgres import Database


class DatabaseNotReadyError(RuntimeError):
    """Nothing may be started on it; the message says why and what can be done."""


async def make_ready(settings: Settings) -> str:
    """Bring the schema to the newest form, and give the buckets of a new database to the shards. Safe to do again.

    Returns what is worth saying of shards that will have nothing to do, mostly nothing. Raises DatabaseNotReadyError.
    """
    logging.getLogger("pogo_core").setLevel(logging.ERROR)  # it warns of each migration that it applies
    try:
        await migrate(postgres_url(settings))
        rows = await _seeded(settings)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, StoreError) as error:
        raise DatabaseNotReadyError(
            f"the database of {_where(settings)} was not prepared ({type(error).__name__}: {error})"
        ) from error
    closed = buckets_left_out(rows, settings.shards)
    if closed:
        raise DatabaseNotReadyError(f"in the database of {_where(settings)} {closed}")
    return shards_without_buckets(rows, settings.shards)


def buckets_left_out(rows: Sequence[ShardRow], shards: int) -> str:
    """What is wrong where a bucket's shard would not be started: its vendors would be closed until somebody starts it."""
    absent = [row for row in rows if row.buckets and row.shard_id >= shards]
    if not absent:
        return ""
    closed, every = sum(row.buckets for row in absent), sum(row.buckets for row in rows)
    return (
        f"{closed:,} of {every:,} buckets belong to {_named(row.shard_id for row in absent)}, "
        f"and HOLDFAST_SHARDS={shards} does not start that many; their vendors would be closed. "
        f"Set HOLDFAST_SHARDS={absent[-1].shard_id + 1} and try again; "
        f"once it is up, `holdfast rebalance --shards {shards}` moves them"
    )


def shards_without_buckets(rows: Sequence[ShardRow], shards: int) -> str:
    """What to expect where a shard would be started for nothing, and what gives it something to do."""
    idle = [row.shard_id for row in rows if not row.buckets and row.shard_id < shards]
    if not idle:
        return ""
    every = sum(row.buckets for row in rows)
    holders = _named(row.shard_id for row in rows if row.buckets)
    return f"{_named(idle)} will serve no vendor: all {every:,} buckets are with {holders}; `holdfast rebalance` spreads them"


def _named(shard_ids: Iterable[int]) -> str:
    """`shard 2`, `shards 2..5`, or `shards 0, 2` where they do not follow one another; ids ascend."""
    ids = list(shard_ids)
    if len(ids) == 1:
        return f"shard {ids[0]}"
    if ids[-1] - ids[0] == len(ids) - 1:
        return f"shards {ids[0]}..{ids[-1]}"
    return f"shards {', '.join(map(str, ids))}"


def _where(settings: Settings) -> str:
    """Which database, without its password."""
    return "HOLDFAST_POSTGRES_URL" if settings.postgres_url else str(settings.data_dir)


async def _seeded(settings: Settings) -> Sequence[ShardRow]:
    database = Database(postgres_url(settings), "holdfast command", 1)
    try:
        directory = Directory(database)
        await directory.seed(settings.shards)
        return await directory.shards()
    finally:
        await database.close()
