"""A real SMTP server in the test's process: keeps what it takes, and refuses what it is told to refuse."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller


@dataclass
class Postbox:
    """`refusals` are answered in turn to the next messages, before anything is taken.

    It closes at whatever comes for an address of `closes_for`, or at whatever comes at all. `seconds` is what it takes
    over each message; `at_once_max` is how many it ever had in hand together, `clients` which connections brought mail.
    """

    port: int
    taken: list[EmailMessage] = field(default_factory=list)
    taken_for: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    closes_for: set[str] = field(default_factory=set)
    closes: bool = False
    seconds: float = 0.0
    in_hand: int = 0
    at_once_max: int = 0
    clients: set[tuple[str, int]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802 - aiosmtpd's name
        if self.closes:
            return "421 busy"
        self.clients.add(session.peer)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802 - aiosmtpd's name
        if address in self.closes_for:
            return "421 4.7.0 too many messages for this receiver"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.in_hand += 1
        self.at_once_max = max(self.at_once_max, self.in_hand)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.in_hand -= 1
        if self.refusals:
            return self.refusals.pop(0)
        message = message_from_bytes(envelope.content, policy=default)
        assert isinstance(message, EmailMessage)
        self.taken.append(message)
        self.taken_for += envelope.rcpt_tos
        return "250 taken"


@contextmanager
def smtp_server(postbox: Postbox) -> Iterator[None]:
    """Serves the postbox on its port; the server has a thread of its own, and is gone afterwards."""
    controller = Controller(postbox, hostname="127.0.0.1", port=postbox.port, enable_SMTPUTF8=True)
    controller.start()
    try:
        yield
    finally:
        controller.stop()
