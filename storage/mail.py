"""Where e-mail leaves the house: an SMTP server, or a folder of files where none is named."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

import aiosmtplib

from storage.errors import StoreUnavailable

_SECONDS_MAX: Final = 20.0
_PERMANENT: Final = 500
_CLOSING: Final = 421


class MailRefused(Exception):
    """The server will never take this message: its sender, its recipient or its content is refused for good."""


class MailDeferred(Exception):
    """The server will not take this message now, and perhaps later: greylisting, a full mailbox, an unknown domain."""


class Mailer(Protocol):
    async def send(self, message: EmailMessage) -> None:
        """Returns once the message was taken over. Raises StoreUnavailable, MailDeferred or MailRefused."""
        ...

    async def close(self) -> None: ...


def as_bytes(message: EmailMessage) -> bytes:
    """As it goes over the wire; in UTF-8 only where an address has no other form (RFC 6532)."""
    plain = all(address.addr_spec.isascii() for address in message["To"].addresses)
    return message.as_bytes(policy=SMTP_POLICY.clone(utf8=not plain))


class SmtpMailer:
    """One connection, kept while there is something to send and opened again when the server closed it."""

    def __init__(self, connect: Callable[[], aiosmtplib.SMTP]) -> None:
        self._connect = connect
        self._smtp: aiosmtplib.SMTP | None = None

    async def send(self, message: EmailMessage) -> None:
        async with self._translated():
            if self._smtp is not None:
                try:
                    await self._send(message)
                except (aiosmtplib.SMTPServerDisconnected, ConnectionError):
                    # A server closes a connection that was idle for long; that says nothing of the message.
                    await self.close()
                else:
                    return
            await self._send(message)

    async def close(self) -> None:
        smtp, self._smtp = self._smtp, None
        if smtp is None:
            return
        try:
            await smtp.quit()
        except (aiosmtplib.SMTPException, OSError, TimeoutError):
            smtp.close()

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        """The library's errors in our own words; whatever it was, the next message gets a new connection."""
        try:
            yield
        except aiosmtplib.SMTPException as error:
            await self.close()
            raise _of(error) from error
        except (OSError, TimeoutError) as error:
            await self.close()
            raise StoreUnavailable(f"SMTP: {type(error).__name__}: {error}") from error

    async def _send(self, message: EmailMessage) -> None:
        if self._smtp is None:
            smtp = self._connect()
            await smtp.connect()
            self._smtp = smtp
        await self._smtp.send_message(message)


class FolderMailer:
    """Each message as a file, named by its Message-ID, so that one sent twice is one file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(self, message: EmailMessage) -> None:
        try:
            await asyncio.to_thread(self._write, message)
        except OSError as error:
            raise StoreUnavailable(f"the mail folder: {error}") from error

    async def close(self) -> None:
        return

    def _write(self, message: EmailMessage) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = message["Message-ID"].strip("<>").replace("/", "-")
        # Under another name first: whoever looks never sees half a message.
        part = self._folder / f".{name}.part"
        with part.open("wb") as file:
            file.write(as_bytes(message))
            file.flush()
            os.fsync(file.fileno())
        part.rename(self._folder / f"{name}.eml")


def mailer_of(smtp_url: str, folder: Path) -> Mailer:
    """The mailer that an address names: `smtp://` (TLS when the server offers it), `smtps://`, or "" for the folder.

    Raises ValueError for another kind of address.
    """
    if not smtp_url:
        return FolderMailer(folder)
    url = urlsplit(smtp_url)
    if url.scheme not in {"smtp", "smtps"} or not url.hostname:
        raise ValueError("HOLDFAST_SMTP_URL should look like smtp://user:password@host:port or smtps://host")
    tls = url.scheme == "smtps"
    username = unquote(url.username) if url.username else None
    password = unquote(url.password) if url.password else None

    def connect() -> aiosmtplib.SMTP:
        return aiosmtplib.SMTP(
            hostname=url.hostname,
            port=url.port or (465 if tls else 25),
            username=username,
            password=password,
            use_tls=tls,
            timeout=_SECONDS_MAX,
        )

    return SmtpMailer(connect)


def _of(error: aiosmtplib.SMTPException) -> Exception:
    """What is about this message and its receiver, and what is about the server or us, for whom every message waits."""
    said = f"SMTP: {type(error).__name__}: {error}"
    if isinstance(error, aiosmtplib.SMTPNotSupported):
        return MailRefused(said)  # an address that only servers with SMTPUTF8 take
    codes = []
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        codes = [refused.code for refused in error.recipients]
    elif isinstance(error, aiosmtplib.SMTPRecipientRefused | aiosmtplib.SMTPDataError):
        codes = [error.code]
    if not codes or _CLOSING in codes:
        return StoreUnavailable(said)
    return MailRefused(said) if min(codes) >= _PERMANENT else MailDeferred(said)
