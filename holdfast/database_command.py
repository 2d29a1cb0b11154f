"""What the commands share that go straight to the database: how they ask it, and what they say when it is not there."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import NoReturn, TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console

from holdfast.settings import Settings
from storage.postgres import Database

_T = TypeVar("_T")

_err = Console(stderr=True)


def ask_database(command: str, call: Callable[[Database], Awaitable[_T]]) -> _T:
    """What the installation's database answers; the command ends with a word about it where it does not."""
    from holdfast.store_urls import postgres_url
    from storage.errors import StoreUnavailable

    async def ask() -> _T:
        database = Database(postgres_url(settings()), f"holdfast {command}", 1)
        try:
            return await call(database)
        finally:
            await database.close()

    try:
        return asyncio.run(ask())
    except (StoreUnavailable, FileNotFoundError) as error:
        stop(f"the database does not answer ({error}); is Holdfast up?")


def settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        stop(f"the settings are not valid: {error.errors()[0]['msg']}")


def stop(message: str) -> NoReturn:
    _err.print(f"[bold red]holdfast:[/] {message}", highlight=False, soft_wrap=True)
    raise typer.Exit(1)


def ago(instant: datetime) -> str:
    seconds = int((datetime.now(UTC) - instant).total_seconds())
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{max(seconds, 0)} s ago"
