"""A statement on a test's database, and dropping it, also while the server's own workers look at it."""

import asyncio
from typing import Final

import asyncpg

_TRIES_MAX: Final = 100


async def drop_database(admin: "asyncpg.Connection[asyncpg.Record]", name: str) -> None:
    """End whoever is connected and drop it.

    The server refuses while one of its autovacuum workers is there, whom only a superuser may end; it leaves by itself.
    """
    for left in reversed(range(_TRIES_MAX)):
        try:
            await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        except asyncpg.InsufficientPrivilegeError:
            if not left:
                raise
            await asyncio.sleep(0.1)
        else:
            return


async def drop_database_at(url: str, name: str) -> None:
    """By a connection of its own to another database of the same server."""
    admin = await asyncpg.connect(url)
    try:
        await drop_database(admin, name)
    finally:
        await admin.close()


async def execute(url: str, statement: str, *parameters: object) -> None:
    """By a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement, *parameters)
    finally:
        await connection.close()
