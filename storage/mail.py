"""Where e-mail leaves the house: an SMTP server, or a folder of files where none is named."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from email.message import EmailMessage
from email.parser import BytesHeaderParser
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


class MailStopped(MailDeferred):
    """The server closed or fell silent at this message and is well otherwise: a bad moment, or its word on the receiver."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message as it goes over the wire, and between whom: what is kept for another try goes out as it was written.

    Nobody reads the addresses out of the content again: the parser knows none in UTF-8.
    """

    sender: str
    recipient: str
    content: bytes

    @property
    def utf8(self) -> bool:
        """Whether an address has no other form (RFC 6531)."""
        return not (self.sender + self.recipient).isascii()


class Mailer(Protocol):
    async def send(self, letter: Envelope) -> None:
        """Returns once the message was taken over. Raises StoreUnavailable, MailStopped, MailDeferred or MailRefused."""
        ...

    async def close(self) -> None: ...


def sealed(message: EmailMessage) -> Envelope:
    """From its first sender to its first receiver; in seven bits, which every server takes, but for an address in UTF-8."""
    (sender, *_), (recipient, *_) = message["From"].addresses, message["To"].addresses
    letter = Envelope(sender.addr_spec, recipient.addr_spec, b"")
    policy = SMTP_POLICY.clone(utf8=letter.utf8, cte_type="7bit")
    return replace(letter, content=message.as_bytes(policy=policy))


class SmtpMailer:
    """One connection, kept while there is something to send and opened again when the server closed it.

    It takes one letter at a time.
    """

    def __init__(self, connect: Callable[[], aiosmtplib.SMTP]) -> None:
        self._connect = connect
        self._smtp: aiosmtplib.SMTP | None = None

    async def send(self, letter: Envelope) -> None:
        try:
            async with self._translated():
                await self._send_somehow(letter)
        except StoreUnavailable as error:
            async with self._translated():
                await self._greet(letter.sender)
            raise MailStopped(str(error)) from error

    async def close(self) -> None:
        if self._smtp is None:
            return
        try:
            with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
                await self._smtp.quit()
        finally:
            self._hang_up()

    def _hang_up(self) -> None:
        """Without a word, which the server may not be in a state to hear."""
        smtp, self._smtp = self._smtp, None
        if smtp is not None:
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
            self._hang_up()
            raise StoreUnavailable(f"SMTP: {type(error).__name__}: {error}") from error
        except BaseException:
            self._hang_up()  # cut off in the midst of a message, say: the server still waits for the rest of it
            raise

    async def _send_somehow(self, letter: Envelope) -> None:
        if self._smtp is not None:
            try:
                await self._send(letter)
            except (aiosmtplib.SMTPServerDisconnected, ConnectionError):
                # A server closes a connection that was idle for long; that says nothing of the message.
                self._hang_up()
            else:
                return
        await self._send(letter)

    async def _send(self, letter: Envelope) -> None:
        smtp = await self._connected()
        options = ["SMTPUTF8", "BODY=8BITMIME"] if letter.utf8 else []
        await smtp.sendmail(letter.sender, [letter.recipient], letter.content, mail_options=options)

    async def _greet(self, sender: str) -> None:
        """Whether the server takes mail from us at all, by a connection of its own and no letter."""
        await self.close()
        smtp = await self._connected()
        await smtp.mail(sender, encoding="utf-8")
        await smtp.rset()

    async def _connected(self) -> aiosmtplib.SMTP:
        if self._smtp is None:
            smtp = self._connect()
            await smtp.connect()
            self._smtp = smtp
        return self._smtp


class MailerPool:
    """As many letters at once as there are mailers, the others wait for their turn.

    The mailer that was used last is used next: while there is little to send, one connection is kept and the others are
    left for the server to close.
    """

    def __init__(self, mailers: Sequence[Mailer]) -> None:
        self._mailers = tuple(mailers)
        self._idle = list(mailers)
        self._turn = asyncio.Semaphore(len(mailers))

    async def send(self, letter: Envelope) -> None:
        async with self._turn:
            mailer = self._idle.pop()
            try:
                await mailer.send(letter)
            finally:
                self._idle.append(mailer)

    async def close(self) -> None:
        await asyncio.gather(*(mailer.close() for mailer in self._mailers))


class FolderMailer:
    """Each message as a file, named by its Message-ID, so that one sent twice is one file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(self, letter: Envelope) -> None:
        try:
            await asyncio.to_thread(self._write, letter.content)
        except OSError as error:
            raise StoreUnavailable(f"the mail folder: {error}") from error

    async def close(self) -> None:
        return

    def _write(self, content: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        headers = BytesHeaderParser(policy=SMTP_POLICY).parsebytes(content)
        name = headers["Message-ID"].strip(" \r\n<>").replace("/", "-")
        # Under another name first: whoever looks never sees half a message.
        part = self._folder / f".{name}.part"
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.rename(self._folder / f"{name}.eml")


def mailer_of(smtp_url: str, folder: Path, connections_max: int = 1) -> Mailer:
    """The mailer that an address names: `smtp://` (TLS when the server offers it), `smtps://`, or "" for the folder.

    It opens so many connections to a server at most. Raises ValueError for another kind of address.
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

    return MailerPool([SmtpMailer(connect) for _ in range(connections_max)])


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
