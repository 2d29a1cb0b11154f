"""Runs the baseline: its database beside the product's in the same Postgres, its tokens, its processes."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import jwt

from bench.processes import running, wait_until_healthy
from storage.migrate import migrate

DATABASE = "baseline"
_COPIED = ("city", "vendor", "vendor_seat", "vendor_datetimeslot")


async def make_database(product_dsn: str) -> str:
    """A fresh database with the product's schema and a copy of its vendors; returns its DSN."""
    base, _, _ = product_dsn.rpartition("/")
    dsn = f"{base}/{DATABASE}"
    product = await asyncpg.connect(product_dsn)
    try:
        await product.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        await product.execute(f"CREATE DATABASE {DATABASE}")
        await migrate(dsn)
        baseline = await asyncpg.connect(dsn)
        try:
            for table in _COPIED:
                await _copy(product, baseline, table)
            await baseline.execute("CREATE SEQUENCE baseline_outbox_seq")
            await baseline.execute("VACUUM ANALYZE")
        finally:
            await baseline.close()
    finally:
        await product.close()
    return dsn


async def _copy(source: asyncpg.Connection, target: asyncpg.Connection, table: str) -> None:
    """All rows of a table, without its generated columns, which Postgres computes again."""
    columns: list[str] = await source.fetchval(
        "SELECT array_agg(attname ORDER BY attnum) FROM pg_attribute"
        " WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
        table,
    )
    names = ", ".join(columns)
    rows = [tuple(row) for row in await source.fetch(f"SELECT {names} FROM {table}")]
    places = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
    await target.executemany(f"INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE VALUES ({places})", rows)


def tokens(secret: str, guests: Sequence[UUID]) -> list[str]:
    """One token per guest, good for the length of a benchmark."""
    expires = datetime.now(UTC) + timedelta(hours=12)
    claims = {"iss": "baseline", "role": "user", "exp": expires}
    return [jwt.encode({**claims, "sub": str(guest)}, secret, algorithm="HS256") for guest in guests]


@contextmanager
def baseline_running(dsn: str, secret: str, port: int, processes: int, log: Path) -> Iterator[None]:
    """The baseline under uvicorn with uvloop and httptools in so many processes, 20 connections each."""
    command = [
        *(sys.executable, "-m", "uvicorn", "bench.baseline.app:app", "--host", "127.0.0.1", "--port", str(port)),
        *("--workers", str(processes), "--loop", "uvloop", "--http", "httptools"),
        *("--no-access-log", "--log-level", "warning"),
    ]
    with running(command, {"BASELINE_DSN": dsn, "BASELINE_SECRET": secret}, log) as process:
        wait_until_healthy(f"http://127.0.0.1:{port}/healthz", process)
        yield
