"""What the system tests see of bookings: lists page by page, mail, and what the stores themselves hold."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import httpx

from domain.ids import BookingId
from holdfast.store_urls import postgres_url
from storage.archive import Archive
from storage.archive_url import archive_at
from tests.consumers.smtp_server import Postbox
from tests.system.guests_and_houses import Account
from tests.system.running import Running

T = TypeVar("T")


def pages(client: httpx.Client, path: str, who: Account, **query: Any) -> Iterator[dict[str, Any]]:
    """Every booking of a list, by as many pages as it has."""
    cursor: str | None = None
    while True:
        more = {} if cursor is None else {"cursor": cursor}
        answer = client.get(path, params=query | more, headers=who.headers)
        assert answer.status_code == 200, answer.text
        yield from answer.json()["items"]
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            return


def archived(cluster: Running, booking_ids: list[str]) -> dict[str, int]:
    """The versions that the archive itself holds, by id."""

    async def ask(archive: Archive) -> dict[str, int]:
        found: dict[str, int] = {}
        for start in range(0, len(booking_ids), 200):
            some = [BookingId(UUID(one)) for one in booking_ids[start : start + 200]]
            found |= {str(one): version for one, version in (await archive.versions(some)).items()}
        return found

    return _with_archive(cluster, ask)


def mail(cluster: Running, postbox: Postbox, address: str) -> list[EmailMessage]:
    """What the guest got: from the SMTP server, or from the folder of an installation without one."""
    if cluster.settings.smtp_url:
        found = list(postbox.taken)
    else:
        files = sorted((cluster.settings.data_dir / "mail").glob("*.eml"))
        found = [_message(file.read_bytes()) for file in files]
    return [message for message in found if address in message["To"]]


def calendar_method(message: EmailMessage) -> str | None:
    """What the message's calendar file asks the mail program to do; None where it has none."""
    files = [part for part in message.walk() if part.get_content_type() == "text/calendar"]
    return str(files[0].get_param("method")) if files else None


def in_database(cluster: Running, statement: str, *parameters: object) -> list[asyncpg.Record]:
    async def run() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(postgres_url(cluster.settings))
        try:
            return await connection.fetch(statement, *parameters)
        finally:
            await connection.close()

    return asyncio.run(run())


def _message(content: bytes) -> EmailMessage:
    message = message_from_bytes(content, policy=default)
    assert isinstance(message, EmailMessage)
    return message


def _with_archive(cluster: Running, ask: Callable[[Archive], Awaitable[T]]) -> T:
    async def run() -> T:
        archive = archive_at(cluster.settings.archive_url, postgres_url(cluster.settings))
        try:
            return await ask(archive)
        finally:
            await archive.close()

    return asyncio.run(run())
