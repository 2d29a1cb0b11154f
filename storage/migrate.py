"""Brings a database to the newest schema with pogo-migrate; safe to run from many processes at once and again and again."""

from pathlib import Path
from typing import Final

import asyncpg
from pogo_core.util import migrate as pogo

MIGRATIONS: Final = Path(__file__).parent / "migrations"

_MIGRATION_LOCK: Final = 0x686F6C6466617374  # "holdfast", so that no other program's advisory lock is ours by chance


async def migrate(postgres_url: str) -> None:
    """Apply what is missing, one migration per transaction, under a lock that lets one process do it at a time."""
    connection = await asyncpg.connect(postgres_url)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _MIGRATION_LOCK)
        await pogo.apply(connection, MIGRATIONS, schema_name="public")
    finally:
        await connection.close()
