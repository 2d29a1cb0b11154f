"""A real SMTP server in the test's process: keeps what it takes, and refuses what it is told to refuse."""

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
    """`refusals` are answered in turn to the next messages, before anything is taken."""

    port: int
    taken: list[EmailMessage] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        if self.refusals:
            return self.refusals.pop(0)
        message = message_from_bytes(envelope.content, policy=default)
        assert isinstance(message, EmailMessage)
        self.taken.append(message)
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
